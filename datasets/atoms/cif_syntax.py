"""Parse crystallographic information files, with gemmi, and correct common slips of syntax."""

from __future__ import annotations

from pathlib import Path

import gemmi

from csgnn_dgl._foreign import excerpt, read_text
from csgnn_dgl.errors import DataError

__all__ = ["parse_cif"]

_QUOTES = ("'", '"')
_RESERVED = ("loop_", "data_", "save_", "global_", "stop_")
# Two values of such a tag are two structures.
_DECISIVE = ("_cell_length", "_cell_angle", "_atom_", "_symmetry_", "_space_group")


def parse_cif(path: Path) -> tuple[gemmi.cif.Document, tuple[str, ...]]:
    """Parse a CIF, plain or compressed.

    If it is not well-formed, values of several words without quotes, quotes over several lines,
    tags without a value, tags that are given twice and names of data blocks that are used twice are
    corrected. A loop whose last row is not complete is never corrected, because nobody can say
    which value is missing.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    tuple
        The document, and notes on what was corrected.

    Raises
    ------
    DataError
        The file cannot be parsed.
    """
    text = read_text(path)
    try:
        return gemmi.cif.read_string(text), ()
    except (ValueError, RuntimeError) as error:
        strict = _reason(error)
    mended = _Mended(text, path)
    try:
        document = gemmi.cif.read_string(mended.text)
    except (ValueError, RuntimeError) as error:
        reason = _reason(error)
        advice = ""
        if "number of values in" in reason:
            advice = ". A row lacks a value, or has one too many; correct that row"
        elif strict != reason:
            reason = f"{strict}; after corrections: {reason}"
        raise DataError(f"{path} is not a well-formed CIF ({reason}){advice}") from error
    corrected = ", ".join(mended.corrected) or "its encoding"
    return document, (f"not strictly CIF ({strict}); corrected: {corrected}",)


def _reason(error: Exception) -> str:
    """The message of gemmi, which gives line, column and byte, or no place."""
    text = excerpt(error).removeprefix("string:").strip()
    return f"line {text}" if text[:1].isdigit() else text


class _Mended:
    """The text of a CIF with corrections, and what was corrected."""

    def __init__(self, text: str, path: Path) -> None:
        self._path = path
        self._out: list[str] = []
        self._values: dict[str, str] = {}  # of the tags of the present block
        self._blocks: set[str] = set()
        self._corrected: dict[str, None] = {}
        self._lines = text.split("\n")
        self._next = 0
        self._in_header = False  # of a loop
        while self._next < len(self._lines):
            self._take()
        self.text = "\n".join(self._out) + "\n"

    @property
    def corrected(self) -> list[str]:
        return list(self._corrected)

    def _take(self) -> None:
        """Copy a line, or correct what begins there."""
        line = self._lines[self._next]
        self._next += 1
        words = line.split(None, 1)
        if line.startswith(";"):
            self._in_header = False
            self._out += [line, *self._rest_of_field()]
        elif not words or words[0].startswith("#"):
            self._out.append(line)
        elif words[0].lower().startswith("data_"):
            self._block(words)
        elif not words[0].startswith("_"):
            self._in_header = words[0].lower() == "loop_"
            self._out.append(line)
        elif self._in_header:
            self._out.append(line)
        else:
            self._pair(words[0], words[1].strip() if len(words) > 1 else "", line)

    def _rest_of_field(self) -> list[str]:
        """The lines of a text field after its first, up to the closing semicolon."""
        first = self._next
        while self._next < len(self._lines):
            self._next += 1
            if self._lines[self._next - 1].startswith(";"):
                break
        return self._lines[first : self._next]

    def _block(self, words: list[str]) -> None:
        name, number = words[0], 2
        while name.lower() in self._blocks:
            name = f"{words[0]}_{number}"
            number += 1
            self._corrected["names of data blocks that are used twice"] = None
        self._blocks.add(name.lower())
        self._values.clear()
        self._in_header = False
        self._out.append(" ".join([name, *words[1:]]))

    def _pair(self, tag: str, value: str, line: str) -> None:
        """Copy a tag with its value, which may begin on the next line."""
        lines = [line]
        if not value or value.startswith("#"):
            value, lines = self._value_below(tag, line)
        elif value[0] in _QUOTES:
            if value[0] not in value[1:]:
                value = self._until_quote(value)
                lines = [tag, f";{value}", ";"]
        elif len(value.split(" #")[0].split()) > 1 and not any(
            word.startswith("_") for word in value.split()
        ):
            self._corrected["values of several words"] = None
            lines = [tag, f";{value}", ";"]
        known = self._values.setdefault(tag.lower(), value)
        if known is value:
            self._out += lines
            return
        if known.split() == value.split():
            self._corrected[f"{tag} is given twice"] = None
            return
        both = f"{tag} is given twice, as {excerpt(known, 60)} and {excerpt(value, 60)}"
        if tag.lower().startswith(_DECISIVE):
            raise DataError(f"{self._path}: {both}; remove one")
        self._corrected[f"{both}, of which the first was used"] = None

    def _value_below(self, tag: str, line: str) -> tuple[str, list[str]]:
        """The value on the lines below a tag, and all these lines; ``?`` if there is none."""
        first = self._next
        while self._next < len(self._lines):
            below = self._lines[self._next]
            start = below.split(None, 1)[:1]
            if not start or start[0].startswith("#"):
                self._next += 1
                continue
            if start[0].startswith("_") or start[0].lower().startswith(_RESERVED):
                break
            self._next += 1
            rest = self._rest_of_field() if below.startswith(";") else []
            lines = self._lines[first : self._next - len(rest)]
            return "\n".join([below, *rest]), [line, *lines, *rest]
        self._corrected[f"{tag} has no value"] = None
        return "?", [f"{tag} ?", *self._lines[first : self._next]]

    def _until_quote(self, value: str) -> str:
        """A value whose quote is closed on a later line; without the quotes."""
        self._corrected["values of several words"] = None
        quote, parts = value[0], [value[1:]]
        while self._next < len(self._lines):
            line = self._lines[self._next].rstrip()
            self._next += 1
            parts.append(line.removesuffix(quote))
            if line.endswith(quote):
                break
        return " ".join(" ".join(parts).split())

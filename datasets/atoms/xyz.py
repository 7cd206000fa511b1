"""Check xyz and extxyz files: what their headers declare against what follows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from csgnn_dgl._foreign import excerpt, open_text, parse_integer
from csgnn_dgl.errors import DataError

__all__ = ["check_frame", "check_xyz", "column_names", "is_xyz", "xyz_frames"]

_PROPERTIES = re.compile(r"""\bProperties\s*=\s*["'{]?([^"'}\s]+)""")
_PLAIN = "species:S:1:pos:R:3"
_NAMES_OF_ELEMENTS = ("species", "Z")


def is_xyz(path: Path) -> bool:
    """Whether ASE would read a file as xyz or extxyz; it may be compressed."""
    import ase.io.formats  # slow to import

    try:
        return ase.io.formats.filetype(str(path), guess=True) in ("xyz", "extxyz")
    # ASE may open and parse the file, which may raise any exception.
    except Exception:
        return False


def check_xyz(path: Path) -> None:
    """Check all frames of a file; see :func:`check_frame`.

    Raises
    ------
    DataError
        A frame declares other atoms or columns than it has.
    """
    with open_text(path) as lines:
        for index, (first, _, body) in enumerate(xyz_frames(lines)):
            if isinstance(body, DataError):
                raise DataError(f"{path}: {body}")
            try:
                check_frame(body)
            except DataError as error:
                raise DataError(f"{path}[{index}], from line {first}: {error}") from error


def xyz_frames(lines: Iterator[str]) -> Iterator[tuple[int, int, list[str] | DataError]]:
    """Yield first line, declared number of atoms, and header and rows of each frame.

    After an error, which takes the place of header and rows, nothing follows.
    """
    number = 0
    for line in lines:
        number += 1
        # Rows of the cell follow the atoms in a dialect of xyz.
        if not line.strip() or line.lstrip().startswith("VEC"):
            continue
        count = parse_integer(line)
        if count is None or count < 0:
            what = excerpt(line.strip(), 40)
            yield (
                number,
                0,
                DataError(f"line {number} should be a number of atoms, but is {what!r}"),
            )
            return
        # A list only grows with the lines that are there, whatever number is declared.
        body = [text for _, text in zip(range(count + 1), lines, strict=False)]
        if len(body) < count + 1:
            there = max(len(body) - 1, 0)
            yield number, there, DataError(f"the file ends after {there} of {count} atoms")
            return
        yield number, count, body
        number += count + 1


def check_frame(body: list[str]) -> None:
    """Compare the columns that a frame declares with those of its rows.

    ASE makes as many columns as are declared before it reads any row, and ignores surplus columns.

    Parameters
    ----------
    body
        The header, and a row for each atom.

    Raises
    ------
    DataError
        ``Properties`` cannot be read, or lacks elements or positions; or a row has other columns.
    """
    found = _PROPERTIES.search(body[0]) if body else None
    text = found[1] if found else _PLAIN
    fields = text.split(":")
    widths = [parse_integer(width) for width in fields[2::3]]
    names = fields[::3]
    if len(fields) % 3 or any(width is None or width < 1 for width in widths):
        raise DataError(f"Properties={excerpt(text, 80)} is not a list of NAME:TYPE:COLUMNS")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"Properties={excerpt(text, 80)} declares {excerpt(twice[0], 40)} twice")
    if "pos" not in names or not any(name in names for name in _NAMES_OF_ELEMENTS):
        raise DataError(f"Properties={excerpt(text, 80)} lacks elements (species) or pos")
    columns = sum(width for width in widths if width is not None)
    for number, row in enumerate(body[1:]):
        # One more would be enough. Without the limit a damaged row would be split whole.
        words = len(row.split(None, columns))
        if words < columns or (found is not None and words > columns):
            raise DataError(
                f"atom {number} has {'fewer' if words < columns else 'more'} columns than the "
                f"{columns} that are declared ({excerpt(text, 80)}): {excerpt(row, 60)!r}"
            )


def column_names(header: str) -> list[str]:
    """Names of the columns of atoms in the header of a frame.

    Examples
    --------
    >>> column_names("Properties=species:S:1:pos:R:3:charge:R:1")
    ['species', 'pos', 'charge']
    """
    found = _PROPERTIES.search(header)
    return (found[1] if found else _PLAIN).split(":")[::3]

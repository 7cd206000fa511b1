"""Read xyz and extxyz files by ASE, after what they declare is compared with what follows."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from ase import Atoms

from csgnn_dgl._foreign import excerpt, open_text, parse_integer, reading
from csgnn_dgl.errors import DataError

__all__ = [
    "check_frame",
    "column_names",
    "is_vector",
    "is_xyz",
    "read_frame",
    "read_xyz",
    "xyz_frames",
]

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


def read_xyz(path: Path) -> list[Atoms]:
    """Read all frames of a file, plain or compressed.

    ASE reads each frame by itself. Given the whole file it would stop at the first blank line.

    Raises
    ------
    DataError
        A frame cannot be read, or declares other atoms or columns than it has.
    """
    found = []
    with open_text(path) as lines:
        for index, (first, count, body) in enumerate(xyz_frames(lines)):
            if isinstance(body, DataError):
                raise DataError(f"{path}: {body}")
            try:
                found.append(read_frame(count, body))
            except DataError as error:
                raise DataError(f"{path}[{index}], from line {first}: {error}") from error
    return found


def xyz_frames(
    lines: Iterable[str], *, before: int = 0
) -> Iterator[tuple[int, int, list[str] | DataError]]:
    """Yield first line, declared number of atoms, and header and rows of each frame.

    After an error, which takes the place of header and rows, nothing follows.

    Parameters
    ----------
    lines
        Lines of the file.
    before
        Number of lines of the file before these.
    """
    rest = iter(lines)
    number = before
    frame: tuple[int, int, list[str] | DataError] | None = None
    for line in rest:
        number += 1
        if frame is not None and isinstance(frame[2], list) and is_vector(line):
            frame[2].append(line)
        elif line.strip():
            if frame is not None:
                yield frame
            first, count = number, parse_integer(line)
            if count is None or count < 0:
                what = excerpt(line.strip(), 40)
                problem = f"line {number} should be a number of atoms, but is {what!r}"
                frame = (first, 0, DataError(problem))
                break
            # A list only grows with the lines that are there, whatever number is declared.
            body = [text for _, text in zip(range(count + 1), rest, strict=False)]
            number += len(body)
            if len(body) < count + 1:
                there = max(len(body) - 1, 0)
                frame = (first, there, DataError(f"the file ends after {there} of {count} atoms"))
                break
            frame = (first, count, body)
    if frame is not None:
        yield frame


def is_vector(line: str) -> bool:
    """Whether a line is a cell vector, which follow the atoms in a dialect of xyz."""
    return line.lstrip().startswith("VEC")


def read_frame(count: int, body: list[str]) -> Atoms:
    """Read a frame by ASE, after its columns have been checked.

    Parameters
    ----------
    count
        The number of atoms.
    body
        The header, a row for each atom, and perhaps cell vectors.

    Raises
    ------
    DataError
        The frame cannot be read, or declares other columns than it has.
    """
    import ase.io  # takes half a second, and readers of other formats do not need it

    check_frame(body)
    text = f"{count}\n{''.join(body)}"
    with reading("the frame"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        atoms = ase.io.read(io.StringIO(text), format="extxyz")
        assert isinstance(atoms, Atoms)
    return atoms


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
    for number, row in enumerate(row for row in body[1:] if not is_vector(row)):
        # One more would be enough. Without the limit a damaged row would be split whole.
        words = len(row.split(None, min(columns, len(row))))
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

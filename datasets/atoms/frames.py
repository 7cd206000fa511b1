"""Structures of folders, trajectories and databases, found and read frame by frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ase import Atoms

from csgnn_dgl._foreign import check_expansion, check_file, reading
from csgnn_dgl.datasets.atoms import frames_ase, frames_lmdb, frames_xyz
from csgnn_dgl.datasets.atoms.poscar import is_poscar
from csgnn_dgl.datasets.atoms.structure import Occupancy, Structure
from csgnn_dgl.datasets.atoms.structures import check_structure, is_cif, read_structures
from csgnn_dgl.datasets.atoms.xyz import is_xyz
from csgnn_dgl.datasets.pieces import Frame, Mark, Piece, walk
from csgnn_dgl.datasets.readers import find_reader, readers
from csgnn_dgl.errors import DataError, suggest

__all__ = ["column_kinds", "read_pieces", "structure_marks", "structure_sources"]

# Files that explain a folder, whose names ASE takes for formats: .md is one of CASTEP.
_ABOUT = ("readme", "license", "licence", "changelog", "citation")
# Each has marks(path, name), frames(piece) and columns(path).
_KINDS: dict[str, Any] = {
    "ASE database": frames_ase,
    "ASE LMDB": frames_lmdb,
    "xyz": frames_xyz,
}


def structure_sources(
    inputs: Sequence[Path], *, skip: Path | None = None
) -> Iterator[tuple[Path, str]]:
    """Files and databases of structures that inputs name, or that lie in folders among them.

    Parameters
    ----------
    inputs
        Structure files, databases, and folders of them.
    skip
        A folder that is passed over.

    Raises
    ------
    DataError
        See :func:`~csgnn_dgl.datasets.pieces.walk`.
    """
    return walk(inputs, _is_known, skip=skip)


def structure_marks(sources: Iterator[tuple[Path, str]]) -> Iterator[Mark]:
    """Marks of all frames of these files, one after the other.

    Parameters
    ----------
    sources
        Paths and names; see :func:`structure_sources`.

    Yields
    ------
    Mark
        A file that cannot be opened has a single mark, with its problem.
    """
    for path, name in sources:
        try:
            kind = _kind(path)
            if kind == "file":
                yield Mark(str(path), name)
            else:
                with reading(name):
                    yield from _KINDS[kind].marks(path, name)
        except DataError as error:
            yield Mark(str(path), name, problem=str(error))


def read_pieces(
    pieces: Sequence[Piece], *, occupancy: Occupancy = "refuse", columns: Sequence[str] = ()
) -> Iterator[Frame[Structure]]:
    """Read frames one after the other.

    Parameters
    ----------
    pieces
        Parts of files.
    occupancy
        See :func:`~csgnn_dgl.datasets.atoms.structures.read_structures`.
    columns
        Names of values to keep with each frame; a frame without one has None.

    Yields
    ------
    Frame
        A structure, or why it cannot be used. Nothing that a file does raises an error.
    """
    for piece in pieces:
        mark = piece.first
        path, name = Path(mark.path), mark.name
        if mark.problem is not None:
            yield Frame(name, mark.frame, error=mark.problem)
        elif mark.kind == "file":
            yield from _whole(path, name, occupancy)
        else:
            yield from _frames(piece, columns)


def _whole(path: Path, name: str, occupancy: Occupancy) -> Iterator[Frame[Structure]]:
    try:
        with reading(name):
            found = read_structures(path, occupancy=occupancy)
    except DataError as error:
        # Messages name the file as the user did.
        yield Frame(name, 0, error=str(error).replace(str(path), name))
        return
    for index, structure in enumerate(found):
        yield Frame(name, index, structure)


def _frames(piece: Piece, columns: Sequence[str]) -> Iterator[Frame[Structure]]:
    mark = piece.first
    done = 0
    try:
        with reading(mark.name):
            for found, values in _KINDS[mark.kind].frames(piece, columns):
                index = mark.frame + done
                yield _checked(mark.name, index, found, values)
                done += 1
    except DataError as error:
        # What follows in this piece cannot be reached.
        for index in range(mark.frame + done, mark.frame + piece.count):
            yield Frame(mark.name, index, error=str(error))


def _checked(
    name: str, index: int, found: Atoms | DataError, values: dict[str, Any]
) -> Frame[Structure]:
    source = f"{name}[{index}]"
    try:
        if isinstance(found, DataError):
            raise found
        with reading(source):
            structure = check_structure(Structure(found, source, "ASE"))
    except DataError as error:
        text = str(error)
        return Frame(name, index, error=text if name in text else f"{source}: {text}")
    return Frame(name, index, structure, columns=values)


def column_kinds(
    sources: Iterator[tuple[Path, str]], columns: Sequence[str]
) -> dict[str, type[float] | type[str]]:
    """Find whether columns hold numbers or text, in the first source that tells.

    Parameters
    ----------
    sources
        Paths and names; see :func:`structure_sources`.
    columns
        Names of columns of databases, or of values in the header of frames.

    Raises
    ------
    DataError
        A source lacks a column, or has text where another has numbers.
    """
    kinds: dict[str, type[float] | type[str]] = {}
    for path, name in sources if columns else ():
        kind = _kind(path)
        if kind == "file":
            raise DataError(
                f"{name} has no columns, but {columns[0]!r} is asked for; databases and extended "
                f"xyz files have them"
            )
        with reading(name):
            there = _KINDS[kind].columns(path, columns)
        for column in columns:
            if column not in there:
                raise DataError(
                    f"{name} has no column {column!r}: {suggest(column, there)}"
                    if there
                    else f"{name} has no columns, but {column!r} is asked for"
                )
            if kinds.setdefault(column, there[column]) is not there[column]:
                raise DataError(
                    f"the column {column!r} of {name} is of another type than in files before it; "
                    f"describe them in two runs"
                )
    return kinds


def _kind(path: Path) -> str:
    """How a file is read, by its content or its name.

    Raises
    ------
    DataError
        It is no regular file, or empty.
    """
    if frames_lmdb.is_lmdb(path):
        return "ASE LMDB"
    check_file(path)
    if _reader_of_users(path):
        return "file"
    if frames_ase.is_database(path):
        return "ASE database"
    check_expansion(path)
    return "xyz" if is_xyz(path) else "file"


def _reader_of_users(path: Path) -> bool:
    return find_reader(path, readers("structure file", ())) is not None


def _is_known(path: Path) -> bool:
    """Whether a path in a folder is a file of structures, by its name."""
    if path.is_dir():
        return frames_lmdb.is_lmdb(path)
    if path.name.lower().startswith(_ABOUT):
        return False
    if frames_lmdb.is_lmdb(path) or path.suffix.lower() == ".db":
        return True
    return is_cif(path) or is_poscar(path) or _reader_of_users(path) or _named_for_ase(path)


def _named_for_ase(path: Path) -> bool:
    import ase.io.formats  # slow to import

    plain = path.with_suffix("") if path.suffix.lower() in (".gz", ".bz2", ".xz") else path
    try:
        # Without reading, ASE answers with the suffix if it knows no format.
        kind = ase.io.formats.filetype(str(plain), read=False, guess=False)
    except Exception:
        return False
    return kind in ase.io.formats.ioformats

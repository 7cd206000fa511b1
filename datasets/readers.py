"""Readers of data: a table of layouts, each with functions that recognise it and load it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from csgnn_dgl.errors import ConfigError, suggest

__all__ = [
    "Kind",
    "Reader",
    "find_reader",
    "readers",
    "register",
    "registered",
    "replace_registered",
    "unregister",
]

#: Folders of shapes and of structures with densities of states; single files of either.
Kind = Literal["shapes", "dos", "shape file", "structure file"]


@dataclass(frozen=True)
class Reader:
    """A layout of data, and the function that loads it.

    Readers of one kind are tried in order, and the first that recognises a path loads it.

    Parameters
    ----------
    kind
        Kind of data, which determines the arguments and the result of ``load``:

        ====================  ==========================================================
        ``"shapes"``          ``load(folder, options)`` with
                              :class:`~csgnn_dgl.datasets.shapes.ShapeOptions`, to a
                              :class:`~csgnn_dgl.datasets.shapes.ShapeDataset`
        ``"dos"``             ``load(folder)``, to a
                              :class:`~csgnn_dgl.datasets.atoms.dos.DOSDataset`
        ``"shape file"``      ``load(file)``, to a
                              :class:`~csgnn_dgl.datasets.shapes.meshes.Mesh` or an array of
                              points ``(M, 3)``
        ``"structure file"``  ``load(file, occupancy)``, to a list of
                              :class:`~csgnn_dgl.datasets.atoms.structure.Structure`
        ====================  ==========================================================

    name
        Name of the layout.
    layout
        Files of the layout, in a line for users.
    matches
        Whether a path holds this layout. It is called with paths of every kind, so it must be quick
        and must not raise.
    load
        Reads the data; raises :class:`~csgnn_dgl.errors.DataError` if they are damaged.

    Examples
    --------
    A reader of your own. All commands in this process try it before those of the package:

    >>> from csgnn_dgl.datasets.atoms import dos
    >>> def load(folder):
    ...     atoms, curves = read_my_format(folder / "mine.dat")
    ...     records = [dos.DOSRecord(a, c, str(i)) for i, (a, c) in enumerate(zip(atoms, curves))]
    ...     return dos.DOSDataset(
    ...         folder.name, "my format", tuple(records), grid=MY_GRID, quantity="electronic",
    ...         dos_unit="states/eV/atom",
    ...     )
    >>> mine = Reader(
    ...     "dos", "mine", "mine.dat", lambda path: (path / "mine.dat").is_file(), load
    ... )
    >>> register(mine)
    >>> readers("dos", ())[0].name
    'mine'
    >>> unregister(mine)
    """

    kind: Kind
    name: str
    layout: str
    matches: Callable[[Path], bool]
    load: Callable[..., Any]

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ConfigError(
                f"reader {self.name!r} is of the unknown kind {self.kind!r}: "
                f"{suggest(self.kind, get_args(Kind))}"
            )


_registered: list[Reader] = []


def register(reader: Reader) -> None:
    """Add a reader, to be tried before all others of its kind."""
    _registered.insert(0, reader)


def unregister(reader: Reader) -> None:
    """Remove a reader that was registered.

    Raises
    ------
    ConfigError
        The reader was not registered.
    """
    if reader not in _registered:
        raise ConfigError(f"reader {reader.name!r} is not registered")
    _registered.remove(reader)


def registered() -> tuple[Reader, ...]:
    """All readers that were registered, the latest first."""
    return tuple(_registered)


def replace_registered(others: Sequence[Reader]) -> None:
    """Register ``others`` in place of all that were registered, in another process."""
    _registered[:] = others


def readers(kind: Kind, built_in: Sequence[Reader]) -> tuple[Reader, ...]:
    """All readers of a kind: the registered ones, the latest first, then those of the package."""
    return (*(reader for reader in _registered if reader.kind == kind), *built_in)


def find_reader(path: Path, table: Sequence[Reader]) -> Reader | None:
    """Find the first reader of a table that recognises a path.

    Examples
    --------
    >>> table = [Reader("shapes", "any", "anything", lambda path: True, list)]
    >>> find_reader(Path("x"), table).name
    'any'
    """
    return next((reader for reader in table if reader.matches(path)), None)

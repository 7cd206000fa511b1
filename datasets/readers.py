"""Readers of data: a table of layouts, each with functions that recognise it and load it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from csgnn_dgl._foreign import excerpt
from csgnn_dgl._plugins import READERS, PlugIn, find_plugins, warn_of
from csgnn_dgl.errors import ConfigError, CSGNNError, DataError, suggest

__all__ = [
    "Kind",
    "Reader",
    "find_reader",
    "plugin_readers",
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
    """All readers of a kind, in the order in which they are tried.

    First those that were registered, the latest first; then those of plug-ins, by name; then those
    of the package.
    """
    own = (*_registered, *(reader for _, reader in plugin_readers()))
    return (*(reader for reader in own if reader.kind == kind), *built_in)


@functools.cache
def plugin_readers() -> tuple[tuple[PlugIn, Reader], ...]:
    """The readers of plug-ins that can be used; a warning names each plug-in that cannot.

    An entry point of the group ``csgnn_dgl.readers`` is a :class:`Reader` or a list of them.
    """
    plugins = find_plugins(READERS)
    taken = _built_in_names() if plugins else set()
    found: list[tuple[PlugIn, Reader]] = []
    for plugin in plugins:
        try:
            offered = _offered(plugin)
            for reader in offered:
                if (reader.kind, reader.name) in taken:
                    raise ConfigError(
                        f"{plugin.title} cannot be used: there is another reader {reader.name!r} "
                        f"of the kind {reader.kind!r}"
                    )
        except ConfigError as error:
            warn_of(error)
            continue
        taken |= {(reader.kind, reader.name) for reader in offered}
        found += [(plugin, _guarded(plugin, reader)) for reader in offered]
    return tuple(found)


def _offered(plugin: PlugIn) -> list[Reader]:
    loaded = plugin.load()
    many = not isinstance(loaded, Reader) and isinstance(loaded, Iterable)
    readers = list(loaded) if many else [loaded]
    for reader in readers:
        if not isinstance(reader, Reader):
            raise ConfigError(
                f"{plugin.title} cannot be used: {plugin.value} is a {type(reader).__name__}, not "
                f"a csgnn_dgl.datasets.readers.Reader or a list of them"
            )
    return readers


def _built_in_names() -> set[tuple[str, str]]:
    from csgnn_dgl.datasets.atoms.loading import DOS_READERS
    from csgnn_dgl.datasets.atoms.structures import STRUCTURE_READERS
    from csgnn_dgl.datasets.shapes.loading import SHAPE_READERS
    from csgnn_dgl.datasets.shapes.shape_files import SHAPE_FILE_READERS

    tables = (DOS_READERS, STRUCTURE_READERS, SHAPE_READERS, SHAPE_FILE_READERS)
    return {(reader.kind, reader.name) for table in tables for reader in table}


def _guarded(plugin: PlugIn, reader: Reader) -> Reader:
    """The reader, with failures that name the plug-in and do not stop other readers."""

    def matches(path: Path) -> bool:
        try:
            return bool(reader.matches(path))
        except Exception as error:
            kind = type(error).__name__
            warn_of(ConfigError(f"{plugin.title} fails at {path} ({kind}: {excerpt(error)})"))
            return False

    def load(*arguments: Any) -> Any:
        try:
            return reader.load(*arguments)
        except CSGNNError:
            raise
        except Exception as error:
            kind = type(error).__name__
            raise DataError(
                f"{arguments[0]}: {plugin.title} fails ({kind}: {excerpt(error)})"
            ) from error

    return replace(reader, matches=matches, load=load)


def find_reader(path: Path, table: Sequence[Reader]) -> Reader | None:
    """Find the first reader of a table that recognises a path.

    Examples
    --------
    >>> table = [Reader("shapes", "any", "anything", lambda path: True, list)]
    >>> find_reader(Path("x"), table).name
    'any'
    """
    return next((reader for reader in table if reader.matches(path)), None)

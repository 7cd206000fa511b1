"""Find the kind of the data at a path."""

from __future__ import annotations

from pathlib import Path

from csgnn_dgl.datasets.readers import Kind, Reader, find_reader, readers

__all__ = ["data_kind", "folder_readers"]


def folder_readers() -> tuple[Reader, ...]:
    """All readers of folders, in the order in which they are tried."""
    from csgnn_dgl.datasets.atoms.loading import DOS_READERS
    from csgnn_dgl.datasets.shapes.loading import SHAPE_READERS

    own = (*readers("dos", ()), *readers("shapes", ()))
    # The last reader of shapes takes any folder.
    return (*own, *DOS_READERS, *SHAPE_READERS)


def data_kind(path: Path) -> Kind:
    """The kind of the first reader that recognises a path; ``"shapes"`` if none does.

    Examples
    --------
    >>> from csgnn_dgl.datasets.atoms.dos_carbon import BUILT_IN
    >>> data_kind(BUILT_IN), data_kind(Path("absent"))
    ('dos', 'shapes')
    """
    reader = find_reader(path, folder_readers())
    return "shapes" if reader is None else reader.kind

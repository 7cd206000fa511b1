"""Write rows of numbers with their metadata to files: NumPy, CSV, Parquet."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from csgnn_dgl import __version__
from csgnn_dgl._files import atomic_write

__all__ = ["TABLE_ENDINGS", "feature_names", "table_content", "write_rows"]

#: Endings of the files that :func:`write_rows` writes.
TABLE_ENDINGS = (".npz", ".csv", ".parquet")


def feature_names(count: int) -> list[str]:
    """Names of the columns of a descriptor, which sort in their order.

    Examples
    --------
    >>> feature_names(11)[:2], feature_names(11)[-1]
    (['f00', 'f01'], 'f10')
    """
    width = len(str(count - 1))
    return [f"f{index:0{width}d}" for index in range(count)]


def table_content(table: pd.DataFrame, ending: str, metadata: Mapping[str, Any]) -> bytes:
    """A table as the content of a ``.csv`` or ``.parquet``; only the latter holds the metadata."""
    if ending != ".parquet":
        return table.to_csv(index=False).encode()
    table.attrs["csgnn_dgl"] = dict(metadata)
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def write_rows(
    path: Path,
    table: pd.DataFrame,
    arrays: Mapping[str, Any],
    metadata: Mapping[str, Any],
) -> None:
    """Write a table or its arrays, in the format of the ending of ``path``.

    ============  ======================================================
    ``.npz``      ``arrays``, and ``metadata`` as JSON
    ``.csv``      ``table``
    ``.parquet``  ``table``, and ``metadata`` in ``DataFrame.attrs``
    ============  ======================================================

    The metadata name the version of the package, too.

    Parameters
    ----------
    path
        The file.
    table
        A row for each file.
    arrays
        The same content as arrays by name.
    metadata
        Origin and meaning of the numbers, as plain values.

    Raises
    ------
    ResourceError
        The file cannot be written. An older file stays unchanged.
    """
    described = {**metadata, "csgnn_dgl": __version__}
    ending = path.suffix.lower()
    if ending == ".npz":
        buffer = io.BytesIO()
        named: dict[str, Any] = {name: np.asarray(values) for name, values in arrays.items()}
        np.savez_compressed(buffer, **named, metadata=np.array(json.dumps(described)))
        content = buffer.getvalue()
    else:
        content = table_content(table, ending, described)
    with atomic_write(path, "wb") as file:
        file.write(content)

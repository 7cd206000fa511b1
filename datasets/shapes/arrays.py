"""Read clouds from NumPy's files, and check what their headers declare before memory is taken."""

from __future__ import annotations

import zipfile
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from csgnn_dgl._foreign import excerpt
from csgnn_dgl.errors import DataError

__all__ = ["NUMPY_SUFFIXES", "check_unpacked", "npy_shape", "read_numpy"]

NUMPY_SUFFIXES = (".npy", ".npz")
_POINTS = "points"
# Compressed data may grow by this factor, and small files to this size [bytes].
_GROWTH = 200
_SMALL = 64 << 20


def read_numpy(path: Path) -> np.ndarray:
    """Read the array in a .npy file, or the array ``points`` (or the only one) in a .npz file.

    Raises
    ------
    DataError
        The header declares another size than the file has, or something else than numbers; an
        archive has several arrays, none of which is called ``points``.
    Exception
        Whatever numpy and zipfile raise for a damaged file.
    """
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            if path.suffix.lower() == ".npz":
                raise DataError(f"{path} is no zip archive, as .npz files are; it may be truncated")
            file.seek(0)
            return _read_array(file, path.stat().st_size, str(path))
        with zipfile.ZipFile(file) as archive:
            entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            name = _POINTS if _POINTS in entries else next(iter(entries), "")
            if name != _POINTS and len(entries) != 1:
                listed = excerpt(", ".join(entries)) or "(none)"
                raise DataError(f"{path} holds the arrays {listed}; name one of them 'points'")
            size = entries[name].file_size
            check_unpacked(size, entries[name].compress_size, f"{path}: {excerpt(name, 40)}")
            with archive.open(entries[name]) as stream:
                return _read_array(stream, size, f"{path}: {excerpt(name, 40)}")


def check_unpacked(size: int, stored: int, where: str) -> None:
    """Refuse data that unpack to much more than they take in the file.

    Parameters
    ----------
    size, stored
        Size of the data in memory and in the file [bytes].
    where
        Origin of the data, for the message.

    Raises
    ------
    DataError
        ``size`` exceeds 64 MiB and 200 times ``stored``.

    Examples
    --------
    >>> check_unpacked(12 << 30, 4000, "a.npz")
    Traceback (most recent call last):
    csgnn_dgl.errors.DataError: a.npz declares 12884901888 bytes but takes 4000 in the ...
    """
    if size > max(_SMALL, _GROWTH * stored):
        raise DataError(
            f"{where} declares {size} bytes but takes {stored} in the file: it is damaged, or "
            f"made to fill the memory"
        )


# numpy refuses longer ones.
_LONGEST_HEADER = 10_000


def npy_shape(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Read the header of an array in NumPy's format: its shape and type.

    Raises
    ------
    DataError
        The shape is not made of integers from 0 on.
    Exception
        Whatever numpy raises for a damaged header.
    """
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise DataError(f"its format has the version {version}")
    if version != (1, 0):
        # In these versions the header declares its own length, for which numpy takes memory,
        # up to 4 GiB.
        place = stream.tell()
        length = int.from_bytes(stream.read(4), "little")
        stream.seek(place)
        if length > _LONGEST_HEADER:
            raise DataError(f"its header declares {length} bytes of its own")
    read = np.lib.format.read_array_header_1_0
    shape, _, dtype = (read if version == (1, 0) else np.lib.format.read_array_header_2_0)(stream)
    # numpy takes True and negative numbers.
    # No file is so large, and Python refuses to write thousands of digits.
    if any(type(size) is not int or not 0 <= size < 2**63 for size in shape):
        raise DataError(f"its header declares the shape {excerpt(shape, 60)}")
    return shape, dtype


def _read_array(stream: IO[bytes], size: int, where: str) -> np.ndarray:
    try:
        shape, dtype = npy_shape(stream)
    except DataError as error:
        raise DataError(f"{where}: {error}; it is damaged") from None
    if dtype.kind not in "fiu":
        raise DataError(
            f"{where} holds {excerpt(dtype, 60)} of shape {excerpt(shape, 60)}, but numbers of "
            f"shape (N, 3) are needed"
        )
    declared = stream.tell() + prod(shape) * dtype.itemsize
    if declared != size:
        raise DataError(
            f"{where} declares {excerpt(dtype, 60)} of shape {excerpt(shape, 60)} and so "
            f"{excerpt(declared, 30)} bytes, but has {size}: it is truncated or damaged"
        )
    stream.seek(0)
    return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))

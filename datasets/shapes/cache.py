"""Cache of sampled points on disk, with a checksum for each file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import platformdirs

from csgnn_dgl._files import atomic_write
from csgnn_dgl.errors import ResourceError

__all__ = ["PointCache", "default_cache_dir"]

# Part of every key. Increase it when the sampling changes, or when fewer files are accepted.
_VERSION = "2"
_DIGEST_BYTES = 32
_LARGEST = 1 << 30


def default_cache_dir() -> Path:
    """``$CSGNN_CACHE``, or else the system's folder for caches."""
    chosen = os.environ.get("CSGNN_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("csgnn-dgl"))


class PointCache:
    """Clouds on disk, each in a file named after its key.

    A file holds the SHA-256 of the points, then the points. A damaged file is treated as absent and
    written again. If the cache cannot be written to (read-only, full disk), it is not used.

    Parameters
    ----------
    folder
        Folder of the cache; :func:`default_cache_dir` by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = default_cache_dir() if folder is None else folder

    @staticmethod
    def key(content: bytes, **parameters: object) -> str:
        """Key of the points that are made from a file's bytes with some parameters."""
        digest = hashlib.sha256(hashlib.sha256(content).digest())
        digest.update(f"{_VERSION} {sorted(parameters.items())!r}".encode())
        return digest.hexdigest()

    def path(self, key: str) -> Path:
        """The file of a key."""
        return self.folder / "points" / key[:2] / f"{key}.points"

    def read(self, key: str, columns: int = 3) -> np.ndarray | None:
        """Read the points ``(P, columns)``, float32; None if they are absent or damaged."""
        path = self.path(key)
        try:
            # Whatever else lies there (a pipe, a huge file) is not read.
            if not path.is_file() or path.stat().st_size > _LARGEST:
                return None
            content = path.read_bytes()
        except OSError:
            return None
        digest, data = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(data).digest() != digest or len(data) % (4 * columns):
            return None
        return np.frombuffer(data, dtype="<f4").reshape(-1, columns)

    def write(self, key: str, points: np.ndarray) -> None:
        """Write points ``(P, columns)``."""
        data = np.ascontiguousarray(points, dtype="<f4").tobytes()
        path = self.path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path, "wb") as file:
                file.write(hashlib.sha256(data).digest() + data)
        except (OSError, ResourceError):
            return  # without a cache, the points are made again when they are needed

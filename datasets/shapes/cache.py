"""Sampled points on disk: kept by what they were made of, and never trusted without a checksum."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import platformdirs

from csgnn_dgl._files import atomic_write
from csgnn_dgl.errors import ResourceError

__all__ = ["PointCache", "default_cache_dir"]

# Part of every key: raise it when the sampling changes.
_VERSION = "1"
_DIGEST_BYTES = 32


def default_cache_dir() -> Path:
    """``$CSGNN_CACHE``, or the system's place for caches."""
    chosen = os.environ.get("CSGNN_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("csgnn-dgl"))


class PointCache:
    """Clouds on disk, each in a file named after its key.

    A file holds the SHA-256 of its content, then the points; one that is damaged counts as absent
    and is written anew. A cache that cannot be written (read-only, full disk) is left out.

    Parameters
    ----------
    folder
        Where; :func:`default_cache_dir` by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = default_cache_dir() if folder is None else folder

    @staticmethod
    def key(content: bytes, **parameters: object) -> str:
        """The key of points made from a file's bytes with some parameters."""
        digest = hashlib.sha256(hashlib.sha256(content).digest())
        digest.update(f"{_VERSION} {sorted(parameters.items())!r}".encode())
        return digest.hexdigest()

    def path(self, key: str) -> Path:
        """The file of a key."""
        return self.folder / "points" / key[:2] / f"{key}.points"

    def read(self, key: str) -> np.ndarray | None:
        """The points ``(P, 3)``, float32; None if absent or damaged."""
        try:
            content = self.path(key).read_bytes()
        except OSError:
            return None
        digest, data = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(data).digest() != digest or len(data) % 12:
            return None
        return np.frombuffer(data, dtype="<f4").reshape(-1, 3)

    def write(self, key: str, points: np.ndarray) -> None:
        """Keep points ``(P, 3)``."""
        data = np.ascontiguousarray(points, dtype="<f4").tobytes()
        path = self.path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path, "wb") as file:
                file.write(hashlib.sha256(data).digest() + data)
        except (OSError, ResourceError):
            return  # a cache is a convenience: without it the points are made again

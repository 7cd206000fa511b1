"""Check that results can be written, before anything is computed."""

from __future__ import annotations

import errno
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

from csgnn_dgl._files import resource_error
from csgnn_dgl.errors import ConfigError, MissingDependencyError, suggest

__all__ = ["check_output"]


def check_output(path: Path, endings: Sequence[str]) -> None:
    """Refuse a path that could not be written to, before its content is computed.

    Raises
    ------
    ConfigError
        The ending is not one of ``endings``.
    MissingDependencyError
        The file is Parquet, and pyarrow is not installed.
    ResourceError
        The folder does not exist, or there is no permission.
    """
    ending = path.suffix.lower()
    if ending not in endings:
        raise ConfigError(
            f"cannot write {path} as {ending or 'nothing'}: {suggest(ending, endings)}"
        )
    if ending == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise MissingDependencyError(
            f"writing {path} needs pyarrow, which is not installed: pip install "
            f"'csgnn-dgl[parquet]', or write .csv or .npz"
        )
    code = None
    if path.is_dir():
        code = errno.EISDIR
    elif not path.parent.exists():
        code = errno.ENOENT
    elif not path.parent.is_dir():
        code = errno.ENOTDIR
    elif not os.access(path.parent, os.W_OK):
        code = errno.EACCES
    if code is not None:
        raise resource_error(OSError(code, os.strerror(code)), path, "write")

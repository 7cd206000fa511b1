"""Check that results can be written, before anything is computed."""

from __future__ import annotations

import errno
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

from csgnn_dgl._files import resource_error
from csgnn_dgl.errors import ConfigError, MissingDependencyError, suggest

__all__ = ["check_output", "ending_of", "refuse_inputs"]


def ending_of(path: Path) -> str:
    """The ending of a file's name that says its format.

    Examples
    --------
    >>> ending_of(Path("a.b.CSV")), ending_of(Path("a.json.gz"))
    ('.csv', '.json.gz')
    """
    name = path.name.lower()
    return ".json.gz" if name.endswith(".json.gz") else path.suffix.lower()


# Packages that write some formats, and the extras that install them.
_PACKAGES = {
    ".parquet": ("pyarrow", "parquet"),
    ".json": ("chemiscope", "chemiscope"),
    ".json.gz": ("chemiscope", "chemiscope"),
}


def check_output(path: Path, endings: Sequence[str], inputs: Sequence[Path] = ()) -> None:
    """Refuse a path that could not be written to, before its content is computed.

    Raises
    ------
    ConfigError
        The ending is not one of ``endings``, or the path is one of ``inputs``.
    MissingDependencyError
        The file is Parquet or chemiscope's, and pyarrow or chemiscope is not installed.
    ResourceError
        The folder does not exist, or there is no permission.
    """
    ending = ending_of(path)
    if ending not in endings:
        raise ConfigError(
            f"cannot write {path} as {ending or 'nothing'}: {suggest(ending, endings)}"
        )
    package, extra = _PACKAGES.get(ending, ("", ""))
    if package and importlib.util.find_spec(package) is None:
        raise MissingDependencyError(
            f"writing {path} needs {package}, which is not installed: pip install "
            f"'csgnn-dgl[{extra}]', or write .csv or .npz"
        )
    refuse_inputs(path, inputs)
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


def refuse_inputs(path: Path, inputs: Sequence[Path]) -> None:
    """Refuse to write to a file that is read, whatever it is called.

    Raises
    ------
    ConfigError
        The path is one of ``inputs``, directly or through a link.

    Examples
    --------
    >>> refuse_inputs(Path("out.npz"), [Path("a.cif")])
    """
    if any(_same(path, file) for file in inputs):
        raise ConfigError(
            f"{path} is also an input, and would be overwritten; nothing was changed. Choose "
            f"another --output"
        )


def _same(path: Path, other: Path) -> bool:
    try:
        return os.path.samefile(path, other)
    except (OSError, ValueError):  # one of them does not exist
        return False

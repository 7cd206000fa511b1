"""Files that are whole or not there: written aside, flushed to the disk, then renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal, overload

from csgnn_dgl.errors import ResourceError

__all__ = [
    "atomic_write",
    "atomic_write_json",
    "atomic_write_text",
    "remove_leftovers",
    "resource_error",
    "sha256_file",
]

#: Names of the files written aside start and end so; only a killed process leaves one behind.
_PREFIX = ".tmp-"
_SUFFIX = ".partial"

_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space, or name a place on another disk",
    errno.EFBIG: "it would be larger than the system allows (ulimit -f): raise that limit",
    errno.EDQUOT: "the disk quota is used up: free some space, or name a place on another disk",
    errno.EACCES: "permission denied: change the permissions, or name a place you may write to",
    errno.EPERM: "permission denied: change the permissions, or name a place you may write to",
    errno.EROFS: "the file system is read-only: name a place you may write to",
    errno.ENOENT: "its folder does not exist: create it, or name another place",
    errno.ENOTDIR: "a part of the path is a file, not a folder: name another place",
    errno.EISDIR: "it is a folder, not a file: name another place",
    errno.ENAMETOOLONG: "the name is too long: name a shorter one",
}

#: ERROR_SHARING_VIOLATION and ERROR_LOCK_VIOLATION.
_IN_USE = (32, 33)


def resource_error(error: OSError, path: str | os.PathLike[str], doing: str) -> ResourceError:
    """A message for a failed file operation: what was tried, where, and what to do.

    Parameters
    ----------
    error
        What the operating system said.
    path
        The file or folder that the user knows of.
    doing
        The verb, as in "cannot <doing> <path>".

    Examples
    --------
    >>> print(resource_error(OSError(errno.EROFS, ""), "a.txt", "write"))
    cannot write a.txt: the file system is read-only: name a place you may write to
    """
    if getattr(error, "winerror", None) in _IN_USE:  # a Windows name for what has errno EACCES
        reason = "another program has it open: close that, or name another place"
    else:
        reason = _REMEDIES.get(error.errno or 0) or error.strerror or str(error)
    return ResourceError(f"cannot {doing} {os.fspath(path)}: {reason}")


@overload
def atomic_write(
    path: str | os.PathLike[str], mode: Literal["w"] = "w"
) -> contextlib.AbstractContextManager[IO[str]]: ...
@overload
def atomic_write(
    path: str | os.PathLike[str], mode: Literal["wb"]
) -> contextlib.AbstractContextManager[IO[bytes]]: ...
def atomic_write(
    path: str | os.PathLike[str], mode: Literal["w", "wb"] = "w"
) -> contextlib.AbstractContextManager[IO[Any]]:
    """A file to write to, which takes the place of ``path`` only when the block ends well.

    The data goes to a file in the same folder, is flushed to the disk, and is renamed. Whatever
    happens in between (an error, a full disk, SIGKILL, a power cut) the old file stays as it was.
    Text is UTF-8 with ``\\n`` line ends on every system.

    Parameters
    ----------
    path
        The file to write. Its folder must exist. If it is a symbolic link, what it points to is
        replaced and the link stays. A device or a pipe is written to directly.
    mode
        ``"w"`` for text or ``"wb"`` for bytes.

    Raises
    ------
    ResourceError
        Full disk, no permission, read-only file system, no such folder.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.txt"
    ...     with atomic_write(path) as file:
    ...         _ = file.write("whole")
    ...     path.read_text()
    'whole'
    """
    if mode not in ("w", "wb"):
        raise ValueError(f"mode must be 'w' or 'wb', not {mode!r}")
    return _atomic_write(path, mode)


@contextlib.contextmanager
def _atomic_write(path: str | os.PathLike[str], mode: str) -> Iterator[IO[Any]]:
    aside: Path | None = None
    try:
        if _is_special(path):  # /dev/null, /dev/stdout, a pipe: these cannot be replaced
            with _open(path, mode) as file:
                yield file
            return
        target = Path(os.path.realpath(path))
        # The random name keeps apart all that write at once: threads, processes, machines.
        aside = target.with_name(f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}")
        try:
            with _open(aside, mode.replace("w", "x")) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _copy_permissions(target, aside)
            os.replace(aside, target)
        except BaseException:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise
        _sync_folder(target.parent)
    except OSError as error:
        # An error of the block itself, about some other file, is not ours to explain.
        if error.filename is not None and error.filename not in (str(aside), os.fspath(path)):
            raise
        raise resource_error(error, path, "write") from error


def _open(path: str | os.PathLike[str], mode: str) -> IO[Any]:
    # Not tempfile.mkstemp: permissions are to follow the umask, as those of any other file.
    if mode.endswith("b"):
        return open(path, mode)
    return open(path, mode, encoding="utf-8", newline="\n")


def _is_special(path: str | os.PathLike[str]) -> bool:
    """Whether the path is something that is neither a file nor yet to be made; a folder raises."""
    try:
        kind = os.stat(path).st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return not stat.S_ISREG(kind)


def _copy_permissions(old: Path, new: Path) -> None:
    """A file that is replaced keeps its permissions; a new one has those of the umask.

    On Windows, which keeps access lists with the folder, this is the read-only mark alone.
    """
    with contextlib.suppress(OSError):
        mode = stat.S_IMODE(old.stat().st_mode)
        if mode != stat.S_IMODE(new.stat().st_mode):
            new.chmod(mode)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the system can do that.

    Windows cannot open a folder, and some file systems cannot flush one.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def atomic_write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` as UTF-8; see :func:`atomic_write`.

    Raises
    ------
    ResourceError
        As :func:`atomic_write`.
    """
    with atomic_write(path) as file:
        file.write(text)


def atomic_write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write ``value`` as indented JSON in the given order of keys; see :func:`atomic_write`.

    Numbers that are not finite are refused, because JSON has none: say ``None`` instead.

    Raises
    ------
    ValueError, TypeError
        The value is not JSON. Nothing is written.
    ResourceError
        As :func:`atomic_write`.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    atomic_write_text(path, text + "\n")


def sha256_file(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Raises
    ------
    OSError
        The file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / "empty").touch()
    ...     sha256_file(Path(folder) / "empty")[:8]
    'e3b0c442'
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def remove_leftovers(folder: str | os.PathLike[str]) -> int:
    """Remove what killed processes were writing aside in a folder; returns how many files.

    Call it only where no other process writes (the run's lock is held).

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     remove_leftovers(folder)
    0
    """
    count = 0
    for path in Path(folder).glob(f"{_PREFIX}*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            path.unlink()
            count += 1
    return count

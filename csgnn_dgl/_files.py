"""Write files completely or not at all: to a temporary file, which is flushed and then renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal, overload

from csgnn_dgl.errors import DataError, ResourceError

__all__ = [
    "atomic_write",
    "atomic_write_json",
    "atomic_write_text",
    "check_no_folder",
    "new_folder",
    "remove_leftovers",
    "resource_error",
    "sha256_file",
]

#: Start and end of the names of temporary files. Only a killed process leaves one behind.
_PREFIX = ".tmp-"
_SUFFIX = ".partial"

_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space, or name a path on another disk",
    errno.EFBIG: "it would be larger than the system allows (ulimit -f): raise that limit",
    errno.EDQUOT: "the disk quota is used up: free some space, or name a path on another disk",
    errno.EACCES: "permission denied: change the permissions, or name a path you may write to",
    errno.EPERM: "permission denied: change the permissions, or name a path you may write to",
    errno.EROFS: "the file system is read-only: name a path you may write to",
    errno.ENOENT: "its folder does not exist: create it, or name another path",
    errno.ENOTDIR: "a part of the path is a file, not a folder: name another path",
    errno.EISDIR: "it is a folder, not a file: name another path",
    errno.ENAMETOOLONG: "the name is too long: name a shorter one",
}

#: ERROR_SHARING_VIOLATION and ERROR_LOCK_VIOLATION.
_IN_USE = (32, 33)


def resource_error(error: OSError, path: str | os.PathLike[str], doing: str) -> ResourceError:
    """Make an error for a failed file operation: what was tried, where, and what to do.

    Parameters
    ----------
    error
        The error of the operating system.
    path
        The file or folder that the user named.
    doing
        The verb in "cannot <doing> <path>".

    Examples
    --------
    >>> print(resource_error(OSError(errno.EROFS, ""), "a.txt", "write"))
    cannot write a.txt: the file system is read-only: name a path you may write to
    """
    if getattr(error, "winerror", None) in _IN_USE:  # these have the errno EACCES, too
        reason = "another program has it open: close that program, or name another path"
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
    """Open a file that replaces ``path`` only when the block ends without an error.

    The data are written to a temporary file in the same folder, which is flushed to the disk and
    renamed. If anything fails before (an error, a full disk, SIGKILL, a power cut), the old file
    stays unchanged. Text is UTF-8 with ``\\n`` line ends on every system.

    Parameters
    ----------
    path
        The file to write. Its folder must exist. If it is a symbolic link, the file it points to
        is replaced and the link stays. A device or a pipe is written to directly.
    mode
        ``"w"`` for text or ``"wb"`` for bytes.

    Raises
    ------
    ResourceError
        The disk is full, there is no permission, the file system is read-only, or the folder does
        not exist.

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
        # The name is random, so that several threads, processes or machines can write at once.
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
        # The block may raise errors about other files; these are not changed.
        if error.filename is not None and error.filename not in (str(aside), os.fspath(path)):
            raise
        raise resource_error(error, path, "write") from error


def _open(path: str | os.PathLike[str], mode: str) -> IO[Any]:
    # tempfile.mkstemp would ignore the umask, which other files follow.
    if mode.endswith("b"):
        return open(path, mode)
    return open(path, mode, encoding="utf-8", newline="\n")


def _is_special(path: str | os.PathLike[str]) -> bool:
    """Whether the path exists and is not a regular file, such as a device; a folder raises."""
    try:
        kind = os.stat(path).st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return not stat.S_ISREG(kind)


def _copy_permissions(old: Path, new: Path) -> None:
    """Give the new file the permissions of the one that it replaces, if there is one.

    On Windows, where access lists belong to the folder, this is only the read-only flag.
    """
    with contextlib.suppress(OSError):
        mode = stat.S_IMODE(old.stat().st_mode)
        if mode != stat.S_IMODE(new.stat().st_mode):
            new.chmod(mode)


def _sync_folder(folder: Path) -> None:
    """Flush the folder, so that the rename survives a power cut, where the system can do that.

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

    Numbers that are not finite are refused, because JSON has none; use ``None`` instead.

    Raises
    ------
    ValueError, TypeError
        The value is not JSON. Nothing is written.
    ResourceError
        As :func:`atomic_write`.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    atomic_write_text(path, text + "\n")


def check_no_folder(path: Path) -> None:
    """Refuse a folder that exists already, unless it is empty.

    Raises
    ------
    DataError
        There is something at this path.
    """
    if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
        return
    if path.exists() or path.is_symlink():
        raise DataError(f"{path} exists already; remove it, or name another folder with --to")


@contextlib.contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Make a folder that exists with all its files, or not at all.

    The files are written into a folder beside it, which gets the name when the block ends, and is
    removed if the block fails. An empty folder of that name is replaced.

    Parameters
    ----------
    path
        The folder to make.

    Raises
    ------
    ResourceError
        A file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     with new_folder(Path(place) / "made") as folder:
    ...         _ = (folder / "a.txt").write_text("a")
    ...     sorted(p.name for p in Path(place).iterdir())
    ['made']
    """
    target = Path(path)
    aside = target.with_name(f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}")
    try:
        try:
            aside.mkdir(parents=True)
            yield aside
            if target.is_dir():
                target.rmdir()
            aside.replace(target)
        except OSError as error:
            raise resource_error(error, target, "write") from error
    except BaseException:
        with contextlib.suppress(OSError):
            shutil.rmtree(aside)
        raise


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Compute the SHA-256 of a file's bytes, in hexadecimal.

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
    """Remove temporary files that killed processes left in a folder; returns their number.

    Call it only while no other process writes there (the run's lock is held).

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

"""Unpack archives that others made."""

from __future__ import annotations

import lzma
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from csgnn_dgl._files import resource_error
from csgnn_dgl._foreign import excerpt, reading
from csgnn_dgl.errors import DataError

__all__ = ["unpack"]

# How many times larger than the archive its files may be. Clouds shrink to a half at best.
_GROWTH = 50


def unpack(file: Path, folder: str, destination: Path) -> None:
    """Unpack one folder of an archive into a destination, completely or not at all.

    The files are unpacked into a temporary folder, which is then renamed.

    Parameters
    ----------
    file
        The zip archive.
    folder
        Folder in the archive.
    destination
        Existing folder to put it in.

    Raises
    ------
    DataError
        The archive is damaged, encrypted, does not hold the folder, or would write outside of it
        or fill the disk. Nothing is left.
    ResourceError
        The files cannot be written.
    """
    aside = Path(tempfile.mkdtemp(prefix=".tmp-", dir=destination))
    try:
        with reading(file, advice="remove it and try again"):
            try:
                with zipfile.ZipFile(file) as content:
                    _check_entries(file, content.infolist())
                    content.extractall(aside)
            except (zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError) as error:
                raise DataError(
                    f"{file} is damaged ({excerpt(error)}); remove it and try again"
                ) from error
            except OSError as error:
                raise resource_error(error, destination, "write to") from error
        if not (aside / folder).is_dir():
            raise DataError(f"{file} holds no folder {folder}; remove it and try another mirror")
        (aside / folder).rename(destination / folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _check_entries(file: Path, entries: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse an archive that would write outside its folder, fill the disk, or is encrypted."""
    for entry in entries:
        name = entry.filename
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
            raise DataError(
                f"{file} holds {excerpt(name, 80)!r}, which would be written outside its folder; "
                f"it was not unpacked"
            )
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise DataError(
                f"{file} holds the link {excerpt(name, 80)!r}, which may lead outside its folder; "
                f"it was not unpacked"
            )
        if entry.flag_bits & 1:
            raise DataError(f"{file} is encrypted; get another copy, and remove this one")
    size, packed = sum(entry.file_size for entry in entries), file.stat().st_size
    if size > _GROWTH * packed:
        raise DataError(
            f"{file} would unpack {packed} bytes to {size}: it is damaged, or made to fill the "
            f"disk; it was not unpacked"
        )

"""Downloads from mirrors: resumed after an interruption, checked, unpacked completely or not."""

from __future__ import annotations

import hashlib
import http.client
import re
import ssl
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from csgnn_dgl._files import atomic_write_text, resource_error, sha256_file
from csgnn_dgl._foreign import check_file, excerpt, parse_integer
from csgnn_dgl._progress import shown, working
from csgnn_dgl.datasets.unpack import unpack
from csgnn_dgl.errors import ConfigError, DataError, suggest

__all__ = ["ARCHIVES", "RemoteArchive", "download", "find_archive"]

_BLOCK = 1 << 20
# Largest archive [bytes].
_LARGEST = 8 << 30
_ATTEMPTS = 5  # consecutive attempts that receive no byte
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class RemoteArchive:
    """A zip archive on the web.

    Parameters
    ----------
    name
        Its name on the command line.
    file_name
        Name of the archive.
    folder
        Folder in the archive that holds the data.
    mirrors
        Addresses, tried in this order.
    sha256
        SHA-256 of the archive, if it is known.
    md5
        MD5 of the archive, if it is known. It protects against damage only: files with a chosen
        MD5 can be made, so it is no proof of origin.
    about
        Description in a line.
    """

    name: str
    file_name: str
    folder: str
    mirrors: tuple[str, ...]
    sha256: str | None
    about: str
    md5: str | None = None


ARCHIVES = {
    "modelnet40": RemoteArchive(
        name="modelnet40",
        file_name="modelnet40_ply_hdf5_2048.zip",
        folder="modelnet40_ply_hdf5_2048",
        mirrors=(
            "https://shapenet.cs.stanford.edu/media/modelnet40_ply_hdf5_2048.zip",
            "https://huggingface.co/datasets/Msun/modelnet40/resolve/main/"
            "modelnet40_ply_hdf5_2048.zip",
        ),
        # No publisher states a checksum. The first download prints and keeps the one it found.
        sha256=None,
        # Several independent projects state this one.
        md5="c9ab8e6dfb16f67afdab25e155c79e59",
        about="ModelNet40, 12,311 clouds of 2,048 points, 416 MB; for academic use",
    )
}


def find_archive(name: str) -> RemoteArchive:
    """Find the archive called ``name``.

    Raises
    ------
    ConfigError
        No archive has this name.

    Examples
    --------
    >>> find_archive("modelnet40").folder
    'modelnet40_ply_hdf5_2048'
    """
    if name not in ARCHIVES:
        raise ConfigError(f"there is no data set {name!r} to download: {suggest(name, ARCHIVES)}")
    return ARCHIVES[name]


def download(
    archive: RemoteArchive,
    destination: Path,
    *,
    sha256: str | None = None,
    mirrors: Sequence[str] | None = None,
    progress: bool = True,
    timeout: float = 30.0,
    echo: Callable[[str], object] = lambda line: None,
) -> Path:
    """Fetch an archive and unpack it.

    An interrupted download is kept in ``<archive>.partial`` and completed later, from any mirror. A
    complete archive in ``destination`` is used without the network.

    Parameters
    ----------
    archive
        What to fetch.
    destination
        Folder to put it in; made if absent.
    sha256
        SHA-256 that the archive must have; by default the known one, if any.
    mirrors
        Addresses to try instead. ``http`` is allowed for this machine, or with a SHA-256.
    progress
        Show a progress bar on a terminal.
    timeout
        Longest silence of a server [s].
    echo
        Called with lines of text.

    Returns
    -------
    Path
        The folder with the data.

    Raises
    ------
    DataError
        No mirror gave the archive (each is listed with its reason), or the archive is damaged or
        not the expected one.
    ResourceError
        The files cannot be written.
    ConfigError
        An address is not allowed.
    """
    wanted = (sha256 or archive.sha256 or "").strip().lower() or None
    if wanted is not None and not re.fullmatch("[0-9a-f]{64}", wanted):
        raise ConfigError(
            f"{excerpt(wanted, 80)!r} is no SHA-256: 64 hexadecimal digits are needed"
        )
    addresses = list(archive.mirrors if mirrors is None else mirrors)
    for address in addresses:
        _check_address(address, wanted)
    folder, file = destination / archive.folder, destination / archive.file_name
    if folder.is_dir():
        echo(f"{folder} exists already")
        return folder
    try:
        destination.mkdir(parents=True, exist_ok=True)
        with shown(progress), working(""):
            if file.exists():
                check_file(file)
                try:
                    found = _check_sums(file, archive, wanted)
                except DataError as error:
                    raise DataError(f"{file} {error}; remove it and try again") from None
            else:
                found = _fetch(archive, addresses, file, wanted, timeout, echo)
            kept = Path(f"{file}.sha256")
            if wanted is None:
                _compare_with_first(file, found, kept)
            with working(f"unpacking {file.name}"):
                unpack(file, archive.folder, destination)
    except OSError as error:
        raise resource_error(error, destination, "write to") from error
    if wanted is None:
        atomic_write_text(kept, f"{found}  {file.name}\n")
        echo(f"the publisher states no checksum; the SHA-256 of the downloaded file is {found}")
    file.unlink()
    return folder


def _check_sums(file: Path, archive: RemoteArchive, wanted: str | None) -> str:
    """Compare a file with its known checksums, and return its SHA-256."""
    found = sha256_file(file)
    if wanted is not None and found != wanted:
        raise DataError(f"has the SHA-256 {found}, not {wanted}")
    # A SHA-256 that the user gives may belong to another edition of the archive.
    if wanted is None and archive.md5 is not None:
        digest = hashlib.md5(usedforsecurity=False)
        with file.open("rb") as content:
            while block := content.read(_BLOCK):
                digest.update(block)
        if digest.hexdigest() != archive.md5:
            raise DataError(f"has the MD5 {digest.hexdigest()}, not {archive.md5}: it is damaged")
    return found


def _compare_with_first(file: Path, found: str, kept: Path) -> None:
    """Refuse an archive with another SHA-256 than the one downloaded first."""
    if not kept.is_file():
        return
    first = kept.read_text(encoding="utf-8", errors="replace").partition(" ")[0].strip()
    if first != found:
        raise DataError(
            f"{file} has the SHA-256 {found}, but the one downloaded first had "
            f"{excerpt(first, 80)} ({kept.name}); if you trust the new one, remove {kept}"
        )


def _check_address(address: str, wanted: str | None) -> None:
    parts = urlsplit(address)
    if parts.scheme == "https":
        return
    if parts.scheme == "http" and (parts.hostname in _LOCAL or wanted is not None):
        return
    raise ConfigError(
        f"{address} is not fetched, because its content could be changed on the way: use https, or "
        f"http together with --sha256"
    )


def _fetch(
    archive: RemoteArchive,
    addresses: Sequence[str],
    file: Path,
    wanted: str | None,
    timeout: float,
    echo: Callable[[str], object],
) -> str:
    """Fetch the archive to ``file``, and return its SHA-256."""
    partial = Path(f"{file}.partial")
    reasons = []
    for address in addresses:
        try:
            _fetch_from(address, partial, wanted, timeout)
            try:
                found = _check_sums(partial, archive, wanted)
                if not zipfile.is_zipfile(partial):
                    raise DataError("is not a zip archive")
            except DataError as error:
                partial.unlink()
                raise DataError(f"what it sent {error}") from None
        # ValueError: a malformed header or address
        except (
            DataError,
            urllib.error.URLError,
            http.client.HTTPException,
            ssl.SSLError,
            ValueError,
        ) as error:
            reasons.append(f"{address}: {excerpt(getattr(error, 'reason', None) or error)}")
            echo(f"mirror failed: {reasons[-1]}")
            continue
        partial.replace(file)
        return found
    listed = "\n  ".join(reasons) or "none are known"
    raise DataError(
        f"no mirror gave {archive.file_name}:\n  {listed}\nTry again later (the part received so "
        f"far is kept), or fetch it by other means, put it at {file}, and run this command again"
    )


class _CutOffError(Exception):
    """The connection ended before the whole file was received."""


def _fetch_from(address: str, partial: Path, wanted: str | None, timeout: float) -> None:
    """Complete ``partial`` from one address."""
    stuck = 0
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        try:
            _fetch_once(address, partial, before, wanted, timeout)
            return
        except _CutOffError as error:
            after = partial.stat().st_size if partial.exists() else 0
            stuck = 0 if after > before else stuck + 1
            if stuck >= _ATTEMPTS:
                raise DataError(f"the connection keeps ending early ({error})") from None


def _fetch_once(
    address: str, partial: Path, start: int, wanted: str | None, timeout: float
) -> None:
    headers = {"User-Agent": "csgnn-dgl", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(address, headers=headers)
    try:
        # The default context checks certificates and host names. No option switches this off.
        reply = urllib.request.urlopen(request, timeout=timeout, context=_context(address))
    except urllib.error.HTTPError as error:
        with error:
            # Nothing is left to send: the file is complete, or the part belongs to another file.
            if error.code == 416 and start:
                if error.headers.get("Content-Range", "").endswith(f"/{start}"):
                    return
                partial.unlink()
                raise _CutOffError("the part received before belongs to another file") from None
            raise DataError(f"HTTP status {error.code} {error.reason}") from None
    except (TimeoutError, ConnectionError) as error:
        raise _CutOffError(str(error)) from error
    with reply:
        _check_address(reply.url, wanted)  # it may have been redirected
        resumed = reply.status == 206 and _starts_at(reply.headers.get("Content-Range"), start)
        offset = start if resumed else 0  # a server that ignores ranges sends the whole file
        length = parse_integer(reply.headers.get("Content-Length") or "")
        total = None if length is None else offset + length
        with (
            partial.open("ab" if resumed else "wb") as file,
            working(partial.stem, total, unit="B", done=offset, scale=True) as done,
        ):
            got = offset
            while True:
                try:
                    block = reply.read(_BLOCK)
                except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
                    if isinstance(error, http.client.IncompleteRead):
                        file.write(error.partial)
                    raise _CutOffError(f"after {got} bytes: {error!r}") from error
                if not block:
                    break
                got += len(block)
                if got > _LARGEST:
                    raise DataError(f"it sends more than {_LARGEST >> 30} GiB")
                file.write(block)
                done(len(block))
        if total is not None and got < total:
            raise _CutOffError(f"after {got} of {total} bytes")


def _context(address: str) -> ssl.SSLContext | None:
    return ssl.create_default_context() if address.startswith("https") else None


def _starts_at(content_range: str | None, start: int) -> bool:
    return (content_range or "").startswith(f"bytes {start}-")

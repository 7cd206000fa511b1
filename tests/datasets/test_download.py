"""Downloads from a server of our own, which can misbehave in every way that servers do."""

from __future__ import annotations

import hashlib
import io
import ssl
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from csgnn_dgl.datasets import download as module
from csgnn_dgl.datasets.download import RemoteArchive, download, find_archive
from csgnn_dgl.errors import ConfigError, DataError, ResourceError


def archive_bytes(names: tuple[str, ...] = ("set/a.txt", "set/deep/b.bin")) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name in names:
            file.writestr(name, bytes(range(256)) * 400)
    return content.getvalue()


GOOD = archive_bytes()
GOOD_SUM = hashlib.sha256(GOOD).hexdigest()


@dataclass
class Server:
    """What the server does, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=lambda: {"/good.zip": GOOD})
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)  # bytes after which each reply ends, in turn
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    sent: int = 0
    address: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            if self.path not in state.files:
                self.send_error(404)
                return
            body, start = state.files[self.path], 0
            if wanted and state.ranges:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(body):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(body)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            rest = body[start:]
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            if state.cuts:
                rest = rest[: state.cuts.pop(0)]
            state.sent += len(rest)
            self.wfile.write(rest)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        state.address = f"http://127.0.0.1:{httpd.server_address[1]}"
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield state
        httpd.shutdown()


def remote(server: Server, *paths: str, sha256: str | None = GOOD_SUM) -> RemoteArchive:
    mirrors = tuple(server.address + path for path in paths or ("/good.zip",))
    return RemoteArchive("set", "set.zip", "set", mirrors, sha256, "a test")


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_fetched_checked_and_unpacked(server: Server, tmp_path: Path) -> None:
    folder = download(remote(server), tmp_path / "new")
    assert folder == tmp_path / "new" / "set"
    assert (folder / "deep" / "b.bin").stat().st_size == 256 * 400
    assert left(tmp_path / "new") == ["set"]
    # The second time there is nothing to do, and no network is needed.
    count = len(server.asked)
    assert download(remote(server), tmp_path / "new") == folder
    assert len(server.asked) == count


def test_a_cut_connection_is_resumed(server: Server, tmp_path: Path) -> None:
    server.cuts = [1000, 50_000]
    download(remote(server), tmp_path)
    assert [wanted for _, wanted in server.asked] == [None, "bytes=1000-", "bytes=51000-"]
    assert server.sent == len(GOOD), "nothing is fetched twice"


def test_an_interrupted_download_is_completed_later(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.zip.partial").write_bytes(GOOD[:5000])
    download(remote(server), tmp_path)
    assert server.asked == [("/good.zip", "bytes=5000-")]
    assert left(tmp_path) == ["set"]


def test_a_download_that_lacked_only_its_renaming(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.zip.partial").write_bytes(GOOD)
    download(remote(server), tmp_path)
    assert server.sent == 0


def test_a_part_of_another_file_is_not_trusted(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.zip.partial").write_bytes(b"x" * (len(GOOD) + 5))
    assert download(remote(server), tmp_path).is_dir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "set.zip.partial").write_bytes(b"x" * 100)
    # The mirror is asked for the rest, the sum is wrong, and the next mirror is asked for all.
    archive = remote(server, "/good.zip", "/good.zip")
    assert download(archive, tmp_path / "other").is_dir()


def test_a_server_without_ranges(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.cuts = [1000]
    assert download(remote(server), tmp_path).is_dir()
    assert server.sent == 1000 + len(GOOD)


def test_the_next_mirror_is_tried(server: Server, tmp_path: Path) -> None:
    server.files["/bad.zip"] = GOOD[:-1] + b"?"
    said: list[str] = []
    archive = remote(server, "/gone.zip", "/bad.zip", "/good.zip")
    assert download(archive, tmp_path, echo=said.append).is_dir()
    assert "HTTP status 404" in said[0]
    assert "what it sent has the SHA-256" in said[1]


def test_all_mirrors_failing_lists_them(server: Server, tmp_path: Path) -> None:
    server.files["/page.zip"] = b"<html>log in first</html>"
    archive = remote(server, "/gone.zip", "/page.zip", sha256=None)
    with pytest.raises(DataError) as caught:
        download(archive, tmp_path)
    for part in ("/gone.zip: HTTP status 404", "/page.zip: what it sent is not a zip archive"):
        assert part in str(caught.value)
    assert f"put it at {tmp_path / 'set.zip'}" in str(caught.value)
    assert left(tmp_path) == []


def test_a_server_that_always_cuts_is_given_up(server: Server, tmp_path: Path) -> None:
    server.cuts = [10] + [0] * 20
    with pytest.raises(DataError, match="keeps ending early"):
        download(remote(server), tmp_path)
    assert left(tmp_path) == ["set.zip.partial"], "what has come is kept"


def test_a_wrong_sum_leaves_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="what it sent has the SHA-256"):
        download(remote(server, sha256=None), tmp_path, sha256="0" * 64)
    assert left(tmp_path) == []


def test_without_a_known_sum_the_one_found_is_told(server: Server, tmp_path: Path) -> None:
    said: list[str] = []
    download(remote(server, sha256=None), tmp_path, echo=said.append)
    assert GOOD_SUM in said[-1]
    assert (tmp_path / "set.zip.sha256").read_text() == f"{GOOD_SUM}  set.zip\n"


def test_an_archive_fetched_by_hand_is_used(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(GOOD)
    assert download(remote(server), tmp_path).is_dir()
    assert server.asked == []


def test_a_wrong_archive_fetched_by_hand_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(b"other")
    with pytest.raises(DataError, match=r"set\.zip has the SHA-256"):
        download(remote(server), tmp_path)


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "set/../../evil.txt"])
def test_paths_that_lead_out_are_refused(name: str, server: Server, tmp_path: Path) -> None:
    server.files["/good.zip"] = archive_bytes((name, "set/a.txt"))
    with pytest.raises(DataError, match="would be written outside its folder"):
        download(remote(server, sha256=None), tmp_path / "in")
    assert not list(tmp_path.rglob("evil.txt"))
    assert not (tmp_path / "in" / "set").exists()


def test_a_damaged_archive_leaves_no_folder(server: Server, tmp_path: Path) -> None:
    damaged = bytearray(GOOD)
    damaged[5000] ^= 255
    server.files["/good.zip"] = bytes(damaged)
    with pytest.raises(DataError, match="is damaged"):
        download(remote(server, sha256=None), tmp_path)
    assert left(tmp_path) == ["set.zip"]


def test_an_archive_without_the_folder(server: Server, tmp_path: Path) -> None:
    server.files["/good.zip"] = archive_bytes(("other/a.txt",))
    with pytest.raises(DataError, match="holds no folder set"):
        download(remote(server, sha256=None), tmp_path)


def test_a_place_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot write to"):
        download(remote(server), tmp_path / "file" / "below")


@pytest.mark.parametrize("address", ["http://example.org/a.zip", "file:///etc/passwd", "ftp://a/b"])
def test_unsafe_addresses_are_refused(address: str, tmp_path: Path) -> None:
    archive = RemoteArchive("set", "set.zip", "set", (address,), None, "a test")
    with pytest.raises(ConfigError, match="is not fetched"):
        download(archive, tmp_path)


def test_certificates_are_always_checked() -> None:
    context = module._context("https://example.org")
    assert context is not None
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_names_are_checked() -> None:
    assert find_archive("modelnet40").mirrors[0].startswith("https://")
    with pytest.raises(ConfigError, match="did you mean 'modelnet40'"):
        find_archive("modelnet")

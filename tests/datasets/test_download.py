"""Downloads from a server of our own, which can misbehave in every way that servers do."""

from __future__ import annotations

import hashlib
import io
import ssl
import stat
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
    length: str = ""  # a header to send instead of the length
    redirects: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            if self.path in state.redirects:
                self.send_response(302)
                self.send_header("Location", state.redirects[self.path])
                self.end_headers()
                return
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
            self.send_header("Content-Length", state.length or str(len(rest)))
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


def remote(
    server: Server, *paths: str, sha256: str | None = GOOD_SUM, md5: str | None = None
) -> RemoteArchive:
    mirrors = tuple(server.address + path for path in paths or ("/good.zip",))
    return RemoteArchive("set", "set.zip", "set", mirrors, sha256, "a test", md5)


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


GOOD_MD5 = hashlib.md5(GOOD).hexdigest()


def test_the_md5_protects_against_damage(server: Server, tmp_path: Path) -> None:
    damaged = GOOD[:5000] + b"?" + GOOD[5001:]
    server.files["/bad.zip"] = damaged
    said: list[str] = []
    archive = remote(server, "/bad.zip", "/good.zip", sha256=None, md5=GOOD_MD5)
    assert download(archive, tmp_path, echo=said.append).is_dir()
    assert f"what it sent has the MD5 {hashlib.md5(damaged).hexdigest()}, not {GOOD_MD5}" in said[0]
    # It says nothing about origin, so the SHA-256 is told and kept as before.
    assert GOOD_SUM in said[-1]
    assert (tmp_path / "set.zip.sha256").read_text() == f"{GOOD_SUM}  set.zip\n"


def test_the_md5_of_an_archive_fetched_by_hand(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(archive_bytes(("set/other.txt",)))
    with pytest.raises(DataError, match=r"set\.zip has the MD5 \w+, not \w+: it is damaged; remov"):
        download(remote(server, sha256=None, md5=GOOD_MD5), tmp_path)
    # Whoever gives a SHA-256 may mean another edition.
    content = (tmp_path / "set.zip").read_bytes()
    chosen = hashlib.sha256(content).hexdigest()
    archive = remote(server, sha256=None, md5=GOOD_MD5)
    assert download(archive, tmp_path, sha256=chosen.upper()).is_dir()


def test_another_archive_than_the_first_is_refused(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.zip.sha256").write_text(f"{'1' * 64}  set.zip\n")
    with pytest.raises(DataError, match="but the one downloaded first had 1111"):
        download(remote(server, sha256=None), tmp_path)
    assert not (tmp_path / "set").exists()
    (tmp_path / "set.zip.sha256").write_text(f"{GOOD_SUM}  set.zip\n")
    assert download(remote(server, sha256=None), tmp_path).is_dir()


def test_modelnet_has_a_known_sum() -> None:
    assert find_archive("modelnet40").md5 == "c9ab8e6dfb16f67afdab25e155c79e59"


def test_a_sum_that_is_none_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'123' is no SHA-256"):
        download(remote(server), tmp_path, sha256="123")


@pytest.mark.parametrize("length", ["many", "²", "9" * 5000])
def test_a_server_with_an_odd_length(length: str, server: Server, tmp_path: Path) -> None:
    server.length = length
    # The checksum tells whether the file is whole.
    assert (download(remote(server), tmp_path) / "a.txt").stat().st_size == 256 * 400


def test_a_redirect_is_checked_like_an_address(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = server.address.rpartition(":")[2]
    server.redirects["/here.zip"] = f"http://localhost:{port}/good.zip"
    archive = remote(server, "/here.zip", sha256=None)
    assert download(archive, tmp_path / "a").is_dir()
    monkeypatch.setattr(module, "_LOCAL", ("127.0.0.1",))
    with pytest.raises(DataError, match=r"http://localhost:\d+/good\.zip is not fetched"):
        download(archive, tmp_path / "b")


def test_what_never_ends_is_given_up(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LARGEST", 1000)
    with pytest.raises(DataError, match="it sends more than"):
        download(remote(server), tmp_path)
    assert not (tmp_path / "set").exists()


def with_link() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("set/a.txt", b"a")
        link = zipfile.ZipInfo("set/link")
        link.create_system = 3
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
    return content.getvalue()


def encrypted() -> bytes:
    content = bytearray(archive_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def bomb() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("set/a.txt", bytes(10_000_000))
    return content.getvalue()


def unknown_method() -> bytes:
    content = bytearray(archive_bytes())
    content[8] = 99
    content[content.index(b"PK\x01\x02") + 10] = 99
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (with_link(), "holds the link 'set/link'"),
        (encrypted(), "is encrypted"),
        (bomb(), "would unpack .* bytes to 10000000"),
        (unknown_method(), "compression method is not supported"),
        (GOOD[:-40] + bytes(40), "is not a zip archive"),
        (archive_bytes(("set/a\nb/../../c", "set/x")), "would be written outside its folder"),
    ],
)
def test_bad_archives_leave_nothing(
    content: bytes, message: str, server: Server, tmp_path: Path
) -> None:
    server.files["/good.zip"] = content
    with pytest.raises(DataError, match=message):
        download(remote(server, sha256=None), tmp_path / "in")
    assert set(left(tmp_path / "in")) <= {"set.zip"}
    assert left(tmp_path) == ["in"]


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

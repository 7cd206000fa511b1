"""Files that others wrote: whatever a reader raises becomes one line about its file."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from csgnn_dgl._foreign import (
    check_expansion,
    check_file,
    excerpt,
    open_text,
    parse_integer,
    read_text,
    reading,
)
from csgnn_dgl.errors import CheckpointError, ConfigError, DataError


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (ValueError("line 1:\n  no\x00 value"), r"line 1: no\x00 value"),
        (MemoryError(), "more memory than there is"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (KeyError("size"), "'size' is missing or not known"),
        (IndexError("list index out of range"), "ends too early"),
        (BaseException("panicked"), "panicked"),
        (AssertionError(), "AssertionError"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "invalid start byte"),
        (ValueError("x" * 10_000), "x" * 199 + "…"),
    ],
)
def test_any_failure_becomes_one_line(problem: BaseException, reason: str) -> None:
    with pytest.raises(DataError) as caught, reading(Path("a.cif"), advice="get it again"):
        raise problem
    text = str(caught.value)
    assert text.startswith("a.cif cannot be read: ")
    assert reason in text
    assert text.endswith("; get it again")
    assert "\n" not in text
    assert len(text) < 260


def test_errors_of_the_package_and_stops_pass_unchanged() -> None:
    for problem in (ConfigError("known"), KeyboardInterrupt(), SystemExit(3)):
        with pytest.raises(type(problem)) as caught, reading("a.cif"):
            raise problem
        assert caught.value is problem


def test_excerpts_of_short_text_are_whole() -> None:
    assert excerpt("é µ 4.5") == "é µ 4.5"
    assert excerpt("x" * 200) == "x" * 200
    assert len(excerpt("x" * 201)) == 200
    assert len(excerpt("x y " * 1000)) == 200
    assert excerpt(" " * 900 + "end") == "…"


@pytest.mark.parametrize("text", ["", "+", "1.5", "1e3", "²", "٣", "1_000", "0x10", "9" * 21])
def test_what_is_no_integer(text: str) -> None:
    assert parse_integer(text) is None


def test_only_regular_files_with_content_may_be_read(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    with pytest.raises(DataError, match="does not exist"):
        check_file(file)
    file.touch()
    with pytest.raises(CheckpointError, match="empty"):
        check_file(file, CheckpointError)
    file.write_text("abc")
    assert check_file(file) == 3
    with pytest.raises(DataError, match="folder"):
        check_file(tmp_path)
    with pytest.raises(DataError, match="device"):
        check_file(Path(os.devnull))
    with pytest.raises(DataError, match="name"):
        check_file(tmp_path / ("x" * 300))
    with pytest.raises(DataError, match="null"):
        check_file(Path("a\0b"))
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(DataError, match="pipe"):
            check_file(tmp_path / "pipe")


COMPRESS: list[tuple[str, Callable[[bytes], bytes]]] = [
    (".gz", gzip.compress),
    (".bz2", bz2.compress),
    (".xz", lzma.compress),
]


@pytest.mark.parametrize(("suffix", "compress"), COMPRESS)
def test_compressed_text_is_expanded_and_bombs_are_refused(
    suffix: str, compress: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(compress("one\r\ntwo Å\n".encode()))
    check_expansion(path)
    assert read_text(path) == "one\ntwo Å\n"
    with open_text(path) as lines:
        assert list(lines) == ["one\n", "two Å\n"]
    path.write_bytes(compress(bytes(70 << 20)))
    for read in (check_expansion, read_text):
        with pytest.raises(DataError, match="expands to more than 64 MiB, over 50 times its size"):
            read(path)
    path.write_bytes(b"no such thing")
    with pytest.raises(DataError, match="cannot be read"):
        check_expansion(path)


def test_archives_that_declare_too_much_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(1 << 20))
    check_expansion(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(70 << 20))
    with pytest.raises(CheckpointError, match="expands to more than 64 MiB"):
        check_expansion(path, CheckpointError)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_texts_may_begin_with_a_mark(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("Å\n".encode(encoding))
    assert read_text(path) == "Å\n"
    path.write_bytes(b"\xc5\n")  # Latin-1
    assert read_text(path) == "\N{REPLACEMENT CHARACTER}\n"


@pytest.mark.parametrize(
    "text",
    ["Too long. To allow loading, trust it.", "Odd. Use allow_pickle=True", "a weights_only=b"],
)
def test_advice_to_read_unsafely_is_left_out(text: str) -> None:
    with pytest.raises(DataError) as error, reading("a.npy"):
        raise ValueError(text)
    assert not re.search("To allow|allow_pickle|weights_only", str(error.value))
    assert "a.npy" in str(error.value)

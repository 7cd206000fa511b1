"""Files are written whole on systems that can do less than Linux, too."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from csgnn_dgl._files import atomic_write, atomic_write_text, resource_error
from csgnn_dgl.errors import ResourceError


def test_a_folder_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def windows(path: Any, *args: Any, **kwargs: Any) -> int:
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", windows)
    with pytest.raises(PermissionError):
        os.open(tmp_path, os.O_RDONLY)
    atomic_write_text(tmp_path / "a.txt", "whole\n")
    assert (tmp_path / "a.txt").read_bytes() == b"whole\n"


def test_a_file_that_another_program_has_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows renames nothing onto an open file."""

    class SharingError(PermissionError):
        winerror = 32

    def in_use(source: Path, target: Path) -> None:
        raise SharingError(errno.EACCES, "in use", str(source))

    path = tmp_path / "metrics.csv"
    path.write_text("old")
    monkeypatch.setattr(os, "replace", in_use)
    with pytest.raises(ResourceError, match=r"cannot write .*metrics\.csv: another program has it"):
        atomic_write_text(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.csv"], "nothing is left behind"
    assert path.read_text() == "old"


def test_permission_is_told_from_use() -> None:
    error = PermissionError(errno.EACCES, "Permission denied")
    assert "change the permissions" in str(resource_error(error, "a.txt", "write"))


def test_line_ends_are_the_same_everywhere(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a.txt") as file:
        file.write("1\n2\n")
    assert (tmp_path / "a.txt").read_bytes() == b"1\n2\n"

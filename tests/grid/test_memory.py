"""How much memory there is, and the refusal of what does not fit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from csgnn_dgl.errors import ResourceError
from csgnn_dgl.grid import available_memory, memory, require_memory

GIB = 2**30


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of the system's groups; the system has 8 GiB free."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=8 * GIB))
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "groups")
    monkeypatch.setattr(memory, "_OWN_CGROUP", tmp_path / "own")
    (tmp_path / "groups").mkdir()
    return tmp_path / "groups"


def group(folder: Path, own: str, **files: object) -> None:
    """Write what Linux tells of a group, with points for the double underscores in names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")
    root = next(p for p in (folder, *folder.parents) if p.name == "groups")
    (root.parent / "own").write_text(f"12:cpuset:/elsewhere\n{own}\n")


def test_what_the_system_tells() -> None:
    available = available_memory()
    assert available is not None
    assert 2**20 < available <= psutil.virtual_memory().total


def test_without_groups(cgroups: Path) -> None:
    assert available_memory() == 8 * GIB


def test_limit_of_a_container(cgroups: Path) -> None:
    group(
        cgroups,
        "0::/",
        memory__max=4 * GIB,
        memory__current=3 * GIB,
        memory__stat=f"anon 1\ninactive_file {GIB}\nactive_file 7",
    )
    assert available_memory() == 2 * GIB, "pages of files can be dropped"


def test_limit_of_a_group_around(cgroups: Path) -> None:
    group(
        cgroups / "job", "0::/job/step", memory__max=GIB, memory__current=GIB // 4, memory__stat=""
    )
    group(
        cgroups / "job" / "step",
        "0::/job/step",
        memory__max="max",
        memory__current=5,
        memory__stat="",
    )
    assert available_memory() == GIB - GIB // 4


def test_limit_of_version_1(cgroups: Path) -> None:
    group(
        cgroups / "memory",
        "4:cpu,memory:/docker/0123",
        memory__limit_in_bytes=GIB,
        memory__usage_in_bytes=2 * GIB,
        memory__stat="total_inactive_file 0",
    )
    assert available_memory() == 0, "more used than allowed is nothing left"


def test_no_limit_and_nonsense(cgroups: Path) -> None:
    group(cgroups, "0::/", memory__max="max", memory__current=1, memory__stat="")
    assert available_memory() == 8 * GIB
    group(cgroups, "0::/", memory__max="a lot", memory__current=1, memory__stat="")
    assert available_memory() == 8 * GIB


def test_a_system_that_does_not_tell(cgroups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent() -> Any:
        raise RuntimeError("host_statistics64() failed")

    monkeypatch.setattr(psutil, "virtual_memory", silent)
    assert available_memory() is None
    require_memory(1e30, "a grid", "choose less")


def test_refusal_tells_sizes_and_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 3 * GIB)
    with pytest.raises(ResourceError) as caught:
        require_memory(2048.5 * GIB, "a grid", "choose less")
    assert str(caught.value) == (
        "a grid needs at least 2,048.5 GiB of memory, and 3.0 GiB are available; choose less"
    )


def test_what_fits_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 3 * GIB)
    require_memory(3 * GIB, "a grid", "choose less")
    with pytest.raises(ResourceError):
        require_memory(3 * GIB + 1, "a grid", "choose less")

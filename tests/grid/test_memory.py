"""How much memory there is, and the refusal of what does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from csgnn_dgl.errors import ResourceError
from csgnn_dgl.grid import available_memory, memory, require_memory

GIB = 2**30


def told(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="no /proc/meminfo")
def test_what_the_system_tells() -> None:
    available = available_memory()
    assert available is not None
    assert 2**20 < available < 2**50


def test_kibibytes(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, "MemTotal:  9000 kB\nMemFree:  1 kB\nMemAvailable:   2048 kB\n")
    assert available_memory() == 2 * 2**20


def test_unknown_to_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, "MemTotal:  9000 kB\n")
    assert available_memory() is None


def test_no_such_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: Any, **__: Any) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", absent)
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

"""Where glibc's allocator is tuned, and where it is left alone."""

from __future__ import annotations

import ctypes
import os
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from csgnn_dgl.tasks.allocator import keep_freed_memory


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """Linux whose allocator nobody has tuned; holds what is set."""
    found: dict[int, int] = {}

    def mallopt(option: int, value: int) -> int:
        found[option] = value
        return 1

    for name in [n for n in os.environ if n.startswith("MALLOC_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    return found


def test_glibc(settings: dict[int, int]) -> None:
    assert keep_freed_memory()
    assert settings[-4] == 0, "no block is mapped by itself"


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "LD_PRELOAD"])
def test_what_the_user_has_tuned_stays(
    name: str, settings: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "4")
    assert not keep_freed_memory()
    assert not settings


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_other_systems(
    system: str, settings: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(name: Any) -> None:
        raise TypeError("Windows has no library without a name")

    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(ctypes, "CDLL", none)
    assert not keep_freed_memory()


def test_a_linux_without_glibc(settings: dict[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    assert not keep_freed_memory()

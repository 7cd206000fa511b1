"""``doctor`` on machines and Pythons without DGL."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from typing import Any

import pytest

from csgnn_dgl.cli import doctor as module

WHY = "DGL has no release for Python 3.13"


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Hide a distribution."""
    real = metadata.version

    def hide(hidden: str) -> None:
        def version(name: str) -> str:
            if name == hidden:
                raise metadata.PackageNotFoundError(name)
            return real(name)

        monkeypatch.setattr(metadata, "version", version)

    return hide


def test_an_unsupported_python(
    run: Callable[..., Any], without: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "why_unsupported", lambda: WHY)
    without("dgl")
    result = run("doctor")
    assert result.status == 2
    assert f"NOT SUPPORTED: {WHY}" in result.out
    assert "MISSING: see above" in result.out, "pip install would not help"


def test_a_build_of_ones_own_is_welcome(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "why_unsupported", lambda: WHY)
    result = run("doctor")
    assert result.status == 0
    assert "NOT SUPPORTED" not in result.out


def test_merely_not_installed(run: Callable[..., Any], without: Callable[[str], None]) -> None:
    without("dgl")
    result = run("doctor")
    assert result.status == 2
    assert "MISSING: pip install 'dgl>=2.1'" in result.out

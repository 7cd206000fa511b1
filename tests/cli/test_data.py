"""``csgnn-dgl data``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def test_info_of_a_folder(run: Run, clouds: Path) -> None:
    result = run("data", "info", clouds, "--points", 64)
    assert result.status == 0
    assert "18 training and 18 test shapes in 3 classes" in result.out
    assert "fingerprint" in result.out


def test_info_of_the_solids(run: Run) -> None:
    result = run("data", "info", "--points", 16)
    assert result.status == 0
    assert "built-in solids" in result.out
    assert "trefoil" in result.out


def test_make_carbon(run: Run, tmp_path: Path) -> None:
    words = ("data", "make", "carbon-tb", "--to", tmp_path / "c", "--structure", "C20")
    words += ("--snapshots", 1, "--test-snapshots", 2, "--processes", 1)
    result = run(*words)
    assert result.status == 0, result.err
    assert "4 trajectories of 1 structures" in result.out
    assert run(*words).status == 0  # nothing left to do
    other = run(*words, "--seed", 1)
    assert other.status == 2
    assert "other options (seed)" in other.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["download", "modelnet41"], "did you mean 'modelnet40'"),
        (["download", "modelnet40", "--mirror", "http://example.org/a.zip"], "is not fetched"),
        (["make", "carbon-tb", "--structure", "C61"], "unknown carbon structure 'C61'"),
        (["make", "carbon-tb", "--test-snapshots", "3"], "cannot be shared evenly"),
    ],
)
def test_mistakes_are_named(
    words: list[str], message: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("data", *words)
    assert result.status == 2
    assert message in result.err
    assert not list(tmp_path.iterdir())

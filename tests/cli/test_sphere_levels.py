"""The flags for spheres of different levels."""

from __future__ import annotations

from typing import Any

import pytest


def test_levels_by_a_flag(run: Any) -> None:
    words = ["train", "modelnet", "--preset", "compact", "--sphere-levels", "1,1,2,2,3,3,3,3"]
    result = run(*words, "--print-config")
    assert result.status == 0
    assert "sphere_levels:" in result.out
    assert "sphere_coarsening: together" in result.out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--sphere-levels", "1,2"), "but n_spheres is 8"),
        (("--sphere-levels", "1,1,1,1,1,1,1,1"), "is 1, but level is 3"),
        (("--sphere-levels", "1,x"), "is not a list of whole numbers"),
        (("--sphere-coarsening", "in_turn"), "all spheres have the same level"),
    ],
)
def test_bad_flags(run: Any, flags: tuple[str, ...], message: str) -> None:
    result = run("train", "modelnet", "--preset", "compact", *flags)
    assert result.status == 2
    assert message in result.err


def test_help_names_them(run: Any) -> None:
    result = run("models", "csgnn")
    assert result.status == 0
    assert "sphere_levels" in result.out
    assert "sphere_coarsening" in result.out

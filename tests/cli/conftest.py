"""The command line, called in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from csgnn_dgl.cli.main import main

SMALL_FLAGS = [
    *("--level", "1", "--n-spheres", "2", "--channels", "2", "--base-width", "4"),
    *("--hidden", "16", "--points", "64", "--batch-size", "4", "--validation-fraction", "0.34"),
    *("--accelerator", "cpu", "--epochs", "2", "--learning-rate", "0.01"),
]


@dataclass(frozen=True)
class Result:
    """What a command did."""

    status: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command with words; the exit status and both streams come back."""

    def call(*words: object) -> Result:
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        code = stop.value.code
        return Result(code if isinstance(code, int) else 1, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def trained(clouds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run made by the command, which no test changes."""
    path = tmp_path_factory.mktemp("cli") / "run"
    with pytest.raises(SystemExit) as stop:
        main(["train", "modelnet", "--data", str(clouds), "--output", str(path), *SMALL_FLAGS])
    assert stop.value.code == 0
    return path

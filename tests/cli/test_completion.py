"""Completion in shells, and the package as a command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import csgnn_dgl
from csgnn_dgl.cli.main import cli

PROGRAM = [sys.executable, "-m", "csgnn_dgl"]


def call(arguments: Sequence[str] = (), **environment: str) -> str:
    done = subprocess.run(
        [*PROGRAM, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def words(shell: str, line: str, count: int | None = None) -> list[str]:
    """What a shell would offer at the end of a line."""
    number = len(line.split(" ")) - 1 if count is None else count
    variables = {"COMP_WORDS": line, "COMP_CWORD": str(number)}
    if shell == "fish":
        variables["COMP_CWORD"] = line.rsplit(" ", 1)[1]
    out = call(_CSGNN_DGL_COMPLETE=f"{shell}_complete", **variables)
    if shell == "zsh":
        return out.split("\n")[1::3]  # kind, word, help
    return [text.partition(",")[2].partition("\t")[0] for text in out.splitlines()]


def test_the_package_is_the_command() -> None:
    assert call(["--version"]).strip() == f"csgnn-dgl, version {csgnn_dgl.__version__}"
    assert "describe-atoms" in call(["--help"])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(shell: str) -> None:
    if shell == "bash" and shutil.which("bash") is None:
        pytest.skip("click asks bash for its version, and there is none")
    script = call(_CSGNN_DGL_COMPLETE=f"{shell}_source")
    assert f"_CSGNN_DGL_COMPLETE={shell}_complete" in script
    assert "csgnn-dgl" in script


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_words(shell: str) -> None:
    assert words(shell, "csgnn-dgl d") == ["doctor", "data", "describe-atoms", "describe-shapes"]
    assert words(shell, "csgnn-dgl train ") == ["dos", "modelnet"]
    assert words(shell, "csgnn-dgl describe-atoms --po") == ["--pool"]
    assert words(shell, "csgnn-dgl describe-atoms --pool ") == ["mean", "sum", "per-element"]


def test_names_of_commands_are_completed_without_importing_them() -> None:
    program = (
        "import sys\n"
        "from csgnn_dgl.cli.main import cli\n"
        "from click.shell_completion import ShellComplete\n"
        "found = ShellComplete(cli, {}, 'csgnn-dgl', 'X').get_completions([], '')\n"
        "print(*(item.value for item in found))\n"
        "assert not {'torch', 'csgnn_dgl.cli.train'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == list(cli.lazy)  # type: ignore[attr-defined]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_in_bash_itself(tmp_path: Path) -> None:
    script = tmp_path / "complete.sh"
    script.write_text(call(_CSGNN_DGL_COMPLETE="bash_source"))
    command = tmp_path / "csgnn-dgl"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m csgnn_dgl "$@"\n')
    command.chmod(0o755)
    program = (
        f"source {script}\n"
        "COMP_WORDS=(csgnn-dgl evaluate --vote-set r); COMP_CWORD=3\n"
        "_csgnn_dgl_completion csgnn-dgl\n"
        'echo "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash", "-c", program],
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["random"]

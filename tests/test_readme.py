"""The README's examples run, and its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from csgnn_dgl.cli.main import main
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = sorted(set(re.findall(r"^csgnn-dgl ((?:train |data )?[\w-]+)", README, re.MULTILINE)))


@pytest.mark.parametrize("code", EXAMPLES)
def test_examples_run(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "README.md", "exec"), {})
    printed = re.search(r"print\(feat\.shape\) +# (.*)", code)
    if printed:
        assert capsys.readouterr().out.strip() == printed[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_exist(command: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), "--help"])
    assert stop.value.code == 0


def test_there_was_something_to_check() -> None:
    assert len(EXAMPLES) >= 2
    assert len(COMMANDS) >= 4


def test_presets_are_listed() -> None:
    for preset in TrainModelNetConfig.presets:
        assert f"`{preset}`" in README


def test_make_targets_exist() -> None:
    targets = re.findall(r"^make (\w+)", README, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {"demo", "test"} <= set(targets)
    assert all(f"\n{target}:" in makefile for target in targets)


def test_linked_files_exist() -> None:
    for page in [ROOT / "README.md", *ROOT.glob("docs/*.md"), ROOT / "CONTRIBUTING.md"]:
        for link in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"

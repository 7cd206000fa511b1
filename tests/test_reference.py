"""The generated pages show every command with all its options, and every public object once."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from pydoc import locate
from types import ModuleType

import click
import pytest

from csgnn_dgl.cli.options import ConfigCommand

pytest.importorskip("torch")  # the API is imported

DOCS = Path(__file__).parents[1] / "docs"


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


REFERENCE = _load("csgnn_docs_reference", DOCS / "reference.py")
COMMANDS: dict[str, click.Command] = REFERENCE.commands()


@pytest.mark.parametrize("name", COMMANDS)
def test_pages_hold_all_options_of_their_command(name: str) -> None:
    command = COMMANDS[name]
    page = REFERENCE.command_page(name, command)
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            for flag in parameter.opts:
                assert re.search(rf"^`.*{re.escape(flag)}\b", page, re.MULTILINE), flag
    if isinstance(command, ConfigCommand):
        for group in set(command.groups.values()):
            assert f"\n## {group}\n" in page
    assert f"csgnn-dgl {name} " in page


def test_commands_beside_the_groups_have_pages() -> None:
    known = {"train modelnet", "train dos", "compare", "compare figures", "data make carbon-tb"}
    assert known <= COMMANDS.keys()
    pages = REFERENCE.command_pages()
    assert len(pages) == len(COMMANDS) + 1
    assert all(f"]({page})" in pages["index.md"] for page in pages if page != "index.md")


def test_a_new_command_and_a_new_option_appear(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command("brand-new", help="Do something new.")
    @click.option("--colour", help="One of *many*.")
    def command(colour: str) -> None:
        pass

    group = click.Group("csgnn-dgl", commands={"brand-new": command})
    monkeypatch.setattr(REFERENCE, "cli", group)
    pages = REFERENCE.command_pages()
    assert pages.keys() == {"brand-new.md", "index.md"}
    assert "Do something new." in pages["brand-new.md"]
    assert "`--colour TEXT`\n: One of \\*many\\*." in pages["brand-new.md"]


def test_every_public_object_has_one_place() -> None:
    pages = REFERENCE.api_pages()
    pattern = re.compile(r"^\.\. auto(?:class|exception|function|data):: (\S+)$", re.MULTILINE)
    named = [name for page in pages.values() for name in pattern.findall(page)]
    assert len(named) == len(set(named))
    assert "csgnn_dgl.grid.ConcentricGrid" in named
    assert "csgnn_dgl.grid.concentric.ConcentricGrid" not in named
    # A call's results stand beside it, and not again where they are defined.
    assert [name for name in named if name.endswith(".AtomScores")] == [
        "csgnn_dgl.descriptor.AtomScores"
    ]
    things = [thing for name in named if hasattr(thing := locate(name), "__qualname__")]
    assert len({id(thing) for thing in things}) == len(things) > 400
    for room in ("grid", "mapping", "ops", "nn", "models", "physics", "datasets", "tasks"):
        assert f"{room}.md" in pages
    for room in ("compare", "viewing", "testing", "top-level"):
        assert f"{room}.md" in pages
    rooms = {
        info.name
        for info in (DOCS.parent / "csgnn_dgl").iterdir()
        if (info / "__init__.py").exists()
    }
    assert rooms - {"cli"} <= {page.removesuffix(".md") for page in pages}


def test_pages_are_kept_and_old_ones_go(tmp_path: Path) -> None:
    REFERENCE.write_pages(tmp_path)
    page = tmp_path / "commands" / "predict.md"
    before = page.stat().st_mtime_ns
    old = tmp_path / "api" / "gone.md"
    old.write_text("# gone\n")
    REFERENCE.write_pages(tmp_path)
    assert page.stat().st_mtime_ns == before
    assert not old.exists()


def test_every_picture_is_in_the_gallery() -> None:
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    for picture in (DOCS / "images").glob("*.png"):
        assert f"(images/{picture.name})" in text

"""Pages of the reference that are made from the code, so that they cannot differ from it.

``commands/`` gets a page for each command, from its click options. ``api/`` gets a page for each
package, with the public names of its modules. Both folders are made anew by every build.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click

import csgnn_dgl
from csgnn_dgl.cli.main import cli
from csgnn_dgl.cli.options import ConfigCommand

#: The rooms from bottom to top. A room that is not named here comes after these.
ROOMS = ("grid", "ops", "mapping", "nn", "physics", "models", "datasets", "tasks", "testing")
#: Rooms without a page: the commands have pages of their own.
_NO_PAGE = ("cli",)
_TOP = "top-level"


# --- commands


def commands() -> dict[str, click.Command]:
    """Every command by its full name, such as ``train modelnet``."""

    def walk(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
        if not isinstance(command, click.Group):
            yield " ".join(words), command
            for name, other in getattr(command, "others", {}).items():
                yield " ".join((*words, name)), other
            return
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from walk(found, (*words, name))

    return dict(walk(cli, ()))


def command_page(name: str, command: click.Command) -> str:
    """The page of a command, in Markdown: what it does, its arguments, its options by group."""
    context = click.Context(command, info_name=f"csgnn-dgl {name}", **command.context_settings)
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"# {name}", "", "```text", f"csgnn-dgl {name} {usage}", "```", ""]
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        # click keeps the lines of a paragraph that begins so.
        literal = paragraph.startswith("\b")
        lines += ["```text", paragraph[1:].strip("\n"), "```"] if literal else [paragraph]
        lines.append("")
    for group, records in option_groups(command, context).items():
        lines += [f"## {group}", ""]
        for flags, text in records:
            # click 8.5 lists arguments, too. The text above says what they are.
            if text:
                lines += [f"`{flags}`", f": {_plain(text)}", ""]
    return "\n".join(lines)


def option_groups(
    command: click.Command, context: click.Context
) -> dict[str, list[tuple[str, str]]]:
    """Flags and help of the options of a command, by the groups of its ``--help``."""
    if isinstance(command, ConfigCommand):
        return command.option_groups(context)
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    return {"Options": [record for record in records if record is not None]}


def _plain(text: str) -> str:
    """Text of a help as Markdown that shows the same characters."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>#|$~" else letter for letter in text)


def command_pages() -> dict[str, str]:
    """File name and content of the pages of all commands, and of their index."""
    pages, rows = {}, []
    for name, command in commands().items():
        file = name.replace(" ", "-")
        pages[f"{file}.md"] = command_page(name, command)
        rows.append(
            f"| [`csgnn-dgl {name}`]({file}.md) | {_plain(command.get_short_help_str(200))} |"
        )
    table = "\n".join(["| command | |", "|---|---|", *rows])
    tree = "\n".join(["```{toctree}", ":hidden:", "", *(page[:-3] for page in pages), "```"])
    shared = (
        "`csgnn-dgl --version` prints the version. `--debug`, anywhere, shows the traceback of an "
        "error. Commands with `--config` read options from YAML, and `--print-config` prints all "
        "of them. The exit status is 0 for success, 1 if some of many files could not be used, 2 "
        "for an error, and 130 for a command that was stopped."
    )
    pages["index.md"] = f"# Commands\n\n{table}\n\n{shared}\n\n{tree}\n"
    return pages


# --- the package


def rooms() -> dict[str, list[ModuleType]]:
    """The modules of each page. Modules beside the rooms share a page."""
    found: dict[str, list[ModuleType]] = {}
    for info in pkgutil.iter_modules(csgnn_dgl.__path__, "csgnn_dgl."):
        name = info.name.rpartition(".")[2]
        if name.startswith("_") or name in _NO_PAGE:
            continue
        module = _imported(info.name)
        if module is None:
            continue
        below = sorted(_below(module), key=lambda one: one.__name__) if info.ispkg else []
        found.setdefault(name if info.ispkg else _TOP, []).extend([module, *below])
    order = [_TOP, *ROOMS, *sorted(found)]
    return {name: found[name] for name in dict.fromkeys(order) if name in found}


def _below(package: ModuleType) -> Iterator[ModuleType]:
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if any(part.startswith("_") for part in info.name.split(".")):
            continue
        module = _imported(info.name)
        if module is not None:
            yield module


def _imported(name: str) -> ModuleType | None:
    """The module, or None if an optional package that it needs is missing here, such as Triton."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if not error.name or error.name.startswith("csgnn_dgl"):
            raise
        return None


def public_objects(every: dict[str, list[ModuleType]]) -> dict[str, dict[str, Any]]:
    """Objects of each room by the shortest name under which they are public; each object once."""
    placed: set[int] = set()
    found: dict[str, dict[str, Any]] = {}
    for room, modules in every.items():
        prefix = "csgnn_dgl" if room == _TOP else f"csgnn_dgl.{room}"
        taken: dict[tuple[str, int], tuple[str, Any]] = {}
        # Packages come before their modules, so the shortest name is the first one.
        for module in sorted(modules, key=lambda one: one.__name__.count(".")):
            for name in getattr(module, "__all__", ()):
                thing = getattr(module, name)
                home = getattr(thing, "__module__", None) or module.__name__
                # What another room defines stands on its page, but calls show their results.
                own = f"{home}.".startswith(f"{prefix}.") or not home.startswith("csgnn_dgl")
                if own and id(thing) not in placed:
                    taken.setdefault((name, id(thing)), (f"{module.__name__}.{name}", thing))
        # Constants may be one object by chance, such as equal numbers.
        placed |= {id(thing) for _, thing in taken.values() if hasattr(thing, "__qualname__")}
        found[room] = dict(taken.values())
    return found


def _directive(name: str, thing: Any) -> list[str]:
    if inspect.isclass(thing):
        kind = "exception" if issubclass(thing, BaseException) else "class"
        return [f".. auto{kind}:: {name}", "   :members:", ""]
    return [f".. auto{'function' if inspect.isroutine(thing) else 'data'}:: {name}", ""]


def _page_of(room: str, module: ModuleType) -> str:
    """The page on which the objects of a module stand: each package has its own."""
    if room == _TOP:
        return _TOP
    name = module.__name__ if hasattr(module, "__path__") else module.__name__.rpartition(".")[0]
    return name.removeprefix("csgnn_dgl.")


def room_pages(room: str, modules: list[ModuleType], public: dict[str, Any]) -> dict[str, str]:
    """The pages of a room, in Markdown: one for each package in it, with its public objects."""
    objects: dict[str, list[str]] = {}
    for name, thing in public.items():
        objects.setdefault(name.rpartition(".")[0], []).extend(_directive(name, thing))
    pages: dict[str, list[str]] = {}
    for module in modules:
        name, page = module.__name__, _page_of(room, module)
        title = "Top level" if room == _TOP else f"csgnn_dgl.{page}"
        lines = pages.setdefault(page, [f"# {title}", ""])
        if name != title and name in objects:
            lines += [f"## {name}", ""]
        if name == title or name in objects:
            lines += ["```{eval-rst}", f".. automodule:: {name}", "   :no-index:", ""]
            lines += [*objects.get(name, []), "```", ""]
    return {page: "\n".join(lines) for page, lines in pages.items()}


def api_pages() -> dict[str, str]:
    """File name and content of the pages of all rooms, and of their index."""
    pages, rows = {}, []
    every = rooms()
    for room, public in public_objects(every).items():
        modules = every[room]
        made = room_pages(room, modules, public)
        pages |= {f"{page}.md": text for page, text in made.items()}
        about = inspect.cleandoc(modules[0].__doc__ or "").partition("\n")[0]
        if room == _TOP:
            about = "The work of the commands as calls: shapes, atoms, export; and errors."
        links = [f"[{'top level' if page == _TOP else f'`{page}`'}]({page}.md)" for page in made]
        rows.append(f"| {', '.join(links)} | {_plain(about)} |")
    table = "\n".join(["| room | |", "|---|---|", *rows])
    tree = "\n".join(["```{toctree}", ":hidden:", "", *(page[:-3] for page in pages), "```"])
    pages["index.md"] = (
        "# API\n\nOne page for each package. Calls that do the work of the commands come first. "
        "[Architecture](../architecture.md) says how the rooms fit together.\n\n"
        f"{table}\n\n{tree}\n"
    )
    return pages


def documented_names() -> dict[str, str]:
    """Under which name an object is documented, by the name of its definition."""
    return {
        f"{thing.__module__}.{thing.__qualname__}": name
        for public in public_objects(rooms()).values()
        for name, thing in public.items()
        if inspect.isclass(thing) or inspect.isroutine(thing)
    }


def write_pages(docs: Path) -> None:
    """Write all pages below ``docs``. Pages that did not change keep their time, old ones go."""
    for folder, pages in (("commands", command_pages()), ("api", api_pages())):
        place = docs / folder
        place.mkdir(exist_ok=True)
        for old in place.glob("*.md"):
            if old.name not in pages:
                old.unlink()
        for name, text in pages.items():
            page = place / name
            if not page.exists() or page.read_text(encoding="utf-8") != text:
                page.write_text(text, encoding="utf-8")

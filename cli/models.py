"""``csgnn-dgl models``."""

from __future__ import annotations

import json
from typing import Any

import click
from pydantic_core import to_jsonable_python

from csgnn_dgl._foreign import quoted
from csgnn_dgl._plugins import warn_of
from csgnn_dgl.errors import ConfigError, suggest
from csgnn_dgl.models.hypers import Hypers
from csgnn_dgl.models.registry import (
    MODELS,
    Domain,
    Entry,
    find_class,
    find_entry,
    find_hypers,
    is_users_own,
    known_models,
    model_plugins,
)

__all__ = ["models_command"]

_WIDTH = 100


@click.command("models", context_settings={"max_content_width": _WIDTH})
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.option(
    "--for",
    "domain",
    type=click.Choice(list(MODELS)),
    help="Look for NAME only among these models. Default: all.",
)
def models_command(name: str | None, as_json: bool, domain: Domain | None) -> None:
    """List the trained models that come with the package, and the models that can be trained.

    With NAME (a model to train, or module:Class of your own), show its options and presets.
    """
    if name is None:
        _list(as_json)
        return
    content = _kind(name, domain)
    if as_json:
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    for number, entry in enumerate(content):
        click.echo(("\n" if number else "") + f"{entry['name']}, a model of {entry['for']}")
        if entry["summary"]:
            _row("", entry["summary"])
        if entry["from"] != "csgnn-dgl":
            _row("from", entry["from"])
        for option in entry["options"]:
            text = f"{option['name']} = {option['default']}"
            _row("options", f"{text}: {option['description']}" if option["description"] else text)
        for preset in entry["presets"]:
            _row("preset", f"{preset['name']}: {preset['description']}")
        _row("train it", f"csgnn-dgl train {entry['command']} --model {entry['name']}")


def _list(as_json: bool) -> None:
    from csgnn_dgl.tasks.shipped import shipped_models

    models = list(shipped_models().values())
    if as_json:
        click.echo(json.dumps([model.to_dict() for model in models], indent=2, ensure_ascii=False))
        return
    for model in models:
        state = f"{model.path.stat().st_size / 1e6:.1f} MB" if model.is_here else "not installed"
        click.echo(f"{model.name}  ({state})")
        _row("", model.description)
        _row("trained on", model.training_data)
        for figure, value in model.figures.items():
            _row("reaches", f"{figure}: {value}")
        for limit in model.limits:
            _row("limit", limit)
        _row("made by", model.recipe)
        click.echo()
    click.echo("Models to train (csgnn-dgl models NAME shows options and presets):")
    for domain in MODELS:
        for name, entry in known_models(domain).items():
            origin = "" if entry.plugin is None else f" (plug-in, from {entry.plugin.origin})"
            click.echo(f"  {name:<10} {domain:<7} {entry.summary}{origin}")
    click.echo("  module:Class       your own; see docs/models.md")
    for domain in MODELS:
        for plugin in model_plugins(domain):
            try:
                find_class(domain, plugin.name) if plugin.problem is None else plugin.load()
            except ConfigError as error:
                warn_of(error)


def _kind(name: str, domain: Domain | None) -> list[dict[str, Any]]:
    from csgnn_dgl.tasks.targets import TARGETS

    asked = [d for d in MODELS if domain in (None, d)]
    if is_users_own(name):
        asked = [domain or _domain_of(name)]
    elif all(find_entry(d, name) is None for d in asked):
        known = {other for d in asked for other in known_models(d)}
        raise click.UsageError(
            f"there is no model {quoted(name)} to train: {suggest(name, known)}; or module:Class"
        )
    found = []
    for d in asked:
        entry = find_entry(d, name)
        if not is_users_own(name) and entry is None:
            continue
        hypers = find_hypers(d, name)
        found.append(
            {
                "name": name,
                "for": d,
                "summary": "" if entry is None else entry.summary,
                "from": "your module" if entry is None else _origin(entry),
                "command": next(t.command for t in TARGETS.values() if t.domain == d),
                "options": [
                    {"name": key, "default": default, "description": field.description}
                    for (key, field), default in zip(
                        hypers.model_fields.items(), _defaults(hypers), strict=True
                    )
                ],
                "presets": [
                    {"name": key, "description": preset.description, "values": dict(preset.values)}
                    for key, preset in hypers.presets.items()
                ],
            }
        )
    return found


def _origin(entry: Entry) -> str:
    return "csgnn-dgl" if entry.plugin is None else entry.plugin.origin


def _defaults(hypers: type[Hypers]) -> list[Any]:
    """Defaults as plain values; None also for options that must be given."""
    fields = hypers.model_fields.values()
    values = [None if f.is_required() else f.get_default(call_default_factory=True) for f in fields]
    return [to_jsonable_python(value) for value in values]


def _domain_of(name: str) -> Domain:
    """Find the domain of a user's own model."""
    from csgnn_dgl.models import ShapeModel
    from csgnn_dgl.models.registry import load_named

    found = load_named(name)
    return "shapes" if isinstance(found, type) and issubclass(found, ShapeModel) else "atoms"


def _row(label: str, text: str) -> None:
    first = f"  {label:<11}"
    click.echo(
        click.wrap_text(text, _WIDTH, initial_indent=first, subsequent_indent=" " * len(first))
    )

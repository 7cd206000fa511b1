"""``csgnn-dgl models``."""

from __future__ import annotations

import json

import click

__all__ = ["models_command"]


@click.command("models", context_settings={"max_content_width": 100})
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def models_command(as_json: bool) -> None:
    """List the trained models that come with the package: what from, how good, what not for."""
    from csgnn_dgl.tasks.dos.shipped import shipped_models

    models = list(shipped_models().values())
    if as_json:
        click.echo(json.dumps([model.to_dict() for model in models], indent=2, ensure_ascii=False))
        return
    for number, model in enumerate(models):
        state = f"{model.path.stat().st_size / 1e6:.1f} MB" if model.is_here else "not installed"
        rows = [
            ("", model.description),
            ("trained on", model.training_data),
            *(("reaches", f"{name}: {value}") for name, value in model.figures.items()),
            *(("limit", text) for text in model.limits),
            ("made by", model.recipe),
        ]
        click.echo(("\n" if number else "") + f"{model.name}  ({state})")
        before = ""
        for label, text in rows:
            shown = "" if label == before else label
            before = label
            first = f"  {shown:<11}"
            click.echo(
                click.wrap_text(text, 100, initial_indent=first, subsequent_indent=" " * len(first))
            )

"""``csgnn-dgl predict``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from csgnn_dgl.cli.options import config_options
from csgnn_dgl.errors import CSGNNError
from csgnn_dgl.tasks.shapes.config import PredictConfig

__all__ = ["predict_command"]


@config_options(PredictConfig)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def predict_command(
    config: PredictConfig, given: set[str], run: Path, files: tuple[Path, ...], as_json: bool
) -> None:
    """Classify mesh or cloud FILES with the model of RUN.

    Any orientation, position and size will do. A file that cannot be used is named at the end, and
    does not keep the others from being classified.
    """
    from csgnn_dgl.tasks.shapes.predict import predict

    results = predict(run, files, config)
    if as_json:
        click.echo(
            json.dumps(
                [
                    {
                        "file": str(result.file),
                        "classes": [
                            {"class": name, "probability": p} for name, p in result.classes
                        ],
                        "error": result.error,
                    }
                    for result in results
                ],
                indent=2,
                ensure_ascii=False,
            )
        )
    else:
        width = max(len(str(result.file)) for result in results)
        for result in results:
            ranked = "   ".join(f"{name} {100 * p:.1f} %" for name, p in result.classes)
            click.echo(f"{result.file!s:<{width}}  {ranked or 'cannot be used'}")
    errors = [result.error for result in results if result.error]
    if errors:
        raise CSGNNError(
            "\n  ".join([f"{len(errors)} of {len(files)} files cannot be used:", *errors])
        )

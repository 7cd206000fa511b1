"""``csgnn-dgl evaluate``."""

from __future__ import annotations

from pathlib import Path

import click

from csgnn_dgl.cli.options import config_options
from csgnn_dgl.tasks.shapes.config import EvaluateConfig

__all__ = ["evaluate_command"]


@config_options(EvaluateConfig)
@click.argument("run", type=click.Path(path_type=Path))
def evaluate_command(config: EvaluateConfig, given: set[str], run: Path) -> None:
    """Classify the test split of the data that RUN was trained on.

    The result goes into RUN/summary.json, and the confusion matrix is drawn.
    """
    from csgnn_dgl.tasks import allocator
    from csgnn_dgl.tasks.shapes.evaluate import evaluate

    allocator.keep_freed_memory()
    result, table, picture = evaluate(run, config)
    shown = table.assign(accuracy=[f"{100 * value:.1f} %" for value in table["accuracy"]])
    click.echo(shown.to_string(index=False))
    click.echo(
        f"accuracy {100 * result.accuracy:.2f} % (mean of classes "
        f"{100 * result.class_accuracy:.2f} %) on {result.shapes} test shapes; "
        f"trained with {result.train_rotation}, tested with "
        f"{result.rotation} rotations, {result.votes} vote{'s' * (result.votes > 1)}; "
        f"{result.milliseconds_per_shape:.1f} ms per shape"
    )
    click.echo(f"confusion matrix: {picture}")

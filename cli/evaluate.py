"""``csgnn-dgl evaluate``."""

from __future__ import annotations

from pathlib import Path

import click

from csgnn_dgl.cli.options import config_options
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.tasks.shapes.config import EvaluateConfig

__all__ = ["evaluate_command"]


@config_options(EvaluateConfig)
@click.argument("run", type=click.Path(path_type=Path))
def evaluate_command(config: EvaluateConfig, given: set[str], run: Path) -> None:
    """Test the model of RUN on the test split of the data that it was trained on.

    A classifier: accuracy by class under a rotation protocol. A model of densities of states:
    errors of the curve and its integral, the Fermi level and the band energy, by type of
    structure; --votes averages over orientations. The result goes into RUN/summary.json, and
    pictures are drawn.
    """
    from csgnn_dgl.tasks import allocator
    from csgnn_dgl.tasks.run_directory import RunDirectory
    from csgnn_dgl.tasks.weights import read_kind

    allocator.keep_freed_memory()
    if read_kind(RunDirectory.open(run).model) == "dos":
        if inapplicable := sorted(given & {"--rotation", "--batch-size"}):
            raise ConfigError(
                f"{run} predicts densities of states, so {', '.join(inapplicable)} means nothing "
                f"here: they do not depend on orientation; --votes averages over orientations"
            )
        _evaluate_dos(config, run)
    else:
        _evaluate_shapes(config, run)


def _evaluate_shapes(config: EvaluateConfig, run: Path) -> None:
    from csgnn_dgl.tasks.shapes.evaluate import evaluate

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


def _evaluate_dos(config: EvaluateConfig, run: Path) -> None:
    from csgnn_dgl.tasks.dos.evaluate import evaluate_dos

    result = evaluate_dos(
        run,
        votes=config.votes,
        seed=config.seed,
        data=config.data,
        device=config.device,
        progress=config.progress,
    )
    energy, dos = result.units
    click.echo(result.table.to_string(index=False, float_format=lambda value: f"{value:.4f}"))
    click.echo(
        f"mean absolute errors on {len(result.structures)} {result.split} structures, "
        f"{result.votes} vote{'s' * (result.votes > 1)}: dos in {dos}, levels in {energy}, "
        f"band energies in {energy}/atom"
    )
    for picture in result.pictures:
        click.echo(f"picture: {picture}")

"""``csgnn-dgl train``."""

from __future__ import annotations

from pathlib import Path

import click

from csgnn_dgl.cli.options import config_options
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.shapes.config import TrainModelNetConfig

__all__ = ["train_dos", "train_group", "train_modelnet"]

_resume = click.option(
    "--resume",
    type=click.Path(path_type=Path),
    help="Go on with this run, with the options that it was begun with.",
)


@click.group("train")
def train_group() -> None:
    """Train a model."""


@config_options(TrainModelNetConfig)
@_resume
def train_modelnet(config: TrainModelNetConfig, given: set[str], resume: Path | None) -> None:
    """Train a classifier of shapes: ModelNet, or your own meshes and clouds.

    The run directory then holds the weights, curves, a confusion matrix of the validation split,
    and summary.json. The test split is not touched: csgnn-dgl evaluate RUN does that.
    """
    _refuse_options(resume, given)
    from csgnn_dgl.tasks import allocator
    from csgnn_dgl.tasks.shapes import train
    from csgnn_dgl.tasks.training import is_first_process

    allocator.keep_freed_memory()
    run = train.train(config, echo=_echo) if resume is None else train.resume(resume, echo=_echo)
    if not is_first_process():
        return
    summary = run.read_summary()
    click.echo(
        f"{run.path}: validation accuracy {100 * summary['validation_accuracy']:.1f} % "
        f"({config.train_rotation if resume is None else summary['rotation']['train']} rotations, "
        f"epoch {summary['kept_epoch'] + 1} of {summary['epochs']}, "
        f"{summary['seconds_per_epoch']:.1f} s per epoch)"
    )
    click.echo(f"curves: {run.figure('curves')}")
    click.echo(f"test it: csgnn-dgl evaluate {run.path} --rotation so3")


@config_options(TrainDOSConfig)
@_resume
def train_dos(config: TrainDOSConfig, given: set[str], resume: Path | None) -> None:
    """Train a model of densities of states: the built-in carbon set, or your own structures.

    The run directory then holds the weights, curves, examples from the validation split, and
    summary.json. The test split is not touched: csgnn-dgl evaluate RUN does that.
    """
    _refuse_options(resume, given)
    from csgnn_dgl.tasks import allocator
    from csgnn_dgl.tasks.dos import train
    from csgnn_dgl.tasks.training import is_first_process

    allocator.keep_freed_memory()
    run = train.train(config, echo=_echo) if resume is None else train.resume(resume, echo=_echo)
    if not is_first_process():
        return
    summary = run.read_summary()
    click.echo(
        f"{run.path}: mean absolute validation error {summary['validation_error']:.4g} "
        f"{summary['data']['dos_unit']} (epoch {summary['kept_epoch'] + 1} of "
        f"{summary['epochs']}, {summary['seconds_per_epoch']:.1f} s per epoch)"
    )
    click.echo(f"curves: {run.figure('curves')}, examples: {run.figure('examples-validation')}")
    click.echo(f"test it: csgnn-dgl evaluate {run.path}")


def _refuse_options(resume: Path | None, given: set[str]) -> None:
    if resume is not None and given:
        raise ConfigError(
            f"--resume goes on with the options that {resume} was begun with, so "
            f"{', '.join(sorted(given))} cannot be given with it"
        )


def _echo(line: str) -> None:
    click.echo(line, err=True)


train_group.add_command(train_modelnet, "modelnet")
train_group.add_command(train_dos, "dos")

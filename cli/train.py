"""``csgnn-dgl train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from csgnn_dgl._progress import shown, working, write
from csgnn_dgl.cli.options import config_options
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.config import TrainingConfig
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.targets import TARGETS

__all__ = ["train_dos", "train_group", "train_modelnet"]

_resume = click.option(
    "--resume",
    type=click.Path(path_type=Path),
    help="Resume this run, with the options that it was started with.",
)


@click.group("train")
def train_group() -> None:
    """Train a model."""


@config_options(TrainModelNetConfig)
@_resume
def train_modelnet(config: TrainModelNetConfig, given: set[str], resume: Path | None) -> None:
    """Train a classifier of shapes: ModelNet, or your own meshes and clouds.

    Afterwards the run directory holds the weights, curves, a confusion matrix of the validation
    split, and summary.json. Training does not use the test split; csgnn-dgl evaluate RUN does.
    """
    _train("classifier", config, given, resume)


@config_options(TrainDOSConfig)
@_resume
def train_dos(config: TrainDOSConfig, given: set[str], resume: Path | None) -> None:
    """Train a model of densities of states: the built-in carbon set, or your own structures.

    Afterwards the run directory holds the weights, curves, examples from the validation split, and
    summary.json. Training does not use the test split; csgnn-dgl evaluate RUN does.
    """
    _train("dos", config, given, resume)


def _train(kind: str, config: TrainingConfig, given: set[str], resume: Path | None) -> None:
    # The user's own model must be named again: a file alone never causes the import of a module.
    others = given - {"--model"}
    if resume is not None and others:
        raise ConfigError(
            f"--resume uses the options that {resume} was started with, so "
            f"{', '.join(sorted(others))} cannot be given with it; leave these options out"
        )
    target = TARGETS[kind]
    with shown(config.progress), working(""):
        from csgnn_dgl.tasks import allocator
        from csgnn_dgl.tasks.training import is_first_process

        allocator.keep_freed_memory()
        if resume is None:
            run = target.train(config, _echo)
        else:
            model: Any = config.model if "--model" in given else None
            run = target.resume(resume, _echo, model)
    if is_first_process():
        for line in target.closing_lines(run):
            click.echo(line)


def _echo(line: str) -> None:
    write(line, err=True)


train_group.add_command(train_modelnet, "modelnet")
train_group.add_command(train_dos, "dos")

"""Lightning's own loggers, made for a run directory."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import (
    CSVLogger,
    Logger,
    MLFlowLogger,
    TensorBoardLogger,
    WandbLogger,
)

from csgnn_dgl._files import atomic_write_text
from csgnn_dgl._foreign import excerpt, reading
from csgnn_dgl.errors import CheckpointError, ConfigError, MissingDependencyError
from csgnn_dgl.tasks.run_directory import RunDirectory

__all__ = ["check_loggers", "run_loggers"]

# Name of a project, or an experiment, at a service.
_PROJECT = "csgnn-dgl"
# What to do if a service cannot be used.
_ADVICE = {
    "wandb": "log in by `wandb login`, or set WANDB_MODE=offline",
    "mlflow": "set MLFLOW_TRACKING_URI to a server that answers, or unset it for a file in the run",
}


class _FromOne(Logger):
    """Counts epochs from 1, as all other outputs do."""

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        counted = dict(metrics)
        if "epoch" in counted:
            counted["epoch"] += 1
        super().log_metrics(counted, step)  # type: ignore[safe-super]


class _TensorBoard(_FromOne, TensorBoardLogger):
    pass


class _CSV(_FromOne, CSVLogger):
    pass


class _Wandb(_FromOne, WandbLogger):
    pass


class _MLFlow(_FromOne, MLFlowLogger):
    pass


def check_loggers(names: Iterable[str]) -> None:
    """Refuse a logger whose package is missing, before any work.

    Raises
    ------
    MissingDependencyError
        A package is not installed; the message names the extra that installs it.

    Examples
    --------
    >>> check_loggers(["csv", "tensorboard"])
    """
    for name in names:
        if name in _ADVICE and importlib.util.find_spec(name) is None:
            raise MissingDependencyError(
                f"--logger {name} needs {name}, which is not installed: pip install "
                f"'csgnn-dgl[{name}]'"
            )


@contextmanager
def run_loggers(
    run: RunDirectory, names: Iterable[str], options: Mapping[str, Any], *, first: bool = True
) -> Iterator[list[Logger]]:
    """Make loggers for a training, and end what they have begun at a service.

    Parameters
    ----------
    run
        The run, which a resumed training continues at the services, too. Files are written in it:
        ``tensorboard/``, ``csv/version_0/`` (a further version each time it is resumed),
        ``wandb/``, ``mlflow/``.
    names
        ``"csv"``, ``"tensorboard"``, ``"wandb"``, ``"mlflow"``.
    options
        Options of the training, which wandb and MLflow show beside the curves.
    first
        Whether this process writes; see :func:`~csgnn_dgl.tasks.training.is_first_process`.

    Raises
    ------
    ConfigError
        A service cannot be used, for instance without an account.
    MissingDependencyError
        A package is not installed.
    """
    names = list(dict.fromkeys(names))
    check_loggers(names)
    known = _read(run.loggers)
    made = {name: _made(name, run, known.get(name), options, first) for name in names}
    found = {
        name: str(identity)
        for name, logger in made.items()
        if first and (identity := _identity(logger)) is not None
    }
    if found:
        atomic_write_text(run.loggers, json.dumps({**known, **found}, indent=2) + "\n")
    try:
        yield list(made.values())
    finally:
        for logger in made.values():
            # Lightning leaves the run at wandb open, and the next training would go on with it.
            if first and isinstance(logger, WandbLogger):
                logger.experiment.finish()


def _read(path: Path) -> dict[str, Any]:
    """Identities of a run at the services."""
    if not path.exists():
        return {}
    with reading(path, CheckpointError, "remove it to begin anew at the services"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it is no mapping")
    return content


def _made(
    name: str, run: RunDirectory, identity: str | None, options: Mapping[str, Any], first: bool
) -> Logger:
    if name == "tensorboard":
        return _TensorBoard(run.path, name="", version="tensorboard")
    if name == "csv":
        return _CSV(run.path, name="csv")
    logger: Logger
    title = run.path.resolve().name
    try:
        if name == "wandb":
            logger = _Wandb(
                project=os.environ.get("WANDB_PROJECT", _PROJECT),
                name=title,
                save_dir=run.path,
                id=identity,
            )
        else:
            # A database, because MLflow 3 refuses the folders of before.
            folder = (run.path / "mlflow").resolve()
            uri = os.environ.get("MLFLOW_TRACKING_URI")
            if not uri and first:
                folder.mkdir(exist_ok=True)
            logger = _MLFlow(
                experiment_name=os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT),
                run_name=title,
                tracking_uri=uri or f"sqlite:///{(folder / 'mlflow.db').as_posix()}",
                artifact_location=None if uri else (folder / "artifacts").as_uri(),
                run_id=identity,
            )
        if first:
            _ = logger.experiment  # connects to the service
            # MLflow refuses to change an option, such as a larger number of epochs.
            if identity is None:
                logger.log_hyperparams(dict(options))
    # Services raise anything: no account, no network, a full disk.
    except Exception as error:
        raise ConfigError(
            f"{name} cannot be used ({type(error).__name__}: {excerpt(error)}); {_ADVICE[name]}, "
            f"or leave out --logger {name}"
        ) from error
    return logger


def _identity(logger: Logger) -> Any:
    if isinstance(logger, WandbLogger):
        return logger.experiment.id
    return logger.run_id if isinstance(logger, MLFlowLogger) else None

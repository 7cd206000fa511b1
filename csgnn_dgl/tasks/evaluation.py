"""What every evaluation needs: the network, the options it was trained with, and the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.tasks.config import TrainingConfig
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.shipped import find_weights
from csgnn_dgl.tasks.trained import Trained
from csgnn_dgl.tasks.use_config import EvaluateConfig

__all__ = ["Evaluated", "Found", "find_evaluated"]

AnyTrained = TypeVar("AnyTrained", bound=Trained[Any])
Config = TypeVar("Config", bound=TrainingConfig)
Data = TypeVar("Data")


@dataclass(frozen=True)
class Found(Generic[AnyTrained, Config, Data]):
    """What is evaluated, and on what.

    Parameters
    ----------
    trained
        The network.
    options
        Those of its training; of weights without a run, what their header says.
    data
        The data.
    run
        Where results are written; None for weights without a run.
    """

    trained: AnyTrained
    options: Config
    data: Data
    run: RunDirectory | None


@dataclass(frozen=True)
class Evaluated:
    """What came out, for people.

    Parameters
    ----------
    lines
        Tables and sentences.
    """

    lines: list[str]


def find_evaluated(
    weights: str | Path,
    config: EvaluateConfig,
    *,
    load: Callable[..., AnyTrained],
    trained: AnyTrained | None = None,
    options: Callable[[AnyTrained], Config],
    config_class: type[Config],
    data: Callable[[Config, Path | None], Data],
) -> Found[AnyTrained, Config, Data]:
    """Find what ``weights`` and ``config`` name.

    Parameters
    ----------
    weights
        A run, a file of weights, or a shipped model by name.
    config
        The evaluation's options.
    load, trained
        Loads the network, unless it has been loaded already.
    options, config_class
        Options of a training: from a network without a run, and their class.
    data
        Loads the data that options name, or those at another place.

    Raises
    ------
    ConfigError
        Weights without a run, and no data named.
    DataError
        The data have changed since the run was trained.
    CSGNNError
        Whatever is wrong with weights or data.
    """
    path = find_weights(weights)
    if trained is None:
        trained = load(path, choose_device(config.device), model=config.model)
    if path.is_file():
        if config.data is None:
            raise ConfigError(
                f"{weights} are weights without a run, so the data to evaluate them on must be "
                f"named: --data PATH"
            )
        chosen = options(trained)
        return Found(trained, chosen, data(chosen, config.data), None)
    run = RunDirectory.open(path)
    chosen = config_class.of_run(run.config, config.model)
    found = data(chosen, config.data)
    if config.data is None and found.fingerprint != trained.fingerprint:  # type: ignore[attr-defined]
        raise DataError(
            f"{found.source} has changed since {path} was trained on it, so what is tested may "  # type: ignore[attr-defined]
            f"have been trained on; restore it, or name the data to use with --data"
        )
    return Found(trained, chosen, found, run)

"""Find what every evaluation needs: the network, the options of its training, and the data."""

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
from csgnn_dgl.tasks.use_config import (
    DescribeConfig,
    DescribeShapesConfig,
    EvaluateConfig,
    PredictConfig,
    VoteSet,
)
from csgnn_dgl.tasks.votes import has_design

__all__ = [
    "Found",
    "check_held_out",
    "chosen_set",
    "find_evaluated",
    "refuse_idle_votes",
    "votes_text",
]

AnyTrained = TypeVar("AnyTrained", bound=Trained[Any])
Config = TypeVar("Config", bound=TrainingConfig)
Data = TypeVar("Data")


@dataclass(frozen=True)
class Found(Generic[AnyTrained, Config, Data]):
    """A network to evaluate, and the data to evaluate it on.

    Parameters
    ----------
    trained
        The network.
    options
        Options of its training. For weights without a run, they come from the header.
    data
        The data.
    run
        Run directory for the results; None for weights without a run.
    """

    trained: AnyTrained
    options: Config
    data: Data
    run: RunDirectory | None


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
    """Find the network and the data that ``weights`` and ``config`` name.

    Parameters
    ----------
    weights
        A run, a file of weights, or a shipped model by name.
    config
        The evaluation's options.
    load, trained
        A function that loads the network; or the network, if it has been loaded already.
    options, config_class
        A function that makes the options of a training for a network without a run; and the class
        of these options.
    data
        Loads the data that the options name, or the data at another path.

    Raises
    ------
    ConfigError
        The weights belong to no run, and no data are named.
    DataError
        The data have changed since the run was trained.
    CSGNNError
        The weights, the data, or the summary of the run cannot be used.
    """
    path = find_weights(weights)
    if trained is None:
        trained = load(path, choose_device(config.device), model=config.model)
    if path.is_file():
        if config.data is None:
            raise ConfigError(
                f"{weights} holds weights without a run, so it is not known what data to evaluate "
                f"them on; name the data with --data PATH"
            )
        chosen = options(trained)
        return Found(trained, chosen, data(chosen, config.data), None)
    run = RunDirectory.open(path)
    # The result will be written there: a damaged file is found out before the work, not after it.
    run.read_summary()
    chosen = config_class.from_yaml(run.config, config.model)
    found = data(chosen, config.data)
    if config.data is None and not trained.was_trained_on(found):
        raise DataError(
            f"{found.source} has changed since {path} was trained on it, so the test split may "  # type: ignore[attr-defined]
            f"hold training data; restore it, or name the data to use with --data"
        )
    return Found(trained, chosen, found, run)


def check_held_out(found: Found[Any, Any, Any]) -> None:
    """Check that the validation split of the data is what the training held out.

    Raises
    ------
    ConfigError
        The data are others than those of the training, or the weights do not tell what it held out.
    """
    if not found.trained.was_trained_on(found.data):
        raise ConfigError(
            f"{found.data.source} are not the data that {found.trained.path} was trained on, so "
            f"nothing of them was held out for validation; leave out --split, or leave out --data"
        )
    if found.run is None and "validation_fraction" not in found.trained.header.data:
        raise ConfigError(
            f"{found.trained.path} does not tell which part of its data was held out for "
            f"validation; give the run that it comes from, or leave out --split"
        )


def refuse_idle_votes(config: EvaluateConfig | PredictConfig | DescribeConfig) -> None:
    """Refuse a seed or a set of votes for atoms where only the given orientation is used.

    Raises
    ------
    ConfigError
        One of them was given with one vote.
    """
    if config.votes == 1:
        config.refuse_unused(("seed", "vote_set"), "with one vote, structures are taken as given")


def chosen_set(config: EvaluateConfig | PredictConfig | DescribeShapesConfig) -> VoteSet | None:
    """The set of votes that a use of a model takes; None for one vote, which is no set.

    Raises
    ------
    ConfigError
        A set was given where it means nothing.

    Examples
    --------
    >>> chosen_set(EvaluateConfig(votes=5)), chosen_set(EvaluateConfig())
    ('designed', None)
    """
    if config.votes == 1:
        config.refuse_unused(("vote_set",), "one vote is no set of votes")
        return None
    rotation = config.rotation if isinstance(config, EvaluateConfig) else "so3"
    if not has_design(rotation):
        reason = f"with --rotation {rotation}, rotations are always independent"
        config.refuse_unused(("vote_set",), reason)
        return "random"
    return config.vote_set


def votes_text(votes: int, vote_set: str | None) -> str:
    """Say how many votes there are, and of what set.

    Examples
    --------
    >>> votes_text(1, None), votes_text(5, "designed")
    ('1 vote', '5 designed votes')
    """
    return "1 vote" if votes == 1 else f"{votes} {vote_set} votes"

"""The steps from options to a finished run; a target implements what is specific to it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import torch
from torch import nn
from torch.utils.data import Dataset

from csgnn_dgl._foreign import excerpt
from csgnn_dgl._progress import shown, working
from csgnn_dgl.errors import ConfigError, CSGNNError
from csgnn_dgl.models.registry import find_class, is_users_own
from csgnn_dgl.tasks.callbacks import KeepWeights
from csgnn_dgl.tasks.config import TrainingConfig
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.tasks.domain import FEWEST_HELD_OUT
from csgnn_dgl.tasks.files import is_out_of_memory
from csgnn_dgl.tasks.history import History
from csgnn_dgl.tasks.learned import Learned, save_learned
from csgnn_dgl.tasks.loaders import batch_loader
from csgnn_dgl.tasks.loggers import check_loggers
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.seeds import derive_seed
from csgnn_dgl.tasks.switched_off import switched_off_warning
from csgnn_dgl.tasks.trained import Trained
from csgnn_dgl.tasks.training import (
    Echo,
    fit,
    is_first_process,
    new_run,
    require_free,
    seed_weights,
    silent,
)
from csgnn_dgl.tasks.training_task import TrainingTask
from csgnn_dgl.tasks.weights import Header

__all__ = ["Split", "TrainingJob", "resume_job", "train_job"]

Config = TypeVar("Config", bound=TrainingConfig)
Data = TypeVar("Data")


class Split(NamedTuple):
    """Samples of a split, the same samples as batches, and optionally the group of each.

    With groups, every training batch holds all groups in proportion to their sizes.
    """

    samples: Any
    batches: Dataset[Any]
    groups: Sequence[str] | None = None


class TrainingJob(ABC, Generic[Config, Data]):
    """One training. A target implements its data, network, task and report.

    Parameters
    ----------
    config
        All options.
    model
        The class of the model.
    """

    #: Name in ``csgnn-dgl train <command>``, and description of the data used without ``--data``.
    command: ClassVar[str]
    built_in: ClassVar[str]

    def __init__(self, config: Config, model: Any) -> None:
        self.config, self.model = config, model

    def load(self) -> None:
        """Read the data and split off the validation samples."""
        with working("reading data"):
            self.data = self.load_data()
        self.training, self.validation = self.data.split_validation(  # type: ignore[attr-defined]
            self.config.validation_fraction, self.config.seed
        )

    @abstractmethod
    def load_data(self) -> Data:
        """The data that the options name."""

    @abstractmethod
    def build(self) -> nn.Module:
        """The untrained network: a model with its head."""

    @abstractmethod
    def header(self, network: Any) -> Header:
        """The header of the weights."""

    @abstractmethod
    def splits(self, network: Any) -> tuple[Split, Split]:
        """The training and the validation split."""

    @abstractmethod
    def task(self, network: Any) -> TrainingTask[Any, Any]:
        """The network with its loss and metrics."""

    @abstractmethod
    def opening(self) -> list[str]:
        """Warnings, and as the last line a description of the training data."""

    @abstractmethod
    def load_trained(self, run: RunDirectory) -> Trained[Any]:
        """Load the saved network."""

    @abstractmethod
    def report(
        self, run: RunDirectory, trained: Any, history: History, keep: KeepWeights
    ) -> dict[str, Any]:
        """Draw plots with the saved weights; returns this target's entries of the summary."""

    @abstractmethod
    def learn(self, trained: Any) -> Learned:
        """Learn from the validation samples what the saved network knows, and how wrong it is."""

    def initialise(self, network: Any) -> None:
        """Give the untrained network other weights to start from; by default it keeps its own."""

    def finish(self, run: RunDirectory, splits: tuple[Split, Split], echo: Echo) -> dict[str, Any]:
        """Change the saved weights after the last epoch; by default they stay as they are.

        It is called again where a finished run is resumed. It returns entries of the summary, which
        go before those of :meth:`report`.
        """
        return {}

    def check_memory(self) -> None:
        """Refuse a training that does not fit in memory, before data are read."""

    def run(self, run: RunDirectory, echo: Echo) -> None:
        """Train in ``run``, from the beginning or from its last checkpoint."""
        config = self.config
        seed_weights(config.seed)
        network = self._built()
        if not run.last_checkpoint.exists():
            self.initialise(network)
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise ConfigError(
                f"the model {config.model} has no parameters that require gradients, so there is "
                f"nothing to train"
            )
        header, splits, task = self.header(network), self.splits(network), self.task(network)
        if is_first_process():
            *warnings, last = self.opening()
            for warning in warnings:
                echo(f"warning: {warning}")
            count = sum(parameter.numel() for parameter in network.parameters())
            echo(f"{run.path}: {last}, {count:,} parameters")

        def make_loaders(rank: int, world_size: int) -> tuple[Any, Any]:
            training, validation = (
                batch_loader(
                    split.batches,
                    config.batch_size,
                    seed=derive_seed(config.seed, "order") % 2**32,
                    shuffle=split is splits[0],
                    groups=split.groups,
                    rank=rank,
                    world_size=world_size,
                )
                for split in splits
            )
            return training, validation

        done = fit(run, task, header, make_loaders, command=self.command, echo=echo)
        if done is not None:
            self._summarise(run, header, splits, *done, echo)

    def _learn(self, run: RunDirectory, trained: Any, echo: Echo) -> dict[str, Any]:
        """Put what is learned from the data into the weights; returns entries of the summary."""
        started = time.perf_counter()
        if self.config.accelerator in ("auto", "gpu", "cuda"):
            trained.model.to(choose_device("auto"))
        learned = self.learn(trained)
        trained.model.to("cpu")
        save_learned(run.model, trained.header.kind, learned)
        if learned.domain is None:
            few = len(self.validation) < FEWEST_HELD_OUT
            why = (
                f"{len(self.validation)} held-out samples are too few to learn what the model "
                f"knows, and at least {FEWEST_HELD_OUT} are needed"
                if few
                else "what the model knows cannot be learned, since the samples are all alike or "
                f"fewer than {FEWEST_HELD_OUT} were trained on"
            )
            echo(f"warning: {why}; its predictions have no scores and no uncertainties")
        facts = {} if learned.domain is None else dict(learned.domain.facts)
        return {**facts, "seconds": round(time.perf_counter() - started, 2)}

    def _built(self) -> nn.Module:
        try:
            return self.build()
        except (ValueError, RuntimeError, OverflowError) as error:
            own = is_users_own(str(self.config.model))
            if own or isinstance(error, CSGNNError) or is_out_of_memory(error):
                raise
            # Options that are each allowed, but not together, such as products beyond 64 bits.
            raise ConfigError(
                f"the model {self.config.model} cannot be made with these options: {excerpt(error)}"
            ) from error

    def _summarise(
        self,
        run: RunDirectory,
        header: Header,
        splits: tuple[Split, Split],
        history: History,
        keep: KeepWeights,
        echo: Echo,
    ) -> None:
        finished = self.finish(run, splits, echo)
        trained = self.load_trained(run)
        domain = self._learn(run, trained, echo)
        for line in switched_off_warning(trained.model.model, self.config.weight_decay):
            echo(f"warning: {line}")
        own = self.report(run, trained, history, keep)
        seconds = history.table["seconds"]
        data = {key: header.data[key] for key in ("name", "source", "fingerprint")}
        run.write_summary(
            {
                **run.read_summary(),
                "command": f"train {self.command}",
                "model": self.config.model,
                **own,
                **finished,
                "data": {**data, **own["data"]},
                "domain": domain,
                "seed": self.config.seed,
                "parameters": sum(p.numel() for p in trained.model.parameters()),
                "epochs": len(history.rows),
                "kept_epoch": keep.epoch,
                "seconds_per_epoch": float(seconds.median()),
                "seconds_of_training": float(seconds.sum()),
                "processor_seconds_of_training": history.processor_seconds,
                "threads": torch.get_num_threads(),
                "versions": dict(trained.header.versions),
            }
        )


def train_job(
    job: type[TrainingJob[Config, Any]], config: Config, echo: Echo = silent
) -> RunDirectory:
    """Train in a new run directory.

    Parameters
    ----------
    job
        Class of the training.
    config
        All options.
    echo
        Called with lines of text: the path of the run, and one line per epoch.

    Raises
    ------
    CSGNNError
        The data, the options or the output path cannot be used. Nothing was overwritten.
    """
    check_loggers(config.logger)
    with shown(config.progress and is_first_process()):
        begun = job(config, find_class(config.domain, config.model))
        begun.check_memory()
        require_free(config)
        if config.data is None and is_first_process():
            echo(f"no --data given: training on {job.built_in}")
        begun.load()
        with new_run(config, job.command) as run:
            begun.run(run, echo)
        return run


def resume_job(
    job: type[TrainingJob[Config, Any]],
    config_class: type[Config],
    path: Path,
    echo: Echo = silent,
    model: Any = None,
) -> RunDirectory:
    """Resume the run at ``path`` after its last complete epoch.

    On a CPU with the same number of threads, the final weights are the same, bit for bit, as those
    of an uninterrupted run.

    Parameters
    ----------
    job, config_class
        Class of the training, and the class of its options.
    path
        The run.
    echo
        As for :func:`train_job`.
    model
        The model, if it is one of the user's own: ``module:Class``, or the class.

    Raises
    ------
    CheckpointError
        There is no run, or it is damaged, or the data have changed since it started.
    """
    run = RunDirectory.open(path)
    # What is learned will be written there: a damaged file is found out before the work.
    run.read_summary()
    config = config_class.from_yaml(run.config, model)
    check_loggers(config.logger)
    with shown(config.progress and is_first_process()):
        found = find_class(config.domain, model if isinstance(model, type) else config.model)
        begun = job(config, found)
        begun.load()
        begun.run(run, echo)
        return run

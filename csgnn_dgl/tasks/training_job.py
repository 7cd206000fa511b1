"""From options to a finished run, whatever is learned; a target fills in what is its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import torch
from torch import nn
from torch.utils.data import Dataset

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.models.registry import find_class
from csgnn_dgl.tasks.callbacks import KeepWeights
from csgnn_dgl.tasks.config import TrainingConfig
from csgnn_dgl.tasks.history import History
from csgnn_dgl.tasks.loaders import batch_loader
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.seeds import derive_seed
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

__all__ = ["Split", "TrainingJob"]

Config = TypeVar("Config", bound=TrainingConfig)
Data = TypeVar("Data")


class Split(NamedTuple):
    """Samples, as the data set has them and by batches, with the group of each.

    Without groups every sample is as good as any other to make up a batch.
    """

    samples: Any
    batches: Dataset[Any]
    groups: Sequence[str] | None = None


class TrainingJob(ABC, Generic[Config, Data]):
    """How a target is trained: data, network, task and report are its own, the rest is the same.

    A subclass is used by one instance without state of its own.
    """

    #: As in ``csgnn-dgl train <command>``.
    command: ClassVar[str]
    #: Said when no data are given.
    built_in: ClassVar[str]
    config_class: type[Config]

    @abstractmethod
    def load_data(self, config: Config) -> Data:
        """Read the data that ``config`` names."""

    @abstractmethod
    def build(self, model: Any, config: Config, data: Data) -> nn.Module:
        """The untrained network: the model's class with its head."""

    @abstractmethod
    def header(self, config: Config, data: Data, network: Any) -> Header:
        """What must be known to use the network."""

    @abstractmethod
    def splits(self, config: Config, data: Data, network: Any) -> tuple[Split, Split]:
        """Samples to train on, and to validate on."""

    @abstractmethod
    def task(
        self, config: Config, data: Data, network: Any, splits: tuple[Split, Split]
    ) -> TrainingTask[Any, Any]:
        """The network with its loss and figures."""

    @abstractmethod
    def opening(self, config: Config, data: Data, splits: tuple[Split, Split]) -> list[str]:
        """Warnings, and in the last line what is trained on."""

    @abstractmethod
    def load_trained(self, run: RunDirectory, model: Any) -> Trained[Any]:
        """The network as saved."""

    @abstractmethod
    def report(
        self,
        run: RunDirectory,
        config: Config,
        data: Data,
        splits: tuple[Split, Split],
        trained: Any,
        history: History,
        keep: KeepWeights,
    ) -> dict[str, Any]:
        """Draw plots from the weights as saved; gives what the summary holds of this target."""

    def before_data(self, config: Config, model: Any) -> None:
        """Refuse what cannot be trained, before data are read."""

    def train(self, config: Config, echo: Echo = silent) -> RunDirectory:
        """Train in a new run directory; see the module's ``train``."""
        model = find_class(config.domain, config.model)
        self.before_data(config, model)
        require_free(config)
        if config.data is None and is_first_process():
            echo(f"no --data given: training on {self.built_in}")
        data = self.load_data(config)
        with new_run(config, self.command) as run:
            self._fit(run, config, data, model, echo)
        return run

    def resume(self, path: Path, echo: Echo = silent, *, model: Any = None) -> RunDirectory:
        """Go on with a run; see the module's ``resume``."""
        run = RunDirectory.open(path)
        config = self.config_class.from_yaml(run.config, model)
        found = find_class(config.domain, config.model if not isinstance(model, type) else model)
        self._fit(run, config, self.load_data(config), found, echo)
        return run

    def _fit(self, run: RunDirectory, config: Config, data: Data, model: Any, echo: Echo) -> None:
        seed_weights(config.seed)
        network = self.build(model, config, data)
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise ConfigError(f"the model {config.model} has nothing to train")
        header = self.header(config, data, network)
        splits = self.splits(config, data, network)
        task = self.task(config, data, network, splits)
        if is_first_process():
            *warnings, last = self.opening(config, data, splits)
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
        if done is None:
            return
        history, keep = done
        trained = self.load_trained(run, model)
        own = self.report(run, config, data, splits, trained, history, keep)
        seconds = history.table["seconds"]
        run.write_summary(
            {
                **run.read_summary(),
                "command": f"train {self.command}",
                "model": config.model,
                "data": {
                    **{key: header.data[key] for key in ("name", "source", "fingerprint")},
                    **own.pop("data"),
                },
                **own,
                "seed": config.seed,
                "parameters": sum(p.numel() for p in trained.model.parameters()),
                "epochs": len(history.rows),
                "kept_epoch": keep.epoch,
                "seconds_per_epoch": float(seconds.median()),
                "seconds_of_training": float(seconds.sum()),
                "threads": torch.get_num_threads(),
                "versions": dict(trained.header.versions),
            }
        )

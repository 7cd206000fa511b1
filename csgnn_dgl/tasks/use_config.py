"""Options for using a trained model. Does not import torch, so that commands start fast."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from typing_extensions import Self

from csgnn_dgl.config import CommandConfig, option
from csgnn_dgl.datasets.isolation import MANY
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.models.registry import is_users_own
from csgnn_dgl.tasks.config import model_option

__all__ = [
    "DescribeConfig",
    "DescribeShapesConfig",
    "EvaluateConfig",
    "OccupancyChoice",
    "Pool",
    "PredictConfig",
    "Rotation",
    "Split",
    "VoteSet",
]

OccupancyChoice = Literal["refuse", "majority", "full"]
Rotation = Literal["none", "z", "so3", "euler"]
Split = Literal["test", "validation"]
VoteSet = Literal["designed", "random"]
Pool = Literal["mean", "sum", "per-element"]


class _UseConfig(CommandConfig):
    """Options that every use of a model has."""

    model: str | None = model_option()
    device: str = option("auto", "auto, cpu, cuda, cuda:1, …", "Run")
    progress: bool = option(True, "Show a progress bar.", "Run")

    @classmethod
    def resolve(
        cls,
        *,
        preset: str | None = None,
        yaml_path: Path | None = None,
        flags: Mapping[str, Any] | None = None,
    ) -> Self:
        """As :meth:`CommandConfig.resolve`; a file alone makes no module be imported."""
        config = super().resolve(preset=preset, yaml_path=yaml_path, flags=flags)
        place = config._origin.get("model", "")
        if config.model is not None and is_users_own(config.model) and place == str(yaml_path):
            raise ConfigError(
                f"{place} names the model {config.model}. A module is imported only if you name "
                f"it: give --model {config.model}"
            )
        return config


def _seed_option() -> Any:
    return option(0, "Random seed for rotations and surface samples.", "Protocol", ge=0, lt=2**32)


def _votes_option(text: str) -> Any:
    return option(1, text, "Protocol", ge=1, le=10_000)


def _vote_set_option() -> Any:
    return option(
        "designed",
        "Votes of a set that averages best over orientations, turned at random as a whole, or "
        "independent random ones.",
        "Protocol",
    )


def _occupancy_option(group: str) -> Any:
    return option(
        "refuse",
        "Sites that are not fully occupied: refuse the file, keep the likelier species, or treat "
        "all sites as full.",
        group,
    )


def isolate_option() -> Any:
    """The option whether files are read in worker processes."""
    return option(
        None,
        "Read files in worker processes, so that no file can end or halt the command. Default: "
        f"from {MANY} files on.",
        "Run",
    )


def _batch_size_option(group: str) -> Any:
    return option(64, "Clouds per step.", group, ge=1)


def _weights_option(default: str) -> Any:
    return option(
        default, "A shipped model (csgnn-dgl models), a run, or a .safetensors file.", "Model"
    )


def _strict_option(group: str) -> Any:
    return option(False, "Stop at the first file that cannot be used.", group)


class EvaluateConfig(_UseConfig):
    """Options of ``csgnn-dgl evaluate``."""

    votes: int = _votes_option("Orientations to average over.")
    vote_set: VoteSet = _vote_set_option()
    seed: int = _seed_option()
    data: Path | None = option(
        None, "Path of the data. Default: the path at which the run was trained on them.", "Data"
    )
    split: Split | None = option(
        None,
        "What to evaluate on: test, or what the training held out for validation, on which "
        "settings are chosen. Default: test, where there are such data.",
        "Data",
    )
    rotation: Rotation = option("so3", "Rotations of the test shapes.", "Classes of shapes")
    batch_size: int = _batch_size_option("Classes of shapes")
    retrieval: bool = option(
        False,
        "Rank the other shapes by the similarity of their embeddings instead of classifying; the "
        "data may have any classes.",
        "Classes of shapes",
    )
    isolate: bool | None = isolate_option()


class PredictConfig(_UseConfig):
    """Options of ``csgnn-dgl predict``."""

    votes: int = _votes_option(
        "Orientations to average over. With one, shapes and structures are taken as given."
    )
    vote_set: VoteSet = _vote_set_option()
    seed: int = _seed_option()
    strict: bool = _strict_option("Run")
    isolate: bool | None = isolate_option()
    top: int = option(1, "Classes to list per file.", "Classes of shapes", ge=1)
    electrons: float | None = option(
        None,
        "Electrons per atom that fill the states. Default: from the training data, else from the "
        "structure file.",
        "Densities of states",
        gt=0,
    )
    occupancy: OccupancyChoice = _occupancy_option("Densities of states")
    output: Path | None = option(
        None,
        "Write all results to this file: probabilities of all classes to .npz, .csv or .parquet, "
        "curves to .npz or .csv.",
        "Run",
        short="-o",
    )
    plot: Path | None = option(
        None,
        "Draw all curves into this .png, .pdf or .svg, or into this folder, one picture per "
        "structure.",
        "Densities of states",
    )
    plot_format: Literal["png", "pdf", "svg"] = option(
        "png", "Format of the pictures in a folder.", "Densities of states"
    )


class DescribeConfig(_UseConfig):
    """Options of ``csgnn-dgl describe-atoms``."""

    weights: str = _weights_option("phonon-dos")
    votes: int = _votes_option(
        "Orientations to average descriptors over. With one, structures are taken as given."
    )
    vote_set: VoteSet = _vote_set_option()
    seed: int = _seed_option()
    occupancy: OccupancyChoice = _occupancy_option("Structures")
    strict: bool = _strict_option("Structures")
    isolate: bool | None = isolate_option()
    pool: Pool | None = option(
        None,
        "Describe structures instead of atoms: the mean or the sum over the atoms, or the means "
        "over the atoms of each element, one after another.",
        "Output",
    )
    output: Path | None = option(
        None,
        "Write descriptors to this .npz, .csv, .extxyz or .parquet, or as a map for chemiscope to "
        "this .json or .json.gz.",
        "Output",
        short="-o",
    )


class DescribeShapesConfig(_UseConfig):
    """Options of ``csgnn-dgl describe-shapes``."""

    weights: str = _weights_option("shapes")
    votes: int = _votes_option(
        "Orientations to average embeddings over. With one, shapes are taken as given."
    )
    vote_set: VoteSet = _vote_set_option()
    seed: int = _seed_option()
    batch_size: int = _batch_size_option("Run")
    strict: bool = _strict_option("Run")
    isolate: bool | None = isolate_option()
    nearest: int | None = option(
        None, "List this many of the most similar files beside each file.", "Output", ge=1
    )
    output: Path | None = option(
        None, "Write embeddings to this .npz, .csv or .parquet.", "Output", short="-o"
    )

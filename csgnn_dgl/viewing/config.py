"""Options of ``view`` and ``report``. Does not import torch, so that commands start fast."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from csgnn_dgl.config import CommandConfig, option
from csgnn_dgl.tasks.use_config import EvaluateConfig, OccupancyChoice, PredictConfig

__all__ = ["ReportConfig", "ViewConfig"]

_SPHERES = "Spheres without a model"


class ViewConfig(CommandConfig):
    """Options of ``csgnn-dgl view``."""

    model: Path | None = option(
        None, "A run, a .safetensors file, or a shipped model (csgnn-dgl models).", "Model"
    )
    own_model: str | None = option(
        None,
        "Your own model that the weights belong to: module:Class. A module of yours is imported "
        "only if you name it.",
        "Model",
    )
    votes: int = option(
        1,
        "Orientations to average over: the first as given, the others random.",
        "Model",
        ge=1,
        le=10_000,
    )
    electrons: float | None = option(
        None,
        "Electrons per atom that fill the states. Default: from the training data, else from the "
        "structure file.",
        "Atoms",
        gt=0,
    )
    occupancy: OccupancyChoice = option(
        "refuse",
        "Sites that are not fully occupied: refuse the file, keep the likelier species, or treat "
        "all sites as full.",
        "Atoms",
    )
    frame: int = option(0, "Which structure of the file, counted from 0.", "Atoms", ge=0)
    cutoff: float = option(6.0, "Radius of the surroundings of an atom [Å].", _SPHERES, gt=0, le=50)
    level: int | None = option(
        None, "Icosahedral level. Default: 3 for shapes, 1 for atoms.", _SPHERES, ge=0, le=6
    )
    n_spheres: int | None = option(
        None, "Spheres. Default: 8 for shapes, 16 for atoms.", _SPHERES, ge=1, le=256
    )
    points: int = option(1024, "Points of a shape.", _SPHERES, ge=1, le=100_000)
    kind: Literal["shapes", "atoms"] | None = option(
        None, "Content of the file, if it is not recognised correctly.", _SPHERES
    )
    seed: int = option(0, "Random seed for rotations and surface samples.", "Run", ge=0, lt=2**32)
    device: str = option("auto", "auto, cpu, cuda, cuda:1, …", "Run")
    progress: bool = option(True, "Show a progress bar.", "Run")
    output: Path | None = option(
        None, "Page to write (.html). Default: the file's name with .html.", "Run", short="-o"
    )
    limit: float = option(
        6.0,
        "Largest size of the page [MB]. What exceeds it is left out, and the page says so.",
        "Run",
        gt=0,
        le=500,
    )

    def predicting(self, names: tuple[str, ...]) -> PredictConfig:
        """The options of ``predict`` that mean the same, for the same result."""
        chosen: dict[str, Any] = {
            name: getattr(self, name) for name in names if name in self.model_fields_set
        }
        chosen["device"] = self.device
        if self.own_model is not None:
            chosen["model"] = self.own_model
        return PredictConfig.resolve(flags={**chosen, "progress": False, "strict": True})


class ReportConfig(EvaluateConfig):
    """Options of ``csgnn-dgl report``: those of ``evaluate``, and some of the page."""

    worst: int = option(12, "Worst examples to show.", "Page", ge=0, le=200)
    output: Path | None = option(
        None, "Page to write (.html). Default: report.html in the run.", "Page", short="-o"
    )

    def evaluating(self) -> EvaluateConfig:
        """The options of ``evaluate``, for the same result."""
        names = self.model_fields_set & EvaluateConfig.model_fields.keys()
        return EvaluateConfig.resolve(flags={name: getattr(self, name) for name in names})

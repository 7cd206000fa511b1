"""What can be chosen for predictions by any kind of model. Free of torch: it starts fast."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from csgnn_dgl.tasks.config import option
from csgnn_dgl.tasks.dos.describe_config import OccupancyChoice
from csgnn_dgl.tasks.shapes.config import PredictConfig

__all__ = ["PredictFilesConfig"]


class PredictFilesConfig(PredictConfig):
    """Everything that ``csgnn-dgl predict`` can be told besides the run and the files."""

    #: Options that mean something to one kind of model only.
    only: ClassVar[dict[str, tuple[str, ...]]] = {
        "classifier": ("top",),
        "dos": ("electrons", "occupancy", "strict", "output", "plot", "progress"),
    }

    electrons: float | None = option(
        None,
        "Electrons per atom that fill the states. Default: what the training data say.",
        "Densities of states",
        gt=0,
    )
    occupancy: OccupancyChoice = option(
        "refuse",
        "Sites that are not fully occupied: refuse the file, keep the likelier species, or take "
        "all as full.",
        "Densities of states",
    )
    strict: bool = option(
        False, "Stop at the first file that cannot be used.", "Densities of states"
    )
    output: Path | None = Field(
        default=None,
        description="Write the curves to this .npz or .csv.",
        json_schema_extra={"group": "Densities of states", "short": "-o"},
    )
    plot: Path | None = option(
        None, "Draw the curves: a .png, or a folder for one per structure.", "Densities of states"
    )
    progress: bool = option(True, "Show a progress bar.", "Densities of states")

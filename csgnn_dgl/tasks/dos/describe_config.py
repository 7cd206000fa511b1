"""What can be chosen for describing atoms. Free of torch: it starts fast."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from csgnn_dgl.config import CommandConfig
from csgnn_dgl.tasks.config import option

__all__ = ["DescribeConfig", "OccupancyChoice"]

OccupancyChoice = Literal["refuse", "majority", "full"]


class DescribeConfig(CommandConfig):
    """Everything that ``csgnn-dgl describe-atoms`` can be told besides the files."""

    weights: str = option(
        "phonon-dos", "A shipped model (csgnn-dgl models), a run, or a .safetensors file.", "Model"
    )
    device: str = option("auto", "auto, cpu, cuda, cuda:1, …", "Model")
    occupancy: OccupancyChoice = option(
        "refuse",
        "Sites that are not fully occupied: refuse the file, keep the likelier species, or take "
        "all as full.",
        "Structures",
    )
    strict: bool = option(False, "Stop at the first file that cannot be used.", "Structures")
    output: Path | None = Field(
        default=None,
        description="Write descriptors to this .npz, .csv, .extxyz or .parquet.",
        json_schema_extra={"group": "Output", "short": "-o"},
    )
    progress: bool = option(True, "Show a progress bar.", "Output")

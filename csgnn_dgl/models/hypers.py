"""Options of models (hypers). Does not import torch, so that commands start fast.

The options of a model are a class beside its network. Those of CSGNN are in this module, because
they are flags of ``csgnn-dgl train``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import model_validator
from typing_extensions import Self

from csgnn_dgl.config import Options, Preset, option
from csgnn_dgl.errors import ConfigError

__all__ = ["CSGNNHypers", "GlobalPooling", "Hypers", "Pooling", "Readout", "ShapeCSGNNHypers"]

# The names of csgnn_dgl.mapping.NEIGHBOR_FEATURES, which imports torch.
_FROM_NEIGHBORS = ("cosine", "linearity", "planarity", "scattering", "density")

Pooling = Literal["max", "mean", "sum"]
GlobalPooling = Literal["max", "mean", "sum", "mean-at-coarsest", "sum-at-coarsest"]
Readout = Literal["pool", "max-mean", "power"]
Widths = tuple[tuple[int, ...], ...]


class Hypers(Options):
    """Base of the options of a model, which are saved in the header of its weights.

    A subclass lists its options as fields with a type and a default. It may have ``presets``, which
    set options of the model and of the training. If a target has a recipe of the same name, the
    recipe sets further options of the training.

    Examples
    --------
    >>> class HexHypers(Hypers):
    ...     width: int = option(32, "Channels.", ge=1)
    >>> HexHypers(width=64).model_dump()
    {'width': 64}
    """

    presets: ClassVar[Mapping[str, Preset]] = {}


class CSGNNHypers(Hypers):
    """Options that CSGNN has for shapes and for atoms alike."""

    level: int = option(4, "Icosahedral level L of the finest spheres.", "Network", ge=0, le=50)
    n_spheres: int = option(
        16, "Spheres of the grid, along which radial convolutions run, R.", "Network", ge=1
    )
    channels: int = option(
        8, "Neighbouring spheres that form the channels of one sphere, C.", "Network", ge=1
    )
    base_width: int = option(
        32, "Channels after the first convolution; they double at each level.", "Network", ge=1
    )
    kernel_size: int = option(3, "Kernel size K of the radial convolutions, odd.", "Network", ge=1)
    pooling: Pooling = option("max", "Pooling between levels.", "Network")
    filter_order: int = option(
        0,
        "Filters within a sphere: 0 gives a vertex and its neighbours one weight, as in the paper; "
        "1 gives each a weight of its own, and 2 also the neighbours' neighbours.",
        "Network",
        ge=0,
        le=2,
    )
    gradients: bool = option(
        False,
        "Let every filter see the length of the features' gradient along the sphere.",
        "Network",
    )
    readout: list[Readout] = option(
        ["pool"],
        "Features of all sites together: pool (a maximum or another pooling), max-mean, power "
        "(power spectra of the two coarsest levels), or several, separated by commas. For shapes, "
        "each gets a head of its own, and their scores are averaged.",
        "Network",
    )
    members: int = option(
        1,
        "Networks side by side, each with heads and losses of its own. Their predictions are "
        "averaged, and their features joined.",
        "Network",
        ge=1,
        le=64,
    )

    def _default(self, name: str) -> Any:
        return type(self).model_fields[name].default

    @model_validator(mode="after")
    def _odd_kernel(self) -> Self:
        if self.kernel_size % 2 == 0:
            raise ConfigError(f"kernel_size is {self.kernel_size}, but it must be odd: 1, 3, 5, …")
        return self

    @model_validator(mode="after")
    def _different_readouts(self) -> Self:
        if not self.readout or len(set(self.readout)) < len(self.readout):
            raise ConfigError(
                f"readout is {self.readout}, but it must be one or several different readouts"
            )
        return self


class ShapeCSGNNHypers(CSGNNHypers):
    """Options of :class:`~csgnn_dgl.models.ShapeCSGNN`; the defaults are the paper's (Fig. 4).

    Examples
    --------
    >>> ShapeCSGNNHypers().n_spheres, ShapeCSGNNHypers.presets["so3"].values["n_spheres"]
    (16, 20)
    """

    presets: ClassVar[Mapping[str, Preset]] = {
        "quick": Preset(
            "a small network and few epochs: a first result in minutes on two cores",
            {
                "level": 2,
                "n_spheres": 6,
                "channels": 4,
                "base_width": 16,
                "filter_order": 1,
                "hidden": [256, 128],
            },
        ),
        "compact": Preset(
            "under 1 M parameters at level 3, for training on a CPU",
            {"level": 3, "n_spheres": 8, "channels": 4, "base_width": 16, "filter_order": 1},
        ),
        "embedding": Preset(
            "the network and training of the shipped weights shapes-small, for --data kinds",
            {
                "level": 2,
                "n_spheres": 8,
                "base_width": 24,
                "channels": 4,
                "filter_order": 1,
                "readout": ["max-mean"],
            },
        ),
        "z": Preset(
            "the paper's network and training for rotations about the up axis",
            {
                "n_spheres": 15,
                "train_rotation": "z",
                "learning_rate": 3.9e-4,
                "dropout": 0.19,
                "weight_decay": 3.2e-7,
            },
        ),
        "so3": Preset(
            "the paper's network and training for arbitrary rotations",
            {
                "n_spheres": 20,
                "train_rotation": "so3",
                "learning_rate": 2.2e-4,
                "dropout": 0.14,
                "weight_decay": 2.7e-7,
            },
        ),
        "best": Preset(
            "the paper's size with filters that tell a vertex from its ring, and the training of "
            "compact: needs a GPU",
            {"n_spheres": 20, "filter_order": 1},
        ),
        "released": Preset(
            "the network and training of the paper's released code, for arbitrary rotations",
            {
                "n_spheres": 20,
                "neighbourhood": "nearest",
                "bandwidth_face": "first",
                "train_rotation": "euler",
                "resample": False,
                "epochs": 50,
                "learning_rate": 2.2e-4,
                "dropout": 0.14,
                "weight_decay": 2.7e-7,
            },
        ),
    }

    global_pooling: GlobalPooling = option(
        "max",
        "Pooling of all sites of a level; …-at-coarsest takes the maximum at all other levels.",
        "Network",
    )
    self_loop: bool = option(True, "Treat a vertex as its own neighbour.", "Network")
    residual: bool = option(True, "Add the input of an intra block to its output.", "Network")
    concatenate: bool = option(
        True, "Classify from the features of all levels, not only of the coarsest.", "Network"
    )
    center: Literal["origin", "ball"] = option(
        "origin",
        "Centre of the spheres: the origin of a cloud, which readers of files put at the mean of "
        "its points; or the centre of the smallest ball around it.",
        "Network",
    )
    neighbourhood: Literal["face", "nearest"] = option(
        "face",
        "Vertices a point contributes to: the corners of its face, or the three nearest ones, as "
        "in the paper's released code.",
        "Network",
    )
    radial: Literal["shell", "bracket"] = option(
        "shell",
        "Spheres a point contributes to: all those of its group of C, or the two around it.",
        "Network",
    )
    bandwidth: Literal["squared", "paper"] = option(
        "squared",
        "Formula of the radial basis: that of the paper's released code, or that in the paper.",
        "Network",
    )
    bandwidth_face: Literal["largest", "first"] | None = option(
        None,
        "Face whose size determines the radial basis. Default: the largest; with neighbourhood "
        "nearest the first, as in the paper's released code.",
        "Network",
    )
    threshold: float = option(
        0.01, "Value T of the radial basis at the largest distance.", "Network", gt=0, le=1
    )
    point_features: list[str] = option(
        [],
        "Features of points that are mapped beside their density, separated by commas: cosine, "
        "linearity, planarity, scattering, density (from neighbours), normal (from the normals of "
        "meshes or files), or any attribute of the files by its name.",
        "Network",
    )
    feature_neighbors: int = option(
        16, "Neighbours of a point for its features.", "Network", ge=3, le=1024
    )
    feature_mean: Literal["mean", "sum"] = option(
        "mean",
        "Channels of features: the mean of the points near a site, or their weighted sum.",
        "Network",
    )
    intra_widths: Widths | None = option(
        None,
        "Output channels of the intra convolutions at each level, finest first. Default: "
        "widths that double from base_width.",
        "Network",
    )
    radial_widths: Widths | None = option(
        None, "Output channels of the radial convolutions at each level.", "Network"
    )
    sphere_levels: list[int] | None = option(
        None,
        "Level of every sphere, innermost first, such as 1,1,2,2,3,3,3,3: inner spheres need fewer "
        "vertices. The largest is the level, and their number that of the spheres. Default: all "
        "spheres have the same level.",
        "Network",
    )
    sphere_coarsening: Literal["together", "in_turn"] = option(
        "together",
        "How spheres of lower levels are coarsened: all together, or each when the finest spheres "
        "have come down to its level.",
        "Network",
    )

    @model_validator(mode="before")
    @classmethod
    def _sizes_from_levels(cls, values: Any) -> Any:
        """Take the level and the number of spheres from the levels of the spheres."""
        levels = values.get("sphere_levels") if isinstance(values, Mapping) else None
        if not isinstance(levels, (list, tuple)) or not all(type(each) is int for each in levels):
            return values
        return {"level": max(levels), "n_spheres": len(levels), **values} if levels else values

    @model_validator(mode="after")
    def _fitting_levels(self) -> Self:
        if self.sphere_levels is not None:
            from csgnn_dgl.grid import fitting_levels  # imports torch, and is not always needed

            fitting_levels(self.sphere_levels, self.level, self.n_spheres)
        differ = self.sphere_levels is not None and len(set(self.sphere_levels)) > 1
        if self.sphere_coarsening != self._default("sphere_coarsening") and not differ:
            raise ConfigError(
                f"sphere_coarsening is {self.sphere_coarsening}, but all spheres have the same "
                f"level, so it has no effect. Leave it out, or set sphere_levels"
            )
        return self

    @model_validator(mode="after")
    def _used(self) -> Self:
        if self.filter_order and not self.self_loop:
            raise ConfigError(
                f"self_loop is off, but with filter_order {self.filter_order} a vertex has a "
                f"weight of its own. Leave self_loop on, or set filter_order to 0"
            )
        if "pool" not in self.readout and self.global_pooling != self._default("global_pooling"):
            raise ConfigError(
                f"global_pooling is {self.global_pooling}, but readout is {self.readout}, which "
                f"does not use it. Leave it out, or add pool to readout"
            )
        return self

    @model_validator(mode="after")
    def _features_of_points(self) -> Self:
        names = self.point_features
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"point_features names {twice[0]} twice; name it once")
        wrong = [name for name in names if name == "normals" or not name.strip()]
        if wrong:
            raise ConfigError(
                f"point_features names {wrong[0]!r}; the feature made of normals is called 'normal'"
            )
        idle = [] if names else ["feature_mean"]
        if not {*names} & {*_FROM_NEIGHBORS}:
            idle.append("feature_neighbors")
        for name in idle:
            if getattr(self, name) != self._default(name):
                raise ConfigError(
                    f"{name} is {getattr(self, name)}, but no feature of points uses it; name some "
                    f"with point_features, or leave it out"
                )
        return self

    @model_validator(mode="after")
    def _both_widths(self) -> Self:
        if (self.intra_widths is None) != (self.radial_widths is None):
            raise ConfigError(
                "only one of intra_widths and radial_widths is given; they must be given together "
                "or not at all"
            )
        if self.intra_widths is not None and self.base_width != self._default("base_width"):
            raise ConfigError(
                f"base_width is {self.base_width}, but intra_widths and radial_widths give all "
                f"widths. Leave it out, or set it to its default, {self._default('base_width')}, "
                f"if a preset sets it"
            )
        return self

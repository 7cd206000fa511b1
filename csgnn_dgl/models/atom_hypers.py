"""Options of CSGNN for atoms. Does not import torch, so that commands start fast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import model_validator
from typing_extensions import Self

from csgnn_dgl.config import Preset, option
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.models.hypers import CSGNNHypers, Pooling

__all__ = ["AtomCSGNNHypers"]


# Options of the presets for two cores.
_SMALL: Mapping[str, object] = {
    "level": 1,
    "assignment": "smooth",
    "features": 256,
    "invariants": "all",
    "append_invariants": True,
}


class AtomCSGNNHypers(CSGNNHypers):
    """Options of :class:`~csgnn_dgl.models.AtomCSGNN`; the defaults are the paper's (Fig. 7).

    Examples
    --------
    >>> AtomCSGNNHypers().cutoff
    7.0
    """

    presets: ClassVar[Mapping[str, Preset]] = {
        "quick": Preset(
            "a small network at level 1 with exact invariants beside the grid, and few epochs: a "
            "first result in minutes on two cores",
            _SMALL,
        ),
        "compact": Preset(
            "the same network, trained for longer on few atoms of many structures: for data with "
            "curves of atoms, such as data make carbon-tb --projected",
            _SMALL,
        ),
        "crystals": Preset(
            "a small network at level 1 for crystals of many elements, with measures against "
            "overfitting on few data",
            {
                "level": 1,
                "channels": 24,
                "embedding": 6,
                "assignment": "smooth",
                "base_width": 32,
                "features": 256,
            },
        ),
        "best": Preset(
            "level 2 with exact invariants beside the grid, trained as compact: for data with "
            "curves of atoms, and a GPU",
            {
                "level": 2,
                "assignment": "smooth",
                "invariants": "all",
                "append_invariants": True,
                "filter_order": 1,
            },
        ),
        "paper": Preset("the paper's network and training (level 3): needs a GPU", {}),
    }

    level: int = option(3, "Icosahedral level L of the finest spheres.", "Network", ge=0, le=50)
    n_spheres: int = option(
        1, "Spheres of the grid, along which radial convolutions run, R.", "Network", ge=1
    )
    channels: int = option(
        32, "Neighbouring shells that form the channels of one sphere, C.", "Network", ge=1
    )
    r_min: float = option(1.0, "Inner radius of the first shell [Å].", "Network", ge=0)
    cutoff: float = option(7.0, "Outer radius of the last shell [Å].", "Network", gt=0)
    assignment: Literal["nearest", "smooth"] = option(
        "nearest",
        "Sites of a neighbour: the nearest one, or several, so that the result is continuous.",
        "Network",
    )
    pooling: Pooling = option("mean", "Pooling between levels.", "Network")
    features: int = option(512, "Length of an atom's descriptor.", "Network", ge=1)
    embedding: int = option(8, "Length of the embedding of a neighbour's element.", "Network", ge=1)
    invariants: Literal["none", "sums", "all"] = option(
        "none",
        "Exact invariants beside the grid's features: sums over neighbours, or these and the power "
        "spectrum of their density.",
        "Network",
    )
    append_invariants: bool = option(
        False,
        "Put the invariants themselves at the end of the descriptor, too, so that the head sees "
        "them.",
        "Network",
    )
    passes: int = option(
        0,
        "Rounds of messages between atoms, after which a descriptor sees farther than the cutoff.",
        "Network",
        ge=0,
    )
    pass_cutoff: float = option(4.0, "Distance up to which messages are sent [Å].", "Network", gt=0)
    block_norm: Literal["batch", "layer", "none"] = option(
        "batch",
        "Normalisation in the encoder's blocks and of the descriptor: over a batch, within each "
        "site, or none.",
        "Network",
    )

    @model_validator(mode="after")
    def _shells(self) -> Self:
        if self.n_spheres == 1 and self.kernel_size != self._default("kernel_size"):
            raise ConfigError(
                f"kernel_size is {self.kernel_size}, but with one sphere there are no radial "
                f"convolutions. Leave it out, or set n_spheres"
            )
        if self.append_invariants and self.invariants == "none":
            raise ConfigError(
                "append_invariants is on, but there are no invariants. Set invariants, or switch "
                "it off (--no-append-invariants), as a preset may set it"
            )
        if self.passes == 0 and self.pass_cutoff != self._default("pass_cutoff"):
            raise ConfigError(
                f"pass_cutoff is {self.pass_cutoff}, but there are no messages between atoms. "
                f"Leave it out, or set passes"
            )
        if self.pass_cutoff > self.cutoff and self.passes:
            raise ConfigError(
                f"pass_cutoff is {self.pass_cutoff} Å, but neighbours are found only up to "
                f"cutoff = {self.cutoff} Å; it must not be larger"
            )
        if self.r_min >= self.cutoff:
            raise ConfigError(
                f"there are no shells between r_min = {self.r_min} Å and cutoff = {self.cutoff} Å; "
                f"r_min must be smaller"
            )
        return self

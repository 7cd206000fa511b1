"""ShellNet: convolutions over concentric shells of neighbours."""

from __future__ import annotations

from pydantic import model_validator
from torch import Tensor, nn
from typing_extensions import Self

from csgnn_dgl.config import Preset
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.models.shapes.parts import PUBLISHED_STEPS, NormFirst
from csgnn_dgl.models.shapes.shells import LIFTED, BinnedConv, BinnedModel, ShellHypers

__all__ = ["ShellNet", "ShellNetHypers"]


class ShellNetHypers(ShellHypers):
    """Options of :class:`ShellNet`; the defaults are the paper's. Bins are shells."""

    presets = {  # noqa: RUF012 (the base declares it a class variable, so pydantic ignores it)
        "quick": Preset(
            "a quarter of the points and few epochs: a first result in minutes on two cores",
            {
                "neighbors": [32, 16, 8],
                "sampled": [128, 32, 16],
                "hidden": [256, 128],
                "learning_rate": 2e-3,
            },
        ),
        "paper": Preset(
            "the paper's network and training",
            {
                "hidden": [256, 128],
                **PUBLISHED_STEPS,
                "weight_decay": 1e-8,
            },
        ),
    }

    @model_validator(mode="after")
    def _shells_are_equal(self) -> Self:
        for neighbors, shells in zip(self.neighbors, self.bins, strict=True):
            if neighbors % shells:
                raise ConfigError(
                    f"{neighbors} neighbours cannot be divided into {shells} equal shells; change "
                    f"neighbors or bins"
                )
        return self


class _ShellConv(BinnedConv):
    """Features of points from those of their neighbours, shell by shell."""

    def __init__(self, previous: int, neighbors: int, shells: int, width: int) -> None:
        super().__init__(neighbors, shells, NormFirst(previous + LIFTED[1], width, window=shells))
        self.lift = nn.Sequential(NormFirst(3, LIFTED[0]), NormFirst(*LIFTED))

    def local(self, queries: Tensor, found: Tensor) -> Tensor:
        lifted: Tensor = self.lift(found - queries[:, :, None])
        return lifted

    def maxima(self, feat: Tensor, queries: Tensor, found: Tensor, centre: Tensor) -> Tensor:
        # Neighbours are sorted by distance, so a shell is a run of them.
        return feat.unflatten(2, (self.bins, -1)).amax(dim=3)


class ShellNet(BinnedModel):
    """The classifier of Zhang, Hua and Yeung, "ShellNet", ICCV 2019, without its head.

    arXiv:1908.06295. In each layer, points far from each other are kept. Neighbours are sorted by
    distance and divided into shells of equal numbers. The maximum within each shell is taken, and a
    convolution over the shells follows. The network is not rotation-invariant.

    Parameters
    ----------
    hypers
        The model's options.

    Shapes
    ------
    points ``(B, N, 3)`` → ``(B, M, features)``, a feature vector of each point that is left.

    Raises
    ------
    DataError
        Clouds have too few points for the first layer.

    Examples
    --------
    >>> import torch
    >>> sizes = {"neighbors": [8, 4], "bins": [2, 1], "sampled": [16, 4], "widths": [8, 16]}
    >>> ShellNet(ShellNetHypers(**sizes)).eval()(torch.rand(2, 20, 3)).shape
    torch.Size([2, 4, 16])
    """

    Hypers = ShellNetHypers

    def layer(self, previous: int, neighbors: int, bins: int, width: int) -> BinnedConv:
        """A layer that gets ``previous`` channels and gives ``width``."""
        return _ShellConv(previous, neighbors, bins, width)

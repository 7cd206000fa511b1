"""DGCNN: convolutions over edges to the nearest points in feature space."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from csgnn_dgl.config import Preset, option
from csgnn_dgl.models.contract import ShapeModel
from csgnn_dgl.models.hypers import Hypers
from csgnn_dgl.models.shapes.parts import Dense, gather, nearest, require_points

__all__ = ["DGCNN", "DGCNNHypers"]

_WIDTHS = (64, 64, 128, 256)
_LARGE = 1024
_SLOPE = 0.2


class DGCNNHypers(Hypers):
    """Options of :class:`DGCNN`; the defaults are the paper's."""

    presets = {  # noqa: RUF012 (the base declares it a class variable, so pydantic ignores it)
        "quick": Preset(
            "a quarter of the width, half of the neighbours and few epochs: minutes on two cores",
            {"width_factor": 0.25, "neighbors": 10, "hidden": [256, 128], "learning_rate": 2e-3},
        ),
        "paper": Preset(
            "the paper's network and training",
            {
                "hidden": [512, 256],
                "dropout": 0.5,
                "label_smoothing": 0.2,
                "optimizer": "sgd",
                "learning_rate": 0.1,
                "momentum": 0.9,
                "weight_decay": 1e-4,
                "schedule": "cosine",
                "final_learning_rate": 1e-3,
                "epochs": 250,
            },
        ),
    }

    neighbors: int = option(20, "Nearest neighbours of each point, k.", "Network", ge=1)
    width_factor: float = option(1.0, "Factor of all widths.", "Network", gt=0, le=4)


class _EdgeConv(nn.Module):
    r"""Maximum over neighbours of :math:`\mathrm{act}(\mathrm{norm}(W[x_j - x_i; x_i]))`.

    With :math:`W = (A, B)` the argument is :math:`A x_j + (B - A) x_i`, so that both matrices are
    applied once per point, not once per edge. They start as :math:`A` and :math:`B - A`.
    """

    def __init__(self, in_feats: int, out_feats: int) -> None:
        super().__init__()
        whole = nn.Linear(2 * in_feats, out_feats, bias=False).weight.detach()
        self.neighbor = nn.Linear(in_feats, out_feats, bias=False)
        self.centre = nn.Linear(in_feats, out_feats, bias=False)
        with torch.no_grad():
            self.neighbor.weight.copy_(whole[:, :in_feats])
            self.centre.weight.copy_(whole[:, in_feats:] - whole[:, :in_feats])
        self.norm = nn.BatchNorm1d(out_feats)
        self.activation = nn.LeakyReLU(_SLOPE)

    def forward(self, feat: Tensor, indices: Tensor) -> Tensor:
        edges = gather(self.neighbor(feat), indices) + self.centre(feat)[:, :, None]
        rows = self.norm(edges.flatten(0, 2)).unflatten(0, edges.shape[:3])
        # The activation rises, so it has the same values after the maximum, for fewer of them.
        out: Tensor = self.activation(rows.max(dim=2).values)
        return out


class DGCNN(ShapeModel):
    """The classifier of Wang et al., "Dynamic Graph CNN", TOG 38 (5), 2019, without its head.

    arXiv:1801.07829. Four layers of convolutions over
    the edges to each point's nearest neighbours: in space for the first layer, among the features
    of the layer before for the others. The features of all layers side by side are mapped to 1,024
    channels, of which the maximum and the mean over all points are taken. The network is not
    rotation-invariant. Like the authors' code, it has no spatial transformer.

    Parameters
    ----------
    hypers
        The model's options.

    Shapes
    ------
    points ``(B, N, 3)`` → ``(B, features)``.

    Raises
    ------
    DataError
        Clouds have fewer points than there are neighbours.

    Examples
    --------
    >>> model = DGCNN(DGCNNHypers(neighbors=4, width_factor=0.125)).eval()
    >>> model(torch.rand(2, 20, 3)).shape
    torch.Size([2, 256])
    """

    Hypers = DGCNNHypers

    def __init__(self, hypers: DGCNNHypers) -> None:
        super().__init__(hypers)
        widths = [max(1, round(width * hypers.width_factor)) for width in (*_WIDTHS, _LARGE)]
        self.convs = nn.ModuleList(
            _EdgeConv(before, after)
            for before, after in zip((3, *widths[:3]), widths[:4], strict=True)
        )
        self.embed = Dense(sum(widths[:4]), widths[4], slope=_SLOPE, bias=False)
        self.features = 2 * widths[4]

    def forward(self, points: Tensor) -> Tensor:
        """Features of clouds ``(B, N, 3)``."""
        count = self.hypers.neighbors
        require_points(points, count, "DGCNN", f"{count} neighbours of each point")
        feat, found = points, []
        for conv in self.convs:
            feat = conv(feat, nearest(feat, feat, count))
            found.append(feat)
        out = self.embed(torch.cat(found, dim=-1))
        return torch.cat([out.amax(dim=1), out.mean(dim=1)], dim=-1)

    @classmethod
    def training_memory(cls, hypers: DGCNNHypers, batch_size: int, points: int) -> int | None:
        """Lower estimate of the count of numbers kept for the backward pass."""
        widths = hypers.width_factor * sum(_WIDTHS)
        return int(3 * widths * batch_size * points * hypers.neighbors)

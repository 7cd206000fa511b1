"""SFCNN, reconstructed: points on the vertices of an icosphere, and symmetric convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from csgnn_dgl.config import Preset, option
from csgnn_dgl.grid.icosphere import Icosphere
from csgnn_dgl.models.contract import ShapeModel
from csgnn_dgl.models.hypers import Hypers
from csgnn_dgl.models.shapes.parts import PUBLISHED_STEPS, Dense, gather, polar, require_points
from csgnn_dgl.models.shapes.pointnet import Alignment

__all__ = ["SFCNN", "SFCNNHypers"]

_SMALL = 64
_ALIGNMENT = ((64, 128, 1024), (512, 256))


class SFCNNHypers(Hypers):
    """Options of :class:`SFCNN`; the defaults have the paper's number of parameters."""

    presets = {  # noqa: RUF012 (the base declares it a class variable, so pydantic ignores it)
        "quick": Preset(
            "level 2, a third of the width and few epochs: a first result in minutes on two cores",
            {
                "level": 2,
                "width_factor": 0.33,
                "hidden": [256, 128],
                "learning_rate": 2e-3,
            },
        ),
        "paper": Preset(
            "a network of the paper's size, and its training as far as it is published",
            {
                "hidden": [1024, 512],
                "dropout": 0.5,
                **PUBLISHED_STEPS,
            },
        ),
    }

    level: int = option(4, "Icosahedral level of the sphere.", "Network", ge=1, le=5)
    neighbors: int = option(
        16, "Points that each vertex takes, nearest in direction.", "Network", ge=1
    )
    width_factor: float = option(1.0, "Factor of all widths.", "Network", gt=0, le=4)
    align_points: bool = option(True, "Transform the points by a learned matrix.", "Network")


def _rings(level: int) -> Tensor:
    """Neighbours of every vertex, shape ``(V, 6)``; where there are five, one is there twice."""
    start, others = Icosphere.get(level).neighbors()
    rows = [others[start[i] : start[i + 1]].tolist() for i in range(len(start) - 1)]
    return torch.tensor([(row + row)[:6] for row in rows])


class _SymmetricConv(nn.Module):
    r"""Maximum over the ring of :math:`\mathrm{act}(\mathrm{norm}(W[f_i; f_j - f_i]))`.

    With :math:`W = (A, B)` the argument is :math:`(A - B) f_i + B f_j`, so that both matrices are
    applied once per vertex, not once per edge.
    """

    def __init__(self, in_feats: int, out_feats: int) -> None:
        super().__init__()
        self.centre = nn.Linear(in_feats, out_feats)
        self.ring = nn.Linear(in_feats, out_feats, bias=False)
        self.norm = nn.BatchNorm1d(out_feats)
        self.activation = nn.ReLU()

    def forward(self, feat: Tensor, rings: Tensor) -> Tensor:
        clouds, vertices, _ = feat.shape
        ring = self.ring(feat).index_select(1, rings.flatten()).unflatten(1, (vertices, -1))
        edges = ring + self.centre(feat)[:, :, None]
        rows: Tensor = self.activation(self.norm(edges.flatten(0, 2)))
        return rows.unflatten(0, (clouds, vertices, -1)).amax(dim=2)


class SFCNN(ShapeModel):
    """The classifier of Rao, Lu and Zhou, "Spherical Fractal CNNs", CVPR 2019, without its head.

    Reconstructed from the paper, which has no public code: widths are chosen to give its number of
    parameters. Each vertex of an icosphere takes the points that are nearest to it in direction,
    with their positions and offsets from the vertex, through a shared perceptron to a maximum. On
    each level, symmetric convolutions over the ring of each vertex follow, then a maximum over the
    ring on the way to the next coarser level. The maxima over all vertices, level by level, side
    by side are the features. The projection of coordinates is learned, so the network is not
    rotation-invariant.

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
        Clouds have fewer points than a vertex takes.

    Examples
    --------
    >>> model = SFCNN(SFCNNHypers(level=1, neighbors=4, width_factor=0.125)).eval()
    >>> model(torch.rand(2, 20, 3)).shape
    torch.Size([2, 24])
    """

    Hypers = SFCNNHypers
    vertices: Tensor

    def __init__(self, hypers: SFCNNHypers) -> None:
        super().__init__(hypers)
        self.level = hypers.level
        vertices = torch.as_tensor(Icosphere.get(self.level).vertices.copy())
        self.register_buffer("vertices", vertices.float(), persistent=False)

        def scaled(width: int) -> int:
            return max(1, round(width * hypers.width_factor))

        self.align = None
        if hypers.align_points:
            self.align = Alignment(3, *([scaled(width) for width in part] for part in _ALIGNMENT))
        small = scaled(_SMALL)
        self.project = nn.Sequential(Dense(6, small), Dense(small, small))
        self.levels = nn.ModuleList()
        widths, before = [], small
        for step in range(self.level + 1):
            level, width = self.level - step, scaled(_SMALL * 2**step)
            # The coarsest sphere has twelve vertices only, and one layer more.
            layers = [(before, width), *[(width, width)] * (1 + (level == 0))]
            self.levels.append(nn.ModuleList(_SymmetricConv(*sizes) for sizes in layers))
            self.register_buffer(f"rings_{level}", _rings(level), persistent=False)
            widths.append(width)
            before = width
        self.features = sum(widths)

    def forward(self, points: Tensor) -> Tensor:
        """Features of clouds ``(B, N, 3)``."""
        count = self.hypers.neighbors
        require_points(points, count, "SFCNN", f"each vertex takes {count}")
        if self.align is not None:
            points = points @ self.align(points)
        vertices = self.vertices.to(points.dtype)
        with torch.no_grad(), torch.autocast(points.device.type, enabled=False):
            _, directions = polar(points)
            indices = (vertices @ directions.mT).topk(count, dim=2).indices
        found = gather(points, indices)
        offsets = found - vertices[:, None]
        feat = self.project(torch.cat([found, offsets], dim=-1)).amax(dim=2)
        maxima = []
        for step, convs in enumerate(self.levels):
            assert isinstance(convs, nn.ModuleList)
            rings = getattr(self, f"rings_{self.level - step}")
            for conv in convs:
                feat = conv(feat, rings)
            maxima.append(feat.amax(dim=1))
            if step < self.level:
                # Vertices of the next level are the first of this one.
                kept = 10 * 4 ** (self.level - step - 1) + 2
                ring = feat.index_select(1, rings[:kept].flatten()).unflatten(1, (kept, -1))
                feat = torch.maximum(feat[:, :kept], ring.amax(dim=2))
        return torch.cat(maxima, dim=1)

    @classmethod
    def training_memory(cls, hypers: SFCNNHypers, batch_size: int, points: int) -> int | None:
        """Lower estimate of the count of numbers kept for the backward pass."""
        width = _SMALL * hypers.width_factor
        sites = 10 * 4**hypers.level + 2
        return int(batch_size * sites * width * (6 * hypers.neighbors + 2 * 2 * 6))

"""Features of points that no rotation changes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from csgnn_dgl.errors import ConfigError, DataError, suggest
from csgnn_dgl.mapping.nearest_points import in_a_tree, nearest

__all__ = ["NEIGHBOR_FEATURES", "NeighborFeatures", "radial_cosine"]

#: Features that are computed from the neighbours of a point.
NEIGHBOR_FEATURES = ("cosine", "linearity", "planarity", "scattering", "density")
# Second invariant of a covariance, relative to its squared trace (1/4 for a disc), below which
# points lie along a line. Without it, rounding would decide on their normal, which does not exist.
_LINE = 1e-2
# Added to eigenvalues, in units of the squared reach. Without it, the features of a point whose
# neighbours all coincide with it, or are all equally far, would be decided by rounding.
_NONE = 1e-4
# Rounds |x| at 0, where its slope jumps and rounding errors of x² would grow to their root.
_ROUND = 1e-6


class NeighborFeatures(nn.Module):
    r"""Features of every point that are computed from its nearest neighbours.

    The neighbours within the distance :math:`d` of the last one are weighted by
    :math:`1 - |p_j - p|^2 / d^2`. So a neighbour that is as far as the last one counts nothing, and
    it does not matter which of several such points is chosen. With the eigenvalues
    :math:`\lambda_1 \ge \lambda_2 \ge \lambda_3` of their covariance, the features are

    ``"linearity"``, ``"planarity"``, ``"scattering"``
        :math:`(\lambda_1 - \lambda_2)/\lambda_1`, :math:`(\lambda_2 - \lambda_3)/\lambda_1`,
        :math:`\lambda_3/\lambda_1`, which nearly sum to 1 (Demantké et al., ISPRS Archives
        XXXVIII-5/W12, 2011, there with the roots of the eigenvalues); 0 where all neighbours
        coincide.
    ``"cosine"``
        The cosine between the normal and the direction from the origin, without its sign. Where
        neighbours lie along a line, and have no normal, it is nearly 0.
    ``"density"``
        :math:`1 / (1 + N d^2 / 4k)` for the :math:`k`-th neighbour of :math:`N` points: 1/2 for
        points spread evenly over the unit sphere, more where points are closer.

    Gradients are finite everywhere, for coinciding points and equal eigenvalues, too.

    Parameters
    ----------
    names
        The features, in the order of the result.
    neighbors
        Number of neighbours, without the point itself, at least 3.

    Shapes
    ------
    points ``(B, N, 3)`` → ``(B, N, len(names))``.

    Raises
    ------
    ConfigError
        A name is unknown or given twice, or there are fewer than 3 neighbours.

    Examples
    --------
    >>> features = NeighborFeatures(("planarity", "density"), neighbors=8)
    >>> features(torch.rand(2, 50, 3)).shape
    torch.Size([2, 50, 2])
    """

    def __init__(self, names: Sequence[str], neighbors: int = 16) -> None:
        super().__init__()
        for name in names:
            if name not in NEIGHBOR_FEATURES:
                raise ConfigError(
                    f"unknown feature of neighbours {name!r}: {suggest(name, NEIGHBOR_FEATURES)}"
                )
        if len(set(names)) < len(names):
            raise ConfigError(f"features {', '.join(names)} are given, of which two are the same")
        if neighbors < 3:
            raise ConfigError(f"neighbors is {neighbors}, but it must be at least 3")
        self.names, self.neighbors = tuple(names), neighbors

    def forward(self, points: Tensor) -> Tensor:
        """Compute the features of clouds; the class describes them.

        Raises
        ------
        DataError
            The points have another shape, there are not more of them than neighbours, or some of
            those on a CPU are NaN or infinite.
        """
        if points.dim() != 3 or points.shape[-1] != 3 or not points.is_floating_point():
            raise DataError(
                f"points have shape {tuple(points.shape)} and type {points.dtype}, but a "
                f"floating-point tensor of shape (B, N, 3) is needed"
            )
        count = points.shape[1]
        if count <= self.neighbors:
            raise DataError(
                f"clouds have {count} points, but features of {self.neighbors} neighbours need at "
                f"least {self.neighbors + 1}; use more points or fewer neighbours"
            )
        # The weighted sums need all digits of float32, whatever the network's type is.
        wide = points.to(torch.promote_types(points.dtype, torch.float32))
        if in_a_tree(wide, wide) and not bool(wide.isfinite().all()):
            raise DataError("points are NaN or infinite, so they have no neighbours")
        # No operation in here is one that autocast would round.
        found = self._features(wide)
        return torch.stack([found[name] for name in self.names], dim=-1).to(points.dtype)

    def _features(self, points: Tensor) -> dict[str, Tensor]:
        count, k = points.shape[1], self.neighbors
        tiny = torch.finfo(points.dtype).tiny
        index = nearest(points, points, k + 1).flatten(1)[:, :, None].expand(-1, -1, 3)
        around = points.gather(1, index).view(*points.shape[:2], k + 1, 3) - points[:, :, None]
        squares = around.square().sum(-1)
        reach = squares.amax(dim=2)
        # In units of the reach, nothing over- or underflows. It is 0 if all neighbours coincide.
        apart = reach > tiny
        unit = around / torch.where(apart, reach, 1).sqrt()[:, :, None, None]
        weight = 1 - squares / torch.where(apart, reach, 1)[:, :, None]
        weight = weight / weight.sum(dim=2, keepdim=True)
        mean = (weight[..., None] * unit).sum(dim=2)
        centred = unit - mean[:, :, None]
        weighted = weight[..., None] * centred
        covariance = (weighted[..., :, None] * centred[..., None, :]).sum(dim=2)
        found = {"density": 1 / (1 + count * reach / (4 * k))}
        if "cosine" in self.names:
            found["cosine"] = _cosine(covariance, points)
        if {"linearity", "planarity", "scattering"} & {*self.names}:
            # Unlike those of eigenvectors, their gradients have no division by differences.
            values = torch.linalg.eigvalsh(covariance).clamp(min=0)
            third, second, first = values.unbind(-1)
            found["linearity"] = (first - second) / (first + _NONE)
            found["planarity"] = (second - third) / (first + _NONE)
            found["scattering"] = third / (first + _NONE)
        return found


def _cosine(covariance: Tensor, points: Tensor) -> Tensor:
    """Cosine between normals and directions; covariances (B, N, 3, 3), points (B, N, 3).

    The adjugate of a covariance is λ₁λ₂ nnᵀ + λ₁λ₃ … + λ₂λ₃ …, for points in a plane only the first
    term. It is a polynomial, so it is smooth where an eigenvector is not.
    """
    a, b, c = covariance.unbind(-2)
    rows = (torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b))
    adjugate = torch.stack(rows, dim=-2)
    second = adjugate.diagonal(dim1=-2, dim2=-1).sum(-1)
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    divisor = second.square() + (_LINE * trace.square()).square() + _NONE**4
    direction = _directions(points)
    along = (direction[..., :, None] * direction[..., None, :] * adjugate).sum(dim=(-2, -1))
    square = (along * second / divisor).clamp(min=0)
    return (square + _ROUND).sqrt() - _ROUND**0.5


def radial_cosine(points: Tensor, normals: Tensor) -> Tensor:
    """Cosine between normals and the directions from the origin, without its sign.

    It is 0 for a point at the origin, and for a normal of length 0.

    Parameters
    ----------
    points, normals
        Shape ``(..., 3)``; normals of any length.

    Returns
    -------
    Tensor
        Shape ``(...)``.

    Examples
    --------
    >>> radial_cosine(torch.tensor([0.0, 0.0, 2.0]), torch.tensor([0.0, 3.0, -4.0]))
    tensor(0.8000)
    """
    return (_directions(points) * _directions(normals)).sum(-1).abs().clamp(max=1)


def _directions(vectors: Tensor) -> Tensor:
    """Unit vectors; 0 for a vector that is nearly 0."""
    largest = vectors.detach().abs().amax(dim=-1, keepdim=True)
    far = largest > torch.finfo(vectors.dtype).eps
    scaled = vectors / torch.where(far, largest, 1)
    square = scaled.square().sum(-1, keepdim=True)
    return torch.where(far, scaled / torch.where(far, square, 1).sqrt(), 0)

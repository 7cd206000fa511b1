"""Map point clouds to features on the concentric grid (Sec. 3.1 and A.6)."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from csgnn_dgl.errors import ConfigError, suggest
from csgnn_dgl.grid import Icosphere, fitting_levels
from csgnn_dgl.mapping.bandwidth import Bandwidth, BandwidthFace, shell_bandwidths
from csgnn_dgl.mapping.faces import FaceSearch
from csgnn_dgl.mapping.levels import SphereLevels, own_bandwidths
from csgnn_dgl.mapping.nearest import NearestVertices
from csgnn_dgl.mapping.point_checks import (
    as_flat,
    as_flat_features,
    check_features,
    check_values,
)
from csgnn_dgl.mapping.tables import Tables
from csgnn_dgl.ops.backend import triton_for

__all__ = ["AngularNeighborhood", "FeatureMean", "PointMapping", "RadialNeighborhood"]

AngularNeighborhood = Literal["face", "nearest"]
RadialNeighborhood = Literal["shell", "bracket"]
FeatureMean = Literal["mean", "sum"]


class PointMapping(nn.Module):
    r"""Radial basis features of point clouds at the sites of a concentric grid.

    .. math:: h(x) = \sum_p \exp(-\gamma_i \lVert x - p \rVert^2)

    This is Equation 1 of "Concentric Spherical GNN for 3D Representation Learning". The sum for a
    site :math:`x` runs over the points with :math:`x` in their neighbourhood. The neighbourhood of
    a point has three vertices, on some of the ``R' = R·C`` spheres at radii ``1/R', 2/R', …, 1``.
    The vertices are one of:

    ``"face"``
        The corners of the face that contains the point's direction, as the paper says.
    ``"nearest"``
        The three nearest to its direction, as in the authors' released code. They are not the
        corners of its face for 9.5 % of directions at level 4.

    The spheres are one of:

    ``"shell"``
        All ``C`` spheres of the coarse shell ``floor(|p|·R)`` that contains the point, with that
        shell's :math:`\gamma_i`, as in the authors' released code, which produced their tables.
    ``"bracket"``
        The two spheres just outside and inside the point, as the paper says, with the
        :math:`\gamma_i` of the space between them; within the first sphere only the first, and
        beyond the last sphere only the last.

    Sphere ``r·C + k`` of the ``R'`` spheres becomes channel ``k`` of the spatial sphere ``r``.

    Points may carry ``F`` features, such as the angle of their normals with the radius. Each is
    mapped with the same weights as the density :math:`h`, to ``C`` further channels:

    .. math:: \frac{\sum_p w_p(x) f_p}{\sum_p w_p(x)} \quad\text{or}\quad \sum_p w_p(x) f_p

    With ``feature_mean="mean"`` a channel holds the mean value of the feature near the site,
    whatever the density, and 0 where there are no points. With ``"sum"`` it grows with the density.

    Clouds should be scaled to the unit ball (:func:`~csgnn_dgl.mapping.normalize_clouds`). Points
    farther out belong to the outermost shell, and are weighted by their distance like all others.
    Coinciding points add up. A point at the origin (closer than the rounding error of its type) has
    no direction. Its weight for three vertices is spread over all vertices of the innermost shell
    (with "bracket", of the first sphere), so that its features are invariant under rotation.

    The module has no parameters and no buffers, and works on the device of the points. On CUDA, the
    order of sums over points is not fixed unless ``torch.use_deterministic_algorithms(True)`` is
    set.

    Parameters
    ----------
    level
        Icosahedral level ``L``.
    n_spheres
        Number ``R`` of spatial spheres.
    channels
        Number ``C`` of spheres that form the channels of one spatial sphere.
    neighbourhood
        Vertices of a point, see above.
    radial
        Spheres of a point, see above.
    feature_mean
        What the channels of features hold, see above.
    bandwidth, threshold
        Formula and target value ``T`` of :func:`~csgnn_dgl.mapping.shell_bandwidths`.
    bandwidth_face
        Face that determines the bandwidths, of the same function. By default it is the first one
        with the nearest vertices, so that the mapping is the released one, and else the largest.
    validate
        Check for NaN, infinity, numbers too large to be squared, empty clouds and wrong cloud
        indices. On CUDA, the check waits for the device at each call, so it is left out in training
        mode. Without it, a NaN silently spreads to its cloud's features.
    levels
        Level of every spatial sphere, innermost first, if they differ; ``level`` is the largest.
        The vertices near a point, and the bandwidths, are then those of each sphere's own level.
        Sums at a site are multiplied by the number of vertices of its sphere over that of the
        finest one, because a vertex of a coarse sphere has more points near it.

    Shapes
    ------
    points ``(B, N, 3)``, or ``(M, 3)`` with ``batch`` ``(M,)`` → ``(V·R, B, C)``, row ``v·R + r``;
    with features ``(B, N, F)`` or ``(M, F)`` → ``(V·R, B, (1 + F)·C)``, the density first. With
    ``levels`` there are as many rows as the grid has sites, and the row is
    ``ConcentricGrid(levels=levels).site(v, r)``.

    Raises
    ------
    ConfigError
        A name is unknown, a size is no whole number from 1 on, or the threshold is outside (0, 1].

    Examples
    --------
    >>> mapping = PointMapping(level=1, n_spheres=4, channels=2)
    >>> mapping(torch.rand(3, 100, 3) / 2).shape
    torch.Size([168, 3, 2])
    >>> mapping(torch.rand(3, 100, 3) / 2, features=torch.rand(3, 100, 5)).shape
    torch.Size([168, 3, 12])
    """

    def __init__(
        self,
        level: int,
        n_spheres: int,
        channels: int,
        *,
        neighbourhood: AngularNeighborhood = "face",
        radial: RadialNeighborhood = "shell",
        bandwidth: Bandwidth = "squared",
        threshold: float = 0.01,
        feature_mean: FeatureMean = "mean",
        bandwidth_face: BandwidthFace | None = None,
        validate: bool = True,
        levels: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if feature_mean not in get_args(FeatureMean):
            hint = suggest(str(feature_mean), get_args(FeatureMean))
            raise ConfigError(f"unknown mean of features {feature_mean!r}: {hint}")
        self.feature_mean = feature_mean
        for name, size in (("n_spheres", n_spheres), ("channels", channels)):
            if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
                raise ConfigError(f"{name} is {size!r}, but it must be a whole number from 1 on")
        for kind, value, known in (
            ("neighbourhood", neighbourhood, get_args(AngularNeighborhood)),
            ("radial neighbourhood", radial, get_args(RadialNeighborhood)),
        ):
            if value not in known:
                raise ConfigError(f"unknown {kind} {value!r}: {suggest(str(value), known)}")
        if bandwidth_face is None:
            bandwidth_face = "largest" if neighbourhood == "face" else "first"
        self.level, self.n_spheres, self.channels = level, n_spheres, channels
        self.neighbourhood, self.radial = neighbourhood, radial
        self.bandwidth, self.threshold = bandwidth, threshold
        self.bandwidth_face: BandwidthFace = bandwidth_face
        self.validate = validate
        self.num_vertices = Icosphere.get(level).num_vertices
        self.faces = FaceSearch(level)
        n_fine = n_spheres * channels
        n_shells = n_spheres if radial == "shell" else n_fine
        uniform = (level,) * n_spheres
        self.levels = uniform if levels is None else fitting_levels(levels, level, n_spheres)
        nearest, differ = neighbourhood == "nearest", len(set(self.levels)) > 1
        self._nearest = NearestVertices(self.faces) if nearest and not differ else None
        self._spheres = SphereLevels(self.levels, nearest=nearest) if differ else None
        formula: dict[str, Any] = {"bandwidth": bandwidth, "threshold": threshold}
        formula["face"] = bandwidth_face
        gamma = own_bandwidths(
            self.levels, n_shells, lambda own: shell_bandwidths(own, n_shells, **formula)
        )
        # Weight of a point at the origin at each vertex: that of three vertices, spread over all.
        radii = np.arange(1, channels + 1) / n_fine
        innermost = Icosphere.get(self.levels[0]).num_vertices
        centre = 3 / innermost * np.exp(-gamma[0, 0] * radii**2)
        if radial == "bracket":
            centre[1:] = 0
        self._tables = Tables(gamma=gamma[0], inner_gamma=gamma[1], centre=centre)

    def find_faces(self, directions: Tensor) -> Tensor:
        """Face ``(M,)`` of the grid's level for each of the directions ``(M, 3)``."""
        return self.faces.find_faces(directions)

    def vertices_of(self, faces: Tensor) -> Tensor:
        """The three vertices ``(M, 3)`` of each of the faces ``(M,)``."""
        return self.faces.vertices_of(faces)

    def forward(
        self,
        points: Tensor,
        batch: Tensor | None = None,
        batch_size: int | None = None,
        *,
        features: Tensor | None = None,
    ) -> Tensor:
        """Compute the site features of clouds.

        Parameters
        ----------
        points
            Clouds of the same size, shape ``(B, N, 3)``; or all points of clouds of different
            sizes, shape ``(M, 3)``, together with ``batch``.
        batch
            Cloud index of each point, shape ``(M,)``, int64, in any order.
        batch_size
            Number ``B`` of clouds; by default one more than the largest index in ``batch``, which
            on CUDA waits for the device.
        features
            Features of the points, of their type: shape ``(B, N, F)``, or ``(M, F)``.

        Returns
        -------
        Tensor
            Shape ``(V·R, B, C)``, or ``(V·R, B, (1 + F)·C)`` with features, with the type and
            device of ``points``, differentiable with respect to points and features. For float16
            and bfloat16 points, the computation is in float32.

        Raises
        ------
        DataError
            The shape or type is wrong; with ``validate`` also if coordinates are NaN, infinite or
            so large that their squares overflow, features are NaN or infinite, a cloud has no
            points, or an index is outside ``0 … B - 1``.
        """
        flat, n_clouds = as_flat(points, batch, batch_size)
        carried = None if features is None else as_flat_features(features, points)
        if self.validate and not (self.training and points.is_cuda):
            check_values(flat, batch, n_clouds)
            if carried is not None:
                check_features(carried)
        # The kernel maps the density only.
        if carried is None and (triton := self._triton(flat)):
            out = self._empty(n_clouds, flat)
            triton.point_features(
                out,
                flat,
                batch,
                gamma=self._tables.get("gamma", flat.device, flat.dtype),
                share=self._tables.get("centre", flat.device, flat.dtype),
                **self.faces.tables(flat.device),
            )
            return out.view(-1, n_clouds, self.channels)
        cloud = batch
        if cloud is None:
            cloud = torch.arange(n_clouds, device=points.device)
            cloud = cloud.repeat_interleave(points.shape[1])
        wide = torch.promote_types(points.dtype, torch.float32)
        # With one row per coordinate, all operations are contiguous over the points.
        columns = flat.to(wide).t().contiguous()
        squared = (columns * columns).sum(dim=0)
        tiny = torch.finfo(wide).eps
        at_centre = squared <= tiny * tiny
        distance = torch.where(at_centre, 1, squared).sqrt()
        direction = columns / distance
        gamma, sphere, weightless = self._radial_neighborhood(distance.detach(), at_centre)
        shell = sphere // self.channels
        vertices, ends = self._angular_neighborhood(direction.detach(), shell)
        chord = (direction[:, None, :, None] - ends).square().sum(dim=0)
        out = self._centre_share(at_centre.to(wide), cloud, n_clouds)

        # Cast before the division: a quotient of integers would have only the default precision.
        radius = (sphere + 1).to(wide) / (self.n_spheres * self.channels)
        # |p - r v|² = (|p| - r)² + r |p| |u - v|² with unit vectors u, v. Unlike an expansion in
        # dot products, this loses no digits where a point is close to a site.
        decay = -gamma
        falloff = decay * (distance[:, None] - radius).square()
        falloff = falloff.masked_fill(weightless, -torch.inf)
        slope = (decay * distance[:, None]) * radius
        weight = torch.exp(torch.addcmul(falloff, slope, chord))

        # One flat index per weight is faster on a CPU than adding rows of a few channels.
        channel = sphere - shell * self.channels
        if self._spheres is None:
            row = vertices * (self.n_spheres * n_clouds) + cloud[:, None]
            offset = shell * (n_clouds * self.channels) + channel
        else:
            own = shell[:, : vertices.shape[2]]
            row = self._spheres.nodes(vertices, own) * n_clouds + cloud[:, None]
            offset = channel
        site = row * self.channels + offset
        out = out.view(-1).index_add_(0, site.view(-1), weight.view(-1))
        if carried is None:
            return self._even(out, n_clouds).to(points.dtype)
        channels = [out]
        for values in carried.to(wide).t():
            shared = self._centre_share(at_centre * values, cloud, n_clouds).view(-1)
            weighted = weight * values[:, None]
            channels.append(shared.index_add_(0, site.view(-1), weighted.view(-1)))
        if self.feature_mean == "mean":
            # Where a weight is too small to divide by, there is no point.
            there = out > torch.finfo(wide).tiny
            divisor = torch.where(there, out, 1)
            means = [torch.where(there, total / divisor, 0) for total in channels[1:]]
            rows = [self._even(out, n_clouds)]
            rows += [mean.view(-1, n_clouds, self.channels) for mean in means]
        else:
            rows = [self._even(total, n_clouds) for total in channels]
        return torch.stack(rows, dim=2).flatten(2).to(points.dtype)

    def _even(self, sums: Tensor, n_clouds: int) -> Tensor:
        """Sums over points as ``(sites, B, C)``, comparable between spheres of all levels."""
        rows = sums.view(-1, n_clouds, self.channels)
        return rows if self._spheres is None else self._spheres.even(rows)

    def _triton(self, points: Tensor) -> ModuleType | None:
        """The module with a Triton kernel for these points; None if it cannot be used."""
        if self.neighbourhood != "face" or self.radial != "shell" or self._spheres is not None:
            return None
        if points.dtype != torch.float32 or torch.are_deterministic_algorithms_enabled():
            return None
        if torch.is_grad_enabled() and points.requires_grad:
            return None
        return triton_for(points)

    def _empty(self, n_clouds: int, like: Tensor) -> Tensor:
        """Features without points; (V, R, B, C)."""
        return like.new_zeros(self.num_vertices, self.n_spheres, n_clouds, self.channels)

    def _angular_neighborhood(self, direction: Tensor, shell: Tensor) -> tuple[Tensor, Tensor]:
        """Vertices of unit vectors ``(3, M)`` on the spatial spheres ``(M, Q)`` of their points.

        Vertices are ``(3, M, Q)`` and their positions ``(3, 3, M, Q)``. There is only one instead
        of ``Q`` if they are the same for all.
        """
        if self._spheres is not None:
            # The spheres of one shell form the channels of one spatial sphere.
            own = shell[:, :1] if self.radial == "shell" else shell
            return self._spheres.find(self.faces, direction, own)
        face = self.faces.find_columns(direction)
        if self._nearest is None:
            vertices = self.faces.corner_ids(face)
            ends = self.faces.corner_positions(face, direction.dtype)
        else:
            vertices = self._nearest.find_columns(direction, face)
            ends = self._nearest.positions(vertices, direction.dtype)
        return vertices[..., None], ends[..., None]

    def _radial_neighborhood(
        self, distance: Tensor, at_centre: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Bandwidths, the ``Q`` spheres of each point ``(M, Q)``, and which to ignore.

        Spheres are numbered from 0 over all ``R'``. The other results are ``(M, Q)`` or ``(M, 1)``.
        """
        gamma = self._tables.get("gamma", distance.device, distance.dtype)
        shell = (distance * len(gamma)).floor().long().clamp_(0, len(gamma) - 1)
        if self.radial == "shell":
            grouped = torch.arange(self.channels, device=distance.device)
            spheres = shell[:, None] * self.channels + grouped
            return gamma[shell, None], spheres, at_centre[:, None]
        # The farthest point of a normalised cloud is on the last sphere, up to rounding. Rounding
        # must not decide whether the sphere before the last is in its neighbourhood.
        beyond = distance > 1 + 16 * torch.finfo(distance.dtype).eps
        no_inner = at_centre | (shell == 0) | beyond
        spheres = torch.stack([shell, (shell - 1).clamp_(min=0)], dim=1)
        weightless = torch.stack([at_centre, no_inner], dim=1)
        if self._spheres is None:
            return gamma[shell, None], spheres, weightless
        inner = self._tables.get("inner_gamma", distance.device, distance.dtype)
        return torch.stack([gamma[shell], inner[shell]], dim=1), spheres, weightless

    def _centre_share(self, values: Tensor, cloud: Tensor, n_clouds: int) -> Tensor:
        """Contribution of points at the origin to the innermost shell, for every site.

        ``values`` ``(M,)`` are 0 for all other points.
        """
        share = self._tables.get("centre", cloud.device, values.dtype)
        count = share.new_zeros(n_clouds).index_add_(0, cloud, values)
        if self._spheres is not None:
            out = share.new_zeros(self._spheres.num_nodes, n_clouds, self.channels)
            out[self._spheres.innermost(cloud.device)] = count[:, None] * share
            return out
        out = self._empty(n_clouds, share)
        out[:, 0] = count[:, None] * share
        return out

    def extra_repr(self) -> str:
        sizes = f"level={self.level}, n_spheres={self.n_spheres}, channels={self.channels}"
        return (
            f"{sizes}{'' if self._spheres is None else f', levels={self.levels}'}, "
            f"neighbourhood={self.neighbourhood!r}, radial={self.radial!r}, "
            f"bandwidth={self.bandwidth!r}, threshold={self.threshold}, "
            f"bandwidth_face={self.bandwidth_face!r}"
        )

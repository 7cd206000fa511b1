"""Map point clouds to features on the concentric grid (Sec. 3.1 and A.6)."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from csgnn_dgl.errors import ConfigError, DataError, suggest
from csgnn_dgl.grid import Icosphere
from csgnn_dgl.mapping.bandwidth import Bandwidth, shell_bandwidths
from csgnn_dgl.mapping.faces import FaceSearch
from csgnn_dgl.mapping.tables import Tables
from csgnn_dgl.ops.backend import triton_for

__all__ = ["FeatureMean", "PointMapping", "RadialNeighborhood"]

RadialNeighborhood = Literal["shell", "bracket"]
FeatureMean = Literal["mean", "sum"]


class PointMapping(nn.Module):
    r"""Radial basis features of point clouds at the sites of a concentric grid.

    .. math:: h(x) = \sum_p \exp(-\gamma_i \lVert x - p \rVert^2)

    This is Equation 1 of "Concentric Spherical GNN for 3D Representation Learning". The sum for a
    site :math:`x` runs over the points with :math:`x` in their neighbourhood. The neighbourhood of
    a point has the three vertices of the face that contains its direction, on some of the
    ``R' = R·C`` spheres at radii ``1/R', 2/R', …, 1``:

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
    radial
        Radial neighbourhood, see above.
    feature_mean
        What the channels of features hold, see above.
    bandwidth, threshold
        Formula and target value ``T`` of :func:`~csgnn_dgl.mapping.shell_bandwidths`.
    validate
        Check for NaN, infinity, numbers too large to be squared, empty clouds and wrong cloud
        indices. On CUDA, the check waits for the device at each call, so it is left out in training
        mode. Without it, a NaN silently spreads to its cloud's features.

    Shapes
    ------
    points ``(B, N, 3)``, or ``(M, 3)`` with ``batch`` ``(M,)`` → ``(V·R, B, C)``, row ``v·R + r``;
    with features ``(B, N, F)`` or ``(M, F)`` → ``(V·R, B, (1 + F)·C)``, the density first.

    Raises
    ------
    ConfigError
        A name is unknown, a size is below 1, or the threshold is outside (0, 1].

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
        radial: RadialNeighborhood = "shell",
        bandwidth: Bandwidth = "squared",
        threshold: float = 0.01,
        feature_mean: FeatureMean = "mean",
        validate: bool = True,
    ) -> None:
        super().__init__()
        if feature_mean not in get_args(FeatureMean):
            hint = suggest(str(feature_mean), get_args(FeatureMean))
            raise ConfigError(f"unknown mean of features {feature_mean!r}: {hint}")
        self.feature_mean = feature_mean
        for name, size in (("n_spheres", n_spheres), ("channels", channels)):
            if size < 1:
                raise ConfigError(f"{name} is {size}, but it must be at least 1")
        if radial not in get_args(RadialNeighborhood):
            hint = suggest(str(radial), get_args(RadialNeighborhood))
            raise ConfigError(f"unknown radial neighbourhood {radial!r}: {hint}")
        self.level, self.n_spheres, self.channels = level, n_spheres, channels
        self.radial, self.bandwidth, self.threshold = radial, bandwidth, threshold
        self.validate = validate
        self.num_vertices = Icosphere.get(level).num_vertices
        self.faces = FaceSearch(level)
        n_fine = n_spheres * channels
        n_shells = n_spheres if radial == "shell" else n_fine
        gamma = shell_bandwidths(level, n_shells, bandwidth=bandwidth, threshold=threshold)
        # Weight of a point at the origin at each vertex: that of three vertices, spread over all.
        radii = np.arange(1, channels + 1) / n_fine
        centre = 3 / self.num_vertices * np.exp(-gamma[0] * radii**2)
        if radial == "bracket":
            centre[1:] = 0
        self._tables = Tables(gamma=gamma, centre=centre)

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
        flat, n_clouds = _as_flat(points, batch, batch_size)
        carried = None if features is None else _as_flat_features(features, points)
        if self.validate and not (self.training and points.is_cuda):
            _check_values(flat, batch, n_clouds)
            if carried is not None:
                _check_features(carried)
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
        face = self.faces.find_columns(direction.detach())
        corner = self.faces.corner_positions(face, wide)
        chord = (direction[:, None] - corner).square().sum(dim=0)
        out = self._centre_share(at_centre.to(wide), cloud, n_clouds)

        gamma, sphere, weightless = self._radial_neighborhood(distance.detach(), at_centre)
        # Cast before the division: a quotient of integers would have only the default precision.
        radius = (sphere + 1).to(wide) / (self.n_spheres * self.channels)
        # |p - r v|² = (|p| - r)² + r |p| |u - v|² with unit vectors u, v. Unlike an expansion in
        # dot products, this loses no digits where a point is close to a site.
        decay = -gamma[:, None]
        falloff = decay * (distance[:, None] - radius).square()
        falloff = falloff.masked_fill(weightless, -torch.inf)
        slope = (decay * distance[:, None]) * radius
        weight = torch.exp(torch.addcmul(falloff, slope, chord[:, :, None]))

        # One flat index per weight is faster on a CPU than adding rows of a few channels.
        shell = sphere // self.channels
        channel = sphere - shell * self.channels
        row = self.faces.corner_ids(face) * (self.n_spheres * n_clouds) + cloud
        offset = shell * (n_clouds * self.channels) + channel
        site = row[:, :, None] * self.channels + offset
        out = out.view(-1).index_add_(0, site.view(-1), weight.view(-1))
        if carried is None:
            return out.view(-1, n_clouds, self.channels).to(points.dtype)
        channels = [out]
        for values in carried.to(wide).t():
            shared = self._centre_share(at_centre * values, cloud, n_clouds).view(-1)
            weighted = weight * values[:, None]
            channels.append(shared.index_add_(0, site.view(-1), weighted.view(-1)))
        if self.feature_mean == "mean":
            # Where a weight is too small to divide by, there is no point.
            there = out > torch.finfo(wide).tiny
            divisor = torch.where(there, out, 1)
            channels[1:] = [torch.where(there, total / divisor, 0) for total in channels[1:]]
        stacked = torch.stack([c.view(-1, n_clouds, self.channels) for c in channels], dim=2)
        return stacked.flatten(2).to(points.dtype)

    def _triton(self, points: Tensor) -> ModuleType | None:
        """The module with a Triton kernel for these points; None if it cannot be used."""
        fixed_order = torch.are_deterministic_algorithms_enabled()
        if self.radial != "shell" or points.dtype != torch.float32 or fixed_order:
            return None
        if torch.is_grad_enabled() and points.requires_grad:
            return None
        return triton_for(points)

    def _empty(self, n_clouds: int, like: Tensor) -> Tensor:
        """Features without points; (V, R, B, C)."""
        return like.new_zeros(self.num_vertices, self.n_spheres, n_clouds, self.channels)

    def _radial_neighborhood(
        self, distance: Tensor, at_centre: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Bandwidth ``(M,)``, the ``Q`` spheres of each point ``(M, Q)``, and which to ignore.

        Spheres are numbered from 0 over all ``R'``. The last result is ``(M, Q)`` or ``(M, 1)``.
        """
        gamma = self._tables.get("gamma", distance.device, distance.dtype)
        shell = (distance * len(gamma)).floor().long().clamp_(0, len(gamma) - 1)
        if self.radial == "shell":
            grouped = torch.arange(self.channels, device=distance.device)
            return gamma[shell], shell[:, None] * self.channels + grouped, at_centre[:, None]
        # The farthest point of a normalised cloud is on the last sphere, up to rounding. Rounding
        # must not decide whether the sphere before the last is in its neighbourhood.
        beyond = distance > 1 + 16 * torch.finfo(distance.dtype).eps
        no_inner = at_centre | (shell == 0) | beyond
        spheres = torch.stack([shell, (shell - 1).clamp_(min=0)], dim=1)
        return gamma[shell], spheres, torch.stack([at_centre, no_inner], dim=1)

    def _centre_share(self, values: Tensor, cloud: Tensor, n_clouds: int) -> Tensor:
        """Contribution of points at the origin to the innermost shell; (V, R, B, C).

        ``values`` ``(M,)`` are 0 for all other points.
        """
        share = self._tables.get("centre", cloud.device, values.dtype)
        out = self._empty(n_clouds, share)
        count = out.new_zeros(n_clouds).index_add_(0, cloud, values)
        out[:, 0] = count[:, None] * share
        return out

    def extra_repr(self) -> str:
        return (
            f"level={self.level}, n_spheres={self.n_spheres}, channels={self.channels}, "
            f"radial={self.radial!r}, bandwidth={self.bandwidth!r}, threshold={self.threshold}"
        )


def _as_flat(points: Tensor, batch: Tensor | None, batch_size: int | None) -> tuple[Tensor, int]:
    """Points (M, 3) and number of clouds, from either form of input."""
    shape = tuple(points.shape)
    if not points.is_floating_point():
        raise DataError(f"points are {points.dtype}, but floating-point numbers are needed")
    if batch is None:
        if points.dim() != 3 or points.shape[-1] != 3:
            hint = "; for clouds of different sizes give batch too" if points.dim() == 2 else ""
            raise DataError(f"points have shape {shape}, but (B, N, 3) is needed{hint}")
        if batch_size not in (None, shape[0]):
            raise DataError(f"batch_size is {batch_size}, but the points are {shape[0]} clouds")
        if 0 in shape:
            raise DataError(f"points have shape {shape}: there is no cloud, or a cloud is empty")
        return points.reshape(-1, 3), shape[0]
    if points.dim() != 2 or points.shape[-1] != 3:
        raise DataError(f"points have shape {shape}, but with batch (M, 3) is needed")
    if batch.shape != points.shape[:1] or batch.dtype != torch.int64:
        raise DataError(
            f"batch has shape {tuple(batch.shape)} and type {batch.dtype}, but one int64 cloud "
            f"index for each of the {shape[0]} points is needed"
        )
    if batch.device != points.device:
        raise DataError(f"points are on {points.device}, but batch is on {batch.device}")
    if shape[0] == 0:
        raise DataError("there are no points at all")
    n_clouds = int(batch.max()) + 1 if batch_size is None else batch_size
    if n_clouds < 1:
        raise DataError(f"the number of clouds is {n_clouds}, but it must be at least 1")
    return points, n_clouds


def _as_flat_features(features: Tensor, points: Tensor) -> Tensor:
    """Features (M, F) of all points."""
    shape = tuple(features.shape)
    if features.dim() != points.dim() or shape[:-1] != tuple(points.shape[:-1]) or 0 in shape:
        wanted = ", ".join(map(str, points.shape[:-1]))
        raise DataError(
            f"features of points have shape {shape}, but ({wanted}, F) is needed for points of "
            f"shape {tuple(points.shape)}"
        )
    if features.dtype != points.dtype or features.device != points.device:
        raise DataError(
            f"features of points are {features.dtype} on {features.device}, but the points are "
            f"{points.dtype} on {points.device}"
        )
    return features.reshape(-1, shape[-1])


def _check_features(features: Tensor) -> None:
    within = features.isfinite()
    if not bool(within.all()):
        point, column = (int(i) for i in (~within).nonzero()[0])
        raise DataError(
            f"feature {column} of point {point} is {float(features[point, column])}, but features "
            f"must be finite numbers"
        )


def _check_values(points: Tensor, cloud: Tensor | None, n_clouds: int) -> None:
    """Check that coordinates can be used; with cloud indices, also these and sizes."""
    if cloud is not None:
        if bool(((cloud < 0) | (cloud >= n_clouds)).any()):
            raise DataError(
                f"cloud indices run from {int(cloud.min())} to {int(cloud.max())}, "
                f"but with {n_clouds} clouds they must lie in 0 … {n_clouds - 1}"
            )
        counts = torch.bincount(cloud, minlength=n_clouds)
        if bool((counts == 0).any()):
            raise DataError(f"cloud {int((counts == 0).nonzero()[0])} has no points")
    # The squares of larger coordinates would overflow. NaN and infinity do not lie within, either.
    wide = torch.finfo(torch.promote_types(points.dtype, torch.float32))
    limit = min(math.sqrt(wide.max) / 2, torch.finfo(points.dtype).max)
    within = points.abs() <= limit
    if not bool(within.all()):
        bad = int((~within.all(dim=1)).nonzero()[0])
        # Index of the cloud, and of the point within it.
        if cloud is None:
            index, place = divmod(bad, len(points) // n_clouds)
        else:
            index = int(cloud[bad])
            place = int((cloud[:bad] == index).sum())
        values = ", ".join(f"{value:g}" for value in points[bad].tolist())
        if bool(points[bad].isfinite().all()):
            raise DataError(
                f"point {place} of cloud {index} is too far from the origin: ({values}); scale "
                f"clouds to the unit ball (normalize_clouds)"
            )
        raise DataError(f"point {place} of cloud {index} is not finite: ({values})")

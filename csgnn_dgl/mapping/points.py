"""Point clouds to features on the concentric grid (Sec. 3.1 and A.6)."""

from __future__ import annotations

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

__all__ = ["PointMapping", "RadialNeighborhood"]

RadialNeighborhood = Literal["shell", "bracket"]


class PointMapping(nn.Module):
    r"""Radial basis features of point clouds at the sites of a concentric grid.

    .. math:: h(x) = \sum_p \exp(-\gamma_i \lVert x - p \rVert^2)

    Equation 1 of "Concentric Spherical GNN for 3D Representation Learning". The sum for a site
    :math:`x` runs over the points which have it in their neighbourhood. The neighbourhood of a
    point is made of the three vertices of the face its direction lies in, on some of the
    ``R' = R·C`` spheres at radii ``1/R', 2/R', …, 1``:

    ``"shell"``
        all ``C`` spheres of the coarse shell ``floor(|p|·R)`` which the point lies in, with that
        shell's :math:`\gamma_i`. The authors' released code does so; their tables come from it.
    ``"bracket"``
        the two spheres just outside and inside the point, as the paper says, with the
        :math:`\gamma_i` of the space between them; within the first sphere only that one, beyond
        the last sphere only the last.

    Sphere ``r·C + k`` of the ``R'`` becomes channel ``k`` of the spatial sphere ``r``.

    Clouds should be scaled to the unit ball (:func:`~csgnn_dgl.mapping.normalize_clouds`). Points
    farther out count to the outermost shell, weighted by their distance as all others. Coinciding
    points add up. A point at the origin (closer than the rounding error of its type) has no
    direction: the weight it would have at three vertices is spread over all vertices of the
    innermost shell ("bracket": of the first sphere), so that rotations do not matter to it.

    There is nothing to train and nothing to save: the module holds no parameters and no buffers,
    and works on whatever device the points are on. Sums over points are not in a fixed order on
    CUDA, unless ``torch.use_deterministic_algorithms(True)`` is set.

    Parameters
    ----------
    level
        Icosahedral level ``L``.
    n_spheres
        Spheres ``R`` kept as space.
    channels
        Spheres ``C`` grouped to the channels of one spatial sphere.
    radial
        Radial neighbourhood, see above.
    bandwidth, threshold
        Formula and target value ``T`` of :func:`~csgnn_dgl.mapping.shell_bandwidths`.
    validate
        Look for NaN, infinity, empty clouds and wrong cloud indices. On CUDA this waits for the
        device at each call; without it a NaN spreads to its cloud's features in silence.

    Shapes
    ------
    points ``(B, N, 3)``, or ``(M, 3)`` with ``batch`` ``(M,)`` → ``(V·R, B, C)``, row ``v·R + r``.

    Raises
    ------
    ConfigError
        Unknown names, sizes below 1, threshold outside (0, 1].

    Examples
    --------
    >>> mapping = PointMapping(level=1, n_spheres=4, channels=2)
    >>> mapping(torch.rand(3, 100, 3) / 2).shape
    torch.Size([168, 3, 2])
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
        validate: bool = True,
    ) -> None:
        super().__init__()
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
        # The share of a point at the origin: three vertices' weights, spread over all of them.
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
        self, points: Tensor, batch: Tensor | None = None, batch_size: int | None = None
    ) -> Tensor:
        """Features of clouds.

        Parameters
        ----------
        points
            Clouds of one size, shape ``(B, N, 3)``; or all points of clouds of differing size,
            shape ``(M, 3)``, together with ``batch``.
        batch
            Which cloud each point belongs to, shape ``(M,)``, int64, in any order.
        batch_size
            Number ``B`` of clouds; by default one more than the largest index in ``batch``, which
            on CUDA waits for the device.

        Returns
        -------
        Tensor
            Shape ``(V·R, B, C)``, type and device of ``points``, differentiable with respect to
            them. float16 and bfloat16 points are computed with in float32.

        Raises
        ------
        DataError
            Wrong shape or type; with ``validate`` also NaN or infinite coordinates, a cloud
            without points, or an index outside ``0 … B - 1``.
        """
        flat, cloud, n_clouds = _as_flat(points, batch, batch_size)
        if self.validate:
            _check_values(flat, cloud, n_clouds, None if batch is not None else points.shape[1])
        wide = torch.promote_types(points.dtype, torch.float32)
        # One row per coordinate: whatever is computed is contiguous over the points.
        columns = flat.to(wide).t().contiguous()
        squared = (columns * columns).sum(dim=0)
        tiny = torch.finfo(wide).eps
        at_centre = squared <= tiny * tiny
        distance = torch.where(at_centre, 1, squared).sqrt()
        direction = columns / distance
        face = self.faces.find_columns(direction.detach())
        corner = self.faces.corner_positions(face, wide)
        chord = (direction[:, None] - corner).square().sum(dim=0)
        out = self._centre_share(at_centre, cloud, n_clouds, wide)
        if triton := self._triton(columns):
            triton.add_point_weights(
                out,
                torch.where(at_centre, -1, distance),
                chord,
                self.faces.corner_ids(face),
                cloud,
                self._tables.get("gamma", distance.device, wide),
            )
            return out.view(-1, n_clouds, self.channels).to(points.dtype)

        gamma, sphere, weightless = self._radial_neighborhood(distance.detach(), at_centre)
        # Cast first: a quotient of integers has the default type, and only its digits.
        radius = (sphere + 1).to(wide) / (self.n_spheres * self.channels)
        # |p - r v|² = (|p| - r)² + r |p| |u - v|² with unit vectors u, v: unlike an expansion in
        # dot products it loses no digits where a point is close to a site.
        decay = -gamma[:, None]
        falloff = decay * (distance[:, None] - radius).square()
        falloff = falloff.masked_fill(weightless, -torch.inf)
        slope = (decay * distance[:, None]) * radius
        weight = torch.exp(torch.addcmul(falloff, slope, chord[:, :, None]))

        # One flat index per weight: cheaper on a CPU than adding rows of a few channels.
        shell = sphere // self.channels
        channel = sphere - shell * self.channels
        row = self.faces.corner_ids(face) * (self.n_spheres * n_clouds) + cloud
        offset = shell * (n_clouds * self.channels) + channel
        site = row[:, :, None] * self.channels + offset
        out = out.view(-1).index_add_(0, site.view(-1), weight.view(-1))
        return out.view(-1, n_clouds, self.channels).to(points.dtype)

    def _triton(self, columns: Tensor) -> ModuleType | None:
        """The module with a kernel for these points, if there is one."""
        fixed_order = torch.are_deterministic_algorithms_enabled()
        if self.radial != "shell" or columns.dtype != torch.float32 or fixed_order:
            return None
        if torch.is_grad_enabled() and columns.requires_grad:
            return None
        return triton_for(columns)

    def _radial_neighborhood(
        self, distance: Tensor, at_centre: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Bandwidth ``(M,)``, the ``Q`` spheres of each point ``(M, Q)``, and which do not count.

        Spheres are numbered from 0 over all ``R'``; the last result is ``(M, Q)`` or ``(M, 1)``.
        """
        gamma = self._tables.get("gamma", distance.device, distance.dtype)
        shell = (distance * len(gamma)).floor().long().clamp_(0, len(gamma) - 1)
        if self.radial == "shell":
            grouped = torch.arange(self.channels, device=distance.device)
            return gamma[shell], shell[:, None] * self.channels + grouped, at_centre[:, None]
        # The farthest point of a normalised cloud is on the last sphere, up to rounding: it must
        # not depend on the rounding whether the sphere before is on its other side.
        beyond = distance > 1 + 16 * torch.finfo(distance.dtype).eps
        no_inner = at_centre | (shell == 0) | beyond
        spheres = torch.stack([shell, (shell - 1).clamp_(min=0)], dim=1)
        return gamma[shell], spheres, torch.stack([at_centre, no_inner], dim=1)

    def _centre_share(
        self, at_centre: Tensor, cloud: Tensor, n_clouds: int, dtype: torch.dtype
    ) -> Tensor:
        """What the points at the origin add to the innermost shell; (V, R, B, C)."""
        share = self._tables.get("centre", cloud.device, dtype)
        size = (self.num_vertices, self.n_spheres, n_clouds, self.channels)
        out = torch.zeros(size, device=cloud.device, dtype=dtype)
        count = out.new_zeros(n_clouds).index_add_(0, cloud, at_centre.to(dtype))
        out[:, 0] = count[:, None] * share
        return out

    def extra_repr(self) -> str:
        return (
            f"level={self.level}, n_spheres={self.n_spheres}, channels={self.channels}, "
            f"radial={self.radial!r}, bandwidth={self.bandwidth!r}, threshold={self.threshold}"
        )


def _as_flat(
    points: Tensor, batch: Tensor | None, batch_size: int | None
) -> tuple[Tensor, Tensor, int]:
    """Points (M, 3), cloud of each (M,), number of clouds; from either form of input."""
    shape = tuple(points.shape)
    if not points.is_floating_point():
        raise DataError(f"points are {points.dtype}, but floating-point numbers are needed")
    if batch is None:
        if points.dim() != 3 or points.shape[-1] != 3:
            hint = "; for clouds of differing size give batch too" if points.dim() == 2 else ""
            raise DataError(f"points have shape {shape}, but (B, N, 3) is needed{hint}")
        if batch_size not in (None, shape[0]):
            raise DataError(f"batch_size is {batch_size}, but the points are {shape[0]} clouds")
        if 0 in shape:
            raise DataError(f"points have shape {shape}: there is no cloud, or no point in it")
        cloud = torch.arange(shape[0], device=points.device).repeat_interleave(shape[1])
        return points.reshape(-1, 3), cloud, shape[0]
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
    return points, batch, n_clouds


def _check_values(points: Tensor, cloud: Tensor, n_clouds: int, per_cloud: int | None) -> None:
    """Finite coordinates; for flat clouds also indices in range, and at least one point each."""
    if per_cloud is None:
        if bool(((cloud < 0) | (cloud >= n_clouds)).any()):
            raise DataError(
                f"cloud indices run from {int(cloud.min())} to {int(cloud.max())}, "
                f"but with {n_clouds} clouds they must lie in 0 … {n_clouds - 1}"
            )
        counts = torch.bincount(cloud, minlength=n_clouds)
        if bool((counts == 0).any()):
            raise DataError(f"cloud {int((counts == 0).nonzero()[0])} has no points")
    finite = points.isfinite()
    if not bool(finite.all()):
        bad = int((~finite.all(dim=1)).nonzero()[0])
        index = int(cloud[bad])
        # Counted within the cloud, as its owner numbers the points.
        place = bad % per_cloud if per_cloud else int((cloud[:bad] == index).sum())
        values = ", ".join(f"{value:g}" for value in points[bad].tolist())
        raise DataError(f"point {place} of cloud {index} is not finite: ({values})")

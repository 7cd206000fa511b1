"""Random changes to training clouds: scale, rotation, translation, jitter."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.mapping.rotations import (
    RotationProtocol,
    UpAxis,
    check_protocol,
    random_rotations,
    rotate_clouds,
)
from csgnn_dgl.ops.copies import to_device

__all__ = ["Augmentation"]


@dataclass(frozen=True)
class Augmentation:
    """The paper's augmentation of point clouds, in the order scale, rotation, translation, jitter.

    The defaults are those of "Concentric Spherical GNN for 3D Representation Learning" (Table 1).
    Normalise afterwards with :func:`csgnn_dgl.mapping.normalize_clouds`.

    Parameters
    ----------
    scale
        Range of the factor, drawn for each cloud and axis. ``(1, 1)`` switches it off.
    rotation
        Protocol of :func:`csgnn_dgl.mapping.random_rotations`.
    translation
        Largest shift along each axis, drawn for each cloud. 0 switches it off.
    jitter
        Standard deviation of the normal noise on each coordinate. 0 switches it off.
    jitter_clip
        Largest noise on a coordinate.
    up_axis
        Axis of the rotation ``"z"``.

    Raises
    ------
    ConfigError
        A name is unknown, the range is reversed, or a size is negative.

    Examples
    --------
    >>> augment = Augmentation(rotation="so3")
    >>> augment(torch.rand(2, 64, 3), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 64, 3])
    """

    scale: tuple[float, float] = (0.8, 1.2)
    rotation: RotationProtocol = "none"
    translation: float = 0.1
    jitter: float = 0.01
    jitter_clip: float = 0.05
    up_axis: UpAxis = "z"

    def __post_init__(self) -> None:
        check_protocol(self.rotation, self.up_axis)
        low, high = self.scale
        if not 0 < low <= high < float("inf"):
            raise ConfigError(
                f"scale is {self.scale}, but (low, high) with 0 < low <= high is needed"
            )
        for name in ("translation", "jitter", "jitter_clip"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ConfigError(f"{name} is {value}, but it must be 0 or a positive number")

    def __call__(
        self, points: Tensor, generator: torch.Generator, *, normals: bool = False
    ) -> Tensor:
        """Change each cloud at random.

        Parameters
        ----------
        points
            Shape ``(B, N, 3)``; not changed in place. Further columns may follow the coordinates,
            and stay as they are.
        generator
            A CPU generator. Random numbers are drawn on the CPU and moved, so that a seed gives the
            same clouds on every device.
        normals
            Whether columns 4 to 6 are normals of surfaces, which follow scales and rotations.

        Returns
        -------
        Tensor
            The shape, the type and device of ``points``.

        Raises
        ------
        DataError
            The points have another shape, or are not floating-point numbers.
        """
        least = 6 if normals else 3
        if points.dim() != 3 or points.shape[-1] < least or not points.is_floating_point():
            raise DataError(
                f"points have shape {tuple(points.shape)} and type {points.dtype}, "
                f"but a floating-point tensor of shape (B, N, {least}) is needed"
            )
        n_clouds = points.shape[0]
        low, high = self.scale
        factor = low + (high - low) * _uniform(n_clouds, generator)
        rotations = random_rotations(
            n_clouds, self.rotation, self.up_axis, generator, points.dtype, points.device
        )
        shift = self.translation * (2 * _uniform(n_clouds, generator) - 1)
        factor = to_device(factor.to(points.dtype), points.device)
        others = points[..., 3:]
        points = points[..., :3] * factor
        if normals:
            # A plane a·p = 0 becomes (a / s)·(s p) = 0.
            scaled = others[..., :3] / factor
            length = scaled.norm(dim=-1, keepdim=True)
            scaled = scaled / torch.where(length > 0, length, 1)
            others = torch.cat([scaled, others[..., 3:]], dim=-1)
        if self.rotation != "none":
            both = rotate_clouds(torch.cat([points, others], dim=-1), rotations, normals=normals)
            points, others = both[..., :3], both[..., 3:]
        points = points + to_device(shift.to(points.dtype), points.device)
        if self.jitter > 0:
            noise = torch.randn(points.shape, generator=generator, dtype=torch.float32)
            noise = noise.mul_(self.jitter).clamp_(-self.jitter_clip, self.jitter_clip)
            points = points + to_device(noise.to(points.dtype), points.device)
        return torch.cat([points, others], dim=-1) if others.shape[-1] else points


def _uniform(n_clouds: int, generator: torch.Generator) -> Tensor:
    """Draw uniform numbers in [0, 1), one per cloud and axis; (B, 1, 3), float64."""
    return torch.rand(n_clouds, 1, 3, generator=generator, dtype=torch.float64)

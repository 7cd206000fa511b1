"""Random rotations of clouds under a protocol."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from csgnn_dgl.errors import ConfigError, DataError, suggest
from csgnn_dgl.ops.copies import to_device

__all__ = [
    "RotationProtocol",
    "UpAxis",
    "axis_rotations",
    "check_protocol",
    "random_rotations",
    "rotate_clouds",
    "rotations_about",
]

RotationProtocol = Literal["none", "z", "so3", "euler"]
UpAxis = Literal["x", "y", "z"]


def check_protocol(protocol: str, up_axis: str) -> None:
    """Raise :class:`ConfigError` unless both names are known."""
    for value, what, known in (
        (protocol, "rotation protocol", get_args(RotationProtocol)),
        (up_axis, "up axis", get_args(UpAxis)),
    ):
        if value not in known:
            raise ConfigError(f"unknown {what} {value!r}: {suggest(str(value), known)}")


def random_rotations(
    n: int,
    protocol: RotationProtocol,
    up_axis: UpAxis,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Draw random rotation matrices.

    Parameters
    ----------
    n
        Number of rotations.
    protocol
        ``"none"``: identities; ``"z"``: a uniform angle about ``up_axis``, which need not be z;
        ``"so3"``: uniform on SO(3) (Haar measure), from normal quaternions; ``"euler"``: three
        uniform Euler angles, ``Rz Ry Rx``. The last is *not* uniform; it exists for comparison with
        work that uses it, such as the released code of the concentric spherical GNN.
    up_axis
        Axis of the ``"z"`` protocol.
    generator
        A CPU generator. Numbers are drawn in float64 on the CPU, so that a seed gives the same
        rotations on every device and in every precision.
    dtype, device
        Type and device of the result.

    Returns
    -------
    Tensor
        Shape ``(n, 3, 3)``; apply with :func:`rotate_clouds`.

    Raises
    ------
    ConfigError
        The protocol or the axis is unknown.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> rotations = random_rotations(2, "so3", "z", generator, dtype=torch.float64)
    >>> torch.allclose(rotations @ rotations.transpose(1, 2), torch.eye(3).double())
    True
    """
    check_protocol(protocol, up_axis)
    if protocol == "none":
        return torch.eye(3, dtype=dtype, device=device).repeat(n, 1, 1)
    if protocol == "so3":
        quaternion = torch.randn(n, 4, generator=generator, dtype=torch.float64)
        matrices = _from_quaternions(quaternion)
    else:
        angles = 2 * torch.pi * torch.rand(n, 3, generator=generator, dtype=torch.float64)
        if protocol == "z":
            matrices = rotations_about(angles[:, 0], up_axis)
        else:
            about_x, about_y, about_z = (
                rotations_about(angles[:, i], axis) for i, axis in enumerate(get_args(UpAxis))
            )
            matrices = about_z @ about_y @ about_x
    # Change the type first, because some devices do not support float64.
    return to_device(matrices.to(dtype), device)


def axis_rotations(axes: Tensor, degrees: float) -> Tensor:
    """Right-handed rotations about given axes, all by the same angle (Rodrigues' formula).

    Parameters
    ----------
    axes
        Shape ``(n, 3)``, of any length but zero.
    degrees
        The angle.

    Returns
    -------
    Tensor
        Shape ``(n, 3, 3)``, float64 on the CPU; apply with :func:`rotate_clouds`.

    Raises
    ------
    DataError
        The shape is another, or an axis has no length.

    Examples
    --------
    >>> axis_rotations(torch.tensor([[0.0, 0.0, 2.0]]), 90).round().int().tolist()
    [[[0, -1, 0], [1, 0, 0], [0, 0, 1]]]
    """
    if axes.dim() != 2 or axes.shape[1] != 3:
        raise DataError(f"axes have shape {tuple(axes.shape)}, but (n, 3) is needed")
    axes = axes.to("cpu", torch.float64)
    length = axes.norm(dim=1, keepdim=True)
    if not bool((length > 0).all()):
        raise DataError("an axis of rotation is zero or not a number, so it has no direction")
    x, y, z = (axes / length).unbind(1)
    zero = torch.zeros_like(x)
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    cross = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    radians = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    identity = torch.eye(3, dtype=torch.float64)
    return identity + radians.sin() * cross + (1 - radians.cos()) * (cross @ cross)


def rotate_clouds(points: Tensor, rotations: Tensor, *, normals: bool = False) -> Tensor:
    """Rotate each cloud by its own matrix, ``p → R p``.

    Parameters
    ----------
    points
        Shape ``(B, N, 3)``; further columns may follow the coordinates.
    rotations
        Shape ``(B, 3, 3)``.
    normals
        Whether columns 4 to 6 are normals, which are rotated, too. All other columns stay as they
        are.

    Raises
    ------
    DataError
        The shapes do not fit.

    Examples
    --------
    >>> quarter_about_z = torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
    >>> rotate_clouds(torch.tensor([[[1.0, 0.0, 0.5]]]), quarter_about_z)
    tensor([[[0.0000, 1.0000, 0.5000]]])
    """
    least = 6 if normals else 3
    n_clouds = points.shape[0] if points.dim() == 3 and points.shape[-1] >= least else -1
    if rotations.shape != (n_clouds, 3, 3):
        raise DataError(
            f"points have shape {tuple(points.shape)} and rotations {tuple(rotations.shape)}, "
            f"but (B, N, {least}) and (B, 3, 3) are needed"
        )
    # Not matmul, which would round the coordinates under autocast or with TF32.
    columns = rotations.transpose(1, 2)[:, :, None]
    parts = []
    for first in range(0, least, 3):
        x, y, z = points[..., first : first + 3].split(1, dim=-1)
        parts.append(x * columns[:, 0] + y * columns[:, 1] + z * columns[:, 2])
    if len(parts) == 1 and points.shape[-1] == 3:
        return parts[0]
    return torch.cat([*parts, points[..., least:]], dim=-1)


def _from_quaternions(quaternion: Tensor) -> Tensor:
    """Rotation matrices (n, 3, 3) of the directions of four-dimensional vectors (n, 4)."""
    w, x, y, z = (quaternion / quaternion.norm(dim=1, keepdim=True)).unbind(1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def rotations_about(angle: Tensor, axis: str) -> Tensor:
    """Right-handed rotations (n, 3, 3) about a coordinate axis."""
    fixed = get_args(UpAxis).index(axis)
    first, second = (fixed + 1) % 3, (fixed + 2) % 3
    matrices = torch.zeros(len(angle), 3, 3, dtype=angle.dtype)
    matrices[:, fixed, fixed] = 1
    matrices[:, first, first] = matrices[:, second, second] = angle.cos()
    matrices[:, second, first] = angle.sin()
    matrices[:, first, second] = -angle.sin()
    return matrices

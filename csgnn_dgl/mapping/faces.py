"""Find the face of an icosphere that a direction goes through, by descending the levels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from csgnn_dgl.errors import DataError
from csgnn_dgl.grid import Icosphere
from csgnn_dgl.mapping.tables import Tables

__all__ = ["FaceSearch"]


class FaceSearch:
    """Finds the face of the level ``L`` icosphere that contains each direction.

    At level 0 it is the face with the nearest centre. Each refinement divides a face along the
    three great circles through its edge midpoints, so three half-space tests determine the child.
    This takes ``O(L)`` work per direction, without a search tree, on any device.

    A direction exactly on an edge or a vertex belongs to several faces; always the same one of them
    is returned. The length of a direction does not matter, but the zero vector has no direction and
    gets an arbitrary valid face.

    Parameters
    ----------
    level
        Icosahedral level ``L``.

    Shapes
    ------
    directions ``(M, 3)`` → faces ``(M,)`` in ``0 … 20·4^L - 1`` → vertices ``(M, 3)``.

    Examples
    --------
    >>> from csgnn_dgl.grid import Icosphere
    >>> search = FaceSearch(level=3)
    >>> faces = torch.tensor([0, 77, 1279])
    >>> corners = torch.tensor(Icosphere.get(3).vertices)[search.vertices_of(faces)]
    >>> search.find_faces(corners.mean(dim=1)).tolist()
    [0, 77, 1279]
    """

    def __init__(self, level: int) -> None:
        self.level = level
        sphere = Icosphere.get(level)
        centres = _corners(Icosphere.get(0)).sum(axis=1)
        # One column per face: gathering columns keeps each component of all points contiguous,
        # which is several times faster on a CPU than one small matrix per point.
        arrays = {
            "centres": np.ascontiguousarray(centres / np.linalg.norm(centres, axis=1)[:, None]),
            "corner_ids": np.ascontiguousarray(sphere.faces.T),
            "corners": np.ascontiguousarray(_corners(sphere).transpose(2, 1, 0).reshape(9, -1)),
        }
        # For each level (component · corner, face), one level after the other.
        normals = [_cut_normals(Icosphere.get(fine)).ravel() for fine in range(1, level + 1)]
        arrays["normals"] = np.concatenate([*normals, np.zeros(0)])
        self._tables = Tables(**arrays)

    def tables(self, device: torch.device) -> dict[str, Tensor]:
        """All tables, by name, for kernels that search in float32."""
        types = {"corner_ids": torch.int64}
        return {
            name: self._tables.get(name, device, types.get(name, torch.float32))
            for name in ("centres", "normals", "corners", "corner_ids")
        }

    def find_faces(self, directions: Tensor) -> Tensor:
        """Face of level ``L`` for each direction.

        Parameters
        ----------
        directions
            Shape ``(M, 3)``, any length.

        Returns
        -------
        Tensor
            Shape ``(M,)``, int64.

        Raises
        ------
        DataError
            ``directions`` is not a floating-point tensor of shape ``(M, 3)``.
        """
        if directions.dim() != 2 or directions.shape[1] != 3 or not directions.is_floating_point():
            raise DataError(
                f"directions have shape {tuple(directions.shape)} and type {directions.dtype}, "
                "but a floating-point tensor of shape (M, 3) is needed"
            )
        wide = torch.promote_types(directions.dtype, torch.float32)
        return self.find_columns(directions.detach().to(wide).t().contiguous())

    def find_columns(self, directions: Tensor) -> Tensor:
        """:meth:`find_faces` for directions of shape ``(3, M)``, float32 or float64, unchecked."""
        # Not matmul, which may run in TF32, or in half precision under autocast, and would then
        # find wrong faces.
        device, dtype = directions.device, directions.dtype
        x, y, z = directions
        centre = self._tables.get("centres", device, dtype)
        nearness = centre[:, 0, None] * x
        nearness.addcmul_(centre[:, 1, None], y).addcmul_(centre[:, 2, None], z)
        # argmax finds the same indices, but on a CPU takes twice as long along this dimension.
        face: Tensor = nearness.max(dim=0).indices
        table, start = self._tables.get("normals", device, dtype), 0
        for coarse in range(self.level):
            count = 9 * 20 * 4**coarse
            normals = table[start : start + count].view(9, -1).index_select(1, face)
            start += count
            side = (normals.view(3, 3, -1) * directions[:, None]).sum(dim=0)
            # Each corner child lies beyond its plane, and no two of them overlap.
            first, second, third = side > 0
            child = torch.where(third, 2, 3)
            child = torch.where(second, 1, child)
            child = torch.where(first, 0, child)
            face = 4 * face + child
        return face

    def vertices_of(self, faces: Tensor) -> Tensor:
        """The three corners, shape ``(M, 3)``, of each of ``faces``, shape ``(M,)``; int64."""
        return self.corner_ids(faces).t()

    def corner_ids(self, faces: Tensor) -> Tensor:
        """:meth:`vertices_of` in the transposed layout ``(3, M)``."""
        return self._tables.get("corner_ids", faces.device, torch.int64).index_select(1, faces)

    def corner_positions(self, faces: Tensor, dtype: torch.dtype) -> Tensor:
        """Unit vectors to the corners; ``(3, 3, M)``: component, corner, face."""
        corners = self._tables.get("corners", faces.device, dtype).index_select(1, faces)
        return corners.view(3, 3, -1)


def _corners(sphere: Icosphere) -> NDArray[np.float64]:
    """Positions of the face corners; (face, corner, component)."""
    corners: NDArray[np.float64] = sphere.vertices[sphere.faces]
    return corners


def _cut_normals(fine: Icosphere) -> NDArray[np.float64]:
    """Normals of the planes that separate the three corner children from the middle child.

    The result is (component · corner, face), flattened to (9, number of coarse faces). A normal
    points towards its corner.
    """
    coarse_corners = _corners(Icosphere.get(fine.level - 1))
    middle = _corners(fine)[3::4]
    normals = []
    for k in range(3):
        child = fine.faces[k::4]
        # The child shares two corners with the middle child. The plane goes through them.
        kept = (child[:, :, None] == fine.faces[3::4][:, None, :]).any(axis=1)
        first, second = kept.argmax(axis=1), 2 - kept[:, ::-1].argmax(axis=1)
        rows = np.arange(len(child))
        normal = np.cross(middle[rows, first], middle[rows, second])
        towards = (normal * coarse_corners[:, k]).sum(axis=1, keepdims=True)
        normals.append(normal * np.sign(towards))
    return np.ascontiguousarray(np.stack(normals, axis=1).transpose(2, 1, 0).reshape(9, -1))

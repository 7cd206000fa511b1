"""Read triangle meshes, and sample their surfaces."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from csgnn_dgl._open3d import import_open3d
from csgnn_dgl.datasets.shapes.checks import check_points, scale_exponent
from csgnn_dgl.datasets.shapes.obj import read_obj
from csgnn_dgl.datasets.shapes.off import read_off
from csgnn_dgl.datasets.shapes.ply import read_ply
from csgnn_dgl.datasets.shapes.polygons import Polygons, triangulate
from csgnn_dgl.datasets.shapes.stl import read_stl
from csgnn_dgl.errors import DataError

__all__ = ["MESH_SUFFIXES", "Mesh", "read_mesh", "sample_surface"]

_FORMATS: dict[str, Callable[[Path], tuple[np.ndarray, Polygons]]] = {
    ".off": read_off,
    ".obj": read_obj,
    ".ply": read_ply,
    ".stl": read_stl,
}
MESH_SUFFIXES = tuple(_FORMATS)
# Guards open3d's random generator, of which there is one for the whole process.
_SAMPLING = threading.Lock()
# Largest ratio between the distances of a mesh's farthest vertices and of the others.
_FARTHEST = 1e4


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh.

    Parameters
    ----------
    vertices
        Shape ``(n, 3)``, float64.
    faces
        Vertex indices, shape ``(m, 3)``, int64.
    """

    vertices: np.ndarray
    faces: np.ndarray


def read_mesh(path: Path, attributes: Sequence[str] = ()) -> Mesh | np.ndarray:
    """Read the mesh in a file, or the points of a .ply file that has no faces.

    Points have the shape ``(M, 3 + A)``, with the columns of their attributes.

    Raises
    ------
    DataError
        The file is unreadable, truncated or empty; a face has fewer than three corners, or refers
        to a vertex that does not exist.
    """
    suffix = path.suffix.lower()
    if suffix == ".ply" and attributes:
        vertices, polygons = read_ply(path, attributes)
    else:
        vertices, polygons = _FORMATS[suffix](path)
    if len(vertices) == 0:
        raise DataError(f"{path} holds no vertices; it may be empty, truncated or another format")
    if len(polygons.sizes) == 0:
        if suffix == ".ply":
            return vertices
        raise DataError(
            f"{path} holds {len(vertices)} vertices but no faces, so it has no surface; save "
            f"points as .ply, .xyz or .npy"
        )
    vertices = vertices[:, :3]
    faces = triangulate(vertices, polygons, str(path))
    if suffix in (".obj", ".stl"):
        return _joined(vertices, faces)
    return Mesh(vertices, faces)


def _joined(vertices: np.ndarray, faces: np.ndarray) -> Mesh:
    """Join vertices at the same place, and number them as the faces use them.

    Earlier versions read .obj and .stl files by a library that did so, in single precision. Points
    sampled from plain files, such as SHREC'11's, stay the same with it. Only a mesh that is so far
    from the origin that single precision would change its shape keeps its digits.
    """
    used = vertices[faces.reshape(-1)]
    with np.errstate(all="ignore"):  # values that are too large are reported later
        single = used.astype(np.float32).astype(np.float64)
        if np.abs(single - used).max() <= 1e-4 * np.ptp(used, axis=0).max():
            used = single
    _, first, index = np.unique(used, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return Mesh(used[first[order]], rank[index.reshape(-1)].reshape(-1, 3))


def sample_surface(
    mesh: Mesh, count: int, seed: int, where: str, *, normals: bool = False
) -> np.ndarray:
    """Sample points uniformly by area, with open3d.

    Parameters
    ----------
    mesh
        The surface.
    count
        Number of points.
    seed
        Random seed for the sampling, 32 bits.
    where
        Origin of the mesh, for messages.
    normals
        Whether the normals of the faces follow the coordinates. The points stay the same.

    Returns
    -------
    numpy.ndarray
        Shape ``(count, 3)``, or ``(count, 6)`` with normals, float64.

    Raises
    ------
    DataError
        Coordinates are NaN or infinite, a few vertices are absurdly far from all others, or the
        surface has no area.
    MissingDependencyError
        open3d is not installed.
    """
    index, faces = np.unique(mesh.faces, return_inverse=True)
    faces = faces.reshape(-1, 3)
    used = mesh.vertices[index]
    check_points(used, where, what="vertices", farthest=_FARTHEST)
    # Powers of two change no digit, and keep the largest and smallest numbers in range.
    exponent = scale_exponent(used)
    used = np.ldexp(used, -exponent)
    # Centre the mesh and scale it to size one, so that tiny or distant meshes do not lose digits.
    centre, size = used.mean(axis=0), float(np.ptp(used, axis=0).max())
    vertices = (used - centre) / size
    corners = vertices[faces]
    upright = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    if not np.linalg.norm(upright, axis=1).sum() / 2 > 1e-12:
        raise DataError(
            f"{where}: the mesh has no area: all of its {len(mesh.faces)} faces are degenerate"
        )
    o3d = import_open3d()
    surface = o3d.geometry.TriangleMesh(
        o3d.utility.Vector3dVector(vertices), o3d.utility.Vector3iVector(faces.astype(np.int32))
    )
    with _SAMPLING:
        o3d.utility.random.seed(seed & 0x7FFFFFFF)
        if normals:
            surface.compute_triangle_normals()
        cloud = surface.sample_points_uniformly(count, use_triangle_normal=normals)
    points = np.ldexp(np.asarray(cloud.points) * size + centre, exponent)
    return np.concatenate([points, np.asarray(cloud.normals)], axis=1) if normals else points

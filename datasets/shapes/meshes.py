"""Read triangle meshes, and sample their surfaces."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from csgnn_dgl._open3d import import_open3d
from csgnn_dgl.errors import DataError

__all__ = ["MESH_SUFFIXES", "Mesh", "read_mesh", "sample_surface"]

MESH_SUFFIXES = (".off", ".obj", ".ply", ".stl")
# Guards open3d's random generator, of which there is one for the whole process.
_SAMPLING = threading.Lock()


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


def read_mesh(path: Path) -> Mesh | np.ndarray:
    """Read the mesh in a file, or the points ``(M, 3)`` of a .ply file that has no faces.

    Raises
    ------
    DataError
        The file is unreadable, truncated or empty, or a face refers to a vertex that does not
        exist.
    MissingDependencyError
        open3d is not installed and the file is not .off.
    """
    # Some of ModelNet's headers have no space before the counts, which open3d refuses.
    mesh = _read_off(path) if path.suffix.lower() == ".off" else _read_by_open3d(path)
    if len(mesh.vertices) == 0:
        raise DataError(f"{path} holds no vertices; it may be empty, truncated or another format")
    if len(mesh.faces) == 0:
        if path.suffix.lower() == ".ply":
            return mesh.vertices
        raise DataError(
            f"{path} holds {len(mesh.vertices)} vertices but no faces, so it has no surface; save "
            f"points as .ply, .xyz or .npy"
        )
    low, high = int(mesh.faces.min()), int(mesh.faces.max())
    if low < 0 or high >= len(mesh.vertices):
        raise DataError(
            f"{path}: a face refers to vertex {high if low >= 0 else low}, but there are vertices "
            f"0 … {len(mesh.vertices) - 1}; repair the mesh"
        )
    return mesh


def sample_surface(mesh: Mesh, count: int, seed: int, where: str) -> np.ndarray:
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

    Returns
    -------
    numpy.ndarray
        Shape ``(count, 3)``, float64.

    Raises
    ------
    DataError
        Coordinates are NaN or infinite, or the surface has no area.
    """
    used = mesh.vertices[np.unique(mesh.faces)]
    if not np.isfinite(used).all():
        raise DataError(f"{where}: vertices have NaN or infinite coordinates; repair the mesh")
    # Centre the mesh and scale it to size one, so that tiny or distant meshes do not lose digits.
    centre, size = used.mean(axis=0), float(np.ptp(used, axis=0).max())
    if size == 0:
        raise DataError(f"{where}: all {len(used)} vertices are equal, so there is no surface")
    vertices = (mesh.vertices - centre) / size
    corners = vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    if not np.linalg.norm(normals, axis=1).sum() / 2 > 1e-12:
        raise DataError(
            f"{where}: the mesh has no area: all of its {len(mesh.faces)} faces are degenerate"
        )
    o3d = import_open3d()
    surface = o3d.geometry.TriangleMesh(
        o3d.utility.Vector3dVector(np.nan_to_num(vertices)),
        o3d.utility.Vector3iVector(mesh.faces.astype(np.int32)),
    )
    with _SAMPLING:
        o3d.utility.random.seed(seed & 0x7FFFFFFF)
        cloud = surface.sample_points_uniformly(number_of_points=count)
    return np.asarray(cloud.points) * size + centre


def _read_by_open3d(path: Path) -> Mesh:
    suffix = path.suffix.lower()
    if suffix == ".stl":
        _check_stl(path)
    # open3d reads a truncated .ply as a smaller mesh without an error.
    announced = _ply_counts(path) if suffix == ".ply" else (0, 0)
    read = import_open3d().io.read_triangle_mesh(str(path))
    faces = np.asarray(read.triangles).astype(np.int64).reshape(-1, 3)
    mesh = Mesh(np.asarray(read.vertices).reshape(-1, 3), faces)
    if len(mesh.vertices) < announced[0] or len(mesh.faces) < announced[1]:
        raise DataError(
            f"{path} announces {announced[0]} vertices and {announced[1]} faces, but "
            f"{len(mesh.vertices)} and {len(mesh.faces)} can be read: it is truncated or damaged"
        )
    return mesh


def _ply_counts(path: Path) -> tuple[int, int]:
    """Numbers of vertices and faces in the header of a .ply file."""
    counts = {"vertex": 0, "face": 0}
    with path.open("rb") as file:
        for line in file:
            words = line.decode("ascii", errors="replace").split()
            if words == ["end_header"]:
                return counts["vertex"], counts["face"]
            if len(words) == 3 and words[0] == "element" and words[2].isdigit():
                counts[words[1]] = int(words[2])
    raise DataError(f"{path} has no end_header line: truncated, or not a .ply file")


def _check_stl(path: Path) -> None:
    """Refuse an .stl file that is truncated."""
    content = path.read_bytes()
    if content.lstrip()[:5].lower() == b"solid" and b"facet" in content[:1024]:
        if b"endsolid" not in content:
            raise DataError(f"{path} has no endsolid line: truncated")
        return
    triangles = int.from_bytes(content[80:84], "little")
    if len(content) < 84 + 50 * triangles:
        raise DataError(
            f"{path} announces {triangles} triangles and so {84 + 50 * triangles} bytes, but has "
            f"{len(content)}: truncated, or not an .stl file"
        )


def _read_off(path: Path) -> Mesh:
    """Read an OFF file with a line per vertex and face; polygons become fans of triangles."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a text OFF file: {error}") from error
    lines = [line for line in (raw.split("#")[0].strip() for raw in text.splitlines()) if line]
    if not lines or not lines[0].upper().startswith("OFF"):
        start = lines[0][:20] if lines else ""
        raise DataError(f"{path} does not begin with 'OFF' but with {start!r}: not an OFF file")
    counts = lines[0][3:].strip()  # in ModelNet's files, counts may follow OFF on the same line
    lines = ([counts] if counts else []) + lines[1:]
    try:
        n_vertices, n_faces = (int(word) for word in lines[0].split()[:2])
    except (IndexError, ValueError) as error:
        raise DataError(f"{path}: no counts of vertices and faces follow 'OFF'") from error
    body = lines[1 : 1 + n_vertices + n_faces]
    if min(n_vertices, n_faces) < 0 or len(body) < n_vertices + n_faces:
        raise DataError(
            f"{path} announces {n_vertices} vertices and {n_faces} faces, but {len(body)} lines "
            f"follow: it is truncated"
        )
    if n_vertices == 0:
        return Mesh(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))
    try:
        vertices = np.loadtxt(body[:n_vertices], ndmin=2, usecols=(0, 1, 2))
        faces = _triangles(body[n_vertices:])
    except (ValueError, OverflowError) as error:
        raise DataError(f"{path}: a vertex or face cannot be read ({error})") from error
    return Mesh(vertices, faces)


def _triangles(lines: list[str]) -> np.ndarray:
    """Make triangles of lines ``sides corner corner … [colour]``; ValueError if one is short."""
    if not lines:
        return np.zeros((0, 3), dtype=np.int64)
    if all(line.startswith("3 ") for line in lines):
        return np.loadtxt(lines, ndmin=2, usecols=(1, 2, 3), dtype=np.int64)
    triangles: list[tuple[int, int, int]] = []
    for line in lines:
        sides, *rest = line.split()
        corners = [int(word) for word in rest[: int(sides)]]
        if len(corners) < int(sides):
            raise ValueError(f"{line!r} has too few corners")
        triangles += [(corners[0], b, c) for b, c in pairwise(corners[1:])]
    return np.array(triangles, dtype=np.int64).reshape(-1, 3)

r"""Map the neighbourhood of each atom to grid sites."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.grid import Icosphere
from csgnn_dgl.mapping.faces import FaceSearch

__all__ = ["AtomAssignment", "AtomMapping"]

AtomAssignment = Literal["nearest", "smooth"]


class AtomMapping(nn.Module):
    r"""Put the neighbours of every atom on concentric spheres around it.

    The mapping is that of Section 4.2 of "Concentric Spherical GNN for 3D Representation Learning".
    There are ``R' = R·C`` shells of equal width between ``r_min`` and the cutoff. Shell ``r·C + k``
    is channel ``k`` of sphere ``r``. A neighbour adds :math:`1/d` at the vertex nearest to its
    direction. The paper uses ``R = 1``, ``C = 32``, 1 Å and 7 Å.

    Parameters
    ----------
    level
        Icosahedral level.
    n_spheres, channels
        Spheres of the grid, ``R``, and shells that form the channels of one sphere, ``C``.
    r_min, cutoff
        Inner radius of the first shell and outer radius of the last [Å]. A neighbour closer than
        ``r_min`` belongs to the first shell.
    assignment
        ``"nearest"``, as in the paper, assigns a neighbour to one shell and one vertex.
        ``"smooth"`` divides it linearly between the two nearest shells and the three vertices of
        its face, and multiplies it by :math:`(1 + \cos \pi d / r_c) / 2`, which is zero at the
        cutoff, so that the result is continuous in all positions.

    Shapes
    ------
    displacements ``(P, 3)``, centres ``(P,)``, optional features ``(P, E)`` → ``(V·R, A, C·E)``,
    row ``v·R + r``; channel ``k·E + e`` is feature ``e`` of shell ``r·C + k``.

    Raises
    ------
    ConfigError
        A size is not a whole number of at least 1, the radii are not ascending and finite, or the
        assignment is unknown.

    Examples
    --------
    >>> mapping = AtomMapping(1, 1, 4, r_min=1.0, cutoff=5.0)
    >>> feat = mapping(torch.tensor([[0.0, 0.0, 2.5]]), torch.tensor([0]), 1)
    >>> feat.shape, feat.sum(dim=(0, 1)).tolist()
    (torch.Size([42, 1, 4]), [0.0, 0.4000000059604645, 0.0, 0.0])
    """

    def __init__(
        self,
        level: int,
        n_spheres: int,
        channels: int,
        *,
        r_min: float = 1.0,
        cutoff: float = 7.0,
        assignment: AtomAssignment = "nearest",
    ) -> None:
        super().__init__()
        for name, size in (("n_spheres", n_spheres), ("channels", channels)):
            if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
                raise ConfigError(f"{name} is {size!r}, but it must be a whole number from 1 on")
        if not 0 <= r_min < cutoff < math.inf:
            raise ConfigError(
                f"there are no shells between r_min = {r_min} Å and cutoff = {cutoff} Å; r_min "
                f"must be at least 0 and less than the cutoff, which must be finite"
            )
        if assignment not in get_args(AtomAssignment):
            raise ConfigError(
                f"assignment must be one of {get_args(AtomAssignment)}, not {assignment!r}"
            )
        self.level, self.n_spheres, self.channels = level, n_spheres, channels
        self.r_min, self.cutoff, self.assignment = r_min, cutoff, assignment
        self.num_vertices = Icosphere.get(level).num_vertices
        self._search = FaceSearch(level)

    def forward(
        self, displacements: Tensor, centres: Tensor, n_atoms: int, features: Tensor | None = None
    ) -> Tensor:
        """Site features of all atoms.

        Parameters
        ----------
        displacements
            Vectors from the central atom to each neighbour, shape ``(P, 3)`` [Å].
        centres
            Index of each neighbour's central atom, shape ``(P,)``, int64.
        n_atoms
            Number of atoms, ``A``. The features of an atom without neighbours are zero.
        features
            Features of each neighbour, such as an embedding of its element, shape ``(P, E)``. They
            are multiplied by the neighbour's weight; 1 by default.

        Returns
        -------
        Tensor
            Shape ``(V·R, A, C·E)``.

        Raises
        ------
        DataError
            The shapes or types do not fit; a neighbour is at distance zero or at no finite
            distance; or a centre is outside ``0 … n_atoms - 1``. Centres are not looked at on CUDA
            in training mode, because the check waits for the device.
        """
        self._check(displacements, centres, features)
        # In an exported program, sizes may not depend on values, so neighbours beyond the cutoff
        # get the weight 0 there, instead of being left out.
        traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
        if not traced and not (self.training and centres.is_cuda):
            self._check_centres(centres, n_atoms)
        distance = displacements.norm(dim=1)
        within = distance <= self.cutoff
        if not traced and not bool(within.all()):
            # NaN is not within the cutoff either.
            if not bool(distance.isfinite().all()):
                raise DataError("a displacement is NaN, infinite, or too large for its type")
            displacements, centres, distance = (
                t[within] for t in (displacements, centres, distance)
            )
            features = None if features is None else features[within]
        if not traced and bool((distance == 0).any()):
            raise DataError("a neighbour is at distance zero from its atom")
        shell, radial = self._shells(distance)  # (P, S)
        vertex, angular = self._vertices(displacements, distance)  # (P, Q)
        weight = (radial[:, :, None] * angular[:, None, :] / distance[:, None, None]).flatten(1)
        if traced:
            weight = weight.masked_fill(~within[:, None], 0)
        site = vertex[:, None, :] * self.n_spheres + (shell // self.channels)[:, :, None]
        row = (site * n_atoms + centres[:, None, None]) * self.channels
        row = (row + (shell % self.channels)[:, :, None]).flatten()
        size = self.num_vertices * self.n_spheres * n_atoms * self.channels
        if features is None:
            out = weight.new_zeros(size).index_add(0, row, weight.flatten())
            return out.view(-1, n_atoms, self.channels)
        width = features.shape[1]
        values = (weight[:, :, None] * features[:, None, :].to(weight.dtype)).reshape(-1, width)
        out = weight.new_zeros(size, width).index_add(0, row, values)
        return out.view(-1, n_atoms, self.channels * width)

    def _check(self, displacements: Tensor, centres: Tensor, features: Tensor | None) -> None:
        if displacements.dim() != 2 or displacements.shape[1] != 3:
            raise DataError(f"displacements have shape {tuple(displacements.shape)}, not (P, 3)")
        if centres.shape != displacements.shape[:1]:
            raise DataError(
                f"{len(displacements)} displacements with centres of shape {tuple(centres.shape)}"
            )
        if centres.dtype != torch.int64:
            raise DataError(
                f"centres are {centres.dtype}, but an int64 index of an atom is needed for each "
                f"neighbour; convert them with centres.long()"
            )
        if features is not None and (features.dim() != 2 or features.shape[:1] != centres.shape):
            raise DataError(
                f"{len(displacements)} displacements with features of shape {tuple(features.shape)}"
            )

    def _check_centres(self, centres: Tensor, n_atoms: int) -> None:
        # Rows are computed from centres. A wrong one would not fail, but give the neighbour to
        # another vertex.
        if not centres.numel():
            return
        lowest, highest = (int(end) for end in centres.aminmax())
        if lowest < 0 or highest >= n_atoms:
            allowed = f"lie in 0 … {n_atoms - 1}" if n_atoms > 0 else "not exist"
            raise DataError(
                f"centres run from {lowest} to {highest}, but with {n_atoms} atoms they must "
                f"{allowed}; number the atoms from 0, and give n_atoms of the whole batch"
            )

    def _shells(self, distance: Tensor) -> tuple[Tensor, Tensor]:
        """Shells ``(P, S)`` of each neighbour, and its weights there ``(P, S)``."""
        count = self.n_spheres * self.channels
        place = (distance - self.r_min) * (count / (self.cutoff - self.r_min))
        if self.assignment == "nearest":
            shell = place.detach().floor().long().clamp(0, count - 1)
            return shell[:, None], torch.ones_like(distance)[:, None]
        # A neighbour is divided between the two shells whose middles enclose it. Before the first
        # middle and after the last one, it belongs to a single shell.
        place = (place - 0.5).clamp(0, count - 1)
        lower = place.detach().floor().long().clamp(max=max(count - 2, 0))
        share = place - lower
        upper = (lower + 1).clamp(max=count - 1)
        fade = (1 + torch.cos(torch.pi * distance / self.cutoff)) / 2
        parts = torch.stack([1 - share, share], dim=1) * fade[:, None]
        return torch.stack([lower, upper], dim=1), parts

    def _vertices(self, displacements: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        """Vertices ``(P, Q)`` of each neighbour, and its weights there ``(P, Q)``."""
        face = self._search.find_faces(displacements)
        ids = self._search.vertices_of(face)
        corners = self._search.corner_positions(face, displacements.dtype).permute(2, 1, 0)
        direction = displacements / distance[:, None]
        if self.assignment == "nearest":
            # Faces are acute, so the nearest vertex of all is a corner of the direction's face.
            nearest = (corners * direction.detach()[:, None]).sum(dim=2).argmax(dim=1)
            chosen = ids.gather(1, nearest[:, None])
            return chosen, torch.ones_like(chosen, dtype=displacements.dtype)
        a, b, c = corners.unbind(1)
        pairs = torch.stack(
            [torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)], 1
        )
        shares = (pairs * direction[:, None]).sum(dim=2).clamp(min=0)
        return ids, shares / shares.sum(dim=1, keepdim=True)

    def extra_repr(self) -> str:
        return (
            f"level={self.level}, n_spheres={self.n_spheres}, channels={self.channels}, "
            f"r_min={self.r_min}, cutoff={self.cutoff}, assignment={self.assignment!r}"
        )

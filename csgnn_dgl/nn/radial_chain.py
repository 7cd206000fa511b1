"""The radial relation of a graph, as the kernels want it."""

from __future__ import annotations

from dataclasses import dataclass, field

from csgnn_dgl.errors import DataError
from csgnn_dgl.ops import CSR

__all__ = ["RadialChain"]


@dataclass
class RadialChain:
    """The radial relation of one graph, sorted by offset.

    Attributes
    ----------
    n_spheres
        ``R`` if the graph is regular, that is if node ``v·R + r`` is vertex ``v`` on sphere ``r``
        and all spheres have the same edges; otherwise None.
    steps
        Relations from sources to destinations, for offsets +1 and −1.
    is_block
        Whether destinations have their own numbering, as in a block of ``dgl.to_block``.
    """

    n_spheres: int | None
    steps: dict[int, CSR]
    is_block: bool = False
    _further: dict[int, CSR] = field(default_factory=dict)

    def within(self, reach: int) -> dict[int, CSR]:
        """Compute relations for all offsets from ``-reach`` to ``reach`` except 0.

        Raises
        ------
        DataError
            The graph is a block, which holds only one step, and ``reach`` is longer.
        """
        if self.is_block and reach > 1:
            raise DataError(
                f"a block of dgl.to_block holds one step along the chain, but a kernel of size "
                f"{2 * reach + 1} walks {reach}; use kernel_size=3, or the whole graph"
            )
        for direction in (1, -1):
            for distance in range(1, reach + 1):
                offset = direction * distance
                if offset not in self._further:
                    self._further[offset] = (
                        self.steps[direction]
                        if distance == 1
                        else self._further[offset - direction].compose(self.steps[direction])
                    )
        return {o: csr for o, csr in sorted(self._further.items()) if abs(o) <= reach}

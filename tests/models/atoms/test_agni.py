"""The AGNI fingerprint: the suite of all models of atoms. No rotation matters to it."""

from __future__ import annotations

import torch
from ase.build import bulk

from csgnn_dgl.mapping import find_neighbors
from csgnn_dgl.models.atoms.agni import AGNI, AGNIHypers
from csgnn_dgl.models.dos import DOSModel
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.testing import AtomModelSuite


class TestAGNI(AtomModelSuite):
    model = "agni"
    hypers = {"gaussians": 4, "features": 8, "cutoff": 4.0}  # noqa: RUF012
    symmetry = "so3"


def _parameters(preset: str | None) -> int:
    config = TrainDOSConfig.resolve(preset=preset, flags={"model": "agni"})
    model = AGNI(config.hypers, (6,))  # type: ignore[arg-type]
    whole = DOSModel(model, 310, hidden=config.hidden, norm=config.norm)
    return sum(parameter.numel() for parameter in whole.parameters())


def test_size_in_the_papers_table() -> None:
    """Table 2 of the concentric spherical GNN: 392 thousand parameters for 310 energies."""
    assert abs(_parameters("paper") / 392_000 - 1) < 0.03
    # A control: the other sizes are not that one.
    assert all(abs(_parameters(other) / 392_000 - 1) > 0.3 for other in (None, "quick"))


def test_half_precision() -> None:
    """Sums over neighbours go through single precision, and come out near it."""
    neighbors = find_neighbors([bulk("C", "diamond", 3.57)], 4.0).to("cpu", torch.float32)
    model = AGNI(AGNIHypers(cutoff=4.0, gaussians=4, features=6), (6,)).eval()
    expected = model(neighbors)
    found = model.bfloat16()(neighbors.to("cpu", torch.bfloat16))
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.1, atol=0.1)

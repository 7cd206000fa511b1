"""The AGNI fingerprint: the suite of all models of atoms. No rotation matters to it."""

from __future__ import annotations

from csgnn_dgl.testing import AtomModelSuite


class TestAGNI(AtomModelSuite):
    model = "agni"
    hypers = {"gaussians": 4, "features": 8, "cutoff": 4.0}  # noqa: RUF012
    symmetry = "so3"

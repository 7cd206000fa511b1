"""CSGNN of atoms: the suite of all models, with exact invariance under the 60 rotations."""

from __future__ import annotations

from csgnn_dgl.testing import AtomModelSuite

SIZES = {"level": 1, "channels": 4, "base_width": 4, "features": 8, "embedding": 3}


class TestAtomCSGNN(AtomModelSuite):
    model = "csgnn"
    hypers = {**SIZES, "cutoff": 4.0, "assignment": "smooth"}  # noqa: RUF012
    symmetry = "icosahedral"


class TestRicher(AtomModelSuite):
    """Filters with several weights, gradients, and several readouts side by side."""

    model = "csgnn"
    hypers = {  # noqa: RUF012
        **SIZES,
        "cutoff": 4.0,
        "assignment": "smooth",
        "filter_order": 1,
        "gradients": True,
        "readout": ["pool", "power"],
    }
    symmetry = "icosahedral"


class TestWithInvariants(AtomModelSuite):
    model = "csgnn"
    hypers = {  # noqa: RUF012
        **SIZES,
        "cutoff": 4.0,
        "assignment": "smooth",
        "invariants": "all",
        "block_norm": "layer",
    }
    symmetry = "icosahedral"


class TestWithMessages(AtomModelSuite):
    model = "csgnn"
    hypers = {  # noqa: RUF012
        **SIZES,
        "cutoff": 4.0,
        "assignment": "smooth",
        "passes": 2,
        "pass_cutoff": 3.0,
    }
    symmetry = "icosahedral"
    least_change = 1e-6  # messages carry little of the orientation before training


class TestWithMembers(AtomModelSuite):
    model = "csgnn"
    hypers = {**SIZES, "cutoff": 4.0, "assignment": "smooth", "members": 3}  # noqa: RUF012
    symmetry = "icosahedral"

"""CSGNN of shapes: the suite of all models, with exact invariance under the 60 rotations."""

from __future__ import annotations

from csgnn_dgl.testing import ShapeModelSuite


class TestShapeCSGNN(ShapeModelSuite):
    model = "csgnn"
    hypers = {"level": 1, "n_spheres": 3, "channels": 2, "base_width": 4}  # noqa: RUF012
    symmetry = "icosahedral"

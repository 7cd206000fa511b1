"""PointNet: the suite of all models of shapes. It is a control, to which all rotations matter."""

from __future__ import annotations

from csgnn_dgl.testing import ShapeModelSuite


class TestPointNet(ShapeModelSuite):
    model = "pointnet"
    hypers = {"width_factor": 0.0625}  # noqa: RUF012
    symmetry = "none"

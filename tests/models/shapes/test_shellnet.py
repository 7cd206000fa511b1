"""ShellNet: the suite of all models of shapes. It is a control, to which all rotations matter."""

from __future__ import annotations

import pytest

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.models.classifier import Classifier
from csgnn_dgl.models.shapes.shellnet import ShellNet, ShellNetHypers
from csgnn_dgl.testing import ShapeModelSuite


class TestShellNet(ShapeModelSuite):
    model = "shellnet"
    hypers = {  # noqa: RUF012
        "neighbors": [8, 4],
        "bins": [2, 1],
        "sampled": [16, 6],
        "widths": [8, 12],
    }
    symmetry = "none"
    least_points = 16


def test_size_of_the_papers_network() -> None:
    model = Classifier(ShellNet(ShellNetHypers()), 40, hidden=(256, 128))
    assert sum(parameter.numel() for parameter in model.parameters()) == 474_042


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"neighbors": [62, 32, 16]}, "cannot be divided into 4"),
        ({"widths": [8, 8]}, "2 widths"),
        ({"sampled": [16, 64, 8]}, "cannot keep 64"),
        ({"sampled": [24, 12, 8]}, "32 neighbours each"),
    ],
)
def test_sizes_that_do_not_fit(changes: dict[str, list[int]], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        ShellNetHypers(**changes)

"""RI-GCN: the suite of all models of shapes. No rotation matters to it."""

from __future__ import annotations

import pytest
import torch

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.mapping import random_rotations
from csgnn_dgl.models.classifier import Classifier
from csgnn_dgl.models.shapes.rigcn import RIGCN, RIGCNHypers, local_frames
from csgnn_dgl.testing import ShapeModelSuite
from csgnn_dgl.testing.samples import random_clouds

SMALL = {"sampled": [24, 12], "neighbors": [8, 6], "widths": [8, 12]}


class TestRIGCN(ShapeModelSuite):
    """No gradient flows through the local frames, so gradients are not slopes."""

    model = "rigcn"
    hypers = SMALL
    hypers_without_dropout = {"dilation": 1}  # noqa: RUF012
    symmetry = "so3"
    least_points = 24
    differentiable = False


def test_size_of_the_papers_network() -> None:
    model = Classifier(RIGCN(RIGCNHypers()), 40)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert abs(count / 4.4e6 - 1) < 0.1


def test_frames_rotate_with_their_points() -> None:
    offsets = random_clouds(3, 12)[:, None]
    generator = torch.Generator().manual_seed(0)
    turns = random_rotations(3, "so3", "z", generator, torch.float64, offsets.device)[:, None]
    torch.testing.assert_close(local_frames(offsets @ turns.mT), turns @ local_frames(offsets))


def test_neighbours_are_at_random_in_training_alone() -> None:
    clouds = random_clouds(2, 64)
    model = RIGCN(RIGCNHypers(**SMALL)).double()
    torch.manual_seed(0)
    chosen = [model._around(clouds, clouds, 8) for _ in range(8)]
    assert any(not torch.equal(chosen[0], one) for one in chosen[1:])
    # A dilation of 2 reaches twice as many neighbours, but not more.
    distance = torch.cdist(clouds, clouds)
    rank = distance.argsort(dim=2).argsort(dim=2)
    ranks = [rank.gather(2, one) for one in chosen]
    assert {bool(one < 8) for one in torch.cat(ranks).amax(dim=2).flatten()} == {True, False}
    assert max(int(one.max()) for one in ranks) < 16
    # Neighbours are as far in evaluation as in training on average, for the sake of batch norm.
    model.eval()
    steady = rank.gather(2, model._around(clouds, clouds, 8)).double().mean(dim=(0, 1))
    drawn = torch.stack(ranks).double().sort(dim=-1).values.mean(dim=(0, 1, 2))
    assert float(steady.mean()) == pytest.approx(float(drawn.mean()), abs=0.5)  # whole ranks
    assert float(drawn.mean()) > 5  # it would be 3.5 without dilation


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"widths": [8]}, "1 widths"),
        ({"neighbors": [8, 2]}, "at least 3"),
        ({"sampled": [24, 25]}, "cannot keep 25"),
    ],
)
def test_sizes_that_do_not_fit(changes: dict[str, list[int]], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        RIGCNHypers(**{**SMALL, **changes})

"""Pages of shapes: what they hold is what the commands and the networks say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from csgnn_dgl.datasets.shapes import load_dataset
from csgnn_dgl.datasets.shapes.shape_files import load_cloud
from csgnn_dgl.mapping import PointMapping, normalize_clouds
from csgnn_dgl.models import ShapeCSGNN, ShapeCSGNNHypers
from csgnn_dgl.models.registry import find_class
from csgnn_dgl.tasks.classes.predict import predict
from csgnn_dgl.tasks.classes.trained import TrainedClassifier, load_classifier
from csgnn_dgl.tasks.use_config import PredictConfig
from csgnn_dgl.viewing.page import drawing_bytes
from csgnn_dgl.viewing.shapes.attribution import attribute

Pages = Callable[..., Any]
Save = Callable[..., Path]


@pytest.fixture(scope="module")
def trained(solids: Path) -> TrainedClassifier:
    return load_classifier(solids)


@pytest.fixture(scope="module")
def clouds_of_solids(trained: TrainedClassifier) -> torch.Tensor:
    """Every 16th test shape, which the classifier has not seen."""
    return load_dataset(None, points=trained.points).test.points[::16, : trained.points]


@pytest.mark.parametrize("votes", [1, 3])
def test_probabilities_are_those_of_predict(
    votes: int, page: Pages, solids: Path, trefoil: Path
) -> None:
    config = PredictConfig(votes=votes, seed=1, top=16, progress=False)
    (expected,) = predict(solids, [trefoil], config)
    words = ["--votes", votes, "--seed", 1]
    found = page("view", trefoil, "--model", solids, *words)
    assert found.data["classes"] == [name for name, _ in expected.classes]
    assert found.data["probabilities"] == [share for _, share in expected.classes]
    assert expected.classes[0][0] in found.out


def test_layers_are_those_of_the_network(
    page: Pages, solids: Path, trefoil: Path, trained: TrainedClassifier
) -> None:
    data = page("view", trefoil, "--model", solids).data
    levels = [layer["level"] for layer in data["layers"]]
    encoder = trained.model.model.encoder
    blocks = sum(len(level.intra) + len(level.radial) for level in encoder.levels)
    assert len(data["layers"]) == 1 + blocks
    assert levels == sorted(levels, reverse=True)
    assert set(levels) == {0, 1}
    cloud = load_cloud(trefoil, points=trained.points, pool=trained.pool)
    torch.testing.assert_close(torch.from_numpy(data["points"].copy()), cloud)
    with torch.no_grad():
        mapped = trained.model.model.mapping(normalize_clouds(cloud[None]))
        coarsest = encoder(mapped, "coarsest")[:, 0].numpy()
    for layer, expected in (
        (data["layers"][0], mapped[:, 0].numpy()),
        (data["layers"][-1], coarsest),
    ):
        assert layer["kept"] == list(range(expected.shape[1]))
        low, high = (np.array(layer[key])[1:, None] for key in ("low", "high"))
        values = low + (high - low) / 255 * layer["values"][1:]
        np.testing.assert_allclose(values.T, expected, atol=float((high - low).max()) / 509)
        strength = layer["low"][0] + (layer["high"][0] - layer["low"][0]) / 255 * layer["values"][0]
        root = np.sqrt((expected.astype(float) ** 2).mean(axis=1))
        np.testing.assert_allclose(strength, root, atol=layer["high"][0] / 400)


def test_without_a_model(page: Pages, trefoil: Path) -> None:
    words = ("--level", 2, "--n-spheres", 5, "--points", 200)
    data = page("view", trefoil, *words).data
    (layer,) = data["layers"]
    assert (layer["level"], data["spheres"]) == (2, 5)
    assert layer["values"].shape == (5, 162 * 5)
    assert data["points"].shape == (200, 3)
    assert "classes" not in data


def test_a_small_page_leaves_channels_out_and_says_so(
    page: Pages, solids: Path, trefoil: Path
) -> None:
    whole = page("view", trefoil, "--model", solids)
    assert "left out" not in whole.out
    limit = (drawing_bytes() + 18_000) / 1e6
    small = page("view", trefoil, "--model", solids, "--limit", limit)
    assert len(small.text) < min(1e6 * limit, len(whole.text))
    assert "channels, those that vary least, are left out" in small.out
    assert "are left out" in small.text
    kept = [len(layer["kept"]) for layer in small.data["layers"]]
    assert 0 < sum(kept) < sum(layer["channels"] for layer in small.data["layers"])


def test_the_smallest_page_has_no_channels_but_is_written(
    page: Pages, solids: Path, trefoil: Path
) -> None:
    data = page("view", trefoil, "--model", solids, "--limit", 0.1).data
    assert all(layer["kept"] == [] for layer in data["layers"])
    assert all(len(layer["values"]) == 1 for layer in data["layers"])


class TestAttribution:
    def test_without_the_marked_points_the_score_falls(
        self, trained: TrainedClassifier, clouds_of_solids: torch.Tensor
    ) -> None:
        rng = np.random.default_rng(0)
        drops: dict[str, list[float]] = {"most": [], "least": [], "random": []}
        for points in clouds_of_solids:
            scores = _scores(trained, points)
            best = int(scores.argmax())
            found = attribute(trained, points, [best])
            assert found is not None
            order = found.values[0].argsort()
            count = len(order) // 10
            random = rng.permutation(len(order))
            for name, kept in (
                ("most", order[:-count].copy()),
                ("least", order[count:].copy()),
                ("random", random[count:]),
            ):
                drops[name].append(float(scores[best] - _scores(trained, points[kept])[best]))
        assert len(drops["most"]) == 20
        mean = {name: float(np.mean(values)) for name, values in drops.items()}
        spread = (
            float(np.std(np.subtract(drops["most"], drops["random"]))) / len(drops["most"]) ** 0.5
        )
        # Measured: 1.5 for the most, 0.7 for random points, 0.1 for the least.
        assert mean["most"] > mean["random"] + 3 * spread
        assert mean["least"] < mean["random"]

    def test_shares_add_up_to_gradient_times_input(
        self, trained: TrainedClassifier, clouds_of_solids: torch.Tensor
    ) -> None:
        points = clouds_of_solids[3]
        found = attribute(trained, points, [0, 5])
        assert found is not None
        sites = trained.model.model.mapping(normalize_clouds(points[None])).requires_grad_()
        scores = trained.model.head(trained.model.model.encoder(sites))
        for row, index in enumerate((0, 5)):
            (gradient,) = torch.autograd.grad(scores[0, index], sites, retain_graph=True)
            expected = float((gradient * sites.detach()).sum())
            assert found.values[row].sum() == pytest.approx(expected, rel=1e-4, abs=1e-4)

    def test_votes_are_averaged(
        self, trained: TrainedClassifier, clouds_of_solids: torch.Tensor
    ) -> None:
        points = clouds_of_solids[3]
        one, two = (attribute(trained, points, [0], votes=votes) for votes in (1, 2))
        assert one is not None
        assert two is not None
        assert not np.allclose(one.values, two.values)

    def test_scores_without_a_gradient(self, trained: TrainedClassifier) -> None:
        class Counts(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight = nn.Parameter(torch.ones(16))

            def forward(self, points: torch.Tensor) -> torch.Tensor:
                return (points > 0).float().sum(dim=(1, 2))[:, None] * self.weight

        blind = TrainedClassifier(Counts(), trained.header, trained.path)  # type: ignore[arg-type]
        assert attribute(blind, torch.rand(20, 3), [0]) is None


def _scores(trained: TrainedClassifier, points: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = trained.model(normalize_clouds(points[None]))[0]
    return found


@pytest.mark.parametrize("coarsening", ["together", "in_turn"])
def test_spheres_of_different_levels(
    page: Pages, save: Save, trefoil: Path, coarsening: Any
) -> None:
    own = ShapeCSGNNHypers(
        sphere_levels=[1, 0, 2], sphere_coarsening=coarsening, channels=2, base_width=2
    )
    model = ShapeCSGNN(own)
    found = page("view", trefoil, "--model", save(model, "csgnn"))
    assert "3 of the levels 1, 0, 2, from the innermost" in found.text
    blocks = sum(len(level.intra) + len(level.radial) for level in model.encoder.levels)
    assert len(found.data["layers"]) == 1 + blocks
    for layer in found.data["layers"]:
        grid = model.encoder.grid
        assert layer["spheres"] == list(grid.sphere_levels(layer["level"]))
        # The page numbers the sites in the same way.
        places = [
            (vertex, sphere)
            for vertex in range(10 * 4 ** layer["level"] + 2)
            for sphere, own in enumerate(layer["spheres"])
            if vertex < 10 * 4**own + 2
        ]
        data = grid.graph(layer["level"]).ndata
        assert layer["values"].shape[1] == len(places)
        assert places == list(zip(data["vertex"].tolist(), data["sphere"].tolist(), strict=True))


def test_a_model_without_spheres(page: Pages, save: Save, trefoil: Path) -> None:
    torch.manual_seed(0)
    model = find_class("shapes", "pointnet")
    made = model(model.Hypers())
    assert not any(isinstance(module, PointMapping) for module in made.modules())
    found = page("view", trefoil, "--model", save(made, "pointnet"), "--level", 1)
    assert "pointnet does not work on concentric spheres" in found.out
    assert "gradient × input of the coordinates" in found.data["method"]
    assert [layer["level"] for layer in found.data["layers"]] == [1]

"""Pages of shapes: what they hold is what the commands and the networks say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from csgnn_dgl.datasets.shapes import load_dataset
from csgnn_dgl.datasets.shapes.shape_files import load_cloud
from csgnn_dgl.mapping import PointMapping, normalize_clouds, rotate_clouds
from csgnn_dgl.models import Classifier, Hypers, ShapeCSGNN, ShapeCSGNNHypers, ShapeModel
from csgnn_dgl.models.registry import find_class
from csgnn_dgl.tasks.classes.predict import predict
from csgnn_dgl.tasks.classes.trained import TrainedClassifier, load_classifier
from csgnn_dgl.tasks.use_config import PredictConfig
from csgnn_dgl.tasks.votes import vote_rotations
from csgnn_dgl.viewing.page import drawing_bytes
from csgnn_dgl.viewing.shapes.attribution import attribute

Pages = Callable[..., Any]
Save = Callable[..., Path]
# Features that points carry by themselves, so that they do not depend on other points.
_CARRIED: list[dict[str, Any]] = [
    {},
    {"point_features": ["normal"]},
    {"point_features": ["column7", "normal"]},
    {"point_features": ["column7", "normal"], "feature_mean": "sum"},
]


@pytest.fixture(scope="module")
def trained(solids: Path) -> TrainedClassifier:
    return load_classifier(solids)


@pytest.fixture(scope="module")
def clouds_of_solids(trained: TrainedClassifier) -> torch.Tensor:
    """Every 16th test shape, which the classifier has not seen."""
    return load_dataset(None, points=trained.points).test.points[::16, : trained.points]


@pytest.fixture(scope="module")
def featured(featured_solids: Path) -> TrainedClassifier:
    return load_classifier(featured_solids)


@pytest.fixture(scope="module")
def clouds_with_normals(featured: TrainedClassifier) -> torch.Tensor:
    """Every 16th test shape with its normals, which the classifier has not seen."""
    points = featured.points
    # Training shapes are not needed.
    data = load_dataset(None, points=points, pool=points, members=1, attributes=featured.attributes)
    return data.test.clouds[::16, :points]


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


@pytest.mark.parametrize("votes", [1, 2])
def test_a_model_with_features(
    votes: int, page: Pages, featured_solids: Path, featured: TrainedClassifier, tetrahedron: Path
) -> None:
    config = PredictConfig(votes=votes, seed=1, top=16, progress=False)
    (expected,) = predict(featured_solids, [tetrahedron], config)
    words = ("--votes", votes, "--seed", 1)
    data = page("view", tetrahedron, "--model", featured_solids, *words).data
    assert data["probabilities"] == [share for _, share in expected.classes]
    cloud = load_cloud(
        tetrahedron,
        points=featured.points,
        pool=featured.pool,
        seed=1,
        attributes=featured.attributes,
    )
    assert cloud.shape == (256, 6)
    # The page has coordinates only.
    torch.testing.assert_close(torch.from_numpy(data["points"].copy()), cloud[:, :3])
    index = [featured.class_names.index(name) for name in data["classes"][:5]]
    found = attribute(featured, cloud, index, votes=votes, seed=1)
    assert found is not None
    np.testing.assert_allclose(data["shares"], found.values, rtol=1e-4, atol=1e-6)
    # The density and three features.
    assert data["layers"][0]["channels"] == 2 * (1 + 3)


@pytest.mark.parametrize(
    "options",
    [
        {"point_features": ["cosine", "planarity"]},
        {"point_features": ["cosine", "planarity"], "feature_mean": "sum"},
        {"point_features": ["cosine", "density"], "members": 2},
        {"point_features": ["cosine"], "center": "ball"},
        {"point_features": ["planarity"], "sphere_levels": [1, 0]},
    ],
)
def test_features_from_neighbours_need_no_attributes(
    options: dict[str, Any], page: Pages, save: Save, trefoil: Path
) -> None:
    torch.manual_seed(0)
    data = page("view", trefoil, "--model", save(ShapeCSGNN(_small(**options)), "csgnn")).data
    assert data["points"].shape == (256, 3)
    assert data["shares"].shape == (5, 256)
    assert np.abs(data["shares"]).min(axis=1).max() > 0


def test_a_model_of_normals_without_spheres(page: Pages, save: Save, tetrahedron: Path) -> None:
    torch.manual_seed(0)
    own = f"{WithoutSpheres.__module__}:WithoutSpheres"
    weights = save(WithoutSpheres(Hypers()), own)
    data = page("view", tetrahedron, "--model", weights, "--own-model", own).data
    assert data["points"].shape == (256, 3)
    assert data["shares"].shape == (5, 256)
    assert "gradient × input of the coordinates" in data["method"]


class TestAttribution:
    def test_without_the_marked_points_the_score_falls(
        self, trained: TrainedClassifier, clouds_of_solids: torch.Tensor
    ) -> None:
        # Measured: 1.5 for the most, 0.7 for random points, 0.1 for the least.
        _check_falls(trained, clouds_of_solids)

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
        class Counts(ShapeModel):
            features = 1

            def forward(self, points: torch.Tensor) -> torch.Tensor:
                return (points > 0).float().sum(dim=(1, 2))[:, None]

        blind = _with_model(trained, Counts(Hypers()))
        assert attribute(blind, torch.rand(20, 3), [0]) is None


class TestAttributionWithFeatures:
    def test_without_the_marked_points_the_score_falls(
        self, featured: TrainedClassifier, clouds_with_normals: torch.Tensor
    ) -> None:
        # Measured: 1.3 for the most, 0.0 for random points, -0.2 for the least.
        _check_falls(featured, clouds_with_normals)

    @pytest.mark.parametrize("options", _CARRIED)
    def test_a_share_is_the_change_without_the_point(
        self, options: dict[str, Any], trained: TrainedClassifier
    ) -> None:
        """To first order, which is exact for one of very many points at the same place."""
        torch.manual_seed(2)
        classifier = _with_model(trained, ShapeCSGNN(_small(**options)))
        classifier.model.double()
        copies, rng = 2000, np.random.default_rng(0)
        few = torch.from_numpy(rng.normal(size=(10, 3)))
        few[0] = 0  # at the centre
        normals = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(10, 3))))
        columns = {"normals": normals, "column7": torch.from_numpy(rng.random((10, 1)) - 0.3)}
        few = torch.cat([few, *(columns[name] for name in classifier.attributes)], dim=1)
        points = few.repeat_interleave(copies, dim=0)
        found = attribute(classifier, points, [1])
        assert found is not None
        whole = _scores(classifier, points)[1]
        changes = [
            float(whole - _scores(classifier, torch.cat([points[:i], points[i + 1 :]]))[1])
            for i in range(0, len(points), copies)
        ]
        shares = found.values[0, ::copies]
        assert np.abs(shares).min() > 0
        np.testing.assert_allclose(shares, changes, rtol=0.01, atol=0.01 * np.abs(shares).max())

    @pytest.mark.parametrize("options", _CARRIED)
    def test_shares_add_up_to_gradient_times_input(
        self, options: dict[str, Any], trained: TrainedClassifier
    ) -> None:
        torch.manual_seed(2)
        model = ShapeCSGNN(_small(**options))
        classifier = _with_model(trained, model)
        # The last columns are normals, up to their length, and a number.
        points = normalize_clouds(torch.randn(1, 50, 3 + 4))[..., : 3 + _width(classifier)]
        found = attribute(classifier, points[0], [0, 5])
        assert found is not None
        features = model.point_features(points)
        with torch.no_grad():
            sites = model.mapping(points[..., :3], features=features)
        # The density, and the features, as sums.
        with_sums = PointMapping(1, 2, 2, feature_mean="sum")
        sums = with_sums(points[..., :3], features=features).unflatten(2, (-1, 2)).requires_grad_()
        if model.mapping.feature_mean == "mean" and features is not None:
            density = sums[:, :, :1]
            divisor = torch.where(density > 0, density, 1)
            used = torch.cat([density, sums[:, :, 1:] / divisor], dim=2).flatten(2)
        else:
            used = sums.flatten(2)
        torch.testing.assert_close(used, sites)
        scores = classifier.model.head(model.encoder(used))
        for row, index in enumerate((0, 5)):
            (gradient,) = torch.autograd.grad(scores[0, index], sums, retain_graph=True)
            expected = float((gradient * sums.detach()).sum())
            assert found.values[row].sum() == pytest.approx(expected, rel=1e-4, abs=1e-4)

    def test_normals_turn_with_the_points(
        self, featured: TrainedClassifier, clouds_with_normals: torch.Tensor
    ) -> None:
        points = clouds_with_normals[3]
        rotations = vote_rotations(3, 1)
        found = attribute(featured, points, [0], votes=3, seed=1)
        assert found is not None
        shares = []
        for normals in (True, False):
            turned = [
                rotate_clouds(points[None].double(), matrix, normals=normals)[0].float()
                for matrix in rotations
            ]
            each = [attribute(featured, cloud, [0]) for cloud in turned]
            shares.append(np.mean([one.values for one in each if one is not None], axis=0))
        right, wrong = shares
        np.testing.assert_allclose(found.values, right, atol=1e-3 * np.abs(right).max())
        assert np.abs(wrong - right).max() > 0.1 * np.abs(right).max()

    def test_without_spheres_only_coordinates_move(self, trained: TrainedClassifier) -> None:
        torch.manual_seed(0)
        classifier = _with_model(trained, WithoutSpheres(Hypers()))
        points = normalize_clouds(torch.randn(1, 20, 6))
        found = attribute(classifier, points[0], [2])
        assert found is not None
        leaf = points.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(classifier.model(leaf)[0, 2], leaf)
        expected = (gradient * points)[0, :, :3].sum(dim=1).numpy()
        np.testing.assert_allclose(found.values[0], expected, rtol=1e-4, atol=1e-6)
        assert gradient[..., 3:].abs().max() > 0


class WithoutSpheres(ShapeModel):
    """Uses the normals of points, and no concentric spheres."""

    Hypers = Hypers
    features = 4

    def __init__(self, hypers: Any) -> None:
        super().__init__(hypers)
        self.linear = torch.nn.Linear(6, self.features)

    @classmethod
    def wanted_attributes(cls, hypers: Any) -> tuple[str, ...]:
        return ("normals",)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        return self.linear(points).tanh().mean(dim=1)


def _small(**options: Any) -> ShapeCSGNNHypers:
    return ShapeCSGNNHypers(level=1, n_spheres=2, channels=2, base_width=4, **options)


def _width(classifier: TrainedClassifier) -> int:
    return sum(3 if name == "normals" else 1 for name in classifier.attributes)


def _with_model(trained: TrainedClassifier, model: ShapeModel) -> TrainedClassifier:
    """A classifier of the same classes that uses an untrained model."""
    return TrainedClassifier(Classifier(model, 16, hidden=[8]).eval(), trained.header, trained.path)


def _check_falls(trained: TrainedClassifier, clouds: torch.Tensor) -> None:
    """Check that scores fall more without the points with the largest shares than without others.

    A tenth of the points of each of the clouds ``(n, N, 3 + A)`` is left out.
    """
    rng = np.random.default_rng(0)
    drops: dict[str, list[float]] = {"most": [], "least": [], "random": []}
    for points in clouds:
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
    spread = float(np.std(np.subtract(drops["most"], drops["random"]))) / len(drops["most"]) ** 0.5
    assert mean["most"] > mean["random"] + 3 * spread
    assert mean["least"] < mean["random"]


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

"""CSGNN of shapes: the suite of all models, with exact invariance under the 60 rotations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from csgnn_dgl.errors import DataError
from csgnn_dgl.grid import Icosphere
from csgnn_dgl.mapping import normalize_clouds
from csgnn_dgl.models import Classifier, ShapeCSGNN, ShapeCSGNNHypers
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.testing import ShapeModelSuite

SIZES: dict[str, Any] = {"level": 1, "n_spheres": 3, "channels": 2, "base_width": 4}


class TestShapeCSGNN(ShapeModelSuite):
    model = "csgnn"
    hypers = SIZES
    symmetry = "icosahedral"


class TestPointFeatures(ShapeModelSuite):
    """Features of neighbours beside the density, about the centre of the smallest ball."""

    model = "csgnn"
    hypers = {  # noqa: RUF012
        **SIZES,
        "point_features": ["cosine", "planarity", "density"],
        "feature_neighbors": 6,
        "center": "ball",
    }
    symmetry = "icosahedral"
    least_points = 7


class TestReleased(ShapeModelSuite):
    """The released mapping and pooling, through training, export and everything else."""

    model = "csgnn"
    hypers = {  # noqa: RUF012
        **SIZES,
        "neighbourhood": "nearest",
        "pooling": "mean",
        "global_pooling": "mean-at-coarsest",
    }
    symmetry = "icosahedral"


class TestRicher(ShapeModelSuite):
    """Filters with several weights, gradients, and two heads."""

    model = "csgnn"
    hypers = {  # noqa: RUF012
        **SIZES,
        "filter_order": 2,
        "gradients": True,
        "readout": ["max-mean", "power"],
    }
    symmetry = "icosahedral"


class TestMembers(ShapeModelSuite):
    """Two networks side by side, each with two heads."""

    model = "csgnn"
    hypers = {**SIZES, "members": 2, "readout": ["pool", "max-mean"]}  # noqa: RUF012
    symmetry = "icosahedral"


def test_members_are_networks_of_their_own() -> None:
    """Features are those of the members, one after the other; scores are the mean of theirs."""
    members = Classifier(ShapeCSGNN(ShapeCSGNNHypers(**SIZES, members=2)), 5, hidden=(8,)).eval()
    points = normalize_clouds(torch.rand(3, 40, 3))
    weights = members.state_dict()
    scores, features = [], []
    for encoder, head in (("encoder", 0), ("others.0", 1)):
        alone = Classifier(ShapeCSGNN(ShapeCSGNNHypers(**SIZES)), 5, hidden=(8,)).eval()
        own = {
            name: weights[
                name.replace("model.encoder", f"model.{encoder}").replace(
                    "head.", f"head.heads.{head}."
                )
            ]
            for name in alone.state_dict()
        }
        alone.load_state_dict(own)
        scores.append(alone(points))
        features.append(alone.embed(points))
    assert not torch.equal(features[0], features[1])
    torch.testing.assert_close(members.embed(points), torch.cat(features, dim=1))
    torch.testing.assert_close(members(points), torch.stack(scores).mean(dim=0))


def test_parameters_of_the_preset() -> None:
    config = TrainModelNetConfig.resolve(preset="released")
    model = Classifier(ShapeCSGNN(config.hypers), 40, hidden=config.hidden, dropout=config.dropout)
    assert sum(parameter.numel() for parameter in model.parameters()) == 3_959_784
    assert model.model.mapping.neighbourhood == "nearest"
    assert model.model.mapping.bandwidth_face == "first"


def released_features(points: np.ndarray, level: int, n_spheres: int, channels: int) -> np.ndarray:
    """Features of one cloud as the released code has them, all points at once; (V, R, C)."""
    sphere = Icosphere.get(level)
    corners = sphere.vertices[sphere.faces[0]]
    distance = np.linalg.norm(points, axis=1)
    shell = np.minimum((distance * n_spheres).astype(int), n_spheres - 1)
    outer = (np.arange(n_spheres) + 1) / n_spheres
    pairs = np.concatenate([corners[None] * outer[:, None, None]] * 2, axis=1)
    pairs[:, 3:] -= corners / n_spheres
    apart = np.linalg.norm(pairs[:, :, None] - pairs[:, None], axis=-1).max(axis=(1, 2))
    gamma = -np.log(0.01) / apart**2
    cosines = (points / distance[:, None]) @ sphere.vertices.T
    nearest = np.argsort(-cosines, axis=1)[:, :3]
    features = np.zeros((sphere.num_vertices, n_spheres, channels))
    for k in range(channels):
        radius = (shell * channels + k + 1) / (n_spheres * channels)
        sites = radius[:, None, None] * sphere.vertices[nearest]
        squared = ((points[:, None] - sites) ** 2).sum(axis=2)
        np.add.at(
            features[:, :, k], (nearest, shell[:, None]), np.exp(-gamma[shell][:, None] * squared)
        )
    return features


@pytest.mark.parametrize("pooling", ["max", "mean-at-coarsest"])
@torch.no_grad()
def test_scores_from_the_released_features(pooling: Any) -> None:
    """The network's scores with our mapping and with the released one, beside each other."""
    sizes: dict[str, Any] = {"level": 4, "n_spheres": 5, "channels": 4, "base_width": 8}
    torch.manual_seed(0)
    models = {
        neighbourhood: Classifier(
            ShapeCSGNN(
                ShapeCSGNNHypers(**sizes, neighbourhood=neighbourhood, global_pooling=pooling)
            ),
            10,
            hidden=(32,),
        )
        for neighbourhood in ("nearest", "face")
    }
    ours = models["nearest"]
    for module in ours.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(module.weight, 1, 0.1)
            module.running_var.fill_(2.0)  # type: ignore[union-attr]
    models["face"].load_state_dict(ours.state_dict())
    points = torch.randn(2, 512, 3, generator=torch.Generator().manual_seed(1)).double()
    points = normalize_clouds(points * torch.tensor([1.0, 0.5, 0.2]))
    features = np.stack([released_features(cloud, 4, 5, 4) for cloud in points.numpy()], axis=2)
    sites = torch.from_numpy(features).reshape(2562 * 5, 2, 4)
    expected = ours.double().eval().head(ours.model.encoder(sites))
    found = ours(points)
    assert float(expected.std()) > 1e-3
    size = float(expected.abs().max())
    assert float((found - expected).abs().max()) < 1e-6 * size
    # Control: with the corners of the faces, scores differ.
    faces = models["face"].double().eval()(points)
    assert float((faces - expected).abs().max()) > 1e-4 * size
    # In float32, rounding is all there is.
    single = ours.float()(points.float())
    assert float((single - expected).abs().max()) < 1e-5 * size


def test_spheres_about_a_ball_do_not_depend_on_the_origin() -> None:
    points = normalize_clouds(torch.rand(3, 50, 3, dtype=torch.float64) - 0.4)
    shifted = normalize_clouds(points + torch.tensor([0.2, -0.1, 0.3]))
    for center, alike in (("ball", True), ("origin", False)):
        model = ShapeCSGNN(ShapeCSGNNHypers(**SIZES, center=center)).double()
        difference = float((model(points) - model(shifted)).detach().abs().max())
        assert (difference < 1e-9) == alike


def test_points_that_are_not_finite_are_named_before_they_are_centred() -> None:
    model = ShapeCSGNN(ShapeCSGNNHypers(**SIZES, center="ball"))
    points = torch.rand(2, 9, 3)
    points[1, 4, 0] = torch.nan
    with pytest.raises(DataError, match="point 4 of cloud 1 is not finite"):
        model(points)
    with pytest.raises(DataError, match="there is no cloud, or a cloud is empty"):
        model(torch.rand(2, 0, 3))
    with pytest.raises(DataError, match=r"points have shape \(9, 3\)"):
        model(points[0])

"""Scales of embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from csgnn_dgl.errors import CheckpointError
from csgnn_dgl.shape_descriptor import ShapeDescriptor
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.embedding import embed_shapes
from csgnn_dgl.tasks.classes.embedding_scale import fit_scale
from csgnn_dgl.tasks.classes.similar import rank
from csgnn_dgl.tasks.classes.train import train
from csgnn_dgl.tasks.classes.trained import load_classifier
from csgnn_dgl.tasks.classes.vote import embed
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.weights import load_weights, save_weights
from tests.conftest import make_clouds


def rows_of(classes: int, members: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes with centres in four directions, and members that differ much in one more."""
    centres = torch.randn(classes, 4, generator=torch.Generator().manual_seed(99))
    stream = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes).repeat_interleave(members)
    rows = centres[labels] + 0.1 * torch.randn(len(labels), 4, generator=stream)
    rows += 3 * torch.randn(len(labels), 1, generator=stream)  # along (1, 1, 1, 1)
    return rows.double(), labels


def test_directions_that_vary_within_classes_count_little() -> None:
    scale = fit_scale(*rows_of(10, 40, 0))
    assert scale is not None
    rows, labels = rows_of(10, 20, 1)
    before = np.nanmean(rank(rows, labels).average_precision)
    after = np.nanmean(rank(scale(rows), labels).average_precision)
    assert after > before + 0.1


def test_scales_of_few_shapes_are_factors_of_features() -> None:
    rows, labels = rows_of(2, 3, 0)
    scale = fit_scale(rows, labels)
    assert scale is not None
    assert scale.matrix.shape == (4,)
    torch.testing.assert_close(scale(rows).mean(dim=0), torch.zeros(4).double())
    assert fit_scale(rows[:2], torch.tensor([0, 1])) is None
    assert fit_scale(rows[:0], labels[:0]) is None
    # A feature without variance gives no infinite number.
    rows[:, 2] = 1
    flat = fit_scale(rows, labels)
    assert flat is not None
    assert torch.isfinite(flat(rows)).all()


@pytest.fixture(scope="module")
def known_run(small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run with enough held-out shapes to learn something from them."""
    folder = tmp_path_factory.mktemp("many")
    data = make_clouds(folder / "clouds", per_class=30)
    flags = {**small, "data": data, "output": folder / "run", "batch_size": 8, "epochs": 2}
    return train(TrainModelNetConfig.resolve(flags=flags))


def test_scales_are_part_of_the_weights(known_run: RunDirectory, small_run: RunDirectory) -> None:
    trained = load_classifier(known_run.path)
    scale = trained.embedding_scale
    assert scale is not None
    assert scale.matrix.shape == (24, 24)
    clouds = torch.rand(3, 64, 3) / 2
    plain = embed(trained.model, clouds, votes=2)
    found = embed_shapes(trained, clouds, votes=2)
    torch.testing.assert_close(found, scale(plain))
    assert (found - plain).abs().max() > 0.1
    cloud = np.random.default_rng(0).normal(size=(96, 3))
    descriptor = ShapeDescriptor(known_run.path, votes=2)
    assert descriptor.create(cloud).shape == (24,)
    # With too few held-out shapes nothing is learned, and the embedding stays what it is.
    bare = load_classifier(small_run.path)
    assert bare.embedding_scale is None
    torch.testing.assert_close(embed_shapes(bare, clouds), embed(bare.model, clouds))


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones(23), r"have shapes \(24,\) and \(23,\), but it has 24"),
        (None, "a part of the scales of its embedding is missing"),
    ],
)
def test_damaged_scales(
    matrix: np.ndarray | None, message: str, known_run: RunDirectory, tmp_path: Path
) -> None:
    header, state = load_weights(known_run.model, "classifier")
    name = "domain.embedding_matrix"
    if matrix is None:
        del state[name]
    else:
        state[name] = torch.from_numpy(matrix).float()
    path = tmp_path / "model.safetensors"
    save_weights(path, state, header)
    with pytest.raises(CheckpointError, match=message):
        load_classifier(path)

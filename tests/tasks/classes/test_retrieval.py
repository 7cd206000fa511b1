"""Retrieval by embeddings: measures against hand-made cases, and the command's function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.shapes import ShapeClassifier
from csgnn_dgl.tasks.classes.retrieval import evaluate
from csgnn_dgl.tasks.classes.similar import (
    most_similar,
    random_average_precision,
    rank,
    similarities,
)
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.use_config import EvaluateConfig
from tests.conftest import make_clouds


def test_a_ranking_made_by_hand() -> None:
    # Angles of 0, 10, 20, 30 and 40 degrees: the order of all others is that of the angles.
    angle = torch.deg2rad(torch.tensor([0.0, 10, 20, 30, 41]))
    features = torch.stack([angle.cos(), angle.sin()], dim=1)
    found = rank(features, torch.tensor([0, 1, 0, 1, 0]))
    # Query 0 finds 1 (wrong), 2 (right, 1/2), 3 (wrong), 4 (right, 2/4).
    assert found.average_precision[0] == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert (found.nearest[0], found.first_tier[0], found.second_tier[0]) == (0, 0.5, 1)
    # Query 4 finds 3 (wrong), 2 (right, 1/2), 1 (wrong), 0 (right, 2/4).
    assert found.average_precision[4] == pytest.approx(0.5)


def test_average_precision_is_scikit_learns() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    stream = torch.Generator().manual_seed(0)
    features = torch.randn(60, 5, generator=stream)
    labels = torch.randint(0, 7, (60,), generator=stream)
    found = rank(features, labels).average_precision
    values = similarities(features, features)
    for query in range(60):
        others = torch.arange(60) != query
        expected = metrics.average_precision_score(
            (labels[others] == labels[query]).numpy(), values[query, others].numpy()
        )
        assert found[query] == pytest.approx(expected)


def test_a_random_order_gives_what_is_expected_of_it() -> None:
    labels = torch.tensor([0] * 3 + [1] * 6 + [2])
    rng = torch.Generator().manual_seed(0)
    found = [
        np.nanmean(rank(torch.randn(10, 9, generator=rng), labels).average_precision)
        for _ in range(300)
    ]
    assert np.mean(found) == pytest.approx(random_average_precision(labels), abs=0.02)
    assert np.isnan(random_average_precision(torch.tensor([0, 1, 2])))


def test_the_most_similar_rows() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3000, 4))  # more than one block
    indices, values = most_similar(features, 3)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    for row in (0, 1500, 2999):
        order = np.argsort(-unit @ unit[row])
        np.testing.assert_array_equal(indices[row], order[order != row][:3])
    assert (np.diff(values, axis=1) <= 0).all()
    assert most_similar(features[:2], 5)[0].tolist() == [[1], [0]]
    assert most_similar(features[:1], 5)[0].shape == (1, 0)


def test_retrieval_on_data_of_other_classes(small_run: RunDirectory, tmp_path: Path) -> None:
    data = make_clouds(tmp_path / "data", per_class=5)
    (data / "disc").rename(data / "plate")
    options: dict[str, Any] = {"data": data, "votes": 2, "progress": False}
    found = evaluate(small_run.path, EvaluateConfig(retrieval=True, **options))
    result = found.result
    assert (result.shapes, result.alone, result.vote_set) == (15, 0, "designed")
    assert 0 <= result.mean_average_precision <= 1
    assert found.table["shapes"].tolist() == [5, 5, 5]
    assert found.table["mean_average_precision"].mean() == pytest.approx(
        result.mean_average_precision
    )
    assert found.content["mean_average_precision"] == result.mean_average_precision
    assert small_run.read_summary()["retrieval"][-1]["shapes"] == 15
    assert "evaluation" not in small_run.read_summary()
    again = ShapeClassifier(small_run.path).retrieve(data=data, votes=2)
    assert again.result.mean_average_precision == result.mean_average_precision
    with pytest.raises(ConfigError, match="call the method retrieve"):
        ShapeClassifier(small_run.path).evaluate(data=data, retrieval=True)


def test_data_without_pairs(small_run: RunDirectory, tmp_path: Path) -> None:
    data = make_clouds(tmp_path / "data")
    for name in ("rod", "disc", "ball"):
        for file in sorted((data / name / "test").glob("*.npy"))[1:]:
            file.unlink()
    options = EvaluateConfig(retrieval=True, data=data, progress=False)
    with pytest.raises(DataError, match=r"no class of .* has two test shapes"):
        evaluate(small_run.path, options)

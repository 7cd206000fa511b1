"""Weights written by earlier versions: every schema version stays readable, with the same scores.

``old_weights/schema-N.safetensors`` was written when ``N`` was current, and is never written anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from csgnn_dgl.mapping import normalize_clouds
from csgnn_dgl.tasks.shapes.trained import load_classifier
from csgnn_dgl.tasks.weights import SCHEMA_VERSION

FOLDER = Path(__file__).with_name("old_weights")
SCORES = {
    1: [[-0.34348, -0.42688, 0.6466], [0.82176, 0.53258, -0.97752]],
}


def helices() -> torch.Tensor:
    """Two clouds without random numbers, whose generators may change."""
    t = torch.linspace(0, 12, 64, dtype=torch.float64)
    slim = torch.stack([0.2 * t.cos(), 0.2 * t.sin(), t / 6 - 1], dim=1)
    flat = torch.stack([t.cos(), (2 * t).sin(), 0.1 * (3 * t).cos()], dim=1)
    return normalize_clouds(torch.stack([slim, flat]).float())


@pytest.mark.parametrize("schema", range(1, SCHEMA_VERSION + 1))
def test_scores_stay_as_they_were(schema: int) -> None:
    trained = load_classifier(FOLDER / f"schema-{schema}.safetensors")
    assert trained.class_names == ("ball", "disc", "rod")
    assert trained.points == 64
    with torch.no_grad():
        scores = trained.model(helices())
    torch.testing.assert_close(scores, torch.tensor(SCORES[schema]), atol=1e-4, rtol=0)

"""Bandwidths: the property which defines them, and bad settings."""

from __future__ import annotations

import numpy as np
import pytest

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.grid import Icosphere
from csgnn_dgl.mapping import shell_bandwidths


@pytest.mark.parametrize("level", [0, 2, 3])
@pytest.mark.parametrize("n_shells", [1, 5, 16])
def test_farthest_pair_of_a_face_has_the_threshold(level: int, n_shells: int) -> None:
    sphere = Icosphere.get(level)
    corners = sphere.vertices[sphere.faces]
    gammas = shell_bandwidths(level, n_shells, threshold=0.05)
    printed = shell_bandwidths(level, n_shells, threshold=0.05, bandwidth="paper")
    for i in range(1, n_shells + 1):
        sites = np.concatenate([corners * (i - 1) / n_shells, corners * i / n_shells], axis=1)
        distances = np.linalg.norm(sites[:, :, None] - sites[:, None], axis=-1)
        farthest = distances.max()
        assert np.exp(-gammas[i - 1] * farthest**2) == pytest.approx(0.05, rel=1e-10)
        assert np.exp(-printed[i - 1] * farthest / 2) == pytest.approx(0.05, rel=1e-10)


def test_threshold_one_weighs_everything_alike() -> None:
    assert (shell_bandwidths(1, 3, threshold=1.0) == 0).all()


def test_no_shell() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        shell_bandwidths(1, 0)

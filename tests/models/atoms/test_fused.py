"""The fast path of the paper's model of atoms can be told from the plain one by its speed only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from torch import nn
from torch.nn import functional as F

from csgnn_dgl.errors import DataError
from csgnn_dgl.mapping.neighbors import Neighbors, find_neighbors
from csgnn_dgl.models import AtomCSGNN, AtomCSGNNHypers
from csgnn_dgl.models.atoms import csgnn
from csgnn_dgl.models.atoms.fused import can_fuse, encoded
from csgnn_dgl.testing.randomise import randomise

SIZES: dict[str, Any] = {
    "level": 1,
    "n_spheres": 1,
    "channels": 6,
    "base_width": 6,
    "features": 10,
    "cutoff": 5.0,
    "assignment": "smooth",
    "pooling": "mean",
    "embedding": 3,
}


def model_of(*elements: int, dtype: torch.dtype = torch.float64, **sizes: Any) -> AtomCSGNN:
    torch.manual_seed(0)
    found = AtomCSGNN(AtomCSGNNHypers(**{**SIZES, **sizes}), elements)
    randomise(found)
    return found.to(dtype).eval()


def neighbors_of(*structures: Atoms, dtype: torch.dtype = torch.float64) -> Neighbors:
    return find_neighbors(structures, 5.0).to("cpu", dtype)


def disordered() -> Neighbors:
    salt = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    salt.rattle(0.1, seed=0)
    return neighbors_of(salt, molecule("CH3CH2OH"), bulk("Si"))


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Callable[[AtomCSGNN, Neighbors], torch.Tensor]:
    """The model's answer without the fast path."""

    def call(model: AtomCSGNN, neighbors: Neighbors) -> torch.Tensor:
        with monkeypatch.context() as patch, torch.no_grad():
            patch.setattr(csgnn, "encoded", lambda *_: None)
            return model(neighbors)

    return call


def fast(model: AtomCSGNN, neighbors: Neighbors) -> torch.Tensor:
    with torch.no_grad():
        assert encoded(model, neighbors) is not None
        return model(neighbors)


@pytest.mark.parametrize(
    ("elements", "sizes"),
    [
        ((1, 6, 8, 11, 14, 17), {}),
        # The first block adds its input to its output: 2 · 3 channels, and six features.
        ((1, 6, 8, 11, 14, 17), {"channels": 2}),
        ((14,), {}),
        ((14,), {"channels": 9, "base_width": 4}),
        ((1, 6, 8, 11, 14, 17), {"level": 0}),
        ((1, 6, 8, 11, 14, 17), {"r_min": 2.0}),
    ],
)
def test_equals_the_plain_path(elements: Any, sizes: Any, plain: Any) -> None:
    model, neighbors = model_of(*elements, **sizes), disordered()
    expected = plain(model, neighbors)
    torch.testing.assert_close(fast(model, neighbors), expected, rtol=1e-11, atol=1e-11)
    single = model.to(torch.float32)
    neighbors = neighbors.to("cpu", torch.float32)
    torch.testing.assert_close(
        fast(single, neighbors).double(), expected, rtol=1e-4, atol=1e-4 * float(expected.max())
    )


def test_neighbours_on_edges_and_vertices(plain: Any) -> None:
    """In perfect crystals directions lie on several faces at once."""
    model = model_of(11, 14, 17)
    neighbors = neighbors_of(bulk("NaCl", "rocksalt", 5.64), bulk("Po", "sc", 3.3), bulk("Cu"))
    torch.testing.assert_close(
        fast(model, neighbors), plain(model, neighbors), rtol=1e-11, atol=1e-11
    )
    sphere = model.mapping._search._tables.get("corners", torch.device("cpu"), torch.float64)
    corners = sphere.view(3, -1).t() * 3
    many = Neighbors(
        corners,
        torch.arange(len(corners)) // 7,
        torch.full((len(corners),), 14),
        torch.full((len(corners) // 7 + 1,), 14),
        torch.zeros(len(corners) // 7 + 1, dtype=torch.int64),
        1,
    )
    torch.testing.assert_close(fast(model, many), plain(model, many), rtol=1e-11, atol=1e-11)


def test_pieces_and_atoms_without_neighbours(plain: Any, monkeypatch: Any) -> None:
    from csgnn_dgl.models.atoms import fused

    model = model_of(1, 6, 8, 14)
    neighbors = neighbors_of(Atoms("H"), molecule("CH3CH2OH"), Atoms("OH", [(0, 0, 0), (9, 0, 0)]))
    expected = plain(model, neighbors)
    for size in (1, 10_000, 1 << 30):
        monkeypatch.setattr(fused, "_PIECE_BYTES", size)
        torch.testing.assert_close(fast(model, neighbors), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    "sizes",
    [
        {"assignment": "nearest"},
        {"n_spheres": 2},
        {"level": 2},
        {"filter_order": 1},
        {"pooling": "max"},
        {"gradients": True},
        {"channels": 1},
        {"readout": ["power"]},
        {"block_norm": "layer"},
    ],
)
def test_other_options_take_the_plain_path(sizes: Any) -> None:
    try:
        model = model_of(1, 6, 14, **sizes)
    except ValueError:
        pytest.skip("there is no such option")
    assert not can_fuse(model)
    assert model.atoms_at_once == 64
    with torch.no_grad():
        assert encoded(model, disordered()) is None


def names() -> list[str]:
    return [
        name
        for name, _ in model_of(1, 6, 14).named_modules()
        if name.partition(".")[0] in ("mapping", "species", "encoder")
    ]


@pytest.mark.parametrize("name", names())
def test_hooks_fire_and_replaced_modules_run(name: str, plain: Any) -> None:
    neighbors = disordered()
    for kind in ("register_forward_hook", "register_forward_pre_hook"):
        model = model_of(1, 6, 14)
        seen: list[int] = []
        getattr(model.get_submodule(name), kind)(lambda *_, seen=seen: seen.append(1))
        expected = plain(model, neighbors)
        calls = len(seen)
        with torch.no_grad():
            torch.testing.assert_close(model(neighbors), expected, rtol=0, atol=0)
        assert len(seen) == 2 * calls
    model = model_of(1, 6, 14)
    module = model.get_submodule(name)
    if not isinstance(module, nn.ModuleList):
        original = module.forward
        module.forward = lambda *args, **options: original(*args, **options) * 0.5
        expected = plain(model, neighbors)
        with torch.no_grad():
            torch.testing.assert_close(model(neighbors), expected, rtol=0, atol=0)


def test_gradients_and_training_take_the_plain_path() -> None:
    model, neighbors = model_of(1, 6, 14), disordered()
    assert encoded(model, neighbors) is None
    moved = replace(neighbors, displacements=neighbors.displacements.clone().requires_grad_())
    model(moved).sum().backward()
    assert moved.displacements.grad is not None
    with torch.no_grad():
        assert encoded(model, neighbors) is not None
        model.train()
        assert encoded(model, neighbors) is None
        model.eval()
        with torch.autocast("cpu", torch.bfloat16):
            assert encoded(model, neighbors) is None
        with torch.autograd.forward_ad.dual_level():
            assert encoded(model, neighbors) is None


def test_weights_are_those_of_the_moment(plain: Any) -> None:
    model, neighbors = model_of(1, 6, 14), disordered()
    before = fast(model, neighbors)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.mul_(1.5)
    after = fast(model, neighbors)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, plain(model, neighbors), rtol=1e-11, atol=1e-11)


def test_what_the_mapping_decides(plain: Any) -> None:
    model, neighbors = model_of(1, 6, 14), disordered()
    far = replace(neighbors, displacements=neighbors.displacements * 1.3)
    with torch.no_grad():
        assert encoded(model, far) is None
    torch.testing.assert_close(plain(model, far), model(far).detach())
    order = torch.randperm(len(neighbors.centres), generator=torch.Generator().manual_seed(0))
    mixed = replace(
        neighbors,
        displacements=neighbors.displacements[order],
        centres=neighbors.centres[order],
        numbers=neighbors.numbers[order],
    )
    with torch.no_grad():
        torch.testing.assert_close(model(mixed), fast(model, neighbors), rtol=1e-11, atol=1e-11)
        for value in (0.0, torch.nan):
            bad = neighbors.displacements.clone()
            bad[3] = value
            with pytest.raises(DataError):
                model(replace(neighbors, displacements=bad))


def test_parametrized_layers_are_called(plain: Any) -> None:
    class Half(nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return weight / 2

    model, neighbors = model_of(1, 6, 14), disordered()
    conv = model.get_submodule("encoder.levels.0.intra.0.conv")
    nn.utils.parametrize.register_parametrization(conv, "weight", Half())
    with torch.no_grad():
        assert encoded(model, neighbors) is None
        assert F.mse_loss(model(neighbors), plain(model, neighbors)) == 0

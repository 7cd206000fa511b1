"""The encoder and the model of shapes on spheres of different levels."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.grid import icosahedral_rotations
from csgnn_dgl.models import CSGNN, EncoderConfig, ShapeCSGNN, ShapeCSGNNHypers
from csgnn_dgl.models.shapes.csgnn import encoder_config

Randomise = Callable[[nn.Module], None]
LEVELS = [(1, 1, 2, 2), (0, 2, 3), (2, 0, 1)]
every = pytest.mark.parametrize("levels", LEVELS, ids=str)
schedules = pytest.mark.parametrize("coarsening", ["together", "in_turn"])


def config(levels: tuple[int, ...] | None, level: int = 2, spheres: int = 4) -> EncoderConfig:
    if levels is not None:
        level, spheres = max(levels), len(levels)
    return EncoderConfig.with_base_width(level, spheres, 2, base_width=4, sphere_levels=levels)


def features(encoder: CSGNN, batch: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    sites = encoder.grid.num_nodes()
    return torch.rand(sites, batch, 2, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("training", [True, False])
def test_equal_levels_give_the_same_bits(randomise: Randomise, training: bool) -> None:
    ours, uniform = CSGNN(config((2, 2, 2, 2))).double(), CSGNN(config(None)).double()
    randomise(ours)
    uniform.load_state_dict(ours.state_dict())
    feat = features(uniform)
    for output in ("global", "coarsest", "finest"):
        found, expected = ours.train(training)(feat, output), uniform.train(training)(feat, output)
        assert torch.equal(found, expected)


@every
def test_the_parameters_are_those_of_the_uniform_network(levels: tuple[int, ...]) -> None:
    ours = CSGNN(config(levels))
    uniform = CSGNN(replace(ours.config, sphere_levels=None))
    uniform.load_state_dict(ours.state_dict())
    shapes = [{k: v.shape for k, v in each.state_dict().items()} for each in (ours, uniform)]
    assert shapes[0] == shapes[1]


@every
@schedules
@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("radial", ["shell", "bracket"])
def test_exact_for_the_60_rotations(
    randomise: Randomise, levels: tuple[int, ...], coarsening: Any, kernel_size: int, radial: Any
) -> None:
    hypers = ShapeCSGNNHypers(
        sphere_levels=list(levels),
        sphere_coarsening=coarsening,
        kernel_size=kernel_size,
        radial=radial,
        channels=2,
        base_width=4,
    )
    model = ShapeCSGNN(hypers).double().eval()
    randomise(model)
    points = torch.randn(2, 40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    points /= points.norm(dim=2).max()
    rotations = torch.from_numpy(icosahedral_rotations().copy())
    with torch.no_grad():
        reference = model(points)
        turned = torch.cat([points @ rotation.T for rotation in rotations])
        found = model(turned).view(60, *reference.shape)
        off = float((found - reference).abs().max() / reference.abs().max())
        assert off < 1e-10
        # Control: a rotation that is not one of the 60.
        other = model(points.roll(1, dims=2)[..., [1, 0, 2]] * torch.tensor([1.0, -1, 1]))
        assert float((other - reference).abs().max() / reference.abs().max()) > 1e-3


@every
@schedules
def test_sites_in_every_output(levels: tuple[int, ...], coarsening: Any) -> None:
    encoder = CSGNN(replace(config(levels), sphere_coarsening=coarsening)).double()
    feat = features(encoder)
    assert encoder(feat, "finest").shape[0] == encoder.config.sites(max(levels))
    assert encoder(feat, "coarsest").shape[0] == 12 * len(levels) == encoder.config.sites(0)
    for level in range(max(levels) + 1):
        assert encoder.grid.num_nodes(level) == encoder.config.sites(level)


def test_without_blocks_it_is_the_same(randomise: Randomise) -> None:
    """Layers give the same on DGL's graphs, edge by edge, as on what the encoder prepares."""
    encoder = CSGNN(config((1, 0, 2))).double().eval()
    randomise(encoder)
    feat, level = features(encoder), 2
    expected = encoder(feat, "coarsest")
    for layers in encoder.levels:
        graph = encoder.grid.graph(level)
        for block in layers.intra:
            feat = block(graph, feat)
        for block in layers.radial:
            feat = block(graph, (feat, feat.clone()))
        if level:
            feat = encoder.pool(encoder.grid.coarsening(level), feat)
        level -= 1
    torch.testing.assert_close(feat, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_compilers_follow(kernel_size: int) -> None:
    torch._dynamo.reset()
    encoder = CSGNN(replace(config((1, 0, 1)), kernel_size=kernel_size)).double()
    compiled: Any = torch.compile(encoder, fullgraph=True, backend="aot_eager")
    feat = features(encoder).requires_grad_()
    results = []
    for network in (compiled, encoder):
        out = network(feat)
        inputs = [feat, *encoder.parameters()]
        results.append([out, *torch.autograd.grad(out.square().sum(), inputs)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_headers() -> None:
    made = config((1, 0, 2))
    stored = json.loads(json.dumps(made.to_dict()))
    assert stored["sphere_levels"] == [1, 0, 2]
    assert EncoderConfig(**stored) == made
    # Headers of earlier versions do not have these fields.
    del stored["sphere_levels"], stored["sphere_coarsening"]
    assert EncoderConfig(**stored).sphere_levels is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sphere_levels": (1, 2)}, "the levels of 2 spheres are given, .* n_spheres is 4"),
        ({"sphere_levels": (1, 1, 1, 1)}, "the finest of the spheres' levels .* is 1, but level"),
        ({"sphere_levels": (1, 2, -1, 2)}, "the level of sphere 2 is -1"),
        ({"sphere_coarsening": "never"}, "sphere_coarsening is 'never', but it must be one of"),
    ],
)
def test_bad_levels(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(config(None), **changes)


def test_options_of_the_model() -> None:
    hypers = ShapeCSGNNHypers(sphere_levels=[1, 1, 2, 2, 3, 3, 3, 3])
    # Level and number of spheres need not be given twice.
    assert (hypers.level, hypers.n_spheres) == (3, 8)
    assert encoder_config(hypers).sites(3) == 2976
    assert ShapeCSGNNHypers(**hypers.model_dump()) == hypers
    uniform = ShapeCSGNNHypers(level=3, n_spheres=8)
    memory = [ShapeCSGNN.training_memory(each, 32, 1024) for each in (hypers, uniform)]
    assert 0.55 < memory[0] / memory[1] < 0.65


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sphere_levels": [1, 2], "level": 3}, "is 2, but level is 3; .* set it to 2"),
        ({"sphere_levels": [1, 2], "n_spheres": 3}, "but n_spheres is 3; .*set n_spheres to 2"),
        ({"sphere_levels": []}, "levels is empty"),
        ({"sphere_levels": [1, -2]}, "the level of sphere 1 is -2"),
        ({"sphere_coarsening": "in_turn"}, "all spheres have the same level, so it has no effect"),
        (
            {"sphere_levels": [2, 2], "sphere_coarsening": "in_turn"},
            "all spheres have the same level, so it has no effect",
        ),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ShapeCSGNNHypers(**options)

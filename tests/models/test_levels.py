"""The encoder and the model of shapes on spheres of different levels."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import is_dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.grid import icosahedral_rotations
from csgnn_dgl.mapping import rotate_clouds
from csgnn_dgl.models import CSGNN, EncoderConfig, ShapeCSGNN, ShapeCSGNNHypers
from csgnn_dgl.models.shapes.csgnn import encoder_config
from csgnn_dgl.nn.power_spectrum import num_degrees, power_spectrum, sphere_groups

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


RICHER: list[dict[str, Any]] = [
    {"filter_order": 1},
    {"filter_order": 2},
    {"gradients": True},
    {"filter_order": 1, "gradients": True},
    {"filter_order": 2, "gradients": True},
    {"readout": ["power"]},
    {"readout": ["max-mean", "power"], "filter_order": 2, "gradients": True},
    {"point_features": ["cosine", "linearity", "normal"], "feature_neighbors": 5},
    {"point_features": ["density", "normal"], "feature_neighbors": 5, "feature_mean": "sum"},
    {
        "point_features": ["cosine", "normal"],
        "feature_neighbors": 5,
        "neighbourhood": "nearest",
        "radial": "bracket",
        "filter_order": 1,
        "gradients": True,
        "readout": ["pool", "power"],
    },
]


@every
@schedules
@pytest.mark.parametrize("options", RICHER, ids=lambda chosen: "-".join(chosen))
def test_filters_readouts_and_features_are_exact(
    randomise: Randomise, levels: tuple[int, ...], coarsening: Any, options: dict[str, Any]
) -> None:
    hypers = ShapeCSGNNHypers(
        sphere_levels=list(levels),
        sphere_coarsening=coarsening,
        channels=2,
        base_width=4,
        **options,
    )
    model = ShapeCSGNN(hypers).double().eval()
    randomise(model)
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(1, 40, 3, dtype=torch.float64, generator=generator)
    points /= points.norm(dim=2).max()
    normals = bool(model.attributes)
    if normals:
        vectors = torch.randn(1, 40, 3, dtype=torch.float64, generator=generator)
        points = torch.cat([points, nn.functional.normalize(vectors, dim=2)], dim=2)
    rotations = torch.from_numpy(icosahedral_rotations().copy())
    with torch.no_grad():
        reference = model(points)
        turned = rotate_clouds(points.expand(60, -1, -1), rotations, normals=normals)
        found = model(turned)
        assert float((found - reference).abs().max() / reference.abs().max()) < 1e-10
        # Control: a rotation that is not one of the 60.
        turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
        other = model(rotate_clouds(points, turn[None], normals=normals))
        assert float((other - reference).abs().max() / reference.abs().max()) > 1e-5


@torch.no_grad()
def test_power_spectra_are_those_of_each_sphere(randomise: Randomise) -> None:
    """A sphere without vertices of its own would be read as another one."""
    readout: Any = ("power",)
    encoder = CSGNN(replace(config((1, 0, 2)), readout=readout)).double().eval()
    randomise(encoder)
    feat = features(encoder)
    kept: list[Tensor] = []
    for level in encoder.levels:
        level.register_forward_hook(lambda _, __, out: kept.append(out))
    found = encoder(feat).split(
        [6 * encoder.config.level_features[1], 4 * encoder.config.level_features[2]], dim=1
    )
    for part, sites, level in ((found[0], kept[1], 1), (found[1], kept[2], 0)):
        powers, counts = 0, torch.zeros(num_degrees(level), 1)
        for sphere, own in enumerate(encoder.grid.sphere_levels(level)):
            nodes = [encoder.grid.site(v, sphere, level) for v in range(10 * 4**own + 2)]
            alone = power_spectrum(sites[nodes], sphere_groups((own,), feat.device))
            alone = alone.view(3, num_degrees(own), -1).square()
            missing = num_degrees(level) - num_degrees(own)
            powers = powers + nn.functional.pad(alone, (0, 0, 0, missing))
            counts[: num_degrees(own)] += 1
        expected = (powers / counts).sqrt().flatten(1)
        torch.testing.assert_close(part, expected, rtol=1e-9, atol=1e-9)


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
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3},
        {"kernel_size": 5},
        {"filter_order": 2, "gradients": True, "readout": ("max-mean", "power")},
    ],
    ids=str,
)
def test_compilers_follow(options: dict[str, Any]) -> None:
    torch._dynamo.reset()
    encoder = CSGNN(replace(config((1, 0, 1)), **options)).double()
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
    earlier = EncoderConfig(**stored)
    assert earlier == replace(made, sphere_levels=None)


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


def _tensors(value: Any, seen: set[int]) -> list[Tensor]:
    """All tensors in containers and in objects of ours."""
    if isinstance(value, Tensor):
        return [value]
    if id(value) in seen:
        return []
    seen.add(id(value))
    if isinstance(value, dict):
        parts = list(value.values())
    elif isinstance(value, (list, tuple)):
        parts = list(value)
    else:
        parts = list(vars(value).values()) if is_dataclass(value) else []
    return [tensor for part in parts for tensor in _tensors(part, seen)]


@pytest.mark.parametrize(
    "changes", [{}, {"gradients": True, "filter_order": 2, "kernel_size": 5}], ids=str
)
@pytest.mark.parametrize("levels", [None, *LEVELS], ids=str)
def test_graphs_are_copied_to_a_device_once(
    levels: tuple[int, ...] | None, changes: dict[str, Any]
) -> None:
    # A step that copies to a GPU waits for it, and cannot be recorded.
    encoder, device = CSGNN(replace(config(levels), **changes)), torch.device("meta")

    def on_device() -> list[int]:
        graphs = [replace(each, graph=dict) for each in encoder._structure(device)]
        return [id(t) for t in _tensors(graphs, set()) if t.device == device]

    first = on_device()
    assert len(first) > 10
    assert on_device() == first

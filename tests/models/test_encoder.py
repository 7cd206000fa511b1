"""The encoder: sizes, outputs, symmetry, switches, errors."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.models import CSGNN, EncoderConfig, encoder
from csgnn_dgl.models.encoder import Output
from csgnn_dgl.nn.vertex_pool import PoolMode
from csgnn_dgl.testing import assert_no_mutation

Randomise = Callable[[nn.Module], None]

SMALL = EncoderConfig.with_base_width(2, 3, 2, base_width=4)
OUTPUTS = ("global", "coarsest", "finest")


def make(randomise: Randomise, config: EncoderConfig = SMALL) -> CSGNN:
    model = CSGNN(config).double().eval()
    randomise(model)
    return model


def features(config: EncoderConfig = SMALL, batch: int = 2, seed: int = 0) -> Tensor:
    sites = (10 * 4**config.level + 2) * config.n_spheres
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(sites, batch, config.in_channels, dtype=torch.float64, generator=generator)


def relative(result: Tensor, reference: Tensor) -> float:
    return float((result - reference).abs().max() / reference.abs().max())


def test_widths_of_the_paper() -> None:
    config = EncoderConfig.with_base_width(4, 16, 8)
    assert config.intra_widths == ((32, 32), (64, 64), (128, 128), (256, 256), (512,))
    assert config.radial_widths == ((64, 64), (128, 128), (256, 256), (512,), (1024,))
    assert config.level_features == (64, 128, 256, 512, 1024)
    assert config.global_features == 1984
    assert replace(config, concatenate=False).global_features == 1024


@pytest.mark.parametrize(
    ("level", "intra", "radial"),
    [
        (0, [1], [1]),
        (1, [2, 1], [1, 1]),
        (2, [2, 2, 1], [2, 1, 1]),
        (3, [2, 2, 2, 1], [2, 2, 2, 1]),
        (4, [2, 2, 2, 2, 1], [2, 2, 2, 1, 1]),
        (5, [2, 2, 2, 2, 1, 1], [2, 2, 2, 1, 1, 1]),
        (6, [2, 2, 2, 2, 1, 1, 1], [2, 2, 2, 1, 1, 1, 1]),
    ],
)
def test_convolutions_of_other_levels(level: int, intra: list[int], radial: list[int]) -> None:
    """Levels 3 to 5 as in the released code."""
    config = EncoderConfig.with_base_width(level, 2, 3, base_width=8)
    widths = [8 * 2**step for step in range(level + 1)]
    assert config.intra_widths == tuple((w,) * n for w, n in zip(widths, intra, strict=True))
    assert config.radial_widths == tuple((2 * w,) * n for w, n in zip(widths, radial, strict=True))


@pytest.mark.parametrize(("level", "n_spheres", "channels"), [(0, 1, 1), (1, 2, 3), (2, 3, 2)])
@pytest.mark.parametrize("batch", [1, 3])
def test_shapes(level: int, n_spheres: int, channels: int, batch: int) -> None:
    config = EncoderConfig.with_base_width(level, n_spheres, channels, base_width=4)
    model = CSGNN(config).double().eval()
    feat = features(config, batch)
    with torch.no_grad():
        assert model(feat).shape == (batch, config.global_features)
        assert model(feat, "coarsest").shape == (12 * n_spheres, batch, config.level_features[-1])
        assert model(feat, "finest").shape == (len(feat), batch, config.level_features[0])


def test_fewer_levels_than_the_grid_has() -> None:
    config = EncoderConfig(2, 3, 2, intra_widths=((4,), (6,)), radial_widths=((5,), ()))
    assert config.level_features == (5, 6)
    model = CSGNN(config).double().eval()
    assert model.grid.coarsest == 1
    assert model(features(config)).shape == (2, 11)
    assert model(features(config), "coarsest").shape == (42 * 3, 2, 6)


def test_a_single_level() -> None:
    config = EncoderConfig(2, 3, 2, intra_widths=((4,),), radial_widths=((),))
    model = CSGNN(config).double().eval()
    feat = features(config)
    assert torch.equal(model(feat, "coarsest"), model(feat, "finest"))
    assert torch.equal(model(feat), model(feat, "finest").amax(dim=0))


def test_written_out(randomise: Randomise) -> None:
    model = make(randomise)
    feat = features()
    grid, pooled = model.grid, []
    x = feat
    for index, level in enumerate((2, 1, 0)):
        if index:
            src, dst = grid.coarsening(level + 1).edges(order="eid")
            best = torch.full((grid.num_nodes(level), *x.shape[1:]), -torch.inf).to(x)
            where = dst.view(-1, 1, 1).expand(-1, *x.shape[1:])
            x = best.scatter_reduce(0, where, x[src], "amax")
        layers = model.levels[index]
        for block in [*layers.intra, *layers.radial]:
            x = block(grid.graph(level), x)
        pooled.append(x.amax(dim=0))
    torch.testing.assert_close(model(feat), torch.cat(pooled, dim=1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model(feat, "coarsest"), x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("pooling", ["max", "mean", "sum"])
@torch.no_grad()
def test_exact_symmetry(randomise: Randomise, pooling: PoolMode) -> None:
    config = replace(SMALL, pooling=pooling, global_pooling=pooling)
    model, feat = make(randomise, config), features(config)
    references = {output: model(feat, output) for output in OUTPUTS}
    fine = torch.from_numpy(model.grid.node_permutations(2))
    coarse = torch.from_numpy(model.grid.node_permutations(0))
    for g in range(60):
        moved = torch.empty_like(feat)
        moved[fine[g]] = feat
        assert relative(model(moved), references["global"]) < 1e-10
        assert relative(model(moved, "finest")[fine[g]], references["finest"]) < 1e-10
        assert relative(model(moved, "coarsest")[coarse[g]], references["coarsest"]) < 1e-10


@torch.no_grad()
def test_symmetry_is_not_a_matter_of_course(randomise: Randomise) -> None:
    # Controls: features that do not move at all, and features that move some other way.
    model, feat = make(randomise), features()
    grid = model.grid
    for output in OUTPUTS:
        assert float(model(feat, output).std(dim=-1).min()) > 1e-3
        assert relative(model(feat.roll(1, dims=1), output), model(feat, output)) > 1e-3
    rotated = torch.from_numpy(grid.node_permutations(2))
    moved = torch.empty_like(feat)
    moved[rotated[7]] = feat
    assert relative(model(moved, "finest")[rotated[8]], model(feat, "finest")) > 1e-3
    assert relative(model(moved, "finest"), model(feat, "finest")) > 1e-3
    order = torch.randperm(len(feat), generator=torch.Generator().manual_seed(1))
    vertices = torch.randperm(162, generator=torch.Generator().manual_seed(2))
    mirrored = torch.arange(len(feat)).view(-1, 3).flip(1)
    for wrong in (order, torch.arange(len(feat)).view(-1, 3)[vertices].flatten()):
        assert relative(model(feat[wrong], "finest"), model(feat, "finest")[wrong]) > 1e-3
        assert relative(model(feat[wrong]), model(feat)) > 1e-6
    assert relative(model(feat[mirrored.flatten()]), model(feat)) > 1e-6


@pytest.mark.parametrize(
    "switch",
    [
        {"self_loop": False},
        {"residual": False},
        {"pooling": "mean"},
        {"pooling": "sum"},
        {"global_pooling": "mean"},
        {"global_pooling": "sum"},
        {"global_pooling": "mean-at-coarsest"},
        {"global_pooling": "sum-at-coarsest"},
    ],
    ids=str,
)
@torch.no_grad()
def test_switches_change_the_function(randomise: Randomise, switch: dict[str, Any]) -> None:
    model, other = make(randomise), make(randomise, replace(SMALL, **switch))
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True)
    )
    feat = features()
    assert model(feat).shape == other(feat).shape
    assert relative(other(feat), model(feat)) > 1e-3


@torch.no_grad()
def test_without_concatenation_only_the_coarsest_counts(randomise: Randomise) -> None:
    model, feat = make(randomise), features()
    other = make(randomise, replace(SMALL, concatenate=False))
    assert torch.equal(other(feat), model(feat)[:, -SMALL.level_features[-1] :])
    assert torch.equal(other(feat), model(feat, "coarsest").amax(dim=0))


@pytest.mark.parametrize(
    ("mode", "function"),
    [
        ("max", lambda x: x.amax(dim=0)),
        ("mean", lambda x: x.mean(dim=0)),
        ("sum", lambda x: x.sum(dim=0)),
    ],
)
@torch.no_grad()
def test_global_pooling(
    randomise: Randomise, mode: PoolMode, function: Callable[[Tensor], Tensor]
) -> None:
    config = replace(SMALL, global_pooling=mode)
    model, feat = make(randomise, config), features()
    first = SMALL.level_features[0]
    torch.testing.assert_close(model(feat)[:, :first], function(model(feat, "finest")))
    last = SMALL.level_features[-1]
    torch.testing.assert_close(model(feat)[:, -last:], function(model(feat, "coarsest")))


@pytest.mark.parametrize("mode", ["mean", "sum"])
@torch.no_grad()
def test_released_global_pooling(randomise: Randomise, mode: PoolMode) -> None:
    """The maximum at all levels but the coarsest."""
    released = replace(SMALL, pooling=mode, global_pooling=f"{mode}-at-coarsest")
    model, feat = make(randomise, released), features()
    exact = make(randomise, replace(SMALL, pooling=mode, global_pooling=mode))(feat)
    largest = make(randomise, replace(SMALL, pooling=mode))(feat)
    last = SMALL.level_features[-1]
    assert torch.equal(model(feat)[:, :-last], largest[:, :-last])
    assert torch.equal(model(feat)[:, -last:], exact[:, -last:])
    assert relative(model(feat), exact) > 1e-3
    assert relative(model(feat), largest) > 1e-3
    # Without the other levels' features, it is the mean or the sum.
    alone = make(randomise, replace(released, concatenate=False))
    assert torch.equal(alone(feat), exact[:, -last:])


def test_gradcheck_of_released_pooling(randomise: Randomise) -> None:
    config = EncoderConfig.with_base_width(
        1, 2, 2, base_width=2, pooling="mean", global_pooling="mean-at-coarsest"
    )
    feat = features(config, batch=1).requires_grad_()
    assert torch.autograd.gradcheck(make(randomise, config), feat)


def test_kernel_size_reaches_the_convolutions() -> None:
    model = CSGNN(replace(SMALL, kernel_size=5))
    sizes = {block.conv.weight.shape[2] for level in model.levels for block in level.radial}
    assert sizes == {5}


def test_parameters_do_not_depend_on_the_number_of_spheres() -> None:
    shapes = [
        {name: p.shape for name, p in CSGNN(replace(SMALL, n_spheres=r)).named_parameters()}
        for r in (1, 3)
    ]
    assert shapes[0] == shapes[1]


@torch.no_grad()
def test_samples_of_a_batch_do_not_mix(randomise: Randomise) -> None:
    model, feat = make(randomise), features()
    together = model(feat)
    for sample in range(2):
        alone = model(feat[:, [sample]])
        torch.testing.assert_close(together[[sample]], alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("at_once", [1, 2, 3, 5])
def test_a_large_batch_goes_in_parts(
    randomise: Randomise, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, feat = make(randomise), features(batch=5)
    expected = model(feat)  # with gradients all samples go together
    finest, sizes = feat.shape[0] * model.config.level_features[0] * 8, []
    monkeypatch.setattr(encoder, "_PART_BYTES", finest * at_once)
    encode = model._encode

    def counted(part: Tensor, output: Output) -> Tensor:
        sizes.append(part.shape[1])
        return encode(part, output)

    monkeypatch.setattr(model, "_encode", counted)
    with torch.no_grad():
        out = model(feat)
    assert max(sizes) == at_once
    assert sum(sizes) == 5
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)


def _one_layer_trains(model: CSGNN) -> None:
    next(m for m in model.modules() if isinstance(m, nn.BatchNorm1d)).train()


def _no_running_statistics(model: CSGNN) -> None:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.track_running_stats = False
            module.running_mean = module.running_var = module.num_batches_tracked = None


def _hook(model: CSGNN) -> None:
    model.levels[0].register_forward_hook(lambda _, inputs, __: None)


@pytest.mark.parametrize("change", [_one_layer_trains, _no_running_statistics, _hook])
def test_a_batch_stays_whole_where_that_matters(
    randomise: Randomise, change: Callable[[CSGNN], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, feat, sizes = make(randomise), features(batch=5), []
    change(model)
    monkeypatch.setattr(encoder, "_PART_BYTES", 1)
    model.pool.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[1].shape[1]))
    expected = model(feat)
    with torch.no_grad():
        torch.testing.assert_close(model(feat), expected, rtol=1e-12, atol=1e-12)
    assert set(sizes) == {5}


@pytest.mark.parametrize("output", OUTPUTS)
def test_gradients_reach_what_was_used(randomise: Randomise, output: Output) -> None:
    model = make(randomise).train()
    feat = features().requires_grad_()
    model(feat, output).square().sum().backward()
    assert feat.grad is not None
    assert bool(feat.grad.abs().sum() > 0)
    unused = {name.split(".")[1] for name, p in model.named_parameters() if p.grad is None}
    assert unused == ({"1", "2"} if output == "finest" else set())


def test_gradcheck(randomise: Randomise) -> None:
    config = EncoderConfig.with_base_width(1, 2, 2, base_width=2)
    model = make(randomise, config)
    feat = features(config, batch=1).requires_grad_()
    assert torch.autograd.gradcheck(model, feat)


@pytest.mark.parametrize("training", [True, False])
def test_input_is_only_read(randomise: Randomise, training: bool) -> None:
    model = make(randomise).train(training)
    graphs = [*map(model.grid.graph, range(3)), *map(model.grid.coarsening, (1, 2))]
    assert_no_mutation(lambda feat, *_: model(feat), features(), *graphs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_narrow_types(randomise: Randomise, dtype: torch.dtype) -> None:
    model = make(randomise)
    expected = model(features())
    out = model.to(dtype)(features().to(dtype))
    assert out.dtype == dtype
    assert relative(out.double(), expected) < (1e-4 if dtype == torch.float32 else 0.1)


def test_state_is_tensors_only(randomise: Randomise) -> None:
    model = make(randomise)
    model(features())
    state = model.state_dict()
    assert all(isinstance(value, Tensor) for value in state.values())
    expected = {name for name, _ in model.named_parameters()}
    expected |= {
        f"{name}.{kind}"
        for name, module in model.named_modules()
        if isinstance(module, nn.BatchNorm1d)
        for kind in ("running_mean", "running_var", "num_batches_tracked")
    }
    assert set(state) == expected
    # Graphs would show here: each has more numbers than there are weights in this model.
    assert sum(value.numel() for value in state.values()) < 6000


@torch.no_grad()
def test_deepcopy(randomise: Randomise) -> None:
    model, feat = make(randomise), features()
    expected = model(feat)
    copied = copy.deepcopy(model)
    assert torch.equal(copied(feat), expected)
    assert copied.grid is not model.grid
    for parameter in copied.parameters():
        parameter.zero_()
    assert torch.equal(model(feat), expected)


def test_config_round_trip() -> None:
    config = replace(SMALL, kernel_size=5, pooling="mean", self_loop=False, concatenate=False)
    assert EncoderConfig(**config.to_dict()) == config
    # JSON makes lists of tuples.
    again = EncoderConfig(**json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert hash(again) == hash(config)
    assert again != SMALL


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"intra_widths": ((4,), (8,))}, "intra_widths has 2 levels and radial_widths has 3"),
        (
            {"level": 1},
            "for 3 levels, but an encoder that starts at level 1 has from 1 to 2",
        ),
        ({"intra_widths": (), "radial_widths": ()}, "widths are given for 0 levels"),
        ({"intra_widths": ((4,), (0,), (4,))}, "intra_widths is .* widths must be positive"),
        ({"radial_widths": ((4,), (4,), (-1,))}, "radial_widths is .* widths must be positive"),
        (
            {"intra_widths": ((4,), (), (4,)), "radial_widths": ((4,), (), (4,))},
            "every level needs at least one convolution",
        ),
        ({"n_spheres": 0}, "n_spheres is 0, but it must be at least 1"),
        ({"in_channels": -2}, "in_channels is -2, but it must be at least 1"),
        ({"pooling": "median"}, "pooling is .median., but it must be one of"),
        ({"global_pooling": "median"}, "global_pooling is .median., but it must be one of"),
        ({"pooling": "mean-at-coarsest"}, "pooling is .mean-at-coarsest., but it must be one of"),
        ({"level": -1}, "starts at level -1"),
    ],
    ids=str,
)
def test_bad_configs(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(SMALL, **change)


@pytest.mark.parametrize("kernel_size", [0, 2])
def test_even_kernels(kernel_size: int) -> None:
    with pytest.raises(ValueError, match=f"kernel_size is {kernel_size}, but it must be odd"):
        CSGNN(replace(SMALL, kernel_size=kernel_size))


def test_unknown_options() -> None:
    with pytest.raises(TypeError, match="base_with"):
        EncoderConfig.with_base_width(2, 3, 2, base_with=4)
    with pytest.raises(TypeError, match="spheres"):
        EncoderConfig(**(SMALL.to_dict() | {"spheres": 3}))


def test_unknown_output() -> None:
    with pytest.raises(ConfigError, match=r"output is 'local', but it must be one of"):
        CSGNN(SMALL).double()(features(), "local")


@pytest.mark.parametrize(
    "shape", [(485, 2, 2), (486, 2, 3), (486, 2), (2, 486, 2), (486, 1, 2, 2)], ids=str
)
def test_wrong_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"must have shape \(486, B, 2\)") as caught:
        CSGNN(SMALL)(torch.zeros(shape))
    assert str(shape) in str(caught.value)

"""The encoder: outputs, symmetry, switches."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from csgnn_dgl.models import CSGNN, EncoderConfig, encoder
from csgnn_dgl.models.encoder import Output
from csgnn_dgl.nn.power_spectrum import power_spectrum, sphere_groups
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


@pytest.mark.parametrize(
    "change",
    [
        *({"pooling": mode, "global_pooling": mode} for mode in ("max", "mean", "sum")),
        {"filter_order": 1},
        {"filter_order": 2, "gradients": True, "readout": ("max-mean", "power", "pool")},
        {"gradients": True, "readout": ("power",)},
    ],
    ids=str,
)
@torch.no_grad()
def test_exact_symmetry(randomise: Randomise, change: dict[str, Any]) -> None:
    config = replace(SMALL, **change)
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


def test_filters_reach_the_convolutions(randomise: Randomise) -> None:
    model = make(randomise, replace(SMALL, filter_order=2, gradients=True))
    convolutions = [block.conv for level in model.levels for block in level.intra]
    assert len(convolutions) == 5
    assert {(conv.filter_order, conv.gradients) for conv in convolutions} == {(2, True)}
    feat = features()
    x = feat
    for block in [*model.levels[0].intra, *model.levels[0].radial]:
        x = block(model.grid.graph(), x)
    torch.testing.assert_close(model(feat, "finest"), x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("concatenate", [True, False])
@torch.no_grad()
def test_readouts(randomise: Randomise, concatenate: bool) -> None:
    readout: Any = ("power", "pool", "max-mean")
    config = replace(SMALL, concatenate=concatenate, global_pooling="sum", readout=readout)
    model, feat = make(randomise, config), features()
    kept: list[Tensor] = []
    for level in model.levels:
        level.register_forward_hook(lambda _, __, out: kept.append(out))
    found = model(feat).split(config.readout_features, dim=1)
    read = kept if concatenate else kept[-1:]
    spectra = [
        power_spectrum(sites, sphere_groups((level,) * 3, torch.device("cpu")))
        for level, sites in ((1, kept[1]), (0, kept[2]))
    ]
    expected = (
        spectra,
        [sites.sum(dim=0) for sites in read],
        [part for sites in read for part in (sites.amax(dim=0), sites.mean(dim=0))],
    )
    assert sum(config.readout_features) == config.global_features
    for one, parts in zip(found, expected, strict=True):
        torch.testing.assert_close(one, torch.cat(parts, dim=1), rtol=1e-12, atol=1e-12)


def test_gradients_through_several_readouts(randomise: Randomise) -> None:
    config = EncoderConfig.with_base_width(
        1, 2, 2, base_width=2, readout=("pool", "max-mean", "power"), filter_order=1
    )
    feat = features(config, batch=1).requires_grad_()
    assert torch.autograd.gradcheck(make(randomise, config), feat)


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

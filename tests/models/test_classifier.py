"""The classifier: parameter counts of the paper, exact invariance, configuration, state."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from csgnn_dgl.errors import DataError
from csgnn_dgl.grid import icosahedral_rotations
from csgnn_dgl.mapping import random_rotations, rotate_clouds
from csgnn_dgl.models import (
    ClassHeads,
    Classifier,
    EncoderConfig,
    ShapeCSGNN,
    ShapeCSGNNHypers,
)
from csgnn_dgl.testing import (
    assert_no_mutation,
    assert_permutation_invariant,
    assert_rotation_invariant,
)

Randomise = Callable[[nn.Module], None]

ENCODER = EncoderConfig.with_base_width(2, 3, 2, base_width=4)
SMALL = ShapeCSGNNHypers(level=2, n_spheres=3, channels=2, base_width=4)


class Network(Classifier):
    """A classifier whose model is known to be CSGNN."""

    model: ShapeCSGNN


def small(hidden: tuple[int, ...] = (16, 8), dropout: float = 0.0, **changes: Any) -> Network:
    hypers = ShapeCSGNNHypers(**{**SMALL.model_dump(), **changes})
    return Network(ShapeCSGNN(hypers), 5, hidden=hidden, dropout=dropout)


def make(randomise: Randomise, **changes: Any) -> Network:
    model = small(**changes).double().eval()
    randomise(model)
    return model


def clouds(batch: int = 2, points: int = 40, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    cloud = torch.randn(batch, points, 3, dtype=torch.float64, generator=generator)
    return cloud / cloud.norm(dim=2).amax(dim=1)[:, None, None]


def relative(result: Tensor, reference: Tensor) -> float:
    return float((result - reference).abs().max() / reference.abs().max())


@pytest.mark.parametrize(
    ("n_spheres", "channels", "count"),
    [(16, 8, 3_959_784), (16, 1, 3_959_560), (16, 32, 3_960_552), (1, 8, 3_959_784)],
)
def test_parameters_of_the_paper(n_spheres: int, channels: int, count: int) -> None:
    model = Classifier(ShapeCSGNN(ShapeCSGNNHypers(n_spheres=n_spheres, channels=channels)), 40)
    assert sum(parameter.numel() for parameter in model.parameters()) == count
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_head_of_the_paper() -> None:
    model = ShapeCSGNN(ShapeCSGNNHypers(level=1, n_spheres=1, channels=1))
    head = Classifier(model, 40, dropout=0.19).head
    kinds = [type(layer) for layer in head]
    once = [nn.Dropout, nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert kinds == [*once, *once, nn.Dropout, nn.Linear]
    sizes = [(m.in_features, m.out_features) for m in head if isinstance(m, nn.Linear)]
    assert sizes == [(model.features, 512), (512, 256), (256, 40)]
    assert {m.p for m in head if isinstance(m, nn.Dropout)} == {0.19}


def test_a_head_for_each_readout(randomise: Randomise) -> None:
    model = make(randomise, readout=["max-mean", "power"], hidden=(6,))
    encoder, points = model.model.encoder, clouds(4)
    assert isinstance(model.head, ClassHeads)
    assert model.head.features == model.model.head_features == encoder.config.readout_features
    assert model.num_classes == 5
    first, second = model.model(points).split(model.head.features, dim=1)
    each = [head(part) for head, part in zip(model.head.heads, (first, second), strict=True)]
    assert not torch.allclose(*each)
    torch.testing.assert_close(model(points), (each[0] + each[1]) / 2, rtol=1e-12, atol=1e-12)
    # In training each head has a loss of its own.
    scores = model.train()(points)
    assert scores.shape == (4, 2, 5)
    for each_head, other in (model.head.heads, list(model.head.heads)[::-1]):
        index = list(model.head.heads).index(each_head)
        loss = nn.functional.cross_entropy(scores[:, index], torch.tensor([0, 1, 2, 3]))
        own = torch.autograd.grad(loss, [*each_head.parameters()], retain_graph=True)
        assert any(grad.any() for grad in own)
        rest = torch.autograd.grad(loss, [*other.parameters()], retain_graph=True)
        assert not any(grad.any() for grad in rest)


def test_heads_beside_parts() -> None:
    heads = ClassHeads((2, 3), 4, hidden=(6,))
    assert heads(torch.rand(7, 2, 5)).shape == (7, 2, 2, 4)


def test_no_hidden_layers() -> None:
    model = small(hidden=())
    assert [type(layer) for layer in model.head] == [nn.Dropout, nn.Linear]


@torch.no_grad()
def test_shapes(randomise: Randomise) -> None:
    model, points = make(randomise), clouds(3)
    assert model(points).shape == (3, 5)
    assert model.model.encode(points).shape == (3, ENCODER.global_features)
    assert model.model.encode(points, "finest").shape == (486, 3, ENCODER.level_features[0])
    assert model.model.encode(points, "coarsest").shape == (36, 3, ENCODER.level_features[-1])


@torch.no_grad()
def test_made_of_mapping_encoder_and_head(randomise: Randomise) -> None:
    model, points = make(randomise), clouds()
    sites = model.model.mapping(points)
    assert sites.shape == (486, 2, 2)
    assert torch.equal(model.model.encode(points), model.model.encoder(sites))
    assert torch.equal(model(points), model.head(model.model.encoder(sites)))


@pytest.mark.parametrize("radial", ["shell", "bracket"])
@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_exact_invariance(randomise: Randomise, radial: Any, pooling: Any) -> None:
    model = make(randomise, pooling=pooling, global_pooling=pooling, radial=radial)
    assert_rotation_invariant(model, clouds(), tolerance=1e-10)


def test_exact_invariance_of_richer_models(randomise: Randomise) -> None:
    model = make(randomise, filter_order=2, gradients=True, readout=["pool", "power"])
    assert_rotation_invariant(model, clouds(), tolerance=1e-10)


@torch.no_grad()
def test_site_features_turn_with_the_cloud(randomise: Randomise) -> None:
    model, points = make(randomise), clouds()
    expected = {output: model.model.encode(points, output) for output in ("finest", "coarsest")}
    rotations = torch.from_numpy(icosahedral_rotations().copy())
    for g in range(60):
        turned = rotate_clouds(points, rotations[[g, g]])
        for output, level in (("finest", 2), ("coarsest", 0)):
            permutation = torch.from_numpy(model.model.encoder.grid.node_permutations(level)[g])
            out = model.model.encode(turned, output)  # type: ignore[arg-type]
            assert relative(out[permutation], expected[output]) < 1e-10
            # Control: without the permutation they differ.
            assert g == 0 or relative(out, expected[output]) > 1e-6


@torch.no_grad()
def test_other_rotations_change_the_scores(randomise: Randomise) -> None:
    model, points = make(randomise), clouds()
    reference = model(points)
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        rotations = random_rotations(2, "so3", "z", generator, torch.float64)
        moved = model(rotate_clouds(points, rotations))
        assert float((moved - reference).abs().max()) > 1e-6
    # Nor is the exact check a matter of course: about another centre nothing is invariant.
    shift = torch.tensor([0.01, 0.02, 0.03], dtype=torch.float64)
    with pytest.raises(AssertionError, match="59 of 60 rotations"):
        assert_rotation_invariant(lambda p: model(p + shift), points)


def test_order_of_the_points(randomise: Randomise) -> None:
    assert_permutation_invariant(make(randomise), clouds(), tolerance=1e-10)


@torch.no_grad()
def test_clouds_and_scores_differ(randomise: Randomise) -> None:
    # Control: a constant function would be invariant too.
    model = make(randomise)
    scores = model(clouds())
    assert float((scores[0] - scores[1]).abs().max()) > 1e-3
    assert float(scores.std(dim=1).min()) > 1e-3


def test_gradients_reach_all_parameters_and_the_points(randomise: Randomise) -> None:
    model, points = make(randomise).train(), clouds(4).requires_grad_()
    nn.functional.cross_entropy(model(points), torch.tensor([0, 1, 2, 3])).backward()
    assert points.grad is not None
    assert bool((points.grad != 0).any())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_gradcheck_to_the_points(randomise: Randomise) -> None:
    model = make(randomise, level=1, n_spheres=2, base_width=2, hidden=(4,))
    assert torch.autograd.gradcheck(model, clouds(1, 6).requires_grad_())


def test_dropout_works_in_training_only(randomise: Randomise) -> None:
    model = make(randomise, dropout=0.5)
    points = clouds(4)
    assert torch.equal(model(points), model(points))
    for module in model.modules():
        module.training = isinstance(module, nn.Dropout)
    torch.manual_seed(0)
    assert not torch.equal(model(points), model(points))


def test_input_is_only_read(randomise: Randomise) -> None:
    assert_no_mutation(make(randomise), clouds())
    assert_no_mutation(make(randomise).train(), clouds())


def test_widths_of_ones_own() -> None:
    model = small(base_width=32, intra_widths=[[3], [4]], radial_widths=[[5, 5], [6]])
    config = model.model.encoder.config
    assert (config.intra_widths, config.radial_widths) == (((3,), (4,)), ((5, 5), (6,)))
    again = ShapeCSGNNHypers(**json.loads(model.model.hypers.model_dump_json()))
    assert again == model.model.hypers
    assert again != SMALL


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"radial": "shells"}, "'shell' or 'bracket'"),
        ({"bandwidth": "cubed"}, "'squared' or 'paper'"),
        ({"threshold": 0.0}, "threshold"),
        ({"dropout": 1.5}, "dropout"),
        ({"hidden": (0,)}, "widths must be positive"),
        ({"pooling": "median"}, "'max', 'mean' or 'sum'"),
        ({"kernel_size": 2}, "must be odd"),
        ({"intra_widths": [[3]]}, "given together or not at all"),
        ({"depth": 3}, "depth"),
        ({"filter_order": 3}, "filter_order"),
        ({"filter_order": 1, "self_loop": False}, "self_loop is off"),
        ({"readout": []}, "one or several different readouts"),
        ({"readout": ["pool", "pool"]}, "one or several different readouts"),
        ({"readout": ["median"]}, "readout"),
        ({"readout": ["power"], "global_pooling": "mean"}, "which does not use it"),
    ],
    ids=str,
)
def test_bad_options(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**change)


def test_bad_points() -> None:
    model = small().eval()
    for points in (torch.zeros(2, 40, 2), torch.zeros(0, 40, 3), torch.full((1, 4, 3), torch.nan)):
        with pytest.raises(DataError):
            model(points)


def test_state_holds_neither_graphs_nor_tables(randomise: Randomise) -> None:
    model = make(randomise)
    model(clouds())
    state = model.state_dict()
    assert all(isinstance(value, Tensor) for value in state.values())
    assert {name.split(".")[0] for name in state} == {"model", "head"}
    floating = {name for name, value in state.items() if value.is_floating_point()}
    parameters = {name for name, _ in model.named_parameters()}
    assert {n.rsplit(".")[-1] for n in floating - parameters} == {"running_mean", "running_var"}


@torch.no_grad()
def test_state_survives_saving(randomise: Randomise) -> None:
    model, points = make(randomise), clouds()
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    # Only tensors are unpickled.
    state = torch.load(file, weights_only=True)
    other = small().double().eval()
    assert not torch.equal(other(points), model(points))
    other.load_state_dict(state)
    assert torch.equal(other(points), model(points))


@torch.no_grad()
def test_deepcopy(randomise: Randomise) -> None:
    model, points = make(randomise), clouds()
    expected = model(points)
    copied = copy.deepcopy(model)
    assert torch.equal(copied(points), expected)
    for parameter in copied.parameters():
        parameter.zero_()
    assert torch.equal(model(points), expected)


def test_seed_decides_the_initial_weights() -> None:
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(torch.cat([p.flatten() for p in small().parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])

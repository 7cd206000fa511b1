"""The suites fail on models that they should fail on: each test with a model that breaks it."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.models import AtomModel, Hypers, ShapeModel
from csgnn_dgl.testing import AtomModelSuite, ShapeModelSuite

COUNTER = itertools.count()


def ignore(name: str, value: object) -> None:
    """Stands for ``record_property``."""


class Fault(Hypers):
    """Which fault a model has."""

    fault: str = "none"


class Shapes(ShapeModel):
    """Sound, but for its fault."""

    Hypers = Fault

    def __init__(self, hypers: Fault) -> None:
        super().__init__(hypers)
        self.features = 4
        self.linear = nn.Linear(3, 4)
        self.unused = nn.Linear(1, 1) if hypers.fault == "unused" else None
        self.scale = torch.ones(4)
        if hypers.fault == "unseeded":
            generator = torch.Generator().manual_seed(next(COUNTER))
            nn.init.normal_(self.linear.weight, generator=generator)
        self.register_buffer("count", torch.zeros(()))
        self.count: Tensor

    def forward(self, points: Tensor) -> Any:
        fault = self.hypers.fault
        if fault == "fast path" and not self.training:
            feat = nn.functional.linear(points, self.linear.weight, self.linear.bias)
        else:
            feat = self.linear(points)
        if fault == "mutation":
            points.mul_(1.0001)
        if fault == "detached":
            feat = feat + points.detach()[..., :1]
        if fault == "remembers":
            self.count += 1
            feat = feat + self.count
        if fault == "random":
            feat = feat + torch.rand(4, dtype=feat.dtype)
        if fault == "on the cpu":
            feat = feat * torch.ones(4, dtype=feat.dtype)
            feat = feat * self.scale.to(feat.dtype)
        if fault == "double":
            feat = feat.double()
        if fault == "order":
            feat = feat * torch.linspace(0.5, 1, points.shape[1])[:, None].to(feat)
        if fault == "batch":
            feat = feat - feat.mean(dim=0)
        pooled = feat.tanh().mean(dim=1)
        if fault == "nan":
            pooled = pooled * float("nan")
        if fault == "constant":
            pooled = 0 * pooled + 1
        return (pooled, pooled.sum()) if fault == "penalty" else pooled


class ShapeFaults(ShapeModelSuite):
    """The suite of a model with a fault."""

    model = Shapes

    def __init__(self, fault: str = "none", **attributes: Any) -> None:
        self.hypers = {"fault": fault}
        for name, value in attributes.items():
            setattr(self, name, value)


SHAPES = [
    ("nan", "test_keeps_the_contract", "not finite"),
    ("constant", "test_keeps_the_contract", "other inputs do not matter"),
    ("penalty", "test_keeps_the_contract", "a penalty is for training alone"),
    ("unseeded", "test_seed_decides_the_weights", "does not decide linear.weight"),
    ("random", "test_evaluation_is_deterministic_and_changes_nothing", "not deterministic"),
    ("remembers", "test_evaluation_is_deterministic_and_changes_nothing", "deterministic"),
    ("random", "test_training_uses_batch_norm_and_dropout", None),
    ("mutation", "test_inputs_are_only_read", "values changed"),
    ("unused", "test_gradients_reach_all_parameters", "no gradient reaches unused.weight"),
    ("detached", "test_gradients_are_slopes", "not the slope"),
    ("double", "test_types_of_numbers", "float32"),
    ("on the cpu", "test_nothing_stays_on_the_cpu", "different devices"),
    ("fast path", "test_hooks_fire_in_every_mode", "the hook of linear fires 1 times in training"),
    ("fast path", "test_replaced_modules_run", "what took the place of linear did not run"),
    ("batch", "test_clouds_do_not_see_each_other", "others of its batch"),
    ("order", "test_order_of_the_points", "order of the points"),
]


def call(suite: Any, test: str) -> None:
    method = getattr(suite, test)
    method(*[ignore] * len(inspect.signature(method).parameters))


@pytest.mark.parametrize(("fault", "test", "message"), SHAPES)
def test_faults_of_models_of_shapes(fault: str, test: str, message: str | None) -> None:
    call(ShapeFaults(), test)
    if message is None:  # what the seed decides is allowed in training
        call(ShapeFaults(fault), test)
        return
    with pytest.raises((AssertionError, RuntimeError), match=message):
        call(ShapeFaults(fault), test)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"symmetry": "so3"}, "rotations matter: relative error"),
        ({"symmetry": "icosahedral"}, "the output changes under 59 of 60 rotations"),
        ({"least_change": 10.0}, "by 40 degrees change features by .* only"),
    ],
    ids=str,
)
def test_false_claims_of_symmetry(attributes: dict[str, Any], message: str) -> None:
    ShapeFaults().test_rotations(ignore)
    with pytest.raises(AssertionError, match=message):
        ShapeFaults(**attributes).test_rotations(ignore)


def test_symmetry_that_is_not_claimed() -> None:
    class Norms(Shapes):
        def forward(self, points: Tensor) -> Tensor:
            lengths = points.norm(dim=-1, keepdim=True).expand(-1, -1, 3)
            pooled: Tensor = super().forward(lengths)
            return pooled

    class Suite(ShapeFaults):
        @property
        def model_class(self) -> Any:
            return Norms

    Suite(symmetry="so3").test_rotations(ignore)
    with pytest.raises(AssertionError, match="is symmetry 'so3'"):
        Suite(symmetry="none").test_rotations(ignore)


def test_order_that_matters_must() -> None:
    ShapeFaults("order", order_matters=True).test_order_of_the_points(ignore)
    with pytest.raises(AssertionError, match="order_matters is False"):
        ShapeFaults("constant", order_matters=True).test_order_of_the_points(ignore)


class Atoms(AtomModel):
    """Sound, but for its fault."""

    Hypers = Fault
    cutoff = 4.0
    invariant = True

    def __init__(self, hypers: Fault, elements: tuple[int, ...]) -> None:
        super().__init__(hypers, elements)
        self.features = 3
        self.linear = nn.Linear(2, 3)

    def forward(self, neighbors: Any) -> Tensor:
        fault = self.hypers.fault
        r = neighbors.displacements
        distance = r.norm(dim=1)
        if fault == "moves":
            distance = distance + r[:, 0]
        near = (1 - distance / self.cutoff) * (1 if fault == "elements" else neighbors.numbers / 10)
        sums = near.new_zeros(neighbors.n_atoms).index_add(0, neighbors.centres, near)
        if fault == "alone":
            sums = sums / torch.bincount(neighbors.centres, minlength=len(sums))
        if fault == "others":
            sums = sums - sums.mean()
        if fault == "order":
            sums = sums.sort().values
        out: Tensor = self.linear(torch.stack([sums, sums.square() / 10], dim=1)).tanh()
        return out


class AtomFaults(AtomModelSuite):
    """The suite of a model with a fault."""

    model = Atoms
    symmetry = "so3"

    def __init__(self, fault: str = "none", **attributes: Any) -> None:
        self.hypers = {"fault": fault}
        for name, value in attributes.items():
            setattr(self, name, value)


ATOMS = [
    ("others", "test_structures_do_not_see_each_other", "other structures of the batch"),
    ("others", "test_pieces_of_structures", "sees more than its neighbours"),
    ("order", "test_order_of_atoms", "do not go with their atoms"),
    ("order", "test_cell_and_place", "how often the cell is repeated"),
    ("moves", "test_rotations", "descriptors change under 12 of 12 rotations"),
    ("elements", "test_elements", "elements do not matter"),
    ("alone", "test_atoms_without_neighbours", "isfinite"),
]


@pytest.mark.parametrize(("fault", "test", "message"), ATOMS)
def test_faults_of_models_of_atoms(fault: str, test: str, message: str) -> None:
    call(AtomFaults(), test)
    with pytest.raises(AssertionError, match=message):
        call(AtomFaults(fault), test)


def test_invariance_is_said_twice() -> None:
    with pytest.raises(AssertionError, match="invariant is True, but symmetry is 'none'"):
        AtomFaults(symmetry="none").test_rotations(ignore)


def test_bad_options_are_refused() -> None:
    suite = ShapeFaults()
    suite.hypers = {"falt": "none"}
    with pytest.raises(ConfigError, match="falt = 'none'"):
        suite.make()

"""What breaks the contract of models is refused with the clause that it breaks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ase.build import molecule
from torch import Tensor, nn

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.mapping import find_neighbors
from csgnn_dgl.models import AtomModel, Classifier, DOSModel, Hypers, ShapeModel
from csgnn_dgl.models.contract import check_class, check_features, check_made


class Options(Hypers):
    """Options of the models below."""

    features: Any = 3
    shape: str = "right"


class Adjustable(ShapeModel):
    """Gives whatever its options ask for."""

    Hypers = Options

    def __init__(self, hypers: Options) -> None:
        super().__init__(hypers)
        self.features = hypers.features
        self.linear = nn.Linear(3, 3)

    def forward(self, points: Tensor) -> Any:
        feat = self.linear(points)
        return {
            "right": feat.mean(dim=1),
            "parts": feat,
            "transposed": feat.mean(dim=1).T,
            "wide": torch.cat([feat.mean(dim=1)] * 2, dim=1),
            "flat": feat.mean(dim=(1, 2)),
            "list": [feat.mean(dim=1)],
            "penalty": (feat.mean(dim=1), feat.square().mean()),
        }[self.hypers.shape]


class AdjustableAtoms(AtomModel):
    """The same for atoms."""

    Hypers = Options
    cutoff: Any = 3.0

    def __init__(self, hypers: Options, elements: tuple[int, ...]) -> None:
        super().__init__(hypers, elements)
        self.features = hypers.features

    def forward(self, neighbors: Any) -> Any:
        rows = neighbors.n_atoms + (self.hypers.shape == "rows")
        shape = (rows, 3, 1) if self.hypers.shape == "parts" else (rows, 3)
        return torch.zeros(shape)


class WithoutForward(ShapeModel):
    """Abstract."""

    Hypers = Options


class WithoutHypers(ShapeModel):
    """Has none of its own."""

    def forward(self, points: Tensor) -> Tensor:
        return points.mean(dim=1)


class OtherHypers(WithoutHypers):
    """Hypers of another kind."""

    Hypers = dict  # type: ignore[assignment]


class NoModel(nn.Module):
    """A module of torch."""

    def forward(self, points: Tensor) -> Tensor:
        return points


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (torch.relu, "x:Y is a builtin_function_or_method, not a class"),
        (Adjustable(Options()), "x:Y is a Adjustable, not a class"),
        (NoModel, "it is not derived from csgnn_dgl.models.ShapeModel"),
        (AdjustableAtoms, "it is not derived from csgnn_dgl.models.ShapeModel"),
        (WithoutHypers, "it has no class Hypers of its options"),
        (OtherHypers, "it has no class Hypers of its options"),
        (WithoutForward, "it does not define forward"),
    ],
    ids=["function", "object", "no model", "of atoms", "no hypers", "other hypers", "no forward"],
)
def test_classes(found: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_class(found, "shapes", "x:Y")


def test_good_classes_come_back() -> None:
    assert check_class(Adjustable, "shapes", "x:Y") is Adjustable
    assert check_class(AdjustableAtoms, "atoms", "x:Y") is AdjustableAtoms
    with pytest.raises(ConfigError, match=r"not derived from csgnn_dgl\.models\.AtomModel"):
        check_class(Adjustable, "atoms", "x:Y")


@pytest.mark.parametrize("features", [0, -3, 2.5, None, True, "8"])
def test_length_of_features(features: Any) -> None:
    with pytest.raises(ConfigError, match=r"its attribute features is .*must be a positive number"):
        check_made(Adjustable(Options(features=features)), "x:Y")
    with pytest.raises(ConfigError, match="Adjustable breaks the contract"):
        Classifier(Adjustable(Options(features=features)), 2)


def test_features_that_were_never_set() -> None:
    model = Adjustable(Options())
    del model.features
    with pytest.raises(ConfigError, match="features is None, but it must be a positive number"):
        check_made(model, "x:Y")


@pytest.mark.parametrize("cutoff", [0.0, -1.0, None, float("nan"), "5"])
def test_cutoff(cutoff: Any) -> None:
    model = AdjustableAtoms(Options(), (6,))
    check_made(model, "x:Y")
    model.cutoff = cutoff
    with pytest.raises(ConfigError, match=r"its attribute cutoff is .*must be a positive number"):
        DOSModel(model, 9)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("transposed", r"features of shape \(3, 2\), but \(2, 3\) is expected"),
        ("wide", r"features of shape \(2, 6\), but \(2, 3\) is expected"),
        ("flat", r"features of shape \(2,\), but \(2, 3\) is expected"),
        ("list", "forward returned a list, not a tensor"),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_wrong_shapes(shape: str, message: str, training: bool) -> None:
    network = Classifier(Adjustable(Options(shape=shape)), 4, hidden=()).train(training)
    with pytest.raises(ConfigError, match=message):
        network(torch.rand(2, 5, 3))


def test_parts_and_penalties() -> None:
    points = torch.rand(2, 5, 3)
    parts = Classifier(Adjustable(Options(shape="parts")), 4, hidden=(6,))
    assert parts(points).shape == (2, 5, 4)
    # The answer is the mean over the parts.
    parts.eval()
    rows = parts.head(parts.model(points))
    torch.testing.assert_close(parts(points), rows.mean(dim=1))
    penalised = Classifier(Adjustable(Options(shape="penalty")), 4, hidden=(6,))
    scores, penalty = penalised(points)
    assert scores.shape == (2, 4)
    assert penalty.shape == ()
    # Out of training a pair is a mistake.
    with pytest.raises(ConfigError, match="forward returned a tuple, not a tensor"):
        penalised.eval()(points)


@pytest.mark.parametrize("shape", ["rows", "parts"])
def test_wrong_shapes_of_atoms(shape: str) -> None:
    network = DOSModel(AdjustableAtoms(Options(shape=shape), (1, 8)), 9)
    with pytest.raises(ConfigError, match=r"but \(3, 3\) is expected"):
        network(find_neighbors([molecule("H2O")], 3.0))


def test_right_shapes_come_back() -> None:
    features = torch.rand(2, 3)
    assert check_features(features, 2, 3, Adjustable(Options())) is features


def test_features_of_another_type() -> None:
    """The head could only say that two matrices do not fit."""
    model = Adjustable(Options()).double()

    class Mixed(Adjustable):
        def forward(self, points: Tensor) -> Any:
            return super().forward(points).double()

    assert Classifier(model, 2).double()(torch.rand(4, 5, 3).double()).dtype == torch.float64
    mixed = Classifier(Mixed(Options()), 2)
    with pytest.raises(ConfigError, match=r"float64, but its parameters and inputs are .*float32"):
        mixed(torch.rand(4, 5, 3))


@pytest.mark.parametrize("cutoff", [float("inf"), float("nan")])
def test_a_cutoff_without_end(cutoff: float) -> None:
    model = AdjustableAtoms(Options(), (6,))
    model.cutoff = cutoff
    with pytest.raises(ConfigError, match="attribute cutoff"):
        check_made(model, "AdjustableAtoms")

"""The Lightning module: class weights, schedules."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.models import Classifier, Hypers, ShapeCSGNN, ShapeModel
from csgnn_dgl.tasks.classes.classification import ClassificationTask, divergence
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig


def task(small: dict[str, Any], **others: Any) -> ClassificationTask:
    config = TrainModelNetConfig.resolve(flags={**small, **others})
    classifier = Classifier(ShapeCSGNN(config.hypers), 3, hidden=config.hidden)  # type: ignore[arg-type]
    return ClassificationTask(config, classifier, [10, 40, 10], "z")


@pytest.mark.parametrize(("power", "ratio"), [(0.0, 1.0), (0.5, 2.0), (1.0, 4.0)])
def test_classes_are_weighed_by_their_counts(
    power: float, ratio: float, small: dict[str, Any]
) -> None:
    weights = task(small, class_balance=power).class_weights
    assert weights[0] / weights[1] == pytest.approx(ratio)
    assert weights.mean() == pytest.approx(1)


@pytest.mark.parametrize(
    ("others", "records"),
    [({}, True), ({"world_size": 2}, False), ({"accumulate_grad_batches": 2}, False)],
)
def test_recorded_steps_are_for_one_process_and_one_batch_a_step(
    others: dict[str, int], records: bool, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, asked = task(small), []
    trainer = SimpleNamespace(**{"world_size": 1, "accumulate_grad_batches": 1, **others})
    monkeypatch.setattr(trained, "_trainer", trainer)

    def graphs(network: torch.nn.Module, points: torch.Tensor) -> Any:
        asked.append(network)
        return network(points)

    monkeypatch.setattr(trained, "_graphs", graphs)
    trained._called(torch.rand(2, 64, 3) / 2)
    assert bool(asked) == records


def test_weights_of_classes_are_not_in_checkpoints(small: dict[str, Any]) -> None:
    assert "class_weights" not in task(small).state_dict()


class Parts(ShapeModel):
    """Answers for two halves of a cloud, and wants to be small."""

    Hypers = Hypers

    def __init__(self, hypers: Any) -> None:
        super().__init__(hypers)
        self.features = 4
        self.linear = torch.nn.Linear(3, 4)

    def forward(self, points: torch.Tensor) -> Any:
        halves = torch.stack([half.amax(dim=1) for half in points.chunk(2, dim=1)], dim=1)
        features = self.linear(halves)
        return (features, self.linear.weight.square().sum()) if self.training else features


def test_a_loss_of_parts_and_a_penalty(small: dict[str, Any]) -> None:
    config = TrainModelNetConfig.resolve(flags={**small, "label_smoothing": 0.0})
    torch.manual_seed(0)
    classifier = Classifier(Parts(Hypers()), 3, hidden=())
    trained = ClassificationTask(config, classifier, [10, 10, 10], "z")
    points, labels = torch.rand(4, 64, 3), torch.tensor([0, 1, 2, 0])
    scores, penalty = classifier(points)
    assert scores.shape == (4, 2, 3)
    each = torch.nn.functional.cross_entropy(
        scores.flatten(0, 1), labels.repeat_interleave(2), reduction="mean"
    )
    torch.testing.assert_close(trained._loss(scores, labels), each)
    torch.testing.assert_close(classifier.eval()(points), scores.mean(dim=1))
    assert float(penalty.detach()) > 0


class _Logged(ClassificationTask):
    """A task outside of a trainer."""

    current_epoch = global_rank = 0  # type: ignore[assignment]

    def log(self, *args: Any, **kwargs: Any) -> None:
        """Forget what is logged."""


def _step(small: dict[str, Any], readout: str = "pool", **options: Any) -> tuple[Any, list[int]]:
    config = TrainModelNetConfig.resolve(
        flags={**small, "dropout": 0.0, "readout": readout.split(), **options}
    )
    torch.manual_seed(0)
    classifier = Classifier(ShapeCSGNN(config.hypers), 3, hidden=())  # type: ignore[arg-type]
    trained = _Logged(config, classifier, [10, 10, 10], "z")
    seen: list[int] = []
    classifier.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    generator = torch.Generator().manual_seed(1)
    batch = torch.randn(4, 200, 3, generator=generator), torch.tensor([0, 1, 2, 0])
    return trained.training_step(batch, 0).detach(), seen


@pytest.mark.parametrize("readout", ["pool", "pool power"])
def test_two_views(small: dict[str, Any], readout: str) -> None:
    one, seen = _step(small, readout)
    assert seen == [4]
    two, seen = _step(small, readout, consistency=1e-9)
    assert seen == [8]
    apart, _ = _step(small, readout, consistency=1.0)
    again, _ = _step(small, readout, consistency=1.0)
    assert torch.equal(apart, again)
    assert not torch.allclose(one, two)
    assert float(apart) > float(two) + 1e-4
    # Views that do not differ have no divergence.
    still = {"train_rotation": "none", "resample": False, "scale_range": [1.0, 1.0]}
    still |= {"translation": 0.0, "jitter": 0.0}
    same = [_step(small, readout, consistency=c, **still)[0] for c in (1e-9, 1.0)]
    torch.testing.assert_close(*same)


def test_divergence() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 5, 3, generator=generator).double().requires_grad_()
    first, second = scores.softmax(dim=-1)
    forward = (first * (first / second).log()).sum(dim=1).mean()
    back = (second * (second / first).log()).sum(dim=1).mean()
    torch.testing.assert_close(divergence(*scores), (forward + back) / 2)
    assert torch.autograd.gradcheck(lambda s: divergence(*s), scores)


def test_ranges_of_scales(small: dict[str, Any]) -> None:
    assert task(small).augment.scale == (0.8, 1.2)
    assert task(small, scale=0.1).augment.scale == (0.9, 1.1)
    assert task(small, scale_range=[0.667, 1.5]).augment.scale == (0.667, 1.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale_range": [0.8]}, "must be two numbers"),
        ({"scale_range": [1.5, 0.5]}, "must be two numbers"),
        ({"scale_range": [0.0, 1.5]}, "must be two numbers"),
        ({"scale_range": [0.5, 1.5], "scale": 0.1}, "scale is 0.1, but scale_range gives"),
        ({"consistency": -1.0}, "consistency"),
    ],
    ids=str,
)
def test_bad_recipes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainModelNetConfig(**options)


@pytest.mark.parametrize(
    ("optimizer", "left"), [("adamw", 1 - 0.01 * 0.5), ("sgd", 1 - 0.01 * 0.5), ("adam", None)]
)
def test_decay_of_weights_without_a_gradient(
    optimizer: str, left: float | None, small: dict[str, Any]
) -> None:
    options: dict[str, Any] = {"learning_rate": 0.01, "weight_decay": 0.5, "schedule": "constant"}
    if optimizer == "sgd":
        options["momentum"] = 0.0
    trained = task(small, optimizer=optimizer, **options)
    made = trained._optimizer()
    weight = trained.model.head[1].weight
    before = weight.detach().clone()
    weight.grad = torch.zeros_like(weight)
    made.step()
    if left is None:  # the decay is a part of the gradient, whose size Adam divides by
        torch.testing.assert_close(weight, before - 0.01 * before.sign(), rtol=1e-3, atol=1e-6)
    else:
        torch.testing.assert_close(weight.detach(), before * left)

"""Tests that every model has to pass as a module of torch. Needs pytest."""

from __future__ import annotations

import copy
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import pytest
import safetensors.torch
import torch
import yaml
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.models.contract import check_class, check_features, check_made
from csgnn_dgl.models.hypers import Hypers
from csgnn_dgl.models.registry import Domain, find_class, find_hypers, name_of
from csgnn_dgl.tasks.config import TrainingConfig
from csgnn_dgl.testing.compare import assert_close, relative_error
from csgnn_dgl.testing.fake_device import assert_runs_on_fake_device
from csgnn_dgl.testing.gradients import assert_directional_derivative, assert_gradients_reach_all
from csgnn_dgl.testing.hooks import assert_hooks_fire, assert_replaced_modules_run
from csgnn_dgl.testing.mutation import assert_no_mutation
from csgnn_dgl.testing.randomise import randomise

__all__ = ["ModelSuite", "Record"]

#: pytest's fixture ``record_property``: measured errors go into its report (``--junit-xml``).
Record = Callable[[str, object], None]


class ModelSuite(ABC):
    """What is tested of every model, whatever it is for; see its two subclasses.

    A test class sets ``model`` and whatever of the following differs.

    Attributes
    ----------
    model
        What is tested: a registered name, ``module:Class``, or the class.
    hypers
        Its options, for a network as small as possible.
    hypers_without_dropout
        What to change in them so that nothing in the model is random in training.
    training
        Options of the training that differ from the suite's.
    symmetry
        ``"so3"``: no rotation matters. ``"icosahedral"``: those of the icosahedron do not.
        ``"none"``: all do. A model must move where it does not claim to stand still.
    least_change
        Relative error that a rotation must cause where it matters.
    training_only
        Submodules that run in training only.
    replaceable
        Whether submodules may be replaced; layers of other libraries may hold theirs twice.
    differentiable
        Whether outputs have gradients with respect to points, or to places of neighbours.
    on_gpu
        Whether it can be moved to a GPU.
    in_bfloat16
        Whether it works under automatic mixed precision.
    exports
        Whether ``csgnn-dgl export`` works.
    several_processes
        Whether to train in two processes, which takes longest.
    """

    model: Any = None
    hypers: Mapping[str, Any] = {}
    hypers_without_dropout: Mapping[str, Any] = {}
    training: Mapping[str, Any] = {}
    symmetry: Literal["so3", "icosahedral", "none"] = "none"
    least_change: float = 1e-5
    training_only: Sequence[str] = ()
    replaceable: bool = True
    differentiable: bool = True
    on_gpu: bool = True
    in_bfloat16: bool = True
    exports: bool = True
    several_processes: bool = True

    domain: ClassVar[Domain]
    config_class: ClassVar[type[TrainingConfig]]

    @property
    def model_class(self) -> Any:
        """The class under test."""
        return find_class(self.domain, self.model)

    def make(self, seed: int = 0, **changes: Any) -> Any:
        """The model with fresh weights, float64."""
        torch.manual_seed(seed)
        hypers = self.model_class.Hypers(**{**self.hypers, **changes})
        return self.construct(hypers).double()

    def made(self) -> Any:
        """The model with weights as after some training, float64, in evaluation mode."""
        model = self.make()
        randomise(model)
        return model.eval()

    @abstractmethod
    def construct(self, hypers: Hypers) -> nn.Module:
        """The model of these options."""

    @abstractmethod
    def inputs(self, *, seed: int = 0) -> Any:
        """What the model is called with, float64: some samples."""

    @abstractmethod
    def differentiable_part(self, inputs: Any) -> tuple[Tensor, Callable[[Tensor], Any]]:
        """Numbers of the inputs that can be varied, and how to put them back."""

    def features(self, model: nn.Module, inputs: Any) -> Tensor:
        """Features alone, without a penalty."""
        found = model(inputs)
        features: Tensor = found[0] if isinstance(found, tuple) else found
        return features

    # The contract

    def test_keeps_the_contract(self) -> None:
        name = name_of(self.model)
        check_class(self.model_class, self.domain, name)
        model = self.made()
        check_made(model, name)
        inputs = self.inputs()
        for mode in (False, True):
            features = self.features(model.train(mode), inputs)
            check_features(features, self.rows(inputs), model.features, model)
            assert bool(features.isfinite().all()), "features are not finite"
        found = model.eval()(inputs)
        assert isinstance(found, Tensor), "a penalty is for training alone"
        # Control for all that must not matter: something does.
        other = self.features(model, self.inputs(seed=1))
        assert relative_error(other, found) > self.least_change, "other inputs do not matter"

    @abstractmethod
    def rows(self, inputs: Any) -> int:
        """How many samples the inputs are."""

    # Options

    def test_hypers_survive_yaml_and_json(self) -> None:
        hypers = self.make().hypers
        kind = type(hypers)
        assert kind(**json.loads(hypers.model_dump_json())) == hypers
        text = yaml.safe_dump(hypers.model_dump(mode="json"))
        assert kind(**yaml.safe_load(text)) == hypers

    def test_hypers_stand_beside_the_options_of_a_training(self) -> None:
        kind = find_hypers(self.domain, self.model)
        config = self.config_class.resolve(flags={"model": self.model, **self.hypers})
        assert config.hypers == kind(**self.hypers)
        nested = {"model": self.model, "hypers": self.hypers}
        assert self.config_class.resolve(flags=nested) == config
        unknown = {"no_such_option": 1}
        with pytest.raises(ConfigError, match="no_such_option"):
            kind(**unknown)

    def test_presets_can_be_trained(self) -> None:
        for name in find_hypers(self.domain, self.model).presets:
            config = self.config_class.resolve(preset=name, flags={"model": self.model})
            assert config.model == name_of(self.model)

    # Weights

    def test_seed_decides_the_weights(self) -> None:
        first, again, other = (self.make(seed).state_dict() for seed in (0, 0, 1))
        undecided = [name for name in first if not torch.equal(first[name], again[name])]
        assert not undecided, f"the seed does not decide {', '.join(undecided)}"
        assert any(not torch.equal(first[name], other[name]) for name in first)

    def test_state_holds_tensors_and_survives_safetensors(self) -> None:
        model, inputs = self.made(), self.inputs()
        state = model.state_dict()
        assert all(isinstance(value, Tensor) for value in state.values())
        data = safetensors.torch.save({k: v.contiguous().clone() for k, v in state.items()})
        other = self.make(seed=1).eval()
        expected = self.features(model, inputs)
        assert not torch.equal(self.features(other, inputs), expected)
        other.load_state_dict(safetensors.torch.load(data))
        assert torch.equal(self.features(other, inputs), expected)

    def test_copies_are_independent(self) -> None:
        model, inputs = self.made(), self.inputs()
        expected = self.features(model, inputs)
        copied = copy.deepcopy(model)
        assert torch.equal(self.features(copied, inputs), expected)
        with torch.no_grad():
            for parameter in copied.parameters():
                parameter.zero_()
        assert torch.equal(self.features(model, inputs), expected)

    # Modes

    def test_evaluation_is_deterministic_and_changes_nothing(self) -> None:
        model, inputs = self.made(), self.inputs()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        with torch.no_grad():
            first, again = self.features(model, inputs), self.features(model, inputs)
        assert torch.equal(first, again), "evaluation is not deterministic"
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name]), f"evaluation changes {name}"

    def test_training_uses_batch_norm_and_dropout(self) -> None:
        model, inputs = self.made().train(), self.inputs()
        norms = {n: m for n, m in model.named_modules() if isinstance(m, _BatchNorm)}
        before = {n: m.running_mean.clone() for n, m in norms.items() if m.running_mean is not None}
        torch.manual_seed(0)
        first = self.features(model, inputs)
        for name, mean in before.items():
            now = norms[name].running_mean
            assert now is not None
            assert not torch.equal(now, mean), f"{name} learns no statistics"
        torch.manual_seed(0)
        assert torch.equal(self.features(model, inputs), first), "the seed does not decide"
        if any(isinstance(m, _DropoutNd) and m.p > 0 for m in model.modules()):
            torch.manual_seed(1)
            assert not torch.equal(self.features(model, inputs), first), "dropout drops nothing"

    def test_inputs_are_only_read(self) -> None:
        model, inputs = self.made(), self.inputs()
        tensors = self.tensors(inputs)
        for mode in (False, True):
            assert_no_mutation(lambda *_: model.train(mode)(inputs), *tensors)  # noqa: B023

    def tensors(self, inputs: Any) -> list[Tensor]:
        """The tensors that make up inputs."""
        return [inputs]

    # Gradients

    def test_gradients_reach_all_parameters(self) -> None:
        assert_gradients_reach_all(self.made().train(), self.inputs())

    def test_gradients_are_slopes(self, record_property: Record) -> None:
        if not self.differentiable:
            pytest.skip("not differentiable")
        model = self.made()
        part, put_back = self.differentiable_part(self.inputs())
        error = assert_directional_derivative(lambda x: self.features(model, put_back(x)), part)
        record_property("error of the gradient", error)

    # Types and devices

    def test_types_of_numbers(self, record_property: Record) -> None:
        model, inputs = self.made(), self.inputs()
        exact = self.features(model, inputs)
        assert exact.dtype == torch.float64
        single = self.features(copy.deepcopy(model).float(), self.cast(inputs, torch.float32))
        assert single.dtype == torch.float32
        what = "float32 and float64 disagree"
        record_property("error of float32", assert_close(single, exact, what))

    def test_mixed_precision(self, record_property: Record) -> None:
        if not self.in_bfloat16:
            pytest.skip("not for mixed precision")
        model = self.made().float()
        inputs = self.cast(self.inputs(), torch.float32)
        expected = self.features(model, inputs)
        with torch.autocast("cpu", torch.bfloat16):
            found = self.features(model, inputs)
            assert_gradients_reach_all(copy.deepcopy(model).train(), inputs)
        what = "mixed precision gives something else"
        error = assert_close(found.bfloat16().float(), expected, what, tolerance=0.1)
        record_property("error of bfloat16", error)

    @abstractmethod
    def cast(self, inputs: Any, dtype: torch.dtype) -> Any:
        """The same inputs with numbers of another type."""

    def test_nothing_stays_on_the_cpu(self, record_property: Record) -> None:
        if not self.on_gpu:
            pytest.skip("not for GPUs")
        error = assert_runs_on_fake_device(lambda: self.make(), lambda: (self.inputs(),))
        record_property("error of the device", error)

    # Torch's contracts of modules

    def test_hooks_fire_in_every_mode(self) -> None:
        calls = assert_hooks_fire(self.made(), self.inputs(), training_only=self.training_only)
        assert calls, "no submodule runs"

    def test_replaced_modules_run(self) -> None:
        if not self.replaceable:
            pytest.skip("submodules may not be replaced")
        run = assert_replaced_modules_run(
            self.made(), self.inputs(), training_only=self.training_only
        )
        assert run > 0

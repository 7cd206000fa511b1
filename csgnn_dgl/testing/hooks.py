"""Torch's contracts of modules: hooks fire in every mode, and whatever replaces a module runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from csgnn_dgl.testing.compare import assert_close

__all__ = ["assert_hooks_fire", "assert_replaced_modules_run"]


class _Stand(nn.Module):
    """Stands for a module, counts its calls, and has its attributes."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.calls = inner, 0
        self.training = inner.training

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return self.inner(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)


@contextmanager
def _as_before(module: nn.Module) -> Iterator[None]:
    """Modes and tensors are put back, such as the statistics of batch norm."""
    modes = {part: part.training for part in module.modules()}
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
        module.load_state_dict(state)


def _parts(module: nn.Module) -> dict[str, nn.Module]:
    return {name: part for name, part in module.named_modules() if name}


def _calls(module: nn.Module, inputs: Sequence[Any], names: Sequence[str]) -> Counter[str]:
    """How often the hook of each of these parts fires."""
    found: Counter[str] = Counter()
    parts = _parts(module)
    with ExitStack() as stack:
        for name in names:

            def count(*_: Any, name: str = name) -> None:
                found[name] += 1

            stack.callback(parts[name].register_forward_hook(count).remove)
        module(*inputs)
    return found


def _outputs(module: nn.Module, inputs: Sequence[Any]) -> list[Tensor]:
    found = tree_flatten(module(*inputs))[0]
    return [value.detach() for value in found if isinstance(value, Tensor)]


def assert_hooks_fire(
    module: nn.Module, *inputs: Any, training_only: Sequence[str] = ()
) -> dict[str, int]:
    """Forward hooks of all parts fire as often in every mode, and change nothing.

    A fast path that computes what a part of a module would compute, without calling it, is found in
    this way: each part is given a hook by itself, since a hook anywhere may switch it off.

    Parameters
    ----------
    module
        The module.
    inputs
        What it is called with.
    training_only
        Parts that are meant to run in training only, by their names.

    Returns
    -------
    dict
        Calls of each part in one call of the module; parts that never run are left out.

    Raises
    ------
    AssertionError
        A hook fires more or less often in evaluation than in training, or changes the output.

    Examples
    --------
    >>> assert_hooks_fire(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), torch.rand(4, 2))
    {'0': 1, '1': 1}
    """
    names = list(_parts(module))
    with _as_before(module):
        module.train()
        trained = _calls(module, inputs, names)
        module.eval()
        expected = {name: n for name, n in trained.items() if name not in training_only}
        for grad in (True, False):
            with torch.set_grad_enabled(grad):
                plain = _outputs(module, inputs)
                found = {"all hooks": _calls(module, inputs, names)}
                found |= {name: _calls(module, inputs, [name]) for name in expected}
            mode = f"in evaluation {'with' if grad else 'without'} gradients"
            for which, calls in found.items():
                for name in expected if which == "all hooks" else [which]:
                    if calls[name] != expected[name]:
                        raise AssertionError(
                            f"the hook of {name} fires {expected[name]} times in training and "
                            f"{calls[name]} times {mode}"
                        )
            with ExitStack() as stack, torch.set_grad_enabled(grad):
                for part in _parts(module).values():
                    stack.callback(part.register_forward_hook(lambda *_: None).remove)
                hooked = _outputs(module, inputs)
            for one, other in zip(hooked, plain, strict=True):
                assert_close(one, other, f"hooks change the output {mode}")
    return expected


def assert_replaced_modules_run(
    module: nn.Module, *inputs: Any, training_only: Sequence[str] = ()
) -> int:
    """Whatever takes the place of a part runs instead of it, in evaluation as in training.

    Each part that runs is replaced in turn by a module of another class that calls it.

    Parameters
    ----------
    module
        The module.
    inputs
        What it is called with.
    training_only
        Parts that are meant to run in training only, by their names.

    Returns
    -------
    int
        How many parts were replaced.

    Raises
    ------
    AssertionError
        What took a part's place did not run, or the output has changed.

    Examples
    --------
    >>> assert_replaced_modules_run(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), torch.rand(4, 2))
    2
    """
    with _as_before(module):
        module.train()
        running = [
            name
            for name, count in _calls(module, inputs, list(_parts(module))).items()
            if count and name not in training_only
        ]
        module.eval()
        with torch.no_grad():
            expected = _outputs(module, inputs)
            for name in running:
                where, _, last = name.rpartition(".")
                parent = module.get_submodule(where)
                original = module.get_submodule(name)
                stand = _Stand(original)
                parent._modules[last] = stand
                try:
                    found = _outputs(module, inputs)
                finally:
                    parent._modules[last] = original
                if not stand.calls:
                    raise AssertionError(f"what took the place of {name} did not run")
                for one, other in zip(found, expected, strict=True):
                    assert_close(one, other, f"the output changes with a module around {name}")
    return len(running)

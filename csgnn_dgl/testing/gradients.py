"""Gradients: they reach all parameters, and they are slopes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

__all__ = ["assert_directional_derivative", "assert_gradients_reach_all"]

# What a difference quotient in float64 loses to rounding and to curvature.
_TOLERANCE = 1e-5


def assert_gradients_reach_all(module: nn.Module, *inputs: Any, seed: int = 0) -> float:
    """Every parameter that can be trained has a finite gradient, and not all of them are zero.

    Parameters
    ----------
    module
        A module that gives tensors; the gradients that it has are lost.
    inputs
        What it is called with.
    seed
        Random seed for the weights of the outputs in the sum that is differentiated.

    Returns
    -------
    float
        The norm of all gradients.

    Raises
    ------
    AssertionError
        A parameter has no gradient, or NaN; or all gradients are zero.

    Examples
    --------
    >>> assert_gradients_reach_all(nn.Linear(3, 2), torch.rand(5, 3)) > 0
    True
    >>> unused = nn.ModuleList([nn.Linear(3, 2), nn.Linear(3, 2)])
    >>> unused.forward = lambda x: unused[0](x)
    >>> assert_gradients_reach_all(unused, torch.rand(5, 3))
    Traceback (most recent call last):
    ...
    AssertionError: no gradient reaches 1.weight, 1.bias
    """
    module.zero_grad()
    generator = torch.Generator().manual_seed(seed)
    total: Any = 0
    for output in tree_flatten(module(*inputs))[0]:
        if isinstance(output, Tensor) and output.requires_grad:
            weights = torch.randn(output.shape, generator=generator, dtype=torch.float64)
            total = total + (output * weights.to(output)).sum()
    if not isinstance(total, Tensor):
        raise AssertionError("no output has a gradient")
    total.backward()
    wanted = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if missing := [name for name, p in wanted.items() if p.grad is None]:
        raise AssertionError(f"no gradient reaches {', '.join(missing)}")
    gradients = {name: p.grad for name, p in wanted.items() if p.grad is not None}
    if bad := [name for name, grad in gradients.items() if not bool(grad.isfinite().all())]:
        raise AssertionError(f"the gradient is not finite for {', '.join(bad)}")
    norm = sum(float(grad.double().square().sum()) for grad in gradients.values()) ** 0.5
    module.zero_grad()
    if gradients and norm == 0:
        raise AssertionError("all gradients are zero")
    return norm


def assert_directional_derivative(
    function: Callable[[Tensor], Tensor],
    inputs: Tensor,
    *,
    directions: int = 5,
    step: float = 1e-6,
    seed: int = 0,
    tolerance: float = _TOLERANCE,
) -> float:
    """The gradient with respect to the inputs is what the outputs change by.

    The slopes along random directions are compared with difference quotients. Most of the
    directions count: a maximum or a ReLU may have a kink within a step.

    Parameters
    ----------
    function
        Inputs → any tensor; deterministic.
    inputs
        float64, of any shape.
    directions
        Random directions.
    step
        Length of a step, in all inputs together.
    seed
        Random seed for directions and for the weights of the outputs.
    tolerance
        Largest error, relative to the slope that is usual in random directions.

    Returns
    -------
    float
        The median relative error.

    Raises
    ------
    AssertionError
        The gradient is another one, or the outputs have none.

    Examples
    --------
    >>> x = torch.rand(4, dtype=torch.float64)
    >>> assert_directional_derivative(torch.sin, x) < 1e-6
    True
    >>> assert_directional_derivative(lambda x: x.sin() + x.detach().cos(), x)
    Traceback (most recent call last):
    ...
    AssertionError: the gradient is not the slope: relative error ...
    """
    generator = torch.Generator().manual_seed(seed)

    def random(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)

    point = inputs.detach().clone().requires_grad_()
    outputs = function(point)
    if not outputs.requires_grad:
        raise AssertionError("the output has no gradient with respect to the input")
    weights = random(outputs.detach())
    (gradient,) = torch.autograd.grad((outputs * weights).sum(), point)
    usual = float(gradient.norm()) / gradient.numel() ** 0.5
    errors = []
    with torch.no_grad():
        for _ in range(directions):
            direction = random(gradient)
            direction = step * direction / direction.norm()
            ahead, behind = (
                (function(inputs + sign * direction) * weights).sum() for sign in (1, -1)
            )
            quotient = float(ahead - behind) / (2 * step)
            slope = float((gradient * direction).sum()) / step
            errors.append(abs(slope - quotient) / (usual or 1.0))
    error = sorted(errors)[len(errors) // 2]
    if not error <= tolerance:
        raise AssertionError(
            f"the gradient is not the slope: relative error {error:.2e}, tolerance {tolerance:.0e}"
        )
    return error

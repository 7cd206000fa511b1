"""Compute values that are cached, so that they do not depend on modes of the first caller."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch.utils._python_dispatch import _disable_current_modes

__all__ = ["lasting"]

P = ParamSpec("P")
T = TypeVar("T")


def lasting(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function so that it makes plain tensors in all modes of the caller.

    The tensors are not inference tensors, which training cannot use, and not tensors of a tracer
    such as ``FakeTensorMode``, which hold no values. They are on the CPU for any
    ``torch.set_default_device``, unless ``function`` names another device.

    Examples
    --------
    >>> with torch.inference_mode():
    ...     torch.zeros(1).is_inference(), lasting(torch.zeros)(1).is_inference()
    (True, False)
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with torch.inference_mode(False), torch.device("cpu"), _disable_current_modes():
            return function(*args, **kwargs)

    return call

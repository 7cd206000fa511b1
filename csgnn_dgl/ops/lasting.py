"""Values that are found once and kept must serve everybody, whoever was first to ask."""

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
    """Decorator: make plain tensors, whatever modes the caller is in.

    Not inference tensors, which cannot be trained with; not those of a tracer such as
    ``FakeTensorMode``, which hold no values; and on the CPU, whatever ``torch.set_default_device``
    says, unless ``function`` names another device.

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

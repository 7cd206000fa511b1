"""A layer must leave its inputs and its graph alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["assert_no_mutation"]


def _contents(argument: Any) -> dict[str, Tensor]:
    if isinstance(argument, Tensor):
        return {"values": argument.detach().clone()}
    if not hasattr(argument, "canonical_etypes"):
        return {}
    found: dict[str, Tensor] = {}
    for ntype in argument.ntypes:
        found |= {f"node {ntype}.{k}": v.clone() for k, v in argument.nodes[ntype].data.items()}
    for etype in argument.canonical_etypes:
        name = ".".join(etype)
        found |= {f"edge {name}.{k}": v.clone() for k, v in argument.edges[etype].data.items()}
        source, target = argument.edges(etype=etype)
        found[f"ends of {name}"] = torch.stack([source, target])
    return found


def assert_no_mutation(function: Callable[..., Any], *arguments: Any) -> None:
    """Calling ``function(*arguments)`` changes none of the tensors and DGL graphs among them.

    Raises
    ------
    AssertionError
        Something was changed, added or removed; says what.

    Examples
    --------
    >>> assert_no_mutation(torch.relu, torch.rand(3))
    >>> assert_no_mutation(torch.Tensor.neg_, torch.ones(3))
    Traceback (most recent call last):
    ...
    AssertionError: argument 0: values changed
    """
    before = [_contents(argument) for argument in arguments]
    function(*arguments)
    for index, (argument, old) in enumerate(zip(arguments, before, strict=True)):
        new = _contents(argument)
        for name in old.keys() - new.keys():
            raise AssertionError(f"argument {index}: {name} was removed")
        for name in new.keys() - old.keys():
            raise AssertionError(f"argument {index}: {name} was left behind")
        for name, value in old.items():
            if not torch.equal(value, new[name]):
                raise AssertionError(f"argument {index}: {name} changed")

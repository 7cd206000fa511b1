"""Whether a fast path may take the place of a module without anybody noticing.

Every fast path that does not call a module asks :func:`untouched` about it first, and calls it
like any other module if the answer is no. So hooks fire, replaced and wrapped modules run, and
there is one place where this is decided.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn
from torch.nn.modules import module as torch_module

__all__ = ["bypassable", "untouched"]

Kind = TypeVar("Kind", bound=type[nn.Module])

# The methods that fast paths stand for, as they were when their classes were made.
_FORWARD: dict[type[nn.Module], Callable[..., Any]] = {
    kind: kind.forward for kind in (nn.BatchNorm1d, nn.ModuleList)
}
_CALL = nn.Module.__call__


def bypassable(kind: Kind) -> Kind:
    """Class decorator for modules that some fast path computes without calling them."""
    _FORWARD[kind] = kind.forward
    return kind


def untouched(module: object, *kinds: type[nn.Module]) -> bool:
    """Whether calling ``module`` does what its class's ``forward`` does and nothing else.

    That is not so if it has hooks of its own (old-style weight norm and pruning are hooks too), if
    there are global ones, if it is an instance of a subclass (parametrizations make one), or if its
    ``forward`` was replaced or compiled in place.

    Parameters
    ----------
    module
        What a fast path would not call.
    kinds
        Classes of which it must be exactly one; by default any :func:`bypassable` one.

    Examples
    --------
    >>> norm = nn.BatchNorm1d(3)
    >>> untouched(norm, nn.BatchNorm1d), untouched(nn.Identity(), nn.BatchNorm1d)
    (True, False)
    >>> handle = norm.register_forward_hook(lambda *_: None)
    >>> untouched(norm, nn.BatchNorm1d)
    False
    """
    if not isinstance(module, nn.Module) or type(module) not in (kinds or _FORWARD):
        return False
    kind = type(module)
    if torch_module._has_any_global_hook() or nn.Module.__call__ is not _CALL:
        return False
    if kind.forward is not _FORWARD.get(kind) or "forward" in module.__dict__:
        return False
    return module._compiled_call_impl is None and not (
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )

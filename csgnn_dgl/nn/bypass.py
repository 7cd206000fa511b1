"""Decide whether a fast path may replace the call of a module without an observable difference.

Every fast path that does not call a module asks :func:`untouched` first. If the answer is no, it
calls the module as usual. So hooks fire, and replaced and wrapped modules run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn
from torch.nn.modules import module as torch_module

__all__ = ["bypassable", "recognised", "unhooked", "untouched"]

Kind = TypeVar("Kind", bound=type[nn.Module])

# The methods that fast paths replace, as they were when their classes were defined.
_FORWARD: dict[type[nn.Module], Callable[..., Any]] = {
    kind: kind.forward for kind in (nn.BatchNorm1d, nn.ModuleList)
}
# The same for classes that count only where a fast path names them.
_NAMED: dict[type[nn.Module], Callable[..., Any]] = {nn.Linear: nn.Linear.forward}
_CALL = nn.Module.__call__


def bypassable(kind: Kind) -> Kind:
    """Class decorator for modules that a fast path may compute without calling them."""
    _FORWARD[kind] = kind.forward
    return kind


def recognised(kind: Kind) -> Kind:
    """As :func:`bypassable`, for modules that a fast path names to :func:`untouched`."""
    _NAMED[kind] = kind.forward
    return kind


def untouched(module: object, *kinds: type[nn.Module]) -> bool:
    """Whether calling ``module`` only runs the ``forward`` of its class.

    This is false if the module has hooks (old-style weight norm and pruning are hooks, too), if
    there are global hooks, if it is an instance of a subclass (parametrizations make one), or if
    its ``forward`` was replaced or compiled in place.

    Parameters
    ----------
    module
        The module that a fast path would not call.
    kinds
        Allowed classes, without subclasses; by default all :func:`bypassable` ones.

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
    return kind.forward is _FORWARD.get(kind, _NAMED.get(kind)) and unhooked(module)


def unhooked(module: nn.Module) -> bool:
    """Whether nothing was attached to a module that runs when it is called: see :func:`untouched`.

    Its class may be any, and may have any ``forward``.

    Examples
    --------
    >>> linear = nn.Linear(3, 3)
    >>> unhooked(linear)
    True
    >>> handle = linear.register_full_backward_hook(lambda *_: None)
    >>> unhooked(linear)
    False
    """
    if torch_module._has_any_global_hook() or nn.Module.__call__ is not _CALL:
        return False
    if "forward" in module.__dict__ or module._compiled_call_impl is not None:
        return False
    return not (
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )

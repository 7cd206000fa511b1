"""Warnings that name the line of the caller, however deep in the package they arise."""

from __future__ import annotations

import sys
import warnings

__all__ = ["warn_caller"]

# Packages that call this one on behalf of a user.
_BETWEEN = ("csgnn_dgl", "ase", "sklearn", "joblib")


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn at the line that led here, outside this package and those that call it.

    Examples
    --------
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn_caller("it is late", UserWarning)
    >>> str(caught[0].message)
    'it is late'
    """
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and _is_between(frame.f_globals.get("__name__", "")):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def _is_between(module: str) -> bool:
    return module.partition(".")[0] in _BETWEEN

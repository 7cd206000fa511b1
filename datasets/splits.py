"""Draw splits by a seed. All splits that the package makes are drawn here."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from csgnn_dgl.errors import ConfigError

__all__ = ["check_fraction", "hold_out"]


def check_fraction(fraction: float) -> None:
    """Refuse a validation fraction that holds out nothing or everything.

    Raises
    ------
    ConfigError
        The fraction is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise ConfigError(
            f"the validation fraction is {fraction}, but it must be greater than 0 and less than 1"
        )


def hold_out(
    groups: Sequence[Hashable],
    fraction: float,
    stream: Sequence[int],
    *,
    at_least: int = 0,
    leave: int = 0,
) -> list[int]:
    """Choose a part of every group at random.

    The choice depends only on the arguments, and must not change between versions of this package:
    runs are evaluated on the split that they were trained with.

    Parameters
    ----------
    groups
        Group of each member: its class, or its type of structure. Groups are processed in the order
        of their first members.
    fraction
        Share of each group that is held out, rounded to whole members.
    stream
        The seed and further non-negative integers, which seed the random generator. Splits for
        different purposes use different integers.
    at_least
        Smallest number of members to hold out of each group.
    leave
        Smallest number of members of each group that are not held out. It has priority over
        ``at_least``.

    Returns
    -------
    list of int
        Indices of the members that are held out, ascending.

    Examples
    --------
    >>> held = hold_out(["a"] * 10 + ["b"] * 5, 0.2, (0, 1))
    >>> sum(i < 10 for i in held), sum(i >= 10 for i in held)
    (2, 1)
    >>> hold_out(["a"], 0.5, (0, 1), at_least=1, leave=1)
    []
    """
    members: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    rng = np.random.default_rng(list(stream))
    held: list[int] = []
    for own in members.values():
        count = max(at_least, round(fraction * len(own)))
        count = max(0, min(count, len(own) - leave))
        held += rng.permutation(own)[:count].tolist()
    return sorted(held)

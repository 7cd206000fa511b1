"""Plug-ins: models and readers that other distributions offer by entry points.

A distribution offers a model by a line in its ``pyproject.toml``; the name is that of ``--model``:

.. code-block:: toml

    [project.entry-points."csgnn_dgl.models.shapes"]
    hexnet = "hexnets.network:HexNet"

Groups are ``csgnn_dgl.models.shapes``, ``csgnn_dgl.models.atoms``, and ``csgnn_dgl.readers``.
Models are imported when they are used, readers when data are read.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any

from csgnn_dgl._foreign import excerpt
from csgnn_dgl._warn import warn_caller
from csgnn_dgl.errors import ConfigError

__all__ = ["GROUPS", "READERS", "PlugIn", "PluginWarning", "find_plugins", "warn_of"]

#: Group of readers of data.
READERS = "csgnn_dgl.readers"
#: All groups, and what belongs to them.
GROUPS: Mapping[str, str] = {
    "csgnn_dgl.models.shapes": "model of shapes",
    "csgnn_dgl.models.atoms": "model of atoms",
    READERS: "reader",
}


class PluginWarning(UserWarning):
    """Warns about a plug-in that cannot be used; everything else goes on without it."""


@dataclass(frozen=True)
class PlugIn:
    """An entry point of another distribution.

    Parameters
    ----------
    name, value
        Its name, and ``module:object``.
    group
        One of :data:`GROUPS`.
    origin
        Name and version of the distribution.
    summary
        The distribution's own description, in a line.
    problem
        Why it cannot be used; None if nothing is known against it.
    """

    name: str
    value: str
    group: str
    origin: str
    summary: str = ""
    problem: str | None = None

    @property
    def title(self) -> str:
        """What it is and where it comes from, for messages."""
        return f"the plug-in {self.name} ({GROUPS[self.group]}, from {self.origin})"

    def load(self) -> Any:
        """Import the object.

        Raises
        ------
        ConfigError
            It cannot be used; the message names the plug-in.
        """
        if self.problem is not None:
            raise ConfigError(f"{self.title} cannot be used: {self.problem}")
        try:
            return metadata.EntryPoint(self.name, self.value, self.group).load()
        # A module may raise anything when it is imported; a script may call sys.exit.
        except (Exception, SystemExit) as error:
            raise ConfigError(
                f"{self.title} cannot be loaded from {self.value} ({type(error).__name__}: "
                f"{excerpt(error)}); update or uninstall it"
            ) from error


@functools.cache
def find_plugins(group: str, taken: tuple[str, ...] = ()) -> tuple[PlugIn, ...]:
    """Find all plug-ins of a group, without importing any.

    Parameters
    ----------
    group
        One of :data:`GROUPS`.
    taken
        Names that this package uses itself. A plug-in with one of them has a ``problem``, and so
        have all plug-ins that share a name.

    Examples
    --------
    >>> [plugin for plugin in find_plugins("csgnn_dgl.models.shapes") if plugin.problem]
    []
    """
    found = {_plugin(entry) for entry in metadata.entry_points(group=group)}
    by_name: dict[str, list[PlugIn]] = {}
    for plugin in sorted(found, key=lambda plugin: (plugin.name, plugin.origin)):
        by_name.setdefault(plugin.name, []).append(plugin)
    return tuple(
        replace(plugin, problem=_problem(plugin, same, taken))
        for same in by_name.values()
        for plugin in same
    )


def _plugin(entry: metadata.EntryPoint) -> PlugIn:
    distribution = entry.dist
    origin, summary = "an unknown distribution", ""
    if distribution is not None:
        # A damaged distribution may lack any of its fields, or all of them; how the latter is said
        # depends on the package that found it.
        try:
            fields: Any = distribution.metadata or {}
        except Exception:
            fields = {}
        origin = excerpt(f"{fields.get('Name', '?')} {fields.get('Version', '?')}", 80)
        summary = excerpt(fields.get("Summary", "") or "", 100)
    return PlugIn(excerpt(entry.name, 60), entry.value, entry.group, origin, summary)


def _problem(plugin: PlugIn, same: Iterable[PlugIn], taken: Iterable[str]) -> str | None:
    if plugin.name in taken:
        return f"csgnn-dgl itself has a {GROUPS[plugin.group]} of this name"
    others = [f"{other.origin} ({other.value})" for other in same if other != plugin]
    if others:
        return f"{', '.join(others)} offers another of this name; uninstall one of them"
    if ":" in plugin.name or not plugin.name.strip():
        return "its name is none: give it one without a colon"
    return None


def warn_of(error: Exception) -> None:
    """Warn of a plug-in that cannot be used, and go on without it."""
    warn_caller(str(error), PluginWarning)

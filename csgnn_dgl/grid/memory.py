"""Find the available memory, and refuse what does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

from csgnn_dgl.errors import ResourceError

__all__ = ["available_memory", "require_memory"]

# Folder of the limits of containers and jobs on Linux, and file with the group of this process.
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")
# Names in versions 2 and 1: limit, used memory, and key of file pages that can be reclaimed.
_VERSION_2 = ("memory.max", "memory.current", "inactive_file")
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available_memory() -> int | None:
    """Bytes of memory that are available now; None where the system does not tell.

    On Linux, the limits of containers and batch jobs are respected.
    """
    try:
        found = [int(psutil.virtual_memory().available)]
    except (OSError, RuntimeError, psutil.Error):
        found = []
    found += _left_in_cgroups()
    return min(found, default=None)


def _left_in_cgroups() -> Iterator[int]:
    """Yield the bytes left in this process's group and in each enclosing group with a limit."""
    try:
        lines = _OWN_CGROUP.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers == "":
            root, names = _CGROUPS, _VERSION_2
        elif "memory" in controllers.split(","):
            root, names = _CGROUPS / "memory", _VERSION_1
        else:
            continue
        folder = root / name.lstrip("/")
        # In a container, the name may be the one outside of it, and then only the root exists.
        for place in {folder, *folder.parents, root}:
            if place == root or root in place.parents:
                yield from _left(place, *names)


def _left(folder: Path, limit: str, used: str, reclaimable: str) -> Iterator[int]:
    try:
        most = (folder / limit).read_text(encoding="ascii").strip()
        taken = int((folder / used).read_text(encoding="ascii"))
        pages = (folder / "memory.stat").read_text(encoding="ascii").split()
        if most != "max":
            # The kernel reclaims pages of files before it kills a process, so they count as free,
            # as in MemAvailable.
            free = int(pages[pages.index(reclaimable) + 1]) if reclaimable in pages else 0
            yield max(0, int(most) - taken + free)
    except (OSError, ValueError):
        return


def require_memory(needed: float, what: str, advice: str) -> None:
    """Refuse work that needs more memory than is available.

    Parameters
    ----------
    needed
        Lower estimate of the bytes needed.
    what, advice
        Text for the message: what needs the memory, and what to change.

    Raises
    ------
    ResourceError
        There is not enough memory.
    """
    available = available_memory()
    if available is not None and needed > available:
        raise ResourceError(
            f"{what} needs at least {needed / 2**30:,.1f} GiB of memory, and "
            f"{available / 2**30:,.1f} GiB are available; {advice}"
        )

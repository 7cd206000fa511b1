"""How much memory there is, and a refusal before it runs out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

from csgnn_dgl.errors import ResourceError

__all__ = ["available_memory", "require_memory"]

# Where Linux keeps the limits of containers and jobs, and says which group this process is in.
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")
# Of version 2 and of version 1: the limit, what is used, and the key of file pages that may go.
_VERSION_2 = ("memory.max", "memory.current", "inactive_file")
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available_memory() -> int | None:
    """Bytes of memory that can be taken now, or none where the system does not tell.

    The limit of a container or of a batch job counts, where Linux keeps one.
    """
    try:
        found = [int(psutil.virtual_memory().available)]
    except (OSError, RuntimeError, psutil.Error):
        found = []
    found += _left_in_cgroups()
    return min(found, default=None)


def _left_in_cgroups() -> Iterator[int]:
    """Bytes left in this process's group, and in each group around it that has a limit."""
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
        # In a container the name can be that outside of it: only its root is there then.
        for place in {folder, *folder.parents, root}:
            if place == root or root in place.parents:
                yield from _left(place, *names)


def _left(folder: Path, limit: str, used: str, reclaimable: str) -> Iterator[int]:
    try:
        most = (folder / limit).read_text(encoding="ascii").strip()
        taken = int((folder / used).read_text(encoding="ascii"))
        pages = (folder / "memory.stat").read_text(encoding="ascii").split()
        if most != "max":
            # Pages of files are dropped before anything is killed, as MemAvailable counts it.
            free = int(pages[pages.index(reclaimable) + 1]) if reclaimable in pages else 0
            yield max(0, int(most) - taken + free)
    except (OSError, ValueError):
        return


def require_memory(needed: float, what: str, advice: str) -> None:
    """Refuse what cannot fit.

    Parameters
    ----------
    needed
        Bytes, estimated from below.
    what, advice
        Words for the message: what needs so much, and what to change.

    Raises
    ------
    ResourceError
        More is needed than there is.
    """
    available = available_memory()
    if available is not None and needed > available:
        raise ResourceError(
            f"{what} needs at least {needed / 2**30:,.1f} GiB of memory, and "
            f"{available / 2**30:,.1f} GiB are available; {advice}"
        )

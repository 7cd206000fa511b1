"""How much memory there is, and a refusal before it runs out."""

from __future__ import annotations

from pathlib import Path

from csgnn_dgl.errors import ResourceError

__all__ = ["available_memory", "require_memory"]


def available_memory() -> int | None:
    """Bytes of memory that can be taken now, or none where the system does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


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

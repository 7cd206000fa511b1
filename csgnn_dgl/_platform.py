"""Find out whether DGL has a release for this Python and machine. Does not import torch."""

from __future__ import annotations

import os
import platform
import sys

__all__ = ["DGL_WHEELS", "usable_cores", "why_no_dgl", "why_unsupported"]

#: Systems for which PyPI has DGL 2.1 or later, for CPython 3.10 to 3.12.
DGL_WHEELS = (
    "Linux with glibc on x86-64 and aarch64 (2.1.0), macOS (2.2.0), Windows on x86-64 (2.2.1)"
)

_PYTHONS = ((3, 10), (3, 12))
_SYSTEMS = {
    "Linux": ("x86_64", "aarch64"),
    "Darwin": ("arm64",),  # DGL has releases for Intel, too, but torch's ended with 2.2
    "Windows": ("amd64",),
}
_ADVICE = "python3.12 -m venv .venv, or conda create -n csgnn python=3.12"


def why_unsupported() -> str | None:
    """Say why DGL or torch cannot be installed here; None where they can.

    Examples
    --------
    >>> why_unsupported() is None  # where these examples run, everything is installed
    True
    """
    version = ".".join(platform.python_version_tuple()[:2])
    if platform.python_implementation() != "CPython":
        return (
            f"DGL has no release for {platform.python_implementation()}, only for CPython 3.10 to "
            f"3.12: make an environment with one of these ({_ADVICE})"
        )
    if sys.version_info[:2] < _PYTHONS[0]:
        return (
            f"Python {version} is too old, and 3.10 to 3.12 is needed: make an environment "
            f"({_ADVICE})"
        )
    if sys.version_info[:2] > _PYTHONS[1]:
        return (
            f"DGL has no release for Python {version}, only for 3.10 to 3.12: make an environment "
            f"with one of these ({_ADVICE})"
        )
    system, machine = platform.system(), platform.machine()
    if (system, machine) == ("Darwin", "x86_64"):
        return (
            "torch has no release after 2.2 for Macs with Intel processors, and 2.4 is needed: use "
            "a Linux machine, or a container on this one"
        )
    if machine.lower() not in _SYSTEMS.get(system, ()):
        return (
            f"DGL has no release for {system} on {machine}, only for {DGL_WHEELS}: use such a "
            f"machine, or build DGL from source"
        )
    if system == "Linux" and platform.libc_ver()[0] != "glibc":
        return (
            "DGL has no release for a Linux without glibc, such as Alpine: use another "
            "distribution, in a container for example, or build DGL from source"
        )
    return None


def why_no_dgl() -> str:
    """Message where DGL is not installed: why it cannot be, or how to install it."""
    return why_unsupported() or (
        f"DGL is not installed: pip install 'dgl>=2.1'. There are releases for CPython 3.10 to "
        f"3.12, on {DGL_WHEELS}"
    )


def usable_cores() -> int:
    """Number of processors that this process may use.

    On Linux and Windows, the system may restrict a process to some of them.

    Examples
    --------
    >>> usable_cores() >= 1
    True
    """
    import psutil  # imported here, so that the messages above need no other package

    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):
        try:
            return len(process.cpu_affinity())
        except (OSError, psutil.Error):
            pass  # some containers forbid this call
    return os.cpu_count() or 1

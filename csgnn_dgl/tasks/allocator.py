"""Keep freed memory in the process instead of handing it back to the system at every step."""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["keep_freed_memory"]

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8


def keep_freed_memory() -> bool:
    """Let glibc serve large tensors from its heap, and keep that heap.

    By default glibc maps every block above 32 MiB when it is allocated, and unmaps it when it is
    freed. So a training step has page faults in all of its large temporaries. Measured on 2 cores,
    this doubles the time of a radial convolution of 20 MB of features, and makes element-wise
    operations five times as slow. The price is that memory once used stays with the process.

    The function does nothing and returns False on systems other than Linux with glibc, and if
    environment variables tune glibc's allocator or preload another one.
    """
    tuned = any(name.startswith("MALLOC_") for name in os.environ)
    tuned |= any(os.environ.get(name) for name in ("GLIBC_TUNABLES", "LD_PRELOAD"))
    if tuned or not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # Autograd's backward pass runs in another thread, and the arena of a second thread cannot grow
    # to hold large blocks. So there is only one arena.
    settings = (
        (_M_ARENA_MAX, 1),
        (_M_MMAP_MAX, 0),
        (_M_TRIM_THRESHOLD, 2**31 - 1),
        (_M_TOP_PAD, 64 * 2**20),
    )
    return min(mallopt(option, value) for option, value in settings) == 1

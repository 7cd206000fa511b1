"""The only import of open3d in the project: done late, because it takes seconds, and silently."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
from types import ModuleType

from csgnn_dgl.errors import MissingDependencyError

__all__ = ["import_open3d"]


def import_open3d() -> ModuleType:
    """Import the open3d package.

    Raises
    ------
    MissingDependencyError
        open3d, or a system library that it needs, is not installed; the message names it.
    """
    _provide_libusb()
    try:
        import open3d
    except (ImportError, OSError) as error:
        raise MissingDependencyError(
            f"meshes are sampled by open3d, which cannot be loaded here ({error}). "
            f"Install it: pip install open3d-cpu on Linux x86-64, else pip install open3d. On a "
            f"minimal Linux it also needs system libraries: apt-get install libusb-1.0-0 libgl1"
        ) from error
    open3d.utility.set_verbosity_level(open3d.utility.VerbosityLevel.Error)
    return open3d


def _provide_libusb() -> None:
    """Load the copy of libusb from PyPI if the system has none.

    open3d is linked to libusb for depth cameras. Once a library of that name is loaded, the loader
    does not look for another.
    """
    if ctypes.util.find_library("usb-1.0") is not None:
        return
    with contextlib.suppress(ImportError, OSError):
        import libusb_package

        ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)

"""Make ``import dgl`` work with any version of torch.

DGL 2.1.0, the newest release on PyPI for Linux, imports its module ``graphbolt``, which is compiled
for torch 2.0 to 2.2 and fails with other versions. This package does not use graphbolt (it loads
mini-batches of huge graphs), so an empty module replaces it where it cannot be loaded. A finder
decides this when DGL is imported, so ``import csgnn_dgl`` is fast and imports neither torch nor
DGL.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

__all__ = ["install", "is_stand_in"]

_GRAPHBOLT = "dgl.graphbolt"
_MARK = "__stands_in_for_graphbolt__"


def is_stand_in(module: ModuleType) -> bool:
    """Whether ``module`` is the empty replacement."""
    return getattr(module, _MARK, False)


def _was_compiled_for_this_torch(folders: Sequence[str]) -> bool:
    import torch  # DGL has imported it by now

    version = torch.__version__.split("+", maxsplit=1)[0]
    return any(
        any((Path(folder) / "graphbolt").glob(f"*graphbolt_pytorch_{version}.*"))
        for folder in folders
    )


class _RealOrEmpty(Loader):
    """Runs the real module, or makes an empty one if that fails."""

    def __init__(self, real: Loader | None) -> None:
        self.real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        kept = dict(vars(module))
        if self.real is not None:
            try:
                self.real.exec_module(module)
                return
            except (ImportError, OSError):
                # A dependency is missing, or a library cannot be loaded.
                for name in [n for n in sys.modules if n.startswith(f"{_GRAPHBOLT}.")]:
                    del sys.modules[name]
        vars(module).clear()
        vars(module).update(kept)
        setattr(module, _MARK, True)


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == "dgl":
            # Without this, DGL reads and writes a settings file in the home folder.
            os.environ.setdefault("DGLBACKEND", "pytorch")
            _forget_failed_import()
            return None
        if name != _GRAPHBOLT or path is None:
            return None
        found = PathFinder.find_spec(name, path)
        if found is None:
            return None
        real = found.loader if _was_compiled_for_this_torch(path) else None
        locations = found.submodule_search_locations
        spec = ModuleSpec(name, _RealOrEmpty(real), origin=found.origin)
        spec.submodule_search_locations = locations
        spec.has_location = found.has_location
        return spec


def _forget_failed_import() -> None:
    """Remove modules left by a failed ``import dgl``, which Python would treat as complete."""
    for name in [n for n in sys.modules if n.startswith("dgl.")]:
        del sys.modules[name]


def install() -> None:
    """Put the finder before all others, once."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())

"""The only line in the project that imports DGL.

DGL 2.1.0, the newest release on PyPI for Linux, brings a compiled ``graphbolt`` for torch 2.0 to
2.2 only and refuses to be imported beside any other. Nothing here uses graphbolt (it loads
mini-batches of huge graphs), so an empty module stands in for it where the real one cannot load.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import types
import warnings
from pathlib import Path

import torch

from csgnn_dgl.errors import MissingDependencyError

__all__ = ["GRAPHBOLT_IS_REAL", "dgl"]


def _graphbolt_can_load(package: Path) -> bool:
    version = torch.__version__.split("+", maxsplit=1)[0]
    return any((package / "graphbolt").glob(f"*graphbolt_pytorch_{version}.*"))


_spec = importlib.util.find_spec("dgl")
if _spec is None or _spec.origin is None:
    raise MissingDependencyError(
        "DGL is not installed: pip install 'dgl>=2.1' (there are wheels for Python 3.10 to 3.12)"
    )
GRAPHBOLT_IS_REAL = _graphbolt_can_load(Path(_spec.origin).parent)
if not GRAPHBOLT_IS_REAL:
    sys.modules.setdefault("dgl.graphbolt", types.ModuleType("dgl.graphbolt"))
# Without this DGL looks for, and writes, a settings file in the home folder.
os.environ.setdefault("DGLBACKEND", "pytorch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # deprecations inside DGL, which no user can mend
    try:
        import dgl
    except (ImportError, OSError) as error:
        raise MissingDependencyError(
            f"DGL is installed but cannot be imported ({error}); csgnn-dgl doctor tells more"
        ) from error

"""Graph learning on concentric spheres, for 3-D data of any orientation."""

import importlib
from typing import TYPE_CHECKING, Any

from csgnn_dgl import _graphbolt

if TYPE_CHECKING:
    from csgnn_dgl.descriptor import AtomDescriptor
    from csgnn_dgl.shape_descriptor import ShapeDescriptor

__all__ = ["AtomDescriptor", "ShapeDescriptor"]

__version__ = "0.2.0"

# Imported when they are used, so that commands start fast.
_LAZY = {
    "AtomDescriptor": "csgnn_dgl.descriptor",
    "ShapeDescriptor": "csgnn_dgl.shape_descriptor",
}

# Afterwards a plain `import dgl` works too, with any version of torch.
_graphbolt.install()


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)

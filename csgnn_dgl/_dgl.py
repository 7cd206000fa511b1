"""The only import of DGL in the project; ``_graphbolt.py`` makes it work with any torch."""

from __future__ import annotations

import importlib.util
import warnings

from csgnn_dgl._graphbolt import is_stand_in
from csgnn_dgl._platform import why_no_dgl
from csgnn_dgl.errors import MissingDependencyError

__all__ = ["GRAPHBOLT_IS_REAL", "dgl"]

if importlib.util.find_spec("dgl") is None:
    raise MissingDependencyError(why_no_dgl())
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # deprecations inside DGL, which users cannot fix
    try:
        import dgl
    except (ImportError, OSError) as error:
        raise MissingDependencyError(
            f"DGL is installed but cannot be imported ({error}); run csgnn-dgl doctor to see more"
        ) from error
GRAPHBOLT_IS_REAL = not is_stand_in(dgl.graphbolt)

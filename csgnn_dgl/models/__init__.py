"""Models: the contract, the registry, and the networks. Each is imported at its first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from csgnn_dgl.models.atom_hypers import AtomCSGNNHypers
    from csgnn_dgl.models.atoms.agni import AGNI
    from csgnn_dgl.models.atoms.csgnn import AtomCSGNN
    from csgnn_dgl.models.atoms.species import SpeciesEmbedding, element_properties
    from csgnn_dgl.models.classifier import Classifier
    from csgnn_dgl.models.contract import AtomModel, ShapeModel
    from csgnn_dgl.models.dos import DOSModel
    from csgnn_dgl.models.encoder import CSGNN
    from csgnn_dgl.models.encoder_config import EncoderConfig
    from csgnn_dgl.models.heads import ClassHead, ClassHeads, CurveHead
    from csgnn_dgl.models.hypers import Hypers, ShapeCSGNNHypers
    from csgnn_dgl.models.shapes.csgnn import ShapeCSGNN
    from csgnn_dgl.models.shapes.pointnet import PointNet

__all__ = [
    "AGNI",
    "CSGNN",
    "AtomCSGNN",
    "AtomCSGNNHypers",
    "AtomModel",
    "ClassHead",
    "ClassHeads",
    "Classifier",
    "CurveHead",
    "DOSModel",
    "EncoderConfig",
    "Hypers",
    "PointNet",
    "ShapeCSGNN",
    "ShapeCSGNNHypers",
    "ShapeModel",
    "SpeciesEmbedding",
    "element_properties",
]

# The command line reads options of models without importing torch, so networks are imported lazily.
_PLACES = {
    "AGNI": "atoms.agni",
    "AtomCSGNN": "atoms.csgnn",
    "SpeciesEmbedding": "atoms.species",
    "element_properties": "atoms.species",
    "Classifier": "classifier",
    "AtomModel": "contract",
    "ShapeModel": "contract",
    "DOSModel": "dos",
    "CSGNN": "encoder",
    "EncoderConfig": "encoder_config",
    "ClassHead": "heads",
    "ClassHeads": "heads",
    "CurveHead": "heads",
    "AtomCSGNNHypers": "atom_hypers",
    "Hypers": "hypers",
    "ShapeCSGNNHypers": "hypers",
    "ShapeCSGNN": "shapes.csgnn",
    "PointNet": "shapes.pointnet",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

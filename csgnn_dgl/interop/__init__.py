"""Models of atoms inside other packages: scikit-learn, ASE, pymatgen.

==============================================================  =========================
:class:`~csgnn_dgl.interop.sklearn.AtomDescriptorTransformer`   a transformer of scikit-learn
:class:`~csgnn_dgl.interop.ase.DOSCalculator`                   a calculator of ASE
:func:`~csgnn_dgl.interop.pymatgen.complete_dos`                a density of states for pymatgen
==============================================================  =========================

Each is imported when it is asked for, so that none of these packages is needed by the others.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from csgnn_dgl.interop.ase import DOSCalculator
    from csgnn_dgl.interop.pymatgen import complete_dos
    from csgnn_dgl.interop.sklearn import AtomDescriptorTransformer

__all__ = ["AtomDescriptorTransformer", "DOSCalculator", "complete_dos"]

_MODULES = {
    "AtomDescriptorTransformer": "csgnn_dgl.interop.sklearn",
    "DOSCalculator": "csgnn_dgl.interop.ase",
    "complete_dos": "csgnn_dgl.interop.pymatgen",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module(_MODULES[name]), name)

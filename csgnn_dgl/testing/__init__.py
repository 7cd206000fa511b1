"""Checks that users can run on their own modules and models, and the tests that all models inherit.

Checks of numbers give the error that they measured; what they allow by default is in
:data:`TOLERANCES`. The suites need pytest, and are imported when they are asked for.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from csgnn_dgl.testing.alone import run_alone
from csgnn_dgl.testing.atoms import (
    assert_atom_order_equivariant,
    assert_atoms_rotation_invariant,
    assert_structures_independent,
    assert_supercell_equivariant,
    assert_translation_invariant,
)
from csgnn_dgl.testing.batches import assert_batch_independent
from csgnn_dgl.testing.compare import assert_close
from csgnn_dgl.testing.curve import equivariance_curve
from csgnn_dgl.testing.fake_device import assert_runs_on_fake_device, fake_cuda
from csgnn_dgl.testing.gradients import assert_directional_derivative, assert_gradients_reach_all
from csgnn_dgl.testing.hooks import assert_hooks_fire, assert_replaced_modules_run
from csgnn_dgl.testing.mutation import assert_no_mutation
from csgnn_dgl.testing.permutation import assert_permutation_invariant
from csgnn_dgl.testing.randomise import randomise
from csgnn_dgl.testing.rotation import (
    assert_layer_equivariant,
    assert_rotation_equivariant,
    assert_rotation_invariant,
)
from csgnn_dgl.testing.tolerances import TOLERANCES

if TYPE_CHECKING:
    from csgnn_dgl.testing.atom_suite import AtomModelSuite
    from csgnn_dgl.testing.shape_suite import ShapeModelSuite

__all__ = [
    "TOLERANCES",
    "AtomModelSuite",
    "ShapeModelSuite",
    "assert_atom_order_equivariant",
    "assert_atoms_rotation_invariant",
    "assert_batch_independent",
    "assert_close",
    "assert_directional_derivative",
    "assert_gradients_reach_all",
    "assert_hooks_fire",
    "assert_layer_equivariant",
    "assert_no_mutation",
    "assert_permutation_invariant",
    "assert_replaced_modules_run",
    "assert_rotation_equivariant",
    "assert_rotation_invariant",
    "assert_runs_on_fake_device",
    "assert_structures_independent",
    "assert_supercell_equivariant",
    "assert_translation_invariant",
    "equivariance_curve",
    "fake_cuda",
    "randomise",
    "run_alone",
]

_SUITES = {"AtomModelSuite": "atom_suite", "ShapeModelSuite": "shape_suite"}


def __getattr__(name: str) -> Any:
    if name not in _SUITES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pytest

    # So that a test that fails shows both sides of what it compares.
    files = ("model_suite", "run_suite", *_SUITES.values())
    places = [f"{__name__}.{file}" for file in files]
    pytest.register_assert_rewrite(*(place for place in places if place not in sys.modules))
    return getattr(importlib.import_module(f"{__name__}.{_SUITES[name]}"), name)

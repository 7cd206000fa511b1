"""Checks that users can run on their own modules: rotations, permutations, no side effects."""

from csgnn_dgl.testing.curve import equivariance_curve
from csgnn_dgl.testing.mutation import assert_no_mutation
from csgnn_dgl.testing.permutation import assert_permutation_invariant
from csgnn_dgl.testing.rotation import (
    assert_layer_equivariant,
    assert_rotation_equivariant,
    assert_rotation_invariant,
)

__all__ = [
    "assert_layer_equivariant",
    "assert_no_mutation",
    "assert_permutation_invariant",
    "assert_rotation_equivariant",
    "assert_rotation_invariant",
    "equivariance_curve",
]

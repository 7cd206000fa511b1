"""The checks that the suite is made of: each passes, gives its error, and fails on a control."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from ase.build import bulk, molecule
from torch import Tensor, nn
from torch.nn import functional as F

from csgnn_dgl import testing
from csgnn_dgl.mapping import Neighbors, find_neighbors
from csgnn_dgl.testing import (
    TOLERANCES,
    assert_atom_order_equivariant,
    assert_atoms_rotation_invariant,
    assert_batch_independent,
    assert_close,
    assert_directional_derivative,
    assert_gradients_reach_all,
    assert_hooks_fire,
    assert_permutation_invariant,
    assert_replaced_modules_run,
    assert_rotation_invariant,
    assert_structures_independent,
    assert_supercell_equivariant,
    assert_translation_invariant,
    randomise,
)
from csgnn_dgl.testing.samples import random_clouds, random_structures, write_shape_folder
from csgnn_dgl.testing.tolerances import tolerance_of

CLOUDS = random_clouds(3, 20)
STRUCTURES = random_structures((6, 14))
CUTOFF = 4.0


def test_errors_are_given() -> None:
    noise = 1e-12 * torch.linspace(-1, 1, 3, dtype=torch.float64)
    assert assert_close(1 + noise, torch.ones(3).double(), "x") == pytest.approx(1e-12, rel=1e-3)
    for check in (assert_rotation_invariant, assert_permutation_invariant):
        error = check(lambda p: p.norm(dim=-1).sum(dim=1), CLOUDS)
        assert 0 < error < 1e-13


def test_tolerances_are_of_the_coarser_type() -> None:
    one = torch.ones(3, dtype=torch.float64)
    assert tolerance_of(torch.float64, torch.bfloat16) == TOLERANCES[torch.bfloat16]
    assert assert_close((one + 1e-6).float(), one, "x") > 0
    with pytest.raises(AssertionError, match="x: relative error"):
        assert_close(one + 1e-6, one, "x")
    with pytest.raises(AssertionError, match="shape"):
        assert_close(one[:2], one, "x")
    with pytest.raises(AssertionError, match="nan"):
        assert_close(one * float("nan"), one, "x")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda p: p.mean(dim=1) - p.mean(), "others of its batch"),
        (lambda p: p.mean(dim=1) - p.mean(dim=(0, 1)), "others"),
        (lambda p: p.mean(dim=1) * torch.arange(len(p))[:, None], "others|place in the batch"),
    ],
)
def test_dependence_on_the_batch_is_noticed(function: Any, message: str) -> None:
    assert assert_batch_independent(lambda p: p.mean(dim=1), CLOUDS) < 1e-14
    with pytest.raises(AssertionError, match=message):
        assert_batch_independent(function, CLOUDS)


def test_gradients_that_are_missing_or_wrong() -> None:
    class Cut(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, self.weight.detach(), self.bias)

    assert assert_gradients_reach_all(nn.Linear(3, 2), torch.rand(4, 3)) > 0
    with pytest.raises(AssertionError, match="no gradient reaches weight"):
        assert_gradients_reach_all(Cut(3, 2), torch.rand(4, 3))
    with pytest.raises(AssertionError, match="not finite for weight"):
        assert_gradients_reach_all(nn.Linear(3, 2), torch.full((4, 3), torch.nan))
    frozen = nn.Linear(3, 2).requires_grad_(False)
    with pytest.raises(AssertionError, match="no output has a gradient"):
        assert_gradients_reach_all(frozen, torch.rand(4, 3))
    x = torch.rand(5, dtype=torch.float64)
    assert assert_directional_derivative(lambda x: (3 * x).sin(), x) < 1e-7
    # A kink is forgiven, a wrong slope is not.
    assert assert_directional_derivative(lambda x: (x - 0.5).abs(), x) < 1e-7
    with pytest.raises(AssertionError, match="not the slope"):
        assert_directional_derivative(lambda x: x.sin() + 0.01 * x.detach(), x)
    with pytest.raises(AssertionError, match="no gradient with respect to the input"):
        assert_directional_derivative(lambda x: x.detach(), x)


class Net(nn.Module):
    """With a fast path in evaluation, of several kinds."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.first, self.norm, self.path = nn.Linear(3, 4), nn.BatchNorm1d(4), path

    def forward(self, x: Tensor) -> Tensor:
        fast = not self.training and (self.path != "no grad" or not torch.is_grad_enabled())
        if self.path == "visible" or not fast:
            return self.norm(self.first(x))
        if self.path == "careful" and (
            self.norm._forward_hooks or type(self.norm) is not nn.BatchNorm1d
        ):
            return self.norm(self.first(x))
        if self.path == "twice":
            return self.norm(self.first(x)) + 0 * self.norm(self.first(x))
        h = self.first(x)
        return F.batch_norm(
            h, self.norm.running_mean, self.norm.running_var, self.norm.weight, self.norm.bias
        )


def test_fast_paths_that_can_be_noticed() -> None:
    x = torch.rand(5, 3, dtype=torch.float64)
    for path in ("visible", "careful"):
        net = Net(path).double()
        assert assert_hooks_fire(net, x) == {"first": 1, "norm": 1}
        assert assert_replaced_modules_run(net, x) == 2
        assert net.training
    # Statistics are put back.
    assert net.norm.running_mean is not None
    assert bool((net.norm.running_mean == 0).all())
    for path, message in (
        ("always", "the hook of norm fires 1 times in training and 0 times in evaluation with"),
        ("no grad", "and 0 times in evaluation without gradients"),
        ("twice", "and 2 times"),
    ):
        with pytest.raises(AssertionError, match=message):
            assert_hooks_fire(Net(path).double(), x)
    with pytest.raises(AssertionError, match="what took the place of norm did not run"):
        assert_replaced_modules_run(Net("always").double(), x)
    aside = assert_hooks_fire(Net("always").double(), x, training_only=["norm"])
    assert aside == {"first": 1}


def test_hooks_that_change_the_output_are_noticed() -> None:
    class Sly(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + len(self.norm._forward_hooks)

    with pytest.raises(AssertionError, match="hooks change the output"):
        assert_hooks_fire(Sly("visible").double(), torch.rand(5, 3, dtype=torch.float64))


def sums(found: Neighbors) -> Tensor:
    """The sum of distances to neighbours of every atom."""
    distance = found.displacements.norm(dim=1)
    return distance.new_zeros(found.n_atoms).index_add(0, found.centres, distance)


def test_atoms_pass() -> None:
    found = find_neighbors(STRUCTURES, CUTOFF)
    assert assert_atoms_rotation_invariant(sums, found) < 1e-13
    assert assert_atoms_rotation_invariant(sums, found, rotations="so3") < 1e-13
    assert assert_structures_independent(sums, STRUCTURES, CUTOFF) < 1e-13
    for atoms in STRUCTURES:
        assert assert_atom_order_equivariant(sums, atoms, CUTOFF) < 1e-13
        assert assert_translation_invariant(sums, atoms, CUTOFF) < 1e-13
    assert assert_supercell_equivariant(sums, STRUCTURES[0], CUTOFF) < 1e-13


def test_atoms_can_fail() -> None:
    crystal = STRUCTURES[0]
    found = find_neighbors(STRUCTURES, CUTOFF)
    with pytest.raises(AssertionError, match="under 59 of 60 rotations"):
        assert_atoms_rotation_invariant(lambda f: f.displacements, found)
    with pytest.raises(AssertionError, match="under 12 of 12 rotations"):
        assert_atoms_rotation_invariant(lambda f: f.displacements, found, rotations="so3")
    with pytest.raises(AssertionError, match="other structures of the batch"):
        assert_structures_independent(lambda f: sums(f) / f.n_atoms, STRUCTURES, CUTOFF)
    with pytest.raises(AssertionError, match="how often the cell is repeated"):
        assert_supercell_equivariant(lambda f: sums(f) / f.n_atoms, crystal, CUTOFF)
    with pytest.raises(AssertionError, match="periodic there"):
        assert_supercell_equivariant(sums, molecule("H2O"), CUTOFF)
    with pytest.raises(AssertionError, match="do not go with their atoms"):
        assert_atom_order_equivariant(lambda f: sums(f).sort().values, crystal, CUTOFF)

    def first(found: Neighbors) -> Tensor:
        """The distance of whichever neighbour comes first."""
        starts = torch.searchsorted(found.centres, torch.arange(found.n_atoms))
        return found.displacements[starts].norm(dim=1)

    with pytest.raises(AssertionError, match=r"order of its neighbours|do not go with"):
        assert_atom_order_equivariant(first, crystal, CUTOFF)

    def placed(found: Neighbors) -> Tensor:
        return sums(found) + next(counter)

    counter = iter(range(100))
    with pytest.raises(AssertionError, match="place of the structure"):
        assert_translation_invariant(placed, bulk("C"), CUTOFF)


def test_neighbours_keep_their_numbers_when_pairs_are_reordered() -> None:
    def messages(found: Neighbors) -> Tensor:
        own = sums(found)
        return torch.zeros_like(own).index_add(0, found.centres, own[found.require_indices()])

    assert assert_atom_order_equivariant(messages, STRUCTURES[0], CUTOFF) < 1e-13
    found = find_neighbors(STRUCTURES[:1], CUTOFF)
    mixed = replace(found, neighbors=found.require_indices().flip(0))
    assert not torch.allclose(messages(mixed), messages(found))


def test_random_weights_leave_no_zeros() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.LayerNorm(4))
    randomise(net)
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            assert bool((value != 0).all() & (value != 1).all()), name
    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.LayerNorm(4))
    before = [p.clone() for p in other.parameters()]
    randomise(other, seed=1)
    assert all(not torch.equal(p, q) for p, q in zip(other.parameters(), before, strict=True))


def test_samples_are_repeatable(tmp_path: Any) -> None:
    assert torch.equal(random_clouds(), random_clouds())
    assert not torch.equal(random_clouds(), random_clouds(seed=1))
    assert float(random_clouds().norm(dim=-1).max()) <= 1 + 1e-12
    files = [
        sorted(write_shape_folder(tmp_path / name, per_class=2, tested=1).rglob("*.npy"))
        for name in "ab"
    ]
    assert len(files[0]) == 9
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(*files, strict=True))


def test_checks_need_no_pytest() -> None:
    code = (
        "import sys; sys.modules['pytest'] = None; import csgnn_dgl.testing as t; "
        "from csgnn_dgl.testing import assert_hooks_fire\n"
        "try: t.ShapeModelSuite\n"
        "except ImportError: print('pytest is needed for the suites alone')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "for the suites alone" in done.stdout
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        getattr(testing, "Nothing")  # noqa: B009 (mypy knows that it is not there)

"""Exact invariants of surroundings: they do not turn, and they tell structures apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from numpy.polynomial import legendre

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.mapping import Neighbors, find_neighbors, random_rotations
from csgnn_dgl.models.atoms import invariants
from csgnn_dgl.models.atoms.invariants import Invariants, OuterSums, RunningNorm, harmonics


def found(*structures: Atoms, cutoff: float = 5.0) -> Neighbors:
    return find_neighbors(structures, cutoff)


def rattled(atoms: Atoms) -> Atoms:
    moved = atoms.copy()
    moved.rattle(0.1, seed=2)
    return moved


CRYSTAL = rattled(bulk("Si", "diamond", 5.43, cubic=True))
ETHANOL = rattled(molecule("CH3CH2OH"))


def test_harmonics_add_up_to_legendre_polynomials() -> None:
    generator = torch.Generator().manual_seed(0)
    u, v = torch.nn.functional.normalize(
        torch.randn(2, 50, 3, dtype=torch.float64, generator=generator), dim=2
    )
    cosines = (u * v).sum(dim=1).numpy()
    for degree, (a, b) in enumerate(zip(harmonics(u), harmonics(v), strict=True)):
        assert a.shape == (50, 2 * degree + 1)
        expected = legendre.legval(cosines, np.eye(5)[degree])
        np.testing.assert_allclose((a * b).sum(dim=1).numpy(), expected, atol=1e-13)


@pytest.mark.parametrize("kind", ["sums", "all"])
def test_rotations_and_order_change_nothing(kind: Literal["sums", "all"]) -> None:
    model = Invariants(kind, 5.0, properties=True).double()
    both = found(CRYSTAL, ETHANOL)
    rotations = random_rotations(
        both.n_atoms, "so3", "z", torch.Generator().manual_seed(1), torch.float64
    )
    torch.testing.assert_close(
        model.raw(both.rotated(rotations)), model.raw(both), atol=1e-9, rtol=0
    )
    order = np.random.default_rng(0).permutation(len(ETHANOL))
    shuffled = model.raw(found(ETHANOL[order]))
    torch.testing.assert_close(shuffled, model.raw(found(ETHANOL))[order], atol=1e-9, rtol=0)
    # Control: a mirror changes nothing either, but a change of one position does.
    assert (model.raw(found(rattled(ETHANOL))) - model.raw(found(ETHANOL))).abs().max() > 1e-3


def test_angles_matter_where_distances_are_equal() -> None:
    # A straight and a bent molecule: the middle atom has the same distances.
    straight, bent = (
        Atoms("OCO", [[-1.2, 0, 0], [0, 0, 0], [1.2 * np.cos(a), 1.2 * np.sin(a), 0]])
        for a in (0.0, 1.0)
    )
    model = Invariants("all", 5.0).double()
    first, second = model.raw(found(straight))[1], model.raw(found(bent))[1]
    torch.testing.assert_close(first[:32], second[:32])
    assert (first - second).abs().max() > 0.1


def test_elements_matter_only_with_their_properties() -> None:
    other = ETHANOL.copy()
    other.symbols[other.symbols == "O"] = "S"
    plain, weighed = (Invariants("sums", 5.0, properties=p).double() for p in (False, True))
    assert weighed.features == 7 * plain.features
    torch.testing.assert_close(plain.raw(found(other)), plain.raw(found(ETHANOL)))
    assert (weighed.raw(found(other)) - weighed.raw(found(ETHANOL))).abs().max() > 1e-3


def test_neighbours_fade_out_at_the_cutoff() -> None:
    model = Invariants("all", 4.0).double()

    def pair(distance: float) -> torch.Tensor:
        return model.raw(found(Atoms("C2", [[0, 0, 0], [0, 0, distance]]), cutoff=4.5))

    torch.testing.assert_close(pair(4.0), pair(4.4), atol=1e-12, rtol=0)
    assert (pair(4.0) - pair(3.99)).abs().max() < 1e-4
    assert (pair(4.0) - pair(3.0)).abs().max() > 0.1


def test_gradients_are_finite_at_a_centre_of_symmetry() -> None:
    atoms = bulk("C", "diamond", 3.57)
    neighbors = found(atoms)
    places = neighbors.displacements.requires_grad_()
    model = Invariants("all", 5.0).double()
    model.raw(replace(neighbors, displacements=places)).sum().backward()
    assert places.grad is not None
    assert bool(places.grad.isfinite().all())


def test_running_norm_does_not_mix_the_rows_of_a_batch() -> None:
    rows = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)) * 5 + 2
    norm = RunningNorm(3)
    for part in rows.split(20):
        norm(part)
    assert norm.statistics.running_mean is not None
    torch.testing.assert_close(norm.statistics.running_mean, rows.mean(dim=0), atol=1e-5, rtol=0)
    norm.eval()
    torch.testing.assert_close(norm(rows[:1]), norm(rows)[:1])
    before = norm.statistics.running_mean.clone()
    norm(rows * 10)
    torch.testing.assert_close(norm.statistics.running_mean, before)
    assert norm.train()(rows[:1]).isfinite().all()  # a single row has no deviation


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype) -> None:
    """Invariants and their statistics stay in single precision; the results do not."""
    exact, half = (Invariants("all", 5.0, properties=True) for _ in range(2))
    half.to(dtype)
    both = found(CRYSTAL, ETHANOL)
    for training in (True, False):
        wide = exact.train(training)(both.to("cpu", torch.float32))
        narrow = half.train(training)(both.to("cpu", dtype))
        assert (narrow.dtype, wide.dtype) == (dtype, torch.float32)
        # Positions are rounded to three or two digits.
        assert (narrow.float() - wide).norm() < 0.2 * wide.norm()
    assert half.norm.statistics.running_var is not None
    assert half.norm.statistics.running_var.dtype == torch.float32


def test_unknown_kinds_are_named() -> None:
    with pytest.raises(ConfigError, match="must be 'sums' or 'all'"):
        Invariants("none", 5.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("properties", [False, True])
@pytest.mark.parametrize("kind", ["sums", "all"])
def test_sums_in_rows_and_by_index_are_equal(
    kind: Literal["sums", "all"],
    properties: bool,
    monkeypatch: pytest.MonkeyPatch,
    shuffled: Callable[[Neighbors], tuple[Neighbors, torch.Tensor]],
) -> None:
    model = Invariants(kind, 5.0, properties=properties).double()
    neighbors = found(CRYSTAL, ETHANOL, Atoms("H"))

    def values_and_gradient(neighbors: Neighbors) -> tuple[torch.Tensor, torch.Tensor]:
        moved = neighbors.displacements.clone().requires_grad_()
        values = model.raw(replace(neighbors, displacements=moved))
        weights = torch.linspace(-1, 1, values.numel(), dtype=values.dtype).view_as(values)
        (gradient,) = torch.autograd.grad((values * weights).sum(), moved)
        return values.detach(), gradient

    assert OuterSums(neighbors).rows is not None
    in_rows = values_and_gradient(neighbors)
    mixed, order = shuffled(neighbors)
    # Neighbours in any order count alike.
    rows = OuterSums(mixed).rows
    assert rows is not None
    assert rows.order is not None
    values, gradient = values_and_gradient(mixed)
    torch.testing.assert_close(values, in_rows[0], atol=1e-12, rtol=0)
    torch.testing.assert_close(gradient, in_rows[1][order], atol=1e-11, rtol=0)
    monkeypatch.setattr(invariants, "_LARGEST_PADDING", 0)
    assert OuterSums(neighbors).rows is None
    values, gradient = values_and_gradient(neighbors)
    torch.testing.assert_close(values, in_rows[0], atol=1e-12, rtol=0)
    torch.testing.assert_close(gradient, in_rows[1], atol=1e-11, rtol=0)


@pytest.mark.parametrize("properties", [False, True])
def test_atoms_alone(properties: bool) -> None:
    model = Invariants("all", 5.0, properties=properties).double()
    alone = model.raw(found(Atoms("H"), Atoms("He")))
    assert alone.shape == (2, model.features)
    assert alone.abs().max() < 1e-12
    beside = model.raw(found(Atoms("H"), CRYSTAL))
    assert beside[0].abs().max() < 1e-12

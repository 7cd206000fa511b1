"""Neighbours on sites: by hand, under rotations, and continuous where that is promised."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ase.build import bulk
from torch import Tensor

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.grid import ConcentricGrid, Icosphere, icosahedral_rotations
from csgnn_dgl.mapping import AtomMapping
from csgnn_dgl.mapping.neighbors import find_neighbors
from csgnn_dgl.testing import assert_no_mutation, fake_cuda


def cloud(n: int = 40, atoms: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    distance = 0.5 + 6.4 * torch.rand(n, 1, generator=generator, dtype=torch.float64)
    centres = torch.randint(0, atoms, (n,), generator=generator)
    return direction / direction.norm(dim=1, keepdim=True) * distance, centres


@pytest.mark.parametrize(("n_spheres", "channels"), [(1, 8), (4, 2), (8, 1)])
def test_nearest_by_hand(n_spheres: int, channels: int) -> None:
    displacements, centres = cloud()
    out = AtomMapping(2, n_spheres, channels)(displacements, centres, 3)
    vertices = Icosphere.get(2).vertices
    expected = np.zeros((len(vertices) * n_spheres, 3, channels))
    for d, atom in zip(displacements.numpy(), centres.tolist(), strict=True):
        distance = np.linalg.norm(d)
        vertex = int((vertices @ d).argmax())
        shell = int(np.clip((distance - 1) // (6 / (n_spheres * channels)), 0, None))
        expected[vertex * n_spheres + shell // channels, atom, shell % channels] += 1 / distance
    np.testing.assert_allclose(out, expected, atol=1e-14)


@pytest.mark.parametrize("assignment", ["nearest", "smooth"])
@pytest.mark.parametrize("n_spheres", [1, 2])
def test_commutes_with_the_rotations_of_the_grid(assignment: Any, n_spheres: int) -> None:
    displacements, centres = cloud()
    mapping = AtomMapping(2, n_spheres, 4, assignment=assignment)
    reference = mapping(displacements, centres, 3)
    permutations = torch.from_numpy(ConcentricGrid(2, n_spheres).node_permutations())
    for g, matrix in enumerate(icosahedral_rotations()):
        turned = mapping(displacements @ torch.tensor(matrix).T, centres, 3)
        torch.testing.assert_close(turned[permutations[g]], reference, atol=1e-12, rtol=0)
    other = torch.linalg.qr(torch.tensor([[1.0, 2, 3], [0, 1, 5], [2, 0, 1]]).double())[0]
    assert not torch.allclose(mapping(displacements @ other, centres, 3), reference)


def test_smooth_holds_all_weight() -> None:
    displacements, centres = cloud()
    out = AtomMapping(2, 2, 4, assignment="smooth")(displacements, centres, 3)
    distance = displacements.norm(dim=1)
    weight = (1 + torch.cos(torch.pi * distance / 7)) / 2 / distance
    expected = torch.zeros(3, dtype=torch.float64).index_add(0, centres, weight)
    torch.testing.assert_close(out.sum(dim=(0, 2)), expected)


@pytest.mark.parametrize(
    "path",
    [
        lambda t: (2.0 + 6.0 * t, 0.3, 0.2),  # across shells and the cutoff
        lambda t: (3.0 * np.cos(3 * t), 3.0 * np.sin(3 * t), 0.1),  # across faces
        lambda t: (0.5 + 2.0 * t, 0.0, 0.0),  # across the inner radius and a shell
    ],
)
def test_smooth_is_continuous_and_nearest_is_not(path: Any) -> None:
    places = torch.tensor([path(t) for t in np.linspace(0, 1, 4001)], dtype=torch.float64)
    centres = torch.arange(len(places))
    jumps = {}
    for assignment in ("nearest", "smooth"):
        out = AtomMapping(2, 1, 8, assignment=assignment)(places, centres, len(places))
        jumps[assignment] = float((out[:, 1:] - out[:, :-1]).abs().max())
    assert jumps["smooth"] < 0.02
    assert jumps["nearest"] > 0.1


@pytest.mark.parametrize("assignment", ["nearest", "smooth"])
def test_gradients(assignment: Any) -> None:
    displacements, centres = cloud(6, 2)
    features = torch.rand(6, 2, dtype=torch.float64, requires_grad=True)
    mapping = AtomMapping(1, 2, 2, assignment=assignment)
    displacements.requires_grad_(True)
    assert torch.autograd.gradcheck(
        lambda d, f: mapping(d, centres, 2, f), (displacements, features)
    )


def test_features_are_channels_of_shells() -> None:
    displacements, centres = cloud()
    features = torch.rand(len(centres), 3, dtype=torch.float64)
    mapping = AtomMapping(1, 2, 4)
    out = mapping(displacements, centres, 3, features)
    assert out.shape == (84, 3, 12)
    ones = mapping(displacements, centres, 3, torch.ones_like(features[:, :1]))
    torch.testing.assert_close(ones, mapping(displacements, centres, 3))
    # Feature e alone is the mapping of weights times that feature.
    for e in range(3):
        alone = mapping(displacements, centres, 3, features[:, e : e + 1])
        torch.testing.assert_close(out.view(84, 3, 4, 3)[..., e], alone)


def test_a_supercell_has_the_same_neighbourhoods() -> None:
    mapping = AtomMapping(2, 1, 8)
    small, large = bulk("NaCl", "rocksalt", 5.64), bulk("NaCl", "rocksalt", 5.64) * (2, 2, 1)
    outs = []
    for atoms in (small, large):
        found = find_neighbors([atoms], 7.0)
        outs.append(mapping(found.displacements, found.centres, found.n_atoms))
    for atom in range(len(large)):
        like = int(np.flatnonzero(small.numbers == large.numbers[atom])[0])
        # Neighbours in a crystal lie on edges of faces, where rounding decides: compare by shells.
        torch.testing.assert_close(outs[1][:, atom].sum(0), outs[0][:, like].sum(0))


def test_atoms_without_neighbours_and_far_neighbours() -> None:
    mapping = AtomMapping(1, 1, 4)
    assert not mapping(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), 2).any()
    far = mapping(torch.tensor([[0.0, 0.0, 7.1]]), torch.tensor([0]), 2)
    assert far.shape == (42, 2, 4)
    assert not far.any()


def test_inputs_are_left_alone() -> None:
    displacements, centres = cloud()
    assert_no_mutation(lambda d, c: AtomMapping(1, 1, 2)(d, c, 3), displacements, centres)


@pytest.mark.parametrize(
    "options",
    [
        {"n_spheres": 0},
        {"n_spheres": 1.0},
        {"n_spheres": True},
        {"channels": 0},
        {"channels": "4"},
        {"r_min": 7.0},
        {"r_min": -1.0},
        {"assignment": "near"},
    ],
)
def test_unusable_options_are_named(options: dict[str, Any]) -> None:
    sizes = {"n_spheres": 1, "channels": 2, **options}
    with pytest.raises(ConfigError):
        AtomMapping(1, **sizes)


def test_unusable_inputs_are_named() -> None:
    mapping = AtomMapping(1, 1, 2)
    with pytest.raises(DataError, match=r"not \(P, 3\)"):
        mapping(torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64), 1)
    with pytest.raises(DataError, match="4 displacements with centres"):
        mapping(torch.ones(4, 3), torch.zeros(3, dtype=torch.int64), 1)
    with pytest.raises(DataError, match="with features"):
        mapping(torch.ones(4, 3), torch.zeros(4, dtype=torch.int64), 1, torch.ones(3, 1))
    with pytest.raises(DataError, match="distance zero"):
        mapping(torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64), 1)
    for dtype in (torch.int32, torch.uint8, torch.float32):
        with pytest.raises(DataError, match=f"centres are {dtype}, but an int64 index"):
            mapping(torch.ones(4, 3), torch.zeros(4, dtype=dtype), 1)


@pytest.mark.parametrize("assignment", ["nearest", "smooth"])
@pytest.mark.parametrize("centre", [-1, 2, 10**6])
def test_centres_of_no_atom_are_refused(centre: int, assignment: Any) -> None:
    mapping = AtomMapping(1, 2, 4, cutoff=5.0, assignment=assignment)
    displacements = torch.tensor([[0.0, 0.0, 2.0], [0.0, 1.0, 3.0]])
    ends = sorted((1, centre))
    message = f"run from {ends[0]} to {ends[1]}, but with 2 atoms they must lie in 0 … 1"
    for module in (mapping, mapping.eval()):
        with pytest.raises(DataError, match=message):
            module(displacements, torch.tensor([centre, 1]), 2)
        assert module(displacements, torch.tensor([0, 1]), 2).any()
    with pytest.raises(DataError, match="with 0 atoms they must not exist"):
        mapping(displacements, torch.tensor([0, 0]), 0)


def test_training_on_a_gpu_does_not_wait_for_the_check_of_centres() -> None:
    mapping = AtomMapping(1, 2, 4, cutoff=5.0)
    with fake_cuda() as device:
        given = torch.tensor([[0.0, 0.0, 2.0]]).to(device), torch.tensor([1]).to(device), 1
        mapping(*given)
        with pytest.raises(DataError, match="centres run from 1 to 1"):
            mapping.eval()(*given)


def test_exported_programs_do_not_look_at_centres() -> None:
    mapping = AtomMapping(1, 2, 4, cutoff=5.0, assignment="smooth").eval()

    class TwoAtoms(torch.nn.Module):
        def forward(self, displacements: Tensor, centres: Tensor) -> Tensor:
            found: Tensor = mapping(displacements, centres, 2)
            return found

    displacements, centres = torch.rand(6, 3) + 1, torch.tensor([0, 0, 1, 1, 1, 0])
    program = torch.export.export(TwoAtoms(), (displacements, centres)).module()
    expected = mapping(displacements, centres, 2)
    torch.testing.assert_close(program(displacements, centres), expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_displacements_that_are_not_finite_are_refused(value: float) -> None:
    mapping = AtomMapping(1, 1, 4, r_min=1.0, cutoff=5.0)
    with pytest.raises(DataError, match="is NaN, infinite, or too large"):
        mapping(torch.tensor([[0, 0, 2.5], [value, 0, 0]]), torch.tensor([0, 0]), 1)
    # One that is merely far away is left out.
    far = mapping(torch.tensor([[0, 0, 2.5], [1e9, 0, 0]]), torch.tensor([0, 0]), 1)
    assert torch.equal(far, mapping(torch.tensor([[0, 0, 2.5]]), torch.tensor([0]), 1))

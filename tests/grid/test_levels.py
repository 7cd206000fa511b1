"""Grids whose spheres have levels of their own: numbering, edges, coarsening, symmetry, errors."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch

from csgnn_dgl.errors import ConfigError, ResourceError
from csgnn_dgl.grid import ConcentricGrid, Icosphere, icosahedral_rotations, to_networkx
from csgnn_dgl.grid.sites import Sites, interpolation

EXAMPLE = (1, 1, 2, 2, 3, 3, 3, 3)
ALL = [EXAMPLE, (0, 2), (2, 0), (2, 0, 2), (0, 1, 3), (1, 1, 0, 2)]
every = pytest.mark.parametrize("levels", ALL, ids=str)
schedules = pytest.mark.parametrize("coarsening", ["together", "in_turn"])


def columns(graph: Any) -> dict[str, torch.Tensor]:
    """Everything that a graph holds."""
    found = {}
    for ntype in graph.ntypes:
        found |= {f"{ntype} {k}": v for k, v in graph.nodes[ntype].data.items()}
    for etype in graph.etypes:
        found |= {f"{etype} {k}": v for k, v in graph.edges[etype].data.items()}
        src, dst = graph.edges(etype=etype, order="eid")
        found |= {f"{etype} src": src, f"{etype} dst": dst}
    return found


def test_the_example_has_2976_nodes_instead_of_5136() -> None:
    grid = ConcentricGrid(levels=EXAMPLE)
    assert grid.num_nodes() == grid.graph().num_nodes() == 2976
    assert ConcentricGrid(3, 8).num_nodes() == 5136
    assert (grid.level, grid.n_spheres, grid.levels, grid.uniform) == (3, 8, EXAMPLE, False)
    assert grid.graph().canonical_etypes == ConcentricGrid(1, 2).graph().canonical_etypes


@schedules
@pytest.mark.parametrize(("level", "n_spheres"), [(0, 1), (1, 3), (2, 4)])
def test_equal_levels_give_the_uniform_grid(level: int, n_spheres: int, coarsening: Any) -> None:
    ours = ConcentricGrid(levels=(level,) * n_spheres, coarsening=coarsening)
    uniform = ConcentricGrid(level, n_spheres)
    assert ours.uniform
    assert repr(ours) == repr(uniform)
    graphs = [(ours.graph(at), uniform.graph(at)) for at in range(level + 1)]
    graphs += [(ours.coarsening(at), uniform.coarsening(at)) for at in range(1, level + 1)]
    for found, expected in graphs:
        a, b = columns(found), columns(expected)
        assert list(a) == list(b)
        assert all(torch.equal(a[name], b[name]) for name in a)
    assert (ours.node_permutations() == uniform.node_permutations()).all()


@every
def test_numbering(levels: tuple[int, ...]) -> None:
    grid = ConcentricGrid(levels=levels)
    graph, node = grid.graph(), 0
    vertex, sphere = graph.ndata["vertex"].tolist(), graph.ndata["sphere"].tolist()
    for v in range(10 * 4**grid.level + 2):
        for r, level in enumerate(levels):
            if v < 10 * 4**level + 2:
                assert (vertex[node], sphere[node]) == (v, r)
                assert grid.site(v, r) == node
                node += 1
    assert node == graph.num_nodes() == grid.num_nodes()
    direction = torch.from_numpy(Icosphere.get(grid.level).vertices[vertex])
    expected = direction * torch.tensor(sphere)[:, None].add(1) / len(levels)
    torch.testing.assert_close(graph.ndata["position"], expected.float())


@every
def test_intra_edges_are_those_of_each_sphere(levels: tuple[int, ...]) -> None:
    grid = ConcentricGrid(levels=levels)
    src, dst = grid.graph().edges(etype="intra")
    expected = {
        (grid.site(a, r), grid.site(b, r))
        for r, level in enumerate(levels)
        for u, v in Icosphere.get(level).edges.tolist()
        for a, b in ((u, v), (v, u))
    }
    found = list(zip(src.tolist(), dst.tolist(), strict=True))
    assert len(found) == len(expected)
    assert set(found) == expected


def ancestors(vertex: int, level: int) -> dict[int, float]:
    """Vertices of a coarse level that stand for a vertex, with their shares."""
    if vertex < 10 * 4**level + 2:
        return {vertex: 1.0}
    fine = next(k for k in range(12) if vertex < 10 * 4**k + 2)
    shares: dict[int, float] = {}
    for parent in Icosphere.get(fine).parents[vertex - (10 * 4 ** (fine - 1) + 2)]:
        for found, share in ancestors(int(parent), level).items():
            shares[found] = shares.get(found, 0) + share / 2
    return shares


@every
def test_radial_edges_come_from_the_partner_or_its_parents(levels: tuple[int, ...]) -> None:
    grid = ConcentricGrid(levels=levels)
    graph = grid.graph()
    src, dst = graph.edges(etype="radial", order="eid")
    offset, weight = (graph.edges["radial"].data[k].tolist() for k in ("offset", "weight"))
    found = list(zip(src.tolist(), dst.tolist(), offset, weight, strict=True))
    expected = [
        (grid.site(a, r + o), grid.site(v, r), o, share)
        for r, level in enumerate(levels)
        for o in (1, -1)
        if 0 <= r + o < len(levels)
        for v in range(10 * 4**level + 2)
        for a, share in ancestors(v, levels[r + o]).items()
    ]
    assert sorted(found) == sorted(expected)
    # The middle of two parents lies between them in space, too.
    sphere = graph.ndata["sphere"]
    assert torch.equal(sphere[src] - sphere[dst], graph.edges["radial"].data["offset"])


def test_shares_add_up_to_one_exactly() -> None:
    for coarse in range(3):
        for fine in range(coarse, 4):
            assert (interpolation(coarse, fine).sum(axis=1) == 1).all()


@schedules
@every
def test_coarsening(levels: tuple[int, ...], coarsening: Any) -> None:
    grid = ConcentricGrid(levels=levels, coarsening=coarsening)
    for level in range(grid.level, 0, -1):
        before, after = grid.sphere_levels(level), grid.sphere_levels(level - 1)
        if coarsening == "in_turn":
            assert after == tuple(min(each, level - 1) for each in levels)
        else:
            assert after == tuple(max(each - 1, 0) for each in before)
        graph, fine = grid.coarsening(level), grid.graph(level)
        assert graph.num_nodes("fine") == grid.num_nodes(level)
        assert graph.num_nodes("coarse") == grid.num_nodes(level - 1)
        vertex, sphere = (graph.nodes["coarse"].data[k].tolist() for k in ("vertex", "sphere"))
        src, dst = graph.edges(order="eid")
        count = graph.num_nodes("coarse")
        own = [grid.site(v, r, level) for v, r in zip(vertex, sphere, strict=True)]
        assert src[:count].tolist() == own
        assert dst[:count].tolist() == list(range(count))
        for node in range(0, count, 7):
            r, sources = sphere[node], graph.in_edges(node)[0].tolist()
            ring = fine.in_edges(own[node], etype="intra")[0].tolist()
            assert sorted(sources) == sorted([own[node], *(ring if after[r] < before[r] else [])])
    assert grid.sphere_levels(0) == (0,) * len(levels)


@schedules
def test_no_sphere_becomes_coarser_than_the_coarsest(coarsening: Any) -> None:
    grid = ConcentricGrid(levels=(0, 2, 3), coarsest=2, coarsening=coarsening)
    assert grid.sphere_levels(2) == (0, 2, 2)


@schedules
@every
def test_rotations_permute_positions_and_edges(levels: tuple[int, ...], coarsening: Any) -> None:
    grid = ConcentricGrid(levels=levels, coarsening=coarsening)
    rotations = torch.from_numpy(icosahedral_rotations().copy())
    for level in range(grid.level + 1):
        graph, moved = grid.graph(level), grid.node_permutations(level)
        assert (np.sort(moved, axis=1) == np.arange(graph.num_nodes())).all()
        position = graph.ndata["position"].double()
        data = graph.edges["radial"].data
        weight = data.get("weight", torch.ones(len(data["offset"])))
        for g in (1, 17, 59):
            turned = position @ rotations[g].T
            torch.testing.assert_close(position[moved[g]], turned, atol=1e-6, rtol=0)
            for etype in ("intra", "radial"):
                src, dst = graph.edges(etype=etype, order="eid")
                values = weight if etype == "radial" else torch.ones(len(src))
                permutation = torch.from_numpy(moved[g])
                first = torch.stack([src.double(), dst.double(), values.double()])
                second = torch.stack([permutation[src], permutation[dst]]).double()
                second = torch.cat([second, values.double()[None]])
                assert torch.equal(torch.unique(first, dim=1), torch.unique(second, dim=1))


def test_export_to_networkx() -> None:
    exported = to_networkx(ConcentricGrid(levels=(0, 1)).graph())
    assert exported.number_of_nodes() == 12 + 42
    weights = [w for *_, w in exported.edges(data="weight") if w is not None]
    assert sorted(set(weights)) == [0.5, 1]
    assert weights.count(0.5) == 2 * 30


def test_copies() -> None:
    grid = ConcentricGrid(levels=(0, 1), coarsening="in_turn")
    for made in (copy.deepcopy(grid), pickle.loads(pickle.dumps(grid))):
        assert repr(made) == repr(grid) == "ConcentricGrid(levels=(0, 1), coarsening='in_turn')"
        assert made.sphere_levels(0) == (0, 0)
        assert made.graph() is not grid.graph()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "level is None, but it must be a whole number; give level and n_spheres, or levels"),
        ({"level": 1}, "n_spheres is None"),
        ({"levels": ()}, "levels is empty"),
        ({"levels": 3}, "levels is 3, but it must be a sequence"),
        ({"levels": "123"}, "levels is '123', but it must be a sequence"),
        ({"levels": (1, -1)}, "the level of sphere 1 is -1, but it must be a whole number, 0 or"),
        ({"levels": (1.0, 1)}, "the level of sphere 0 is 1.0"),
        ({"levels": (True, 1)}, "the level of sphere 0 is True"),
        ({"levels": (1, 2), "level": 2}, "both levels and level or n_spheres are given"),
        ({"levels": (1, 2), "n_spheres": 2}, "both levels and level or n_spheres are given"),
        ({"levels": (1, 2), "coarsest": 3}, "coarsest is 3, but the finest level is 2"),
        ({"levels": (1, 2), "coarsening": "never"}, "coarsening is 'never', but it must be one of"),
    ],
)
def test_bad_levels(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ConcentricGrid(**arguments)


def test_too_many_sites() -> None:
    with pytest.raises(ResourceError, match="levels up to 20 on 2 spheres"):
        ConcentricGrid(levels=(0, 20))
    with pytest.raises(ResourceError, match="level 5 with 1000000000000 spheres"):
        ConcentricGrid(5, 10**12)


def test_sites_that_do_not_exist() -> None:
    grid = ConcentricGrid(levels=(1, 2))
    with pytest.raises(ConfigError, match="sphere 0 has no vertex 42: it has level 1, so its"):
        grid.site(42, 0)
    with pytest.raises(ConfigError, match="no sphere 2, only 0 to 1"):
        grid.site(0, 2)
    with pytest.raises(ConfigError, match="no level 3 here"):
        grid.site(0, 0, level=3)
    assert Sites.of((1, 2)).index[42].tolist() == [-1, grid.site(42, 1)]

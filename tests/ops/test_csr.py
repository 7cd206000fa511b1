"""Rows, transposes, self loops and compositions of relations; no graph library inside."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.ops import CSR


def dense(csr: CSR) -> Tensor:
    """How many edges lead from each column to each row."""
    counts = torch.zeros(csr.num_rows, csr.num_columns, dtype=torch.int64)
    return counts.index_put_((csr.rows, csr.indices), torch.tensor(1), accumulate=True)


def test_edges_are_kept(relation: Any) -> None:
    src, dst = relation.graph.edges(order="eid")
    csr = relation.csr.by_node
    expected = torch.zeros(csr.num_rows, csr.num_columns, dtype=torch.int64)
    expected.index_put_((dst, src), torch.tensor(1), accumulate=True)
    assert torch.equal(dense(csr), expected)
    assert torch.equal(csr.degrees, relation.graph.in_degrees())
    assert (csr.num_rows, csr.num_columns) == tuple(
        relation.graph.num_nodes(n) for n in ("destination", "source")
    )
    assert csr.indptr.dtype == csr.indices.dtype == torch.int64


def test_order_within_a_row_is_that_of_the_edges() -> None:
    src = torch.tensor([5, 1, 4, 1, 0, 3])
    dst = torch.tensor([2, 0, 2, 2, 0, 2])
    csr = CSR.from_edges(src, dst, 4, 6)
    assert csr.indptr.tolist() == [0, 2, 2, 6, 6]
    assert csr.indices.tolist() == [1, 0, 5, 4, 1, 3]
    assert csr.rows.tolist() == [0, 0, 2, 2, 2, 2]
    assert csr.degrees.tolist() == [2, 0, 4, 0]


def test_transposed(relation: Any) -> None:
    csr = relation.csr
    back = csr.transposed.by_node
    assert torch.equal(dense(back), dense(csr.by_node).t())
    assert csr.transposed.transposed is csr
    assert torch.equal(back.degrees, relation.graph.out_degrees())


def assert_same(one: CSR, other: CSR) -> None:
    assert one.num_columns == other.num_columns
    assert torch.equal(one.indptr, other.indptr)
    assert torch.equal(one.indices, other.indices)


@pytest.mark.parametrize("block", [1, 2, 5])
def test_blocks_there_and_back(relation: Any, block: int) -> None:
    """Whatever the relation between blocks, it is found again from that between nodes."""
    small = relation.csr.by_node
    csr = CSR(small.indptr, small.indices, small.num_columns, block)
    assert (csr.num_sources, csr.num_destinations) == (
        block * small.num_columns,
        block * small.num_rows,
    )
    by_node = csr.by_node
    for node in range(0, csr.num_destinations, 7):
        row, place = divmod(node, block)
        sources = small.indices[small.indptr[row] : small.indptr[row + 1]] * block + place
        assert torch.equal(
            by_node.indices[by_node.indptr[node] : by_node.indptr[node + 1]], sources
        )
    found = by_node.in_blocks()
    assert_same(found.by_node, by_node)
    # The first row of some of these relations is empty, and gives no hint.
    if int(small.degrees[0]):
        assert found.block % block == 0


def test_blocks_of_a_grid() -> None:
    graph = ConcentricGrid(1, 3).graph()
    by_node = CSR.from_edges(*graph.edges(etype="intra", order="eid"), 126, 126)
    csr = by_node.in_blocks()
    assert csr.block == 3
    assert csr.in_blocks() is csr
    assert dense(csr.with_self_loops.by_node).equal(dense(by_node.with_self_loops))
    assert_same(csr.compose(csr).by_node, by_node.compose(by_node))


def test_an_edge_amiss_makes_no_blocks() -> None:
    graph = ConcentricGrid(1, 4).graph()
    src, dst = graph.edges(etype="intra", order="eid")
    csr = CSR.from_edges(src, dst, 168, 168)
    assert csr.in_blocks().block == 4
    for edge in (0, 100, len(src) - 1):
        other = src.clone()
        other[edge] = (other[edge] + 1) % 168
        amiss = CSR.from_edges(other, dst, 168, 168)
        assert amiss.in_blocks().block in (1, 2)
        assert_same(amiss.in_blocks().by_node, amiss)
        without = torch.arange(len(src)) != edge
        amiss = CSR.from_edges(src[without], dst[without], 168, 168)
        assert_same(amiss.in_blocks().by_node, amiss)


def test_blocks_of_different_size_do_not_compose() -> None:
    csr = CSR.from_edges(torch.tensor([0, 1]), torch.tensor([1, 0]), 2, 2)
    with pytest.raises(ValueError, match="blocks of 1 nodes do not fit blocks of 3"):
        CSR(csr.indptr, csr.indices, 2, 3).compose(csr)


def test_self_loops_come_first() -> None:
    csr = CSR.from_edges(torch.tensor([2, 1, 0]), torch.tensor([0, 0, 2]), 3, 3)
    looped = csr.with_self_loops
    assert looped.indptr.tolist() == [0, 3, 4, 6]
    assert looped.indices.tolist() == [0, 2, 1, 1, 2, 0]
    assert csr.indices.tolist() == [2, 1, 0]
    assert csr.with_self_loops is looped


def test_self_loops_need_a_square_relation(irregular: Any) -> None:
    with pytest.raises(ValueError, match="40 sources to 50 destinations"):
        _ = irregular.csr.with_self_loops


def test_composition_is_the_matrix_product(irregular: Any) -> None:
    generator = torch.Generator().manual_seed(1)
    first = CSR.from_edges(
        torch.randint(0, 9, (70,), generator=generator),
        torch.randint(0, 40, (70,), generator=generator),
        40,
        9,
    )
    both = irregular.csr.compose(first)
    assert torch.equal(dense(both), dense(irregular.csr) @ dense(first))


def test_composition_without_edges() -> None:
    none = torch.empty(0, dtype=torch.int64)
    empty = CSR.from_edges(none, none, 3, 3)
    chain = CSR.from_edges(torch.tensor([1, 2]), torch.tensor([0, 1]), 3, 3)
    for both in (empty.compose(chain), chain.compose(empty)):
        assert both.indptr.tolist() == [0, 0, 0, 0]


def test_same_device_is_no_copy(irregular: Any) -> None:
    assert irregular.csr.to(torch.device("cpu")) is irregular.csr


def test_copies_on_a_device_are_kept(irregular: Any) -> None:
    device = torch.device("meta")
    there = irregular.csr.to(device)
    assert there.device == device
    assert irregular.csr.to(device) is there


def test_no_graph_library_is_imported() -> None:
    code = "import sys, csgnn_dgl.ops; sys.exit('dgl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

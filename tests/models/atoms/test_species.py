"""Elements as vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.data import chemical_symbols

from csgnn_dgl.models.atoms.species import (
    _PAULING,
    PROPERTIES,
    SpeciesEmbedding,
    _group_and_period,
    element_properties,
)


@pytest.mark.parametrize(
    ("symbol", "group", "period"),
    [
        *(("H", 1, 1), ("He", 18, 1), ("Be", 2, 2), ("B", 13, 2), ("Ne", 18, 2), ("Al", 13, 3)),
        *(("K", 1, 4), ("Sc", 3, 4), ("Fe", 8, 4), ("Zn", 12, 4), ("Br", 17, 4), ("Xe", 18, 5)),
        *(("Ba", 2, 6), ("La", 3, 6), ("Lu", 3, 6), ("Hf", 4, 6), ("Au", 11, 6), ("Rn", 18, 6)),
        *(("U", 3, 7), ("Rf", 4, 7), ("Og", 18, 7)),
    ],
)
def test_places_in_the_periodic_table(symbol: str, group: int, period: int) -> None:
    assert _group_and_period(chemical_symbols.index(symbol)) == (group, period)


@pytest.mark.parametrize(
    ("symbol", "value"),
    [
        *(("H", 2.2), ("F", 3.98), ("Fe", 1.83), ("Ag", 1.93), ("Cs", 0.79), ("Gd", 1.2)),
        *(("Lu", 1.27), ("W", 2.36), ("Au", 2.54), ("Pb", 2.33), ("U", 1.38)),
    ],
)
def test_electronegativities(symbol: str, value: float) -> None:
    assert _PAULING[chemical_symbols.index(symbol) - 1] == value


def test_properties_are_standardised() -> None:
    table = element_properties(range(1, 95))
    assert table.shape == (94, len(PROPERTIES))
    np.testing.assert_allclose(table.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(table.std(axis=0), 1, atol=1e-12)
    assert np.isfinite(element_properties(range(1, 119))).all()


def test_chemical_neighbours_are_near() -> None:
    everything = element_properties(range(1, 95))
    for symbol, likely in (("Na", "K"), ("Cl", "Br"), ("Fe", "Co"), ("Ca", "Sr"), ("Nb", "Ta")):
        one, other = (chemical_symbols.index(s) for s in (symbol, likely))
        distances = np.linalg.norm(everything - everything[one - 1], axis=1)
        assert (distances < distances[other - 1]).sum() <= 6


def test_unknown_elements_have_properties_and_no_correction() -> None:
    embedding = SpeciesEmbedding((6, 8), 3)
    numbers = torch.tensor([6, 8, 92])
    before = embedding(numbers)
    with torch.no_grad():
        embedding.correction += 1.0
    moved = embedding(numbers) - before
    torch.testing.assert_close(moved, torch.tensor([[1.0] * 3, [1.0] * 3, [0.0] * 3]))
    assert set(embedding.state_dict()) == {"linear.weight", "linear.bias", "correction"}

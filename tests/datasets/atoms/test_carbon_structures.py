"""Tight-binding labels for files of carbon structures."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, graphene, molecule

from csgnn_dgl.datasets.atoms import carbon_structures
from csgnn_dgl.datasets.atoms.carbon_structures import label_carbon
from csgnn_dgl.datasets.atoms.loading import load_dos_dataset
from csgnn_dgl.errors import DataError
from csgnn_dgl.physics import states_below
from csgnn_dgl.physics.carbon_bands import solve_bands


def structures() -> list[Atoms]:
    sheet = graphene(a=2.46, vacuum=6.0)
    sheet.pbc = (True, True, False)
    found = [bulk("C", "diamond", 3.57), sheet, bulk("C", "hcp", 2.5, 4.1)]
    for index, atoms in enumerate(found):
        atoms.rattle(0.03, seed=index)
        atoms.info["id"] = f"structure {index}"
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder made from two files."""
    place = tmp_path_factory.mktemp("carbon")
    ase.io.write(place / "crystals.extxyz", structures())
    ase.io.write(place / "validation.xyz", structures()[:1], format="extxyz")
    files = [place / "crystals.extxyz", place / "validation.xyz"]
    done: list[int] = []
    result = label_carbon(
        files, place / "out", spacing=0.6, projected=True, processes=1, progress=done.append
    )
    assert result.counts == {"train": 3, "validation": 1}
    assert result.rejected == ()
    assert sum(done) == 4
    assert sorted(p.name for p in place.iterdir()) == ["crystals.extxyz", "out", "validation.xyz"]
    return place / "out"


def test_a_folder_to_train_on(folder: Path) -> None:
    data = load_dos_dataset(folder)
    assert (len(data.train), len(data.validation)) == (3, 1)
    assert data.electrons_per_element == {6: 4.0}
    assert not data.rejected
    for record, atoms in zip(data.train, structures(), strict=True):
        assert atoms.info["id"] in record.name
        bands = solve_bands(atoms, 0.6)
        assert record.band_energy == pytest.approx(bands.band_energy / len(atoms), abs=1e-4)
        assert record.fermi_level == pytest.approx(bands.fermi_level, abs=1e-4)
        assert record.gap == pytest.approx(bands.gap, abs=1e-4)
        assert record.atom_dos is not None
        mean = record.atom_dos.astype(float).mean(axis=0)
        # The atoms' curves are in half precision, which has three digits.
        np.testing.assert_allclose(mean, record.dos, rtol=1e-3, atol=1e-4)
    # The curve of the insulator holds its electrons up to the gap.
    diamond = data.train[0]
    assert diamond.gap is not None
    assert diamond.gap > 3
    middle = solve_bands(structures()[0], 0.6).fermi_level
    assert float(states_below(diamond.dos, data.grid, middle)) == pytest.approx(4.0, abs=1e-3)


def test_it_continues_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ase.io.write(tmp_path / "a.extxyz", structures())
    monkeypatch.setattr(carbon_structures, "_AT_ONCE", 1)
    seen: list[int] = []

    def stop(count: int) -> None:
        seen.append(count)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        label_carbon(
            [tmp_path / "a.extxyz"], tmp_path / "out", spacing=0.8, processes=1, progress=stop
        )
    assert not (tmp_path / "out").exists()
    computed: list[int] = []
    real = carbon_structures.solve_bands
    monkeypatch.setattr(
        carbon_structures,
        "solve_bands",
        lambda *given: computed.append(1) or real(*given),  # type: ignore[func-returns-value]
    )
    result = label_carbon([tmp_path / "a.extxyz"], tmp_path / "out", spacing=0.8, processes=1)
    assert result.counts == {"train": 3}
    assert len(computed) == 1
    with pytest.raises(DataError, match="exists already"):
        label_carbon([tmp_path / "a.extxyz"], tmp_path / "out", processes=1)


def test_structures_that_cannot_be_used_are_listed(tmp_path: Path) -> None:
    dense = bulk("C", "fcc", 1.9)
    frames = [structures()[0], molecule("CH4"), dense]
    for index, atoms in enumerate(frames):
        atoms.info = {"name": f"frame {index}"}
        ase.io.write(tmp_path / "a.extxyz", atoms, append=True)
    result = label_carbon([tmp_path / "a.extxyz"], tmp_path / "out", spacing=0.8, processes=1)
    assert result.counts == {"train": 1}
    reasons = {entry.name: entry.reason for entry in result.rejected}
    assert "knows carbon only" in reasons["frame 1"]
    assert "lies below the energies of the curves" in reasons["frame 2"]


def test_names_of_splits_and_numbers_as_groups(tmp_path: Path) -> None:
    """As a folder of extxyz files is read."""
    for name in ("a.extxyz", "val.extxyz"):
        atoms = structures()[0]
        atoms.info["group"] = 7
        ase.io.write(tmp_path / name, atoms)
    files = [tmp_path / "a.extxyz", tmp_path / "val.extxyz"]
    result = label_carbon(files, tmp_path / "out", spacing=0.8, processes=1)
    assert result.counts == {"train": 1, "validation": 1}
    found = load_dos_dataset(tmp_path / "out")
    assert [record.group for record in (*found.train, *found.validation)] == ["7", "7"]


def test_nothing_is_left_of_a_set_without_training_structures(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "a.extxyz", molecule("CH4"))
    with pytest.raises(DataError, match="no structure for training can be used"):
        label_carbon([tmp_path / "a.extxyz"], tmp_path / "out", processes=1)
    assert not (tmp_path / "out").exists()
    (tmp_path / "a.extxyz").rename(tmp_path / "test.extxyz")
    with pytest.raises(DataError, match="there are no structures for training"):
        label_carbon([tmp_path / "test.extxyz"], tmp_path / "out", processes=1)

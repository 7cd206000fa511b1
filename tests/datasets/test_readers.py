"""What lies at a path is told by one table of readers, which users may add to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from csgnn_dgl.datasets.atoms.dos import DOSDataset, DOSRecord
from csgnn_dgl.datasets.atoms.dos_carbon import BUILT_IN
from csgnn_dgl.datasets.atoms.loading import DOS_READERS, load_dos_dataset
from csgnn_dgl.datasets.atoms.structure import Structure
from csgnn_dgl.datasets.atoms.structures import STRUCTURE_READERS, read_structures
from csgnn_dgl.datasets.kinds import data_kind, folder_readers
from csgnn_dgl.datasets.readers import Reader, register, unregister
from csgnn_dgl.datasets.shapes import ShapeDataset, load_dataset, load_shape
from csgnn_dgl.datasets.shapes.loading import SHAPE_READERS
from csgnn_dgl.datasets.shapes.shape_files import SHAPE_FILE_READERS
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.physics import EnergyGrid

Add = Callable[[Reader], None]


@pytest.fixture
def add() -> Iterator[Add]:
    """Register readers for one test."""
    added: list[Reader] = []

    def register_one(reader: Reader) -> None:
        register(reader)
        added.append(reader)

    yield register_one
    for reader in added:
        unregister(reader)


def _has(suffix: str) -> Callable[[Path], bool]:
    return lambda path: path.suffix == suffix or any(path.glob(f"*{suffix}"))


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({}, "shapes"),
        ({"a/x.npy": "", "b/x.npy": ""}, "shapes"),
        ({"train_files.txt": ""}, "shapes"),
        ({"grid.json": ""}, "dos"),
        ({"any.extxyz": ""}, "dos"),
        ({"recipe.json": ""}, "dos"),
        ({"train.csv": ""}, "dos"),
        ({"id_prop.csv": ""}, "dos"),
        ({"prices.csv": ""}, "shapes"),
        ({"C20/300K/1/doscar_s": ""}, "dos"),
        ({"run/vasprun.xml.gz": ""}, "dos"),
    ],
)
def test_kinds_follow_from_the_table(files: dict[str, str], kind: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert data_kind(tmp_path) == kind


def test_matching_never_raises(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("words")
    for path in (tmp_path, file, tmp_path / "gone", BUILT_IN):
        table = (*folder_readers(), *SHAPE_FILE_READERS, *STRUCTURE_READERS)
        assert all(isinstance(reader.matches(path), bool) for reader in table)


def test_every_layout_has_a_name() -> None:
    for table in (DOS_READERS, SHAPE_READERS, SHAPE_FILE_READERS, STRUCTURE_READERS):
        names = [reader.name for reader in table]
        assert len(set(names)) == len(names)
        assert len({reader.kind for reader in table}) == 1
        assert all(reader.layout for reader in table)


def test_own_readers_of_folders(add: Add, tmp_path: Path) -> None:
    (tmp_path / "a.mine").write_text("")
    (tmp_path / "train.extxyz").write_text("")  # which a reader of the package would take
    grid = EnergyGrid(0.0, 1.0, 3, "eV", "zero")

    def load_dos(path: Path) -> DOSDataset:
        records = tuple(DOSRecord(bulk("C", a=3.5 + i), np.ones(3), str(i)) for i in range(10))
        return DOSDataset("mine", "", records, grid=grid, quantity="electronic", dos_unit="u")

    def load_shapes(path: Path, options: Any) -> ShapeDataset:
        return load_dataset(None, points=options.points)

    assert data_kind(tmp_path) == "dos"
    add(Reader("shapes", "mine", "a.mine", _has(".mine"), load_shapes))
    assert data_kind(tmp_path) == "shapes"
    assert load_dataset(tmp_path, points=16).train.points.shape[1] == 64
    add(Reader("dos", "mine", "a.mine", _has(".mine"), load_dos))
    found = load_dos_dataset(tmp_path)
    # What is held out is the package's business, whoever reads.
    assert (found.name, len(found.train), len(found.test)) == ("mine", 9, 1)


def test_own_readers_of_files(add: Add, tmp_path: Path) -> None:
    shape, structure = tmp_path / "a.mesh", tmp_path / "a.atoms"
    shape.write_text("words")
    structure.write_text("words")
    points = np.random.default_rng(0).normal(size=(50, 3))
    add(Reader("shape file", "mine", ".mesh", _has(".mesh"), lambda path: points))
    add(
        Reader(
            "structure file",
            "mine",
            ".atoms",
            _has(".atoms"),
            lambda path, occupancy: [Structure(Atoms("C", [(0, 0, 0)]), str(path), "mine")],
        )
    )
    assert load_shape(shape, points=20).shape == (20, 3)
    assert read_structures(structure)[0].reader == "mine"
    for name in "ab":
        (tmp_path / "shapes" / name).mkdir(parents=True)
        for index in range(4):
            (tmp_path / "shapes" / name / f"{index}.mesh").write_text(f"{name}{index}")
    found = load_dataset(tmp_path / "shapes", points=20)
    assert (len(found.train), len(found.test)) == (6, 2)


def test_a_reader_that_changes_has_an_effect(add: Add, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "shapes" / name).mkdir(parents=True)
        for index in range(4):
            cloud = np.random.default_rng([index, ord(name)]).normal(size=(50, 3))
            np.savetxt(tmp_path / "shapes" / name / f"{index}.mesh", cloud)

    def read(factor: float) -> float:
        add(Reader("shape file", "mine", ".mesh", _has(".mesh"), lambda p: stretched(p, factor)))
        points = load_dataset(tmp_path / "shapes", points=50, cache_dir=tmp_path).train.points
        return float((points[..., 2].std(dim=1) / points[..., 0].std(dim=1)).mean())

    def stretched(path: Path, factor: float) -> np.ndarray:
        return np.loadtxt(path) * [1, 1, factor]

    first = read(1)
    assert read(10) == pytest.approx(10 * first, rel=1e-4)
    # Control: points from the package's own readers are kept.
    assert not list(tmp_path.rglob("*.points"))
    for path in (tmp_path / "shapes").rglob("*.mesh"):
        path.rename(path.with_suffix(".xyz"))
    load_dataset(tmp_path / "shapes", points=50, cache_dir=tmp_path)
    assert len(list(tmp_path.rglob("*.points"))) == 8


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match="did you mean 'shapes'"):
        Reader("shape", "mine", "", Path.is_dir, list)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'mine' is not registered"):
        unregister(Reader("shapes", "mine", "", Path.is_dir, list))

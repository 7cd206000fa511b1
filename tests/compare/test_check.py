"""Unfit data are refused before any training; what tests show is the test split."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import ase.io
import pandas as pd
import pytest

from csgnn_dgl.compare import cells as module
from csgnn_dgl.compare.check import check_data
from csgnn_dgl.compare.settings import Settings
from csgnn_dgl.compare.store import Store
from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.tasks.dos import evaluate as evaluation
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.dos.train import train
from csgnn_dgl.tasks.use_config import EvaluateConfig
from csgnn_dgl.testing.samples import write_dos_folder, write_shape_folder


@pytest.fixture
def atoms(tmp_path: Path) -> Path:
    return write_dos_folder(tmp_path / "atoms", [6])


def without(folder: Path, key: str) -> None:
    """Remove a value from all structures of a folder."""
    for file in folder.glob("*.extxyz"):
        frames = ase.io.read(file, ":")
        for frame in frames:
            del frame.info[key]
        ase.io.write(file, frames, format="extxyz")


def rewrite(folder: Path, **changes: Any) -> None:
    file = folder / "grid.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_structures_with_band_energies_are_accepted(atoms: Path) -> None:
    check_data(Settings("table2", str(atoms)))
    check_data(Settings("table2"))


def test_structures_without_a_test_split(atoms: Path) -> None:
    (atoms / "test.extxyz").rename(atoms / "validation.extxyz")
    with pytest.raises(DataError, match="has no test structures, of which table2 shows"):
        check_data(Settings("table2", str(atoms)))


def test_structures_without_electrons(atoms: Path) -> None:
    without(atoms, "electrons")
    with pytest.raises(DataError, match=r"no number of electrons.*band energies.*in grid\.json"):
        check_data(Settings("table2", str(atoms)))
    rewrite(atoms, electrons={"C": 2.0})
    check_data(Settings("table2", str(atoms)))


def test_phonons(atoms: Path) -> None:
    rewrite(atoms, quantity="phonon density of states")
    with pytest.raises(DataError, match=r"has phonon densities of states, but table2 compares"):
        check_data(Settings("table2", str(atoms)))


def test_shapes_without_a_test_split(tmp_path: Path) -> None:
    folder = write_shape_folder(tmp_path / "shapes", points=1024, tested=1)
    for name in ("rod", "disc", "ball"):
        for file in (folder / name / "test").iterdir():
            file.unlink()
    for table in ("table1", "table3"):
        with pytest.raises(DataError, match=f"has no test shapes, of which {table} shows"):
            check_data(Settings(table, str(folder), protocols=("so3",)))


def test_clouds_with_too_few_points(tmp_path: Path) -> None:
    """Trainings have an option for that, tables do not."""
    folder = write_shape_folder(tmp_path / "shapes", points=256)
    with pytest.raises(DataError, match=r"has 256 points.*the tables take 1,024 points") as caught:
        check_data(Settings("table1", str(folder), protocols=("so3",)))
    assert "--p" not in str(caught.value)


def test_the_axis_is_asked_for_before_shapes_are_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give --up-axis"):
        check_data(Settings("table1", str(tmp_path)))
    check_data(Settings("table1", "kinds"))  # made here, so their axis is known


def test_a_cell_refuses_its_data_before_its_training(atoms: Path, tmp_path: Path) -> None:
    """As in a job array, where no other process has looked at them."""
    rewrite(atoms, quantity="phonon density of states")
    store = Store.create(tmp_path / "table2", Settings("table2", str(atoms), models=("agni",)))
    (cell,) = store.settings.cells()
    with pytest.raises(DataError, match="phonon"):
        module.run_cell(store, cell, lambda line: None)
    assert not (store.folder(cell) / "run").exists()


def test_curves_without_band_energies_are_no_crash() -> None:
    (cell,) = Settings("table2", models=("agni",)).cells()
    whole = pd.DataFrame({"type": ["a", "b", "all"], "band_energy_mae": [1.0, None, 1.0]})
    assert module._band_energies(cell, whole) == {"a": 1.0, "all": 1.0}
    for table in (whole.drop(columns="band_energy_mae"), whole.iloc[:2]):
        with pytest.raises(DataError, match="so there is no band energy"):
            module._band_energies(cell, table)


def test_tests_of_structures(atoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are of the test split, and their time is that of the model's answers."""
    values = {"model": "agni", "epochs": 1, "batch_size": 4, "calibrate": True, "progress": False}
    run = train(TrainDOSConfig.resolve(flags={**values, "data": atoms, "output": tmp_path / "run"}))
    average, report = evaluation.average_curves, evaluation.report_calibration
    calls: list[int] = []

    def slow_at_first(trained: Any, structures: Any, **options: Any) -> Any:
        if not calls:
            time.sleep(2)
        calls.append(len(structures))
        return average(trained, structures, **options)

    def slow_report(*given: Any) -> Any:
        time.sleep(2)
        return report(*given)

    monkeypatch.setattr(evaluation, "average_curves", slow_at_first)
    monkeypatch.setattr(evaluation, "report_calibration", slow_report)
    settings = Settings("table2", str(atoms), models=("agni",))
    (cell,) = settings.cells()
    tests, further = module._tests(cell, run.path, settings, shapes=False)
    assert tests["all"] == tests["all, 8 votes"] > 0
    assert calls[-1] == 4
    assert 0 < further["milliseconds_per_item"] < 400
    (entry,) = run.read_summary()["evaluation"]
    assert entry["split"] == "test"
    assert entry["milliseconds_per_structure"] == further["milliseconds_per_item"]

    monkeypatch.undo()
    found = evaluation.evaluate(run.path, EvaluateConfig(progress=False))
    assert found.content["milliseconds_per_structure"] == found.milliseconds_per_structure > 0
    assert any(line.endswith(" ms per structure") for line in found.lines)

    (atoms / "test.extxyz").rename(atoms / "validation.extxyz")
    other = train(
        TrainDOSConfig.resolve(flags={**values, "data": atoms, "output": tmp_path / "other"})
    )
    with pytest.raises(DataError, match="has no test structures"):
        module._tests(cell, other.path, settings, shapes=False)

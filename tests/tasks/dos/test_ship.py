"""Models that come with the package: how they get there, and that they work."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read, write

from csgnn_dgl.descriptor import AtomDescriptor, OutOfDomainWarning, predict_dos
from csgnn_dgl.errors import CheckpointError
from csgnn_dgl.physics.carbon_bands import solve_bands
from csgnn_dgl.tasks.dos.baseline import MeanCurves
from csgnn_dgl.tasks.dos.evaluate import evaluate
from csgnn_dgl.tasks.dos.trained import load_dos_model
from csgnn_dgl.tasks.learned import drop_intervals
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.ship import ship
from csgnn_dgl.tasks.shipped import FOLDER, find_weights, shipped_models
from csgnn_dgl.tasks.use_config import EvaluateConfig
from csgnn_dgl.tasks.weights import load_weights, split_state

ATOMS = sorted(name for name, model in shipped_models().items() if model.kind == "dos")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A place for models, with their list."""
    path = tmp_path / "weights"
    path.mkdir()
    shutil.copy(FOLDER / "models.json", path)
    return path


def test_weights_and_figures_are_copied_and_places_are_not(
    dos_run: RunDirectory, folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(dos_run.path, copy)
    with pytest.raises(CheckpointError, match="was not evaluated"):
        ship(copy, "carbon-tb", folder)
    evaluate(copy, EvaluateConfig())
    with pytest.raises(CheckpointError, match="unknown model 'carbon': did you mean 'carbon-tb'"):
        ship(copy, "carbon", folder)
    target = ship(copy, "carbon-tb", folder)
    assert str(tmp_path).encode() not in target.read_bytes()
    atoms = [bulk("C", "diamond", 3.5)]
    np.testing.assert_array_equal(
        load_dos_model(target).predict(atoms), load_dos_model(copy).predict(atoms)
    )
    figures = json.loads((folder / "models.json").read_text())["carbon-tb"]["figures"]
    assert figures["split"] == "test"
    assert figures["structures"] == 4


def test_intervals_that_mislead_are_dropped(tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    shutil.copy(shipped_models()["carbon-tb"].path, copy)
    whole = load_dos_model(copy)
    assert {votes: set(found) for votes, found in whole.errors.items()} == {
        votes: {"dos", "fermi_level", "band_energy", "gap"} for votes in (1, 4)
    }
    atoms = read(Path(__file__).parents[3] / "docs" / "examples" / "c60-300K.extxyz")
    drop_intervals(copy, "dos", ())
    assert copy.read_bytes() == shipped_models()["carbon-tb"].path.read_bytes()
    drop_intervals(copy, "dos", ("fermi_level", "gap"))
    before, after = predict_dos(atoms, "carbon-tb"), predict_dos(atoms, copy)
    assert before.uncertainty.keys() == whole.errors[1].keys()
    assert after.uncertainty == {name: before.uncertainty[name] for name in ("dos", "band_energy")}
    np.testing.assert_array_equal(after.dos, before.dos)
    assert after.score == before.score


def test_a_run_without_intervals_ships_too(dos_run: RunDirectory, folder: Path) -> None:
    """A run with few held-out structures learned none."""
    copy = folder.parent / "run"
    shutil.copytree(dos_run.path, copy)
    evaluate(copy, EvaluateConfig())
    assert load_dos_model(ship(copy, "carbon-all", folder)).errors == {}


def test_diamond_is_known_to_carbon_all() -> None:
    diamond = bulk("C", "diamond", 3.57, cubic=True)
    found = predict_dos(diamond, "carbon-all")
    assert not found.outside
    assert found.uncertainty.keys() == {"dos", "band_energy"}
    reference = solve_bands(diamond, 0.2).band_energy / len(diamond)
    assert found.band_energy == pytest.approx(reference, abs=0.05)


@pytest.mark.parametrize("name", ATOMS)
def test_shipped_models_work_and_are_small(name: str) -> None:
    model = shipped_models()[name]
    assert model.path.stat().st_size <= 5_000_000
    assert model.figures
    assert model.limits
    # Diamond is known to one model; not so the lattice of silicon carbide with silicon renamed.
    lattice = 4.36 if name == "carbon-all" else 3.57
    with pytest.warns(OutOfDomainWarning, match=f"outside what {name} was trained on"):
        features = AtomDescriptor(name).create(bulk("C", "diamond", lattice))
    assert features.shape[0] == 2
    assert np.isfinite(features).all()
    np.testing.assert_allclose(features[0], features[1], atol=0.1)


#: SHA-256 of the names and values of the networks' tensors in version 0.1.0.
NETWORKS = {
    "phonon-dos": "6e63a39e9d54a49d0b50dc8e523ceee59c2e79d38af05d7acc0e07fd73acfb58",
}


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_shipped_networks_are_those_of_version_0_1(name: str) -> None:
    """What a model knows was added later; it changed no weight."""
    _, everything = load_weights(shipped_models()[name].path, "dos")
    network, arrays = split_state(everything)
    content = hashlib.sha256()
    for key in sorted(network):
        content.update(key.encode())
        content.update(network[key].numpy().tobytes())
    assert content.hexdigest() == NETWORKS[name]
    assert sum(array.nbytes for array in arrays.values()) <= 100_000


@pytest.mark.parametrize("name", ["carbon-tb", *sorted(NETWORKS)])
def test_shipped_models_hold_a_checksum_and_the_mean_of_their_training_data(
    name: str, tmp_path: Path
) -> None:
    model = shipped_models()[name]
    header, _ = load_weights(model.path, "dos")
    means = MeanCurves.from_plain(header.data["baseline"], load_dos_model(model.path).grid.size)
    assert means.structures == model.figures["training_structures"]
    assert means.overall.max() > 0
    # The checksum is that of the header and the tensors: a changed curve is found.
    copy = tmp_path / "changed.safetensors"
    content = model.path.read_bytes()
    assert content.count(b"checksum") == 1
    number = str(header.data["baseline"]["overall"][20]).encode()
    copy.write_bytes(content.replace(number, number[:-1] + (b"1" if number[-1:] != b"1" else b"2")))
    with pytest.raises(CheckpointError, match="damaged"):
        load_weights(copy, "dos")


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_shipped_models_have_a_baseline_on_any_data(name: str, tmp_path: Path) -> None:
    trained = load_dos_model(shipped_models()[name].path)
    grid = trained.grid
    atoms = bulk("C", "diamond", 3.57)
    atoms.info["dos"] = np.ones(grid.size)
    write(tmp_path / "train.extxyz", [atoms] * 3)
    described = {"start": grid.start, "step": grid.step, "size": grid.size, "unit": grid.unit}
    described |= {"zero": grid.zero, "quantity": trained.quantity, "dos_unit": trained.dos_unit}
    (tmp_path / "grid.json").write_text(json.dumps(described))
    found = evaluate(name, EvaluateConfig(data=tmp_path))
    assert found.comparison is not None
    assert not any("no baseline" in line for line in found.lines)


def test_a_folder_of_data_does_not_hide_a_shipped_model(
    dos_run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "carbon-tb").mkdir()
    assert find_weights("carbon-tb") == shipped_models()["carbon-tb"].path
    # A run of that name was made on purpose.
    (tmp_path / "carbon-tb").rmdir()
    shutil.copytree(dos_run.path, tmp_path / "carbon-tb")
    assert find_weights("carbon-tb") == Path("carbon-tb")

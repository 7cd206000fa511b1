"""Models of densities of states know what they were trained on, and say so in every output."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pandas as pd
import pytest
import torch
from ase import Atoms
from ase.build import bulk, graphene
from click.testing import CliRunner

from csgnn_dgl.cli.main import cli
from csgnn_dgl.datasets.atoms import carbon as carbon_tb
from csgnn_dgl.datasets.atoms.carbon import allotrope
from csgnn_dgl.datasets.atoms.carbon_trajectory import read_trajectory
from csgnn_dgl.descriptor import AtomDescriptor, OutOfDomainWarning, predict_dos
from csgnn_dgl.errors import CheckpointError, DataError
from csgnn_dgl.tasks.calibrate import calibrate
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.dos.domain import score_atoms
from csgnn_dgl.tasks.dos.evaluate import evaluate
from csgnn_dgl.tasks.dos.export import export
from csgnn_dgl.tasks.dos.prediction import predict_structures
from csgnn_dgl.tasks.dos.train import resume, train
from csgnn_dgl.tasks.dos.trained import load_dos_model
from csgnn_dgl.tasks.learned import Learned, save_learned
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.shipped import shipped_models
from csgnn_dgl.tasks.use_config import EvaluateConfig
from csgnn_dgl.tasks.weights import load_weights, save_weights, split_state


@pytest.fixture(scope="module")
def known_run(
    small_dos: dict[str, Any],
    curves_folder: Path,
    more_diamonds: Callable[[Path, str, int, int], None],
    tmp_path_factory: pytest.TempPathFactory,
) -> RunDirectory:
    """A run with enough held-out structures to know its domain."""
    folder = tmp_path_factory.mktemp("many")
    shutil.copy(curves_folder / "grid.json", folder)
    more_diamonds(folder, "train.extxyz", 120, 0)
    more_diamonds(folder, "test.extxyz", 30, 1)
    flags = {**small_dos, "data": folder, "output": folder / "run", "batch_size": 16}
    return train(TrainDOSConfig.resolve(flags=flags))


def inside(lattice: float = 3.6) -> Atoms:
    atoms = bulk("C", "diamond", lattice)
    atoms.rattle(0.04, seed=7)
    return atoms


def outside() -> Atoms:
    return graphene(vacuum=6.0)


def without_domain(run: RunDirectory, tmp_path: Path) -> Path:
    copy = Path(shutil.copytree(run.path, tmp_path / "copy"))
    save_learned(copy / "model.safetensors", "dos", Learned())
    return copy


def call(*words: Any) -> str:
    found = CliRunner().invoke(cli, [str(word) for word in words])
    assert found.exit_code == 0, found.output
    return found.output


def test_scores_separate_what_was_and_was_not_trained_on(known_run: RunDirectory) -> None:
    trained = load_dos_model(known_run.path)
    near, far = score_atoms(trained, [inside(), outside()])
    assert near is not None
    assert far is not None
    assert near.structure < 1 < far.structure
    assert not near.outside
    assert far.outside
    assert (far.atoms > 1).all()
    assert far.atoms_outside == 2
    assert near.shares.sum() == pytest.approx(1)
    summary = known_run.read_summary()["domain"]
    assert summary["held_out_groups"] == 30
    assert summary["seconds"] > 0


def test_predictions_have_uncertainties_only_inside(known_run: RunDirectory) -> None:
    trained = load_dos_model(known_run.path)
    near, far = predict_structures(trained, [inside(), outside()], electrons=1.0)
    assert set(near.uncertainty) == {"dos", "fermi_level", "band_energy", "gap"}
    for known in near.uncertainty.values():
        widths = list(known.half_widths.values())
        assert widths == sorted(widths)
        assert widths[0] >= 0
    assert near.score is not None
    assert " ± " in near.summary
    assert near.confidence is not None
    assert "up to 1: inside" in near.confidence
    assert far.uncertainty == {}
    assert far.outside
    assert far.summary.count("± unknown") == 3
    assert "above 1: outside" in str(far.confidence)


def test_levels_of_other_numbers_of_electrons_are_unknown(known_run: RunDirectory) -> None:
    trained, atoms = load_dos_model(known_run.path), inside()
    atoms.info["electrons_per_atom"] = 1.0
    (found,) = predict_structures(trained, [atoms], electrons=1.1)
    assert set(found.uncertainty) == {"dos"}
    assert found.summary.count("± unknown") == 3
    assert set(predict_structures(trained, [atoms], electrons=1.0)[0].uncertainty) > {"gap"}
    assert set(predict_structures(trained, [atoms])[0].uncertainty) > {"gap"}


def test_neither_neighbours_in_a_batch_nor_orientation_change_a_score(
    known_run: RunDirectory,
) -> None:
    trained = load_dos_model(known_run.path)
    turned = inside()
    turned.rotate(50, (1, 2, 3), rotate_cell=True)
    alone = score_atoms(trained, [inside()])[0]
    among = score_atoms(trained, [outside(), turned])[1]
    assert alone is not None
    assert among is not None
    np.testing.assert_allclose(alone.atoms, among.atoms, rtol=1e-6)
    # A large crystal is cut into tiles, whose atoms have the same surroundings.
    large = bulk("C", "diamond", 3.6, cubic=True).repeat(7)
    small = score_atoms(trained, [bulk("C", "diamond", 3.6)])[0]
    tiled = score_atoms(trained, [large])[0]
    assert len(large) > 2048
    assert small is not None
    assert tiled is not None
    np.testing.assert_allclose(tiled.atoms, small.atoms[0], rtol=1e-4)


def test_text_json_npz_csv_and_pictures_of_predict(known_run: RunDirectory, tmp_path: Path) -> None:
    files = [tmp_path / "near.extxyz", tmp_path / "far.extxyz"]
    for file, atoms in zip(files, (inside(), outside()), strict=True):
        ase.io.write(file, atoms)
    words = ["predict", known_run.path, *files, "--electrons", 1]
    text = call(*words, "-o", tmp_path / "a.npz", "--plot", tmp_path / "plots")
    assert text.count("out-of-domain score") == 2
    assert text.count("warning: outside what") == 1
    assert "2 of 2 atoms outside" in text
    assert sorted(p.name for p in (tmp_path / "plots").iterdir()) == ["far.png", "near.png"]
    near, far = (entry["structures"][0] for entry in json.loads(call(*words, "--json")))
    assert near["out_of_domain_score"] < 1 < far["out_of_domain_score"]
    assert (near["outside_domain"], far["outside_domain"]) == (False, True)
    assert near["uncertainty"]["band_energy"]["0.9"] >= near["uncertainty"]["band_energy"]["0.68"]
    assert far["uncertainty"] == {}
    assert len(far["atom_scores"]) == 2
    with np.load(tmp_path / "a.npz") as file:
        arrays = dict(file)
    np.testing.assert_allclose(arrays["structure_score"][0], near["out_of_domain_score"])
    assert arrays["atom_score"].shape == (4,)
    for name in ("dos", "fermi_level", "band_energy", "gap"):
        for level in (68, 90):
            values = arrays[f"{name}_uncertainty_{level}"]
            assert np.isfinite(values).tolist() == [True, False]
    call(*words, "-o", tmp_path / "a.csv")
    rows = pd.read_csv(tmp_path / "a.csv").groupby("file").first()
    scores = rows["out-of-domain score"]
    assert scores[str(files[0])] < 1 < scores[str(files[1])]
    widths = rows["band energy ± 90 % [eV/atom]"]
    assert np.isfinite(widths[str(files[0])])
    assert np.isnan(widths[str(files[1])])


@pytest.mark.parametrize("ending", ["npz", "csv", "extxyz", "parquet"])
def test_outputs_of_describe(known_run: RunDirectory, tmp_path: Path, ending: str) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    files = [tmp_path / "near.extxyz", tmp_path / "far.extxyz"]
    for file, atoms in zip(files, (inside(), outside()), strict=True):
        ase.io.write(file, atoms)
    output = tmp_path / f"found.{ending}"
    words = ["describe-atoms", *files, "--weights", known_run.path]
    text = call(*words, "-o", output)
    assert text.count("warning: outside what") == 1
    assert "do not rely on these descriptors" in text
    if ending == "npz":
        with np.load(output) as content:
            atom, structure = content["atom_score"], content["structure_score"]
    elif ending == "extxyz":
        frames = ase.io.read(output, ":")
        atom = np.concatenate([frame.arrays["atom_score"] for frame in frames])
        structure = np.array([frame.info["structure_score"] for frame in frames])
    else:
        read = pd.read_parquet if ending == "parquet" else pd.read_csv
        table = read(output)
        atom = table["atom_score"].to_numpy()
        structure = table["structure_score"].to_numpy()[[0, -1]]
    assert atom.shape == (4,)
    assert (atom[2:] > 1).all()
    assert structure[0] < 1 < structure[1]
    near, far = json.loads(call(*words, "--json"))
    assert near["structures"][0]["outside_domain"] is False
    np.testing.assert_allclose(far["structures"][0]["out_of_domain_score"], structure[1], rtol=1e-5)


def test_calls_from_python_warn_once(known_run: RunDirectory) -> None:
    descriptor = AtomDescriptor(known_run.path)
    descriptor.create(inside())
    with pytest.warns(OutOfDomainWarning, match=r"structure 1 \(C2\).*1 more structures") as seen:
        descriptor.create([inside(), outside(), outside()])
    assert len(seen) == 1
    assert seen[0].filename == __file__
    with pytest.warns(OutOfDomainWarning, match="structure 0"):
        descriptor.create(outside(), centers=[1])
    near, far = descriptor.scores([inside(), outside()])
    assert near is not None
    assert far is not None
    assert near.structure < 1 < far.structure
    alone = descriptor.scores(outside())
    assert alone is not None
    assert alone.structure == far.structure
    AtomDescriptor(known_run.path, check_domain=False).create(outside())
    with pytest.warns(OutOfDomainWarning, match="how wrong it is is unknown") as seen:
        predict_dos(outside(), known_run.path, electrons=1.0)
    assert seen[0].filename == __file__


def test_files_without_a_domain_say_that_it_is_unknown(
    known_run: RunDirectory, tmp_path: Path
) -> None:
    copy = without_domain(known_run, tmp_path)
    ase.io.write(tmp_path / "far.extxyz", outside())
    text = call(
        "predict", copy, tmp_path / "far.extxyz", "--electrons", 1, "-o", tmp_path / "a.npz"
    )
    assert "does not say what its model was trained on" in text
    assert "±" not in text
    with np.load(tmp_path / "a.npz") as file:
        arrays = dict(file)
    assert np.isnan(arrays["structure_score"]).all()
    assert np.isnan(arrays["atom_score"]).all()
    entry = json.loads(call("predict", copy, tmp_path / "far.extxyz", "--electrons", 1, "--json"))
    structure = entry[0]["structures"][0]
    assert structure["out_of_domain_score"] is None
    assert structure["outside_domain"] is None
    output = tmp_path / "a.csv"
    text = call("describe-atoms", tmp_path / "far.extxyz", "--weights", copy, "-o", output)
    assert "does not say what its model was trained on" in text
    assert np.isnan(pd.read_csv(output)["atom_score"]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        descriptor = AtomDescriptor(copy)
        descriptor.create(outside())
        assert descriptor.scores(outside()) is None
    # Predictions are the same, bit for bit.
    np.testing.assert_array_equal(
        load_dos_model(copy).predict([inside()]), load_dos_model(known_run.path).predict([inside()])
    )
    lines = evaluate(copy, EvaluateConfig()).lines
    assert any("uncertainties are unknown" in line for line in lines)


def test_calibrating_later_gives_what_the_training_gives(
    known_run: RunDirectory, tmp_path: Path
) -> None:
    copy = without_domain(known_run, tmp_path)
    found = calibrate(copy)
    assert found.trained.was_trained_on(found.data)
    assert (copy / "model.safetensors").read_bytes() == known_run.model.read_bytes()
    alone = tmp_path / "alone.safetensors"
    save_weights(
        alone, load_weights(known_run.model, "dos")[1], load_weights(known_run.model, "dos")[0]
    )
    save_learned(alone, "dos", Learned())
    options = known_run.path.parent
    calibrate(alone, options)
    assert alone.read_bytes() == known_run.model.read_bytes()


def test_calibrating_a_shipped_model_gives_no_intervals_that_mislead(
    known_run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shipped.safetensors"
    header, state = load_weights(known_run.model, "dos")
    save_weights(path, state, header)
    shipped = replace(shipped_models()["carbon-all"], path=path)
    monkeypatch.setattr("csgnn_dgl.tasks.calibrate.shipped_models", lambda: {"carbon-all": shipped})
    assert set(load_dos_model(path).errors[1]) >= {"dos", "gap"}
    calibrate(path, known_run.path.parent)
    assert set(load_dos_model(path).errors[1]) == {"dos", "band_energy"}


def test_a_run_that_is_resumed_when_finished_learns_again(
    known_run: RunDirectory, tmp_path: Path
) -> None:
    copy = without_domain(known_run, tmp_path)
    resume(copy)
    assert (copy / "model.safetensors").read_bytes() == known_run.model.read_bytes()


def test_few_held_out_structures_are_said(
    dos_run: RunDirectory, tmp_path: Path, curves_folder: Path, small_dos: dict[str, Any]
) -> None:
    assert load_dos_model(dos_run.path).domain is None
    lines: list[str] = []
    flags = {**small_dos, "data": curves_folder, "output": tmp_path / "run"}
    train(TrainDOSConfig.resolve(flags=flags), lines.append)
    assert any("4 held-out samples are too few" in line for line in lines)
    before = dos_run.model.read_bytes()
    with pytest.raises(DataError, match="at least 20"):
        calibrate(dos_run.path)
    assert dos_run.model.read_bytes() == before


def test_evaluation_checks_the_uncertainties(known_run: RunDirectory, tmp_path: Path) -> None:
    copy = RunDirectory(Path(shutil.copytree(known_run.path, tmp_path / "copy")))
    found = evaluate(copy.path, EvaluateConfig())
    text = "\n".join(found.lines)
    assert "errors within the intervals" in text
    assert copy.figure("calibration-test").is_file()
    (entry,) = copy.read_summary()["evaluation"]
    rows = pd.DataFrame(entry["calibration"]["coverage"])
    assert set(rows["quantity"]) == {"dos", "fermi_level", "band_energy", "gap"}
    high = rows[(rows["level"] == 0.95) & (rows["quantity"] == "dos")]
    assert float(high["coverage"].iloc[0]) >= 0.7


def test_exported_programs_are_the_network_alone(known_run: RunDirectory, tmp_path: Path) -> None:
    export(known_run.path, tmp_path / "a.pt2")
    export(without_domain(known_run, tmp_path), tmp_path / "b.pt2")
    programs = [torch.export.load(tmp_path / name) for name in ("a.pt2", "b.pt2")]
    first, second = (program.state_dict for program in programs)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("damage", ["calibration", "local", "length", "limits"])
def test_damaged_domains_are_named(known_run: RunDirectory, tmp_path: Path, damage: str) -> None:
    header, everything = load_weights(known_run.model, "dos")
    calibration = json.loads(json.dumps(header.calibration))
    domain = json.loads(json.dumps(header.domain))
    if damage == "calibration":
        calibration["votes"]["1"]["dos"]["quantiles"] = {}
    elif damage == "local":
        everything["domain.error.1.dos"] = torch.ones(3)
    elif damage == "length":
        everything["domain.mean"] = torch.zeros(5)
        everything["domain.whitening"] = torch.zeros(5, everything["domain.places"].shape[1])
    else:
        del domain["limits"]["group"]
    path = tmp_path / "damaged.safetensors"
    fields = {"domain": domain, "calibration": calibration}
    save_weights(path, everything, type(header)(**{**vars(header), **fields}))
    with pytest.raises(CheckpointError, match=r"is damaged.*train again"):
        load_dos_model(path)
    assert split_state(everything)[0]


def test_diamond_is_outside_carbon_tb_and_its_limits_are_printed(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "diamond.cif", bulk("C", "diamond", 3.57, cubic=True))
    words = ["predict", "carbon-tb", tmp_path / "diamond.cif"]
    text = call(*words)
    assert "± unknown" in text
    assert "warning: outside what carbon-tb was trained on" in text
    assert "limit of carbon-tb: Trained on graphene" in text
    (entry,) = json.loads(call(*words, "--json"))
    assert entry["structures"][0]["limits"]
    snapshot = Path(carbon_tb.__file__).with_name("files") / "carbon-tb-small/C60-300K-test.npz"
    ase.io.write(tmp_path / "inside.extxyz", read_trajectory(snapshot).atoms(0))
    text = call("predict", "carbon-tb", tmp_path / "inside.extxyz")
    assert "limit of" not in text
    assert "warning: outside" not in text
    assert "± unknown" not in text
    # The relaxed molecule is not like snapshots at 300 K, and its band energy is farther off.
    ase.io.write(tmp_path / "relaxed.xyz", allotrope("C60"))
    text = call("predict", "carbon-tb", tmp_path / "relaxed.xyz")
    assert "more regular than those in training" in text
    assert "± unknown" in text
    text = call("describe-atoms", tmp_path / "diamond.cif", "--weights", "carbon-tb")
    assert "(above 1: outside)" in text
    assert "inside" not in text
    assert "limit of carbon-tb" in text


def test_crystals_of_one_kind_of_site_are_inside_phonon_dos(tmp_path: Path) -> None:
    """Its training data are relaxed crystals, silicon among them."""
    ase.io.write(tmp_path / "silicon.cif", bulk("Si", "diamond", 5.431, cubic=True))
    text = call("predict", "phonon-dos", tmp_path / "silicon.cif")
    assert "up to 1: inside" in text
    assert "more regular" not in text

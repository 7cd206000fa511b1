"""describe-atoms, predict and models by the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import ase.io
import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk

from csgnn_dgl.cli.main import main
from csgnn_dgl.datasets.atoms.structures import Occupancy
from csgnn_dgl.tasks.use_config import OccupancyChoice

Run = Callable[..., tuple[int, str, str]]
SALT = bulk("NaCl", "rocksalt", 5.64)
CIF = """data_x
_cell_length_a 5
_cell_length_b 5
_cell_length_c 5
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Na1 Na 0 0 0 1
Cl1 Cl 0.5 0.5 0.5 1
"""
POSCAR = "salt\n1.0\n5 0 0\n0 5 0\n0 0 5\nNa Cl\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"
BOX = 'Lattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3'


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command: exit status and both streams."""

    def call(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A CIF, and a trajectory of two frames."""
    ase.io.write(tmp_path / "salt.cif", SALT)
    ase.io.write(tmp_path / "two.extxyz", [SALT, SALT * (2, 1, 1)])
    return [tmp_path / "salt.cif", tmp_path / "two.extxyz"]


def test_occupancies_are_those_that_are_understood() -> None:
    assert get_args(OccupancyChoice) == get_args(Occupancy)


def test_describing_prints_what_was_understood(
    run: Run, files: list[Path], phonon_weights: Path
) -> None:
    status, out, err = run("describe-atoms", *files, "--weights", phonon_weights)
    assert (status, err) == (0, "")
    assert f"{files[0]}: ClNa, 2 sites" in out or f"{files[0]}: NaCl, 2 sites" in out
    assert "read by gemmi" in out
    assert f"{files[1]}[1]: Cl2Na2, 4 sites" in out
    assert "4 atoms × 16 numbers; write all of them with -o FILE" in out
    assert f"8 atoms of 3 structures described by {phonon_weights}" in out
    status, out, _ = run("describe-atoms", *files, "--weights", phonon_weights, "--json")
    content = json.loads(out)
    assert [entry["sites"] for entry in content[1]["structures"]] == [2, 4]
    assert content[0]["structures"][0]["reader"] == "gemmi"


def test_descriptors_as_files(
    run: Run, files: list[Path], phonon_weights: Path, tmp_path: Path
) -> None:
    found = {}
    for ending in ("npz", "csv", "extxyz"):
        path = tmp_path / f"out.{ending}"
        words = ("describe-atoms", *files, "--weights", phonon_weights, "-o", path)
        status, out, _ = run(*words)
        assert status == 0
        assert f"written to {path}" in out
        assert "numbers; write" not in out
        found[ending] = path
    with np.load(found["npz"]) as content:
        features = content["features"]
        assert features.shape == (8, 16)
        assert content["structure"].tolist() == [0, 0, 1, 1, 2, 2, 2, 2]
        assert content["first_atom"].tolist() == [0, 2, 4, 8]
        assert content["source_file"].tolist() == [str(files[0]), str(files[1]), str(files[1])]
        assert content["frame"].tolist() == [0, 0, 1]
        metadata = json.loads(str(content["metadata"]))
        assert metadata["weights"] == str(phonon_weights)
        assert metadata["units"]["position"] == "angstrom"
        position, symbol = content["position"], content["symbol"]
    table = pd.read_csv(found["csv"])
    assert table["symbol"].tolist() == symbol.tolist()
    assert table["atom"].tolist() == [0, 1, 0, 1, 0, 1, 2, 3]
    np.testing.assert_allclose(table[["x_angstrom", "y_angstrom", "z_angstrom"]], position)
    np.testing.assert_allclose(table[[f"f{k:02d}" for k in range(16)]], features, rtol=1e-5)
    frames = ase.io.read(found["extxyz"], index=":")
    assert [len(frame) for frame in frames] == [2, 2, 4]
    assert frames[0].info["weights"] == str(phonon_weights)
    stacked = np.concatenate([frame.arrays["descriptor"] for frame in frames])
    np.testing.assert_allclose(stacked, features, atol=1e-6)


def test_descriptors_over_votes(
    run: Run, files: list[Path], phonon_weights: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.npz"
    words = ("describe-atoms", files[0], "--weights", phonon_weights, "-o", path)
    assert run(*words)[0] == 0
    with np.load(path) as file:
        one = dict(file)
    assert json.loads(str(one["metadata"]))["votes"] == 1
    assert run(*words, "--votes", 2, "--seed", 3)[0] == 0
    with np.load(path) as file:
        two = dict(file)
    metadata = json.loads(str(two["metadata"]))
    assert (metadata["votes"], metadata["vote_set"], metadata["vote_seed"]) == (2, "designed", 3)
    assert np.abs(one["features"] - two["features"]).max() > 1e-6
    for idle in (("--seed", 3), ("--vote-set", "random")):
        status, _, err = run(*words, *idle)
        assert status == 2
        assert "with one vote" in err


def test_parquet(run: Run, files: list[Path], phonon_weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "out.parquet"
    assert run("describe-atoms", *files, "--weights", phonon_weights, "-o", path)[0] == 0
    table = pd.read_parquet(path)
    assert len(table) == 8
    assert table.attrs["csgnn_dgl"]["features"] == 16


def test_parquet_without_pyarrow_is_a_clear_message(
    run: Run,
    files: list[Path],
    phonon_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    words = ("describe-atoms", *files, "--weights", phonon_weights, "-o", tmp_path / "a.parquet")
    status, _, err = run(*words)
    assert status == 2
    assert "pip install 'csgnn-dgl[parquet]'" in err


def test_one_bad_file_does_not_stop_the_rest(
    run: Run, files: list[Path], phonon_weights: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.cif"
    bad.write_text(CIF.replace("0 0 0 1", "0 0 0 0.5"))
    close = tmp_path / "singular.extxyz"
    close.write_text(f'2\n{BOX} pbc="T T T"\nNa 0 0 0\nCl 0 0 0.01\n')
    output = tmp_path / "out.npz"
    words = ("describe-atoms", files[0], bad, close, files[1], "--weights", phonon_weights)
    status, out, err = run(*words, "-o", output)
    assert status == 1
    assert f"{bad}: cannot be used" in out
    assert "2 of 4 files cannot be used" in err
    assert "Na1 (0.5)" in err
    assert f"{close}: atoms 0 and 1 are at one place" in err
    with np.load(output) as file:
        assert len(file["features"]) == 8
    status, out, err = run(*words, "--strict", "-o", tmp_path / "strict.npz")
    assert status == 2
    assert err.startswith(f"error: {bad}: sites are not fully occupied")
    assert not (tmp_path / "strict.npz").exists()
    assert run(*words, "--occupancy", "full")[0] == 1


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.cif", CIF.split("loop_")[0], "holds no atom sites"),
        ("a.cif", CIF.split("Na1")[0] + "? ? ? ? ? ?\n", "holds no atom sites"),
        ("a.cif", CIF.replace("P 1", "Q 7 x"), "space group 'Q 7 x' is not known"),
        ("a.cif", CIF.replace("0 0 0 1", "0 0 0 ?"), "not fully occupied: Na1 (unknown)"),
        ("a.cif", CIF.replace("0.5 0.5 0.5", "0 0 0"), "different elements are at one place"),
        ("a.cif", CIF.replace("alpha 90", "alpha 0"), "singular, or not in Å"),
        ("a.cif", CIF.replace("length_a 5", "length_a 0.1"), "vector is 0.100 Å long"),
        ("a.extxyz", f"2\n{BOX}\nNa 0 0 0\nNa 0 0 0\n", "atoms 0 and 1 are at one place"),
        ("a.extxyz", f"1\n{BOX}\nNa nan 0 0\n", "positions are NaN or infinite: atom 0 (Na)"),
        ("POSCAR", POSCAR.replace("1 1\n", "1 2\n"), "counts 3 atoms (1 2), but 2 rows"),
        ("POSCAR", POSCAR.replace("1 1\n", "1\n"), "names 2 elements (Na Cl), but line 7"),
        ("a.cif", "", "is empty (0 bytes)"),
        ("a.zip", "nothing", "cannot be read"),
    ],
)
def test_bad_structures(
    name: str, text: str, message: str, run: Run, phonon_weights: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    for words in (
        ("describe-atoms", tmp_path / name, "--weights", phonon_weights),
        ("predict", phonon_weights, tmp_path / name),
    ):
        status, _, err = run(*words)
        assert status == 2
        assert message in err
        assert str(tmp_path / name) in err
        assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["describe-atoms", "{file}", "--weights", "phonon-doss"], "did you mean 'phonon-dos'"),
        (["describe-atoms", "{file}", "--weights", "{file}"], "damaged or not a safetensors"),
        (["describe-atoms", "{file}", "--weights", "{weights}", "-o", "a.txt"], "Known: .csv"),
        (
            ["describe-atoms", "{file}", "--weights", "{weights}", "-o", "no/a.npz"],
            "does not exist",
        ),
        (["describe-atoms", "{file}", "--weights", "{weights}", "-o", "d.npz"], "is a folder"),
        (["describe-atoms", "gone.cif", "--weights", "{weights}"], "gone.cif does not exist"),
        (["describe-atoms", "{file}", "--weights", "{weights}", "--device", "abacus"], "'abacus'"),
        (["describe-atoms"], "Missing argument 'FILES"),
        (["predict", "no-run", "{file}"], "there is no run no-run"),
        (["predict", "{weights}", "{file}", "--top", "3"], "so --top means nothing here"),
        (["predict", "{weights}", "{file}", "--electrons", "3"], "which holds none"),
        (["predict", "{weights}", "{file}", "--electrons", "-1"], "electrons = -1"),
        (["predict", "{weights}", "{file}", "-o", "a.extxyz"], "Known: .csv, .npz"),
        (["predict", "{weights}", "{file}", "--plot", "a.gif"], "Known: .pdf, .png, .svg"),
        (["predict", "{weights}", "{file}", "--plot-format", "pdf"], "nothing is drawn without"),
        (
            ["predict", "{weights}", "{file}", "--plot", "a.png", "--plot-format", "svg"],
            "the ending of a.png says the format, so --plot-format means nothing",
        ),
        (
            ["predict", "{weights}", "{file}", "--plot", "p", "--plot-format", "gif"],
            "'gif' is not one of",
        ),
        (["predict", "{carbon}", "{diamond}", "--electrons", "99"], "window of -10 … 10 eV"),
        (["predict", "{carbon}", "{file}"], "cannot be told from C"),
    ],
)
def test_mistakes(
    words: list[str],
    message: str,
    run: Run,
    files: list[Path],
    phonon_weights: Path,
    carbon_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.npz").mkdir()
    ase.io.write(tmp_path / "c.cif", bulk("C", "diamond", 3.57))
    before = sorted(tmp_path.rglob("*"))
    names = {"file": files[0], "weights": phonon_weights, "carbon": carbon_weights}
    status, _, err = run(*(word.format(**names, diamond="c.cif") for word in words))
    assert status == 2
    assert message in err
    assert "Traceback" not in err
    assert sorted(tmp_path.rglob("*")) == before


def test_electronic_predictions(
    run: Run, carbon_weights: Path, salt_weights: Path, files: list[Path], tmp_path: Path
) -> None:
    atoms = bulk("C", "diamond", 3.57)
    atoms.info["dos"] = np.full(41, 0.5)
    trajectory = tmp_path / "c.extxyz"
    ase.io.write(trajectory, [atoms, atoms * (2, 1, 1)])
    output, folder = tmp_path / "c.npz", tmp_path / "pictures"
    status, out, err = run(
        "predict", carbon_weights, trajectory, "-o", output, "--plot", folder, "--votes", 2
    )
    assert (status, err) == (0, "")
    assert f"{trajectory}[1]: C4, 4 sites" in out
    assert "E_F " in out
    assert "band energy" in out
    assert "mean absolute error" in out
    assert sorted(path.name for path in folder.iterdir()) == ["c-0.png", "c-1.png"]
    with np.load(output) as content:
        assert content["dos"].shape == (2, 41)
        assert content["atom_dos"].shape == (6, 41)
        assert content["energies"][0] == -10
        assert np.isfinite(content["fermi_level"]).all()
        assert json.loads(str(content["metadata"]))["zero_of_energy"] == "vacuum level"
    run("predict", carbon_weights, trajectory, "-o", tmp_path / "c.csv")
    table = pd.read_csv(tmp_path / "c.csv")
    assert len(table) == 82
    assert {"energy [eV]", "dos [states/eV/atom]", "fermi level [eV]"} <= set(table)
    assert "reference dos [states/eV/atom]" in table
    status, out, _ = run("predict", carbon_weights, trajectory, "--json")
    entry = json.loads(out)[0]["structures"][0]
    assert entry["electrons_per_atom"] == 4
    assert entry["energy_unit"] == "eV"
    assert len(entry["dos"]) == 41
    status, out, _ = run("predict", salt_weights, files[0])
    assert status == 0
    assert "give --electrons PER_ATOM" in out
    assert "E_F" in run("predict", salt_weights, files[0], "--electrons", 4)[1]


def test_phonon_predictions(
    run: Run, phonon_weights: Path, files: list[Path], tmp_path: Path
) -> None:
    picture = tmp_path / "a.png"
    status, out, _ = run("predict", phonon_weights, files[0], "--plot", picture)
    assert status == 0
    assert "phonon DOS, mean at" in out
    assert picture.read_bytes().startswith(b"\x89PNG")
    alone = picture.read_bytes()
    status, out, _ = run("predict", phonon_weights, *files, "--plot", picture)
    assert status == 0
    assert f"1 picture: {picture}" in out
    assert picture.read_bytes() != alone
    ase.io.write(tmp_path / "h.xyz", Atoms("H2", [[0, 0, 0], [0, 0, 0.7]]))
    _, out, _ = run("predict", phonon_weights, tmp_path / "h.xyz", tmp_path / "h.xyz")
    assert out.count("warning: H was not among the 3 elements") == 1


def test_many_files_with_one_name(
    run: Run, phonon_weights: Path, files: list[Path], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    ase.io.write(other / "salt.cif", SALT)
    both = ("predict", phonon_weights, files[0], other / "salt.cif")
    run(*both, "--plot", tmp_path / "p")
    assert sorted(p.name for p in (tmp_path / "p").iterdir()) == ["salt.png", "salt_2.png"]
    run(*both, "--plot", tmp_path / "q", "--plot-format", "svg")
    assert sorted(p.name for p in (tmp_path / "q").iterdir()) == ["salt.svg", "salt_2.svg"]
    assert b"<svg" in (tmp_path / "q" / "salt.svg").read_bytes()[:1000]


def test_shipped_models_are_listed(run: Run) -> None:
    status, out, _ = run("models")
    assert status == 0
    for word in ("carbon-tb", "phonon-dos", "trained on", "limit", "made by"):
        assert word in out
    entries = json.loads(run("models", "--json")[1])
    assert [entry["name"] for entry in entries] == [
        *("carbon-all", "carbon-tb", "phonon-dos", "phonon-dos-4", "shapes", "shapes-small")
    ]
    for entry in entries:
        assert entry["bytes"] is None or entry["bytes"] <= 5_000_000


def test_every_real_file_is_described_or_refused(
    run: Run, shared_data: Path, phonon_weights: Path
) -> None:
    files = sorted((shared_data / "cif").glob("*.cif"))
    status, out, err = run("describe-atoms", *files, "--weights", phonon_weights, "--json")
    assert status == 1
    refused = {Path(entry["file"]).name for entry in json.loads(out) if entry["error"]}
    # Two are partially occupied, one has a placeholder for a cell, one no sites.
    assert refused == {
        "abipy__cifs__LLZO_partial_occ.cif",
        "jarvis__exp_000034.cif",
        "dans_diffraction__Cubic.cif",
        "diffpy__nosites.cif",
    }
    assert "Traceback" not in err

"""Bad input for view and report: status 2, one clear line, no page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase.build import bulk, molecule

from csgnn_dgl.viewing.view import possible_domains

Run = Callable[..., Any]


@pytest.fixture
def files(tmp_path: Path, trefoil: Path, solids: Path) -> dict[str, Path]:
    ase.io.write(tmp_path / "salt.cif", bulk("NaCl", "rocksalt", 5.64))
    ase.io.write(tmp_path / "water.xyz", molecule("H2O"))
    (tmp_path / "points.xyz").write_text("0 0 0\n1 0 0\n0 1 0\n0 0 1\n")
    np.save(tmp_path / "none.npy", np.zeros((0, 3)))
    (tmp_path / "empty.cif").write_text("data_x\n_cell_length_a 5\n")
    (tmp_path / "empty.off").write_text("OFF\n0 0 0\n")
    (tmp_path / "text.safetensors").write_text("no weights")
    names = ("salt.cif", "water.xyz", "points.xyz", "none.npy", "empty.cif", "empty.off")
    found = {name.replace(".", "_"): tmp_path / name for name in (*names, "text.safetensors")}
    return {**found, "trefoil": trefoil, "solids": solids, "folder": tmp_path}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("view {none_npy}", "none.npy"),
        ("view {empty_off}", "empty.off holds no vertices"),
        ("view {empty_cif}", "empty.cif"),
        ("view {folder}/gone.off", "gone.off does not exist"),
        ("view {folder}", "is a folder"),
        ("view {trefoil}", "trefoil.npy has 300 points, but 1024 are asked for"),
        ("view {trefoil} -o page.png", "cannot write page.png as .png"),
        ("view {trefoil} -o {trefoil}", "as .npy"),
        ("view {trefoil} -o no/page.html", "its folder does not exist"),
        ("view {trefoil} --model no-run", "there is no run no-run"),
        ("view {trefoil} --model {text_safetensors}", "damaged or not a safetensors file"),
        (
            "view {salt_cif} --model {solids}",
            "solids.safetensors classifies shapes, but {salt_cif} is a structure of atoms",
        ),
        (
            "view {trefoil} --model carbon-tb",
            "carbon-tb predicts densities of states, but {trefoil} is a mesh or a cloud",
        ),
        ("view {salt_cif} --model carbon-tb", "cannot be told from C"),
        ("view {salt_cif} --model carbon-tb", "error: {salt_cif}: "),
        ("view {salt_cif} --points 30", "the file holds atoms, so --points means nothing here"),
        ("view {trefoil} --frame 1", "the file holds a shape, so --frame means nothing here"),
        ("view {salt_cif} --votes 2", "there is no --model, so --votes means nothing here"),
        ("view {salt_cif} --electrons 2", "there is no --model, so --electrons means nothing"),
        ("view {salt_cif} --seed 2", "nothing is random without --model, so --seed means nothing"),
        ("view {salt_cif} --model phonon-dos --seed 2", "so --seed means nothing here"),
        ("view {salt_cif} --model phonon-dos --electrons 2", "which holds none"),
        ("view {salt_cif} --model phonon-dos --cutoff 4", "has a cutoff of 7 Å, so --cutoff"),
        ("view {salt_cif} --model phonon-dos --level 2", "has spheres of its own, so --level"),
        ("view {trefoil} --model {solids} --level 2", "has spheres of its own, so --level"),
        ("view {trefoil} --model {solids} --points 99", "was trained on 256 points, so --points"),
        ("view {trefoil} --model {solids} --kind shapes", "classifies shapes, so --kind means"),
        ("view {salt_cif} --cutoff -1", "cutoff = -1"),
        ("view {salt_cif} --limit 0", "limit = 0"),
        ("view {salt_cif} --frame 1", "holds one structure, 0, but --frame is 1"),
        ("view {salt_cif} --kind shapes", "salt.cif is not a mesh or cloud file"),
        ("view {salt_cif} --modell x", "did you mean --model?"),
        ("view", "Missing argument 'FILE'"),
        ("report no-run", "there is no run no-run"),
        ("report {solids}", "solids.safetensors is a file, not a run directory"),
        ("report carbon-tb", "there is no run carbon-tb"),
    ],
)
def test_mistakes(
    words: str,
    message: str,
    run: Run,
    files: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = run(*(word.format(**files) for word in words.split()))
    assert done.status == 2
    assert message.format(**files) in done.err
    assert "Traceback" not in done.err
    assert sorted(tmp_path.rglob("*")) == before


def test_kinds_of_files(files: dict[str, Path]) -> None:
    assert possible_domains(files["water_xyz"]) == ("atoms", "shapes")
    assert possible_domains(files["points_xyz"]) == ("shapes", "atoms")
    assert possible_domains(files["salt_cif"]) == ("atoms",)
    assert possible_domains(files["trefoil"]) == ("shapes",)
    assert possible_domains(Path("POSCAR")) == ("atoms",)


def test_an_older_page_stays_if_there_is_an_error(run: Run, files: dict[str, Path]) -> None:
    path = files["folder"] / "page.html"
    path.write_text("older")
    assert run("view", files["empty_off"], "-o", path).status == 2
    assert path.read_text() == "older"

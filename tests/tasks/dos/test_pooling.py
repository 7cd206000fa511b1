"""Descriptors of whole structures: by the call, and by the command in every format."""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import ase.io
import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk

from csgnn_dgl.cli.main import main
from csgnn_dgl.descriptor import AtomDescriptor
from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.tasks.dos.chemiscope_file import principal_components
from csgnn_dgl.tasks.dos.pooling import pool_descriptors
from csgnn_dgl.tasks.use_config import Pool

SALT = bulk("NaCl", "rocksalt", 5.64)
DIAMOND = bulk("C", "diamond", 3.57)
BIG = SALT * (2, 1, 1)
Run = Callable[..., tuple[int, str, str]]


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
    """A crystal, and a trajectory of two frames with other elements."""
    ase.io.write(tmp_path / "salt.extxyz", SALT)
    ase.io.write(tmp_path / "two.extxyz", [DIAMOND, BIG])
    return [tmp_path / "salt.extxyz", tmp_path / "two.extxyz"]


def test_pooled_rows_are_those_of_the_atoms(phonon_weights: Path) -> None:
    descriptor = AtomDescriptor(phonon_weights)
    parts = descriptor.create([SALT, DIAMOND, BIG])
    mean = descriptor.create_pooled(iter([SALT, DIAMOND, BIG]))
    assert mean.shape == (3, 16)
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, [part.mean(axis=0) for part in parts], atol=1e-6)
    total = descriptor.create_pooled([SALT, DIAMOND, BIG], "sum")
    np.testing.assert_allclose(total, [part.sum(axis=0) for part in parts], atol=1e-5)
    one = descriptor.create_pooled(BIG)
    np.testing.assert_allclose(one, mean[2], atol=1e-6)
    each = descriptor.create_pooled([SALT, DIAMOND], "per-element")
    assert each.shape == (2, 48)  # C, Na, Cl: what the model was trained on
    np.testing.assert_allclose(each[0], np.concatenate([np.zeros(16), *parts[0]]), atol=1e-6)
    np.testing.assert_allclose(each[1, :16], mean[1], atol=1e-6)
    assert not each[1, 16:].any()
    chosen = descriptor.create_pooled(SALT, "per-element", elements=["Cl", 11])
    np.testing.assert_allclose(chosen, np.concatenate([each[0, 32:], each[0, 16:32]]), atol=1e-6)
    assert descriptor.create_pooled([]).shape == (0, 16)
    assert descriptor.get_feature_names()[-1] == "f15"


def test_the_order_of_atoms_and_the_cell_do_not_matter(phonon_weights: Path) -> None:
    rng = np.random.default_rng(0)
    atoms = SALT * (2, 2, 1)
    atoms.rattle(0.05, rng=rng)
    turned = atoms[rng.permutation(len(atoms))]
    descriptor = AtomDescriptor(phonon_weights, dtype="float64")
    for pool in ("mean", "per-element"):
        pooled = descriptor.create_pooled([atoms, turned, atoms * (1, 1, 2)], pool)  # type: ignore[call-overload]
        np.testing.assert_allclose(pooled[1:], pooled[[0, 0]], atol=1e-8)
    total = descriptor.create_pooled([atoms, atoms * (1, 1, 2)], "sum")
    np.testing.assert_allclose(total[1], 2 * total[0], atol=1e-8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pool": "maen"}, "unknown pool 'maen': did you mean 'mean'"),
        ({"elements": ["C"]}, "elements are given, which mean nothing for the pool 'mean'"),
        ({"pool": "per-element", "elements": ["Xx"]}, "there is no element 'Xx'"),
        ({"pool": "per-element", "elements": [0]}, "there is no element 0"),
        ({"pool": "per-element", "elements": ["C", "Na"]}, "the structure has Cl, which is not"),
    ],
)
def test_poolings_that_there_are_not(
    arguments: dict[str, Any], message: str, phonon_weights: Path
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        AtomDescriptor(phonon_weights).create_pooled(SALT, **arguments)


def test_no_atoms_at_all(phonon_weights: Path) -> None:
    with pytest.raises(DataError, match="has no atoms"):
        AtomDescriptor(phonon_weights).create_pooled([SALT, Atoms()])


@pytest.mark.parametrize("pool", get_args(Pool))
def test_structures_as_files(
    pool: Pool, run: Run, files: list[Path], phonon_weights: Path, tmp_path: Path
) -> None:
    words = ("describe-atoms", *files, "--weights", phonon_weights, "--pool", pool)
    for ending in ("npz", "csv", "extxyz"):
        status, out, _ = run(*words, "-o", tmp_path / f"out.{ending}")
        assert status == 0
        assert "3 structures of 8 atoms described by" in out
    atoms = AtomDescriptor(phonon_weights).create([SALT, DIAMOND, BIG])
    wanted = [
        pool_descriptors(found, a.numbers, pool, (6, 11, 17))
        for found, a in zip(atoms, [SALT, DIAMOND, BIG], strict=True)
    ]
    with np.load(tmp_path / "out.npz") as content:
        np.testing.assert_allclose(content["features"], wanted, atol=1e-5)
        assert content["atoms"].tolist() == [2, 2, 4]
        assert content["frame"].tolist() == [0, 0, 1]
        assert content["source_file"].tolist() == [str(files[0]), str(files[1]), str(files[1])]
        names = content["feature_names"].tolist()
        metadata = json.loads(str(content["metadata"]))
    assert metadata["pool"] == pool
    assert metadata["features"] == len(names) == len(wanted[0])
    assert metadata.get("elements_pooled") == (["C", "Na", "Cl"] if pool == "per-element" else None)
    assert names[0] == ("C_f00" if pool == "per-element" else "f00")
    table = pd.read_csv(tmp_path / "out.csv")
    assert table["formula"].tolist() == ["ClNa", "C2", "Cl2Na2"]
    np.testing.assert_allclose(table[names], wanted, atol=1e-5)
    frames = ase.io.read(tmp_path / "out.extxyz", index=":")
    np.testing.assert_allclose([f.info["descriptor"] for f in frames], wanted, atol=1e-5)
    assert [f.info["pool"] for f in frames] == [pool] * 3
    assert "descriptor" not in frames[0].arrays


def test_pooled_rows_are_shown(run: Run, files: list[Path], phonon_weights: Path) -> None:
    words = ("describe-atoms", *files, "--weights", phonon_weights, "--pool", "per-element")
    status, out, _ = run(*words)
    assert status == 0
    assert out.count("1 structure × 48 numbers; write all with -o FILE") == 3
    content = json.loads(run(*words, "--json")[1])
    assert [entry["pooled_features"] for entry in content[1]["structures"]] == [48, 48]
    status, _, err = run(*words[:-1], "median")
    assert status == 2
    assert "'median' is not one of 'mean', 'sum', 'per-element'" in err


def test_structures_as_parquet(
    run: Run, files: list[Path], phonon_weights: Path, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "out.parquet"
    words = ("describe-atoms", *files, "--weights", phonon_weights, "--pool", "sum", "-o", path)
    assert run(*words)[0] == 0
    table = pd.read_parquet(path)
    assert len(table) == 3
    assert table.attrs["csgnn_dgl"]["pool"] == "sum"


@pytest.mark.parametrize("pool", [None, "mean", "per-element"])
def test_maps_for_chemiscope(
    pool: Pool | None, run: Run, files: list[Path], phonon_weights: Path, tmp_path: Path
) -> None:
    chemiscope = pytest.importorskip("chemiscope")
    words = ["describe-atoms", *files, "--weights", phonon_weights]
    words += [] if pool is None else ["--pool", pool]
    path = tmp_path / "map.json.gz"
    assert run(*words, "-o", path)[0] == 0
    assert run(*words, "-o", tmp_path / "map.json")[0] == 0
    content = json.loads(gzip.decompress(path.read_bytes()))
    assert json.loads((tmp_path / "map.json").read_text()) == content
    # Its own reader makes the page of it.
    shown = chemiscope.show_input(path)
    assert shown.value if hasattr(shown, "value") else shown is not None
    assert [s["size"] for s in content["structures"]] == [2, 2, 4]
    first = content["properties"]["component 1"]
    assert first["target"] == ("atom" if pool is None else "structure")
    assert len(first["values"]) == (8 if pool is None else 3)
    assert len(content.get("environments", ())) == (8 if pool is None else 0)
    settings = content["settings"]["map"]
    assert {settings[axis]["property"] for axis in ("x", "y", "color")} <= set(
        content["properties"]
    )
    metadata = json.loads(content["meta"]["description"])
    assert metadata["weights"] == str(phonon_weights)


def test_chemiscope_of_one_atom(run: Run, phonon_weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("chemiscope")
    ase.io.write(tmp_path / "one.extxyz", Atoms("Na"))
    words = ("describe-atoms", tmp_path / "one.extxyz", "--weights", phonon_weights)
    assert run(*words, "-o", tmp_path / "map.json")[0] == 0


def test_without_chemiscope_the_extra_is_named(
    run: Run,
    files: list[Path],
    phonon_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "chemiscope", None)
    words = ("describe-atoms", *files, "--weights", phonon_weights)
    status, _, err = run(*words, "-o", tmp_path / "a.json.gz")
    assert status == 2
    assert "needs chemiscope, which is not installed: pip install 'csgnn-dgl[chemiscope]'" in err


def test_principal_components() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(50, 6)) * [5, 3, 1, 0.5, 0.1, 0.01] + 7
    points, shares = principal_components(rows, 3)
    centred = rows - rows.mean(axis=0)
    _, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(shares, sizes[:3] ** 2 / (sizes**2).sum(), rtol=1e-10)
    np.testing.assert_allclose(np.linalg.norm(points, axis=0), sizes[:3], rtol=1e-10)
    np.testing.assert_allclose(principal_components(rows[:1], 1)[0], [[0.0]], atol=1e-12)
    assert principal_components(np.ones((4, 2)), 2)[1].tolist() == [0.0, 0.0]

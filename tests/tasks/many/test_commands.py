"""``describe-atoms`` and ``predict`` in two worker processes give what one process gives."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.db
import ase.io
import numpy as np
import pandas as pd
import psutil
import pytest
from ase import Atoms
from ase.build import bulk

from csgnn_dgl.cli.main import main
from csgnn_dgl.tasks.dos.describe import describe_files
from csgnn_dgl.tasks.dos.many import describe_many
from csgnn_dgl.tasks.use_config import DescribeConfig

pytest.importorskip("distributed")
pytest.importorskip("pyarrow")

# In float32 sums of some hundred numbers come in another order where other atoms share the batch,
# and with it other kernels may run. Numbers are up to 10.
TOLERANCE = {"rtol": 1e-5, "atol": 2e-5}


def structures(count: int, elements: tuple[str, ...] = ("Si", "Cu", "Al", "Fe")) -> list[Atoms]:
    found = []
    for index in range(count):
        atoms = bulk(elements[index % len(elements)]) * (1 + index % 2, 1 + index % 3, 1)
        atoms.rattle(0.05, seed=index)
        atoms.info["tag"] = f"t{index}"
        found.append(atoms)
    return found


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder with a trajectory, a database, a CIF, and a file that cannot be used."""
    folder = tmp_path / "in"
    folder.mkdir()
    ase.io.write(folder / "a.extxyz", structures(12))
    with ase.db.connect(folder / "b.db") as database:
        for atoms in structures(9):
            database.write(atoms, tag=atoms.info["tag"])
    ase.io.write(folder / "c.cif", structures(1)[0])
    (folder / "d.cif").write_text("data_d\n")
    return folder


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Call the command with words; the exit status and both streams come back."""

    def call(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        code = stop.value.code
        return (code if isinstance(code, int) else 1, *capsys.readouterr())

    return call


def assert_equal(many: pd.DataFrame, one: pd.DataFrame) -> None:
    assert list(many) == list(one)
    assert len(many) == len(one) > 0
    for name in one:
        if one[name].dtype.kind == "f":
            np.testing.assert_allclose(many[name], one[name], err_msg=name, **TOLERANCE)
        elif name == "dos":
            np.testing.assert_allclose(np.stack(many[name]), np.stack(one[name]), **TOLERANCE)
        else:
            assert many[name].tolist() == one[name].tolist()


@pytest.mark.parametrize("votes", [1, 2])
def test_describe_atoms(
    inputs: Path, tmp_path: Path, scheduler: str, command: Any, votes: int
) -> None:
    output, plain = tmp_path / "out.parquet", tmp_path / "one.parquet"
    words = ("describe-atoms", "--votes", votes, "--weights", "phonon-dos")
    status, out, err = command(
        *words, inputs, "-o", output, "--scheduler", scheduler, "--partition", 5
    )
    assert status == 1
    assert "1 of 23 cannot be used" in err
    assert "d.cif holds no atom sites" in err
    assert f"22 structures described, in 5 files: {output}" in out
    files = [inputs / name for name in ("a.extxyz", "b.db", "c.cif")]
    assert command(*words, *files, "-o", plain)[0] == 0
    many, one = pd.read_parquet(output), pd.read_parquet(plain)
    assert_equal(many, one)
    assert many.attrs == one.attrs
    errors = pd.read_parquet(output / "_run" / "errors.parquet")
    assert errors["file"].tolist() == [str(inputs / "d.cif")]

    status, out, err = command(
        *words, inputs, "-o", output, "--scheduler", scheduler, "--partition", 5, "--json"
    )
    assert status == 1
    assert json.loads(out)["partitions_of_before"] == 5
    # Other weights and options are refused, before any worker is asked.
    status, _, err = command(
        *words[:3], "--weights", "carbon-tb", inputs, "-o", output, "--jobs", 2, "--partition", 5
    )
    assert status == 2
    assert "the weights are phonon-dos" in err
    assert "carbon-tb" in err
    status, _, err = command(*words, inputs, "-o", output, "--jobs", 2, "--partition", 6)
    assert status == 2
    assert "--partition is 5 there and 6 here" in err


def test_a_worker_that_is_killed_from_outside(tmp_path: Path) -> None:
    file, output, plain = (tmp_path / name for name in ("a.extxyz", "out.parquet", "one.parquet"))
    ase.io.write(file, structures(24))
    killed: list[int] = []

    def kill(count: int) -> None:
        if killed:
            return
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # others may end meanwhile
                if "spawn_main" in " ".join(child.cmdline()) and not killed:
                    killed.append(child.pid)
                    os.kill(child.pid, signal.SIGKILL)

    config = DescribeConfig(output=output, jobs=2, partition=2)
    summary = describe_many([file], config, done=kill)
    assert killed
    assert (summary.partitions, summary.counts.frames) == (12, 24)
    assert summary.counts.errors == 0
    describe_files([file], DescribeConfig(output=plain))
    assert_equal(pd.read_parquet(output), pd.read_parquet(plain))


def test_predict_densities_of_states(tmp_path: Path, scheduler: str, command: Any) -> None:
    file, output, plain = (tmp_path / name for name in ("a.extxyz", "out.parquet", "one.npz"))
    ase.io.write(file, structures(5, ("C",)))
    status, out, _ = command(
        *("predict", "carbon-tb", file, "-o", output, "--scheduler", scheduler),
        *("--partition", 2, "--columns", "tag"),
    )
    assert status == 0
    assert "5 structures predicted, in 3 files" in out
    assert command("predict", "carbon-tb", file, "-o", plain)[0] == 0
    many = pd.read_parquet(output)
    with np.load(plain) as one:
        for name in ("fermi_level", "band_energy", "gap", "structure_score"):
            np.testing.assert_allclose(many[name], one[name], rtol=1e-4, atol=1e-4, err_msg=name)
        np.testing.assert_allclose(np.stack(many["dos"]), one["dos"], **TOLERANCE)
        np.testing.assert_allclose(many.attrs["csgnn_dgl"]["energies"], one["energies"])
    assert many["tag"].tolist() == [f"t{index}" for index in range(5)]


def test_predict_classes(
    clouds: Path, tmp_path: Path, scheduler: str, command: Any, classifier: Path
) -> None:
    output = tmp_path / "out.parquet"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.off").write_text("OFF\n")
    for path in sorted(clouds.glob("*/test/*.npy"))[:5]:
        (tmp_path / "in" / path.name).write_bytes(path.read_bytes())
    status, _, err = command(
        *("predict", classifier, tmp_path / "in", "-o", output, "--scheduler", scheduler),
        *("--partition", 2),
    )
    assert status == 1
    assert "a.off" in err
    files = sorted((tmp_path / "in").glob("*.npy"))
    _, text, _ = command("predict", classifier, *files, "--json")
    many = pd.read_parquet(output)
    one = json.loads(text)
    assert many["file"].tolist() == [entry["file"] for entry in one]
    assert many["class"].tolist() == [entry["classes"][0]["class"] for entry in one]
    np.testing.assert_allclose(
        many["probability"],
        [entry["classes"][0]["probability"] for entry in one],
        rtol=1e-4,
    )
    shares = many[[name for name in many if name.startswith("p ")]]
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    status, _, err = command(
        *("predict", classifier, tmp_path / "in", "-o", output, "--jobs", 1, "--columns", "a")
    )
    assert status == 2
    assert "have no columns" in err


def test_describe_shapes(
    clouds: Path, tmp_path: Path, scheduler: str, command: Any, classifier: Path
) -> None:
    output = tmp_path / "out.parquet"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.off").write_text("OFF\n")
    for path in sorted(clouds.glob("*/test/*.npy"))[:5]:
        (tmp_path / "in" / path.name).write_bytes(path.read_bytes())
    words = ("describe-shapes", tmp_path / "in", "--weights", classifier, "--votes", 2)
    status, out, err = command(*words, "-o", output, "--scheduler", scheduler, "--partition", 2)
    assert status == 1
    assert "5 shapes described" in out
    assert "a.off" in err
    assert command(*words, "-o", tmp_path / "one.csv")[0] == 1
    many, one = pd.read_parquet(output), pd.read_csv(tmp_path / "one.csv")
    assert many.pop("frame").tolist() == [0] * 5
    assert many["file"].tolist() == one["file"].tolist()
    names = [name for name in one if name.startswith("f") and name != "file"]
    assert len(names) == many.attrs["csgnn_dgl"]["features"]
    np.testing.assert_allclose(many[names], one[names], **TOLERANCE)
    np.testing.assert_allclose(many["score"], one["score"], rtol=1e-4)
    # Other votes, and what needs all files at once.
    status, _, err = command(
        *(*words[:-1], 1, "-o", output, "--jobs", 1, "--partition", 2),
    )
    assert (status, "votes" in err) == (2, True)
    status, _, err = command(*words, "-o", output, "--jobs", 1, "--nearest", 1)
    assert status == 2
    assert "no process knows all files" in err


@pytest.mark.parametrize("pool", ["mean", "per-element"])
def test_describe_structures(tmp_path: Path, scheduler: str, command: Any, pool: str) -> None:
    file, output, plain = tmp_path / "a.extxyz", tmp_path / "o.parquet", tmp_path / "o.csv"
    ase.io.write(file, structures(5))
    words = ("describe-atoms", file, "--pool", pool)
    status, out, _ = command(*words, "-o", output, "--scheduler", scheduler, "--partition", 2)
    assert status == 0
    assert "5 structures described" in out
    assert command(*words, "-o", plain)[0] == 0
    many, one = pd.read_parquet(output), pd.read_csv(plain)
    assert many["formula"].tolist() == one["formula"].tolist()
    # In many processes there is a part for each element of the model, whatever the structures are.
    features = [name for name in one if re.fullmatch(r"([A-Z][a-z]?_)?f\d+", name)]
    assert len(features) >= 4
    np.testing.assert_allclose(many[features], one[features], **TOLERANCE)
    if pool == "per-element":
        others = [name for name in many if re.match("H_f", name)]
        assert others
        assert not many[others].any(axis=None)


@pytest.fixture(scope="session")
def classifier(clouds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small classifier."""
    path = tmp_path_factory.mktemp("classifier") / "run"
    small = (
        *("--level", "1", "--n-spheres", "2", "--channels", "2", "--base-width", "4"),
        *("--hidden", "16", "--points", "64", "--batch-size", "4", "--epochs", "1"),
        *("--validation-fraction", "0.34", "--accelerator", "cpu", "--no-progress"),
    )
    with pytest.raises(SystemExit) as stop:
        main(["train", "modelnet", "--data", str(clouds), "--output", str(path), *small])
    assert stop.value.code == 0
    return path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-o", "o.parquet", "--jobs", "0"), "jobs = 0"),
        (("-o", "o.parquet", "--jobs", "-1"), "jobs = -1"),
        (("-o", "o.parquet", "--jobs", "x"), "'x' is not a valid integer"),
        (("-o", "o.parquet", "--jobs", "1", "--scheduler", "a:1"), "give one of them"),
        (("--jobs", "1"), "name a folder for the results"),
        (("-o", "o.npz", "--jobs", "1"), "o.npz is not called NAME.parquet"),
        (("-o", "o.parquet", "--jobs", "1", "--strict"), "--strict means nothing here"),
        (("-o", "o.parquet", "--jobs", "1", "--partition", "0"), "partition = 0"),
        (("-o", "o.parquet", "--jobs", "1", "--columns", "tog"), "no column 'tog': did you mean"),
        (("-o", "o.parquet", "--jobs", "1", "--columns", "tag,tag"), "names one twice"),
        (("-o", "o.parquet", "--jobs", "1", "--weights", "no"), "no"),
        (("-o", "a.extxyz", "--jobs", "1"), "not called NAME.parquet"),
        (("-o", "no/o.parquet", "--jobs", "1"), "its folder does not exist"),
        (("-o", "full.parquet", "--jobs", "1"), "was not made by csgnn-dgl"),
        (("-o", "file.parquet", "--jobs", "1"), "is a file, but"),
        (("-o", "o.parquet", "--scheduler", "node"), "no address of a Dask scheduler"),
        (("-o", "o.parquet", "--columns", "tag"), "without --jobs or --scheduler"),
        (("missing", "-o", "o.parquet", "--jobs", "1"), "there is no file or folder missing"),
        (("empty", "-o", "o.parquet", "--jobs", "1"), "holds no file that can be read"),
    ],
)
def test_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Any, words: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ase.io.write("a.extxyz", structures(2))
    Path("full.parquet").mkdir()
    Path("full.parquet", "notes.txt").touch()
    Path("file.parquet").touch()
    Path("empty").mkdir()
    status, _, err = command("describe-atoms", "a.extxyz", *words)
    assert status == 2
    assert message in err
    assert not Path("o.parquet").exists() or "Dask" in err


def test_a_database_without_the_column(tmp_path: Path, command: Any) -> None:
    with ase.db.connect(tmp_path / "a.db") as database:
        database.write(bulk("Si"), height=1.0)
    status, _, err = command(
        *("describe-atoms", tmp_path / "a.db", "-o", tmp_path / "o.parquet"),
        *("--jobs", 1, "--columns", "high"),
    )
    assert status == 2
    assert "a.db has no column 'high': did you mean 'height'?" in err

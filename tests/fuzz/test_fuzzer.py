"""The fuzzer notices what readers do wrong, and its inputs depend on nothing but their numbers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random

import pytest

from csgnn_dgl.datasets.atoms.structures import read_structures
from csgnn_dgl.datasets.shapes.shape_files import read_shape
from csgnn_dgl.errors import DataError
from tests.fuzz import __main__ as program
from tests.fuzz.formats import FORMATS
from tests.fuzz.mutations import damage
from tests.fuzz.pool import Input, Limits, Outcome, Pool
from tests.fuzz.smaller import smaller

_EXPECTED = {
    "fine": "fine",
    "refused": "refused",
    "signal": "signal",
    "hang": "hang",
    "wait": "hang",
    "memory": "memory",
    "hidden memory": "memory",
    "growth": "memory",
    "traceback": "traceback",
    "panic": "traceback",
    "lines": "message",
    "long": "message",
    "escape": "message",
    "nameless": "message",
    "unsafe": "message",
    "wrong": "wrong",
    "warning": "warning",
}


def _told(kind: str) -> Input:
    return Input("control", files=(("told.txt", kind.encode()),), target="told.txt")


@pytest.fixture(scope="module")
def strict(pool: Pool) -> Pool:
    """A worker with little time; the other pool is only what makes it start fast."""
    return Pool(1, Limits(seconds=5.0, wait=10.0, growth=200 << 20))


def test_each_misbehaviour_is_noticed(strict: Pool) -> None:
    with strict:
        found = {
            item.files[0][1].decode(): outcome.kind
            for item, outcome in strict.run([_told(kind) for kind in _EXPECTED])
            if item.files
        }
    assert found == _EXPECTED


def test_after_a_crash_the_next_inputs_are_read(pool: Pool) -> None:
    kinds = ["fine", "signal", "fine", "refused", "signal", "fine"]
    assert [o.kind for _, o in pool.run([_told(kind) for kind in kinds])] == kinds


def test_a_crash_names_the_function(pool: Pool) -> None:
    ((_, outcome),) = pool.run([_told("signal")])
    assert "SIGSEGV" in outcome.key
    assert "_obey" in outcome.key


@pytest.mark.parametrize("name", FORMATS)
def test_equal_numbers_make_equal_inputs(name: str) -> None:
    form = FORMATS[name]
    first = len(form.made)
    made = [form.make(7, first + index) for index in range(8)]
    # Another process would start with other hashes; text seeds the generator alike.
    assert made == [form.make(7, first + index) for index in range(8)]
    assert any(made[0] != other for other in made[1:])


def test_damage_changes_nearly_every_file() -> None:
    content = FORMATS["off"].made[0].files["cube.off"]
    changed = sum(damage(Random(seed), content) != content for seed in range(200))
    assert changed > 180


def test_smaller_keeps_the_defect(pool: Pool) -> None:
    files = {"cube.off": b"OFF\n1 1 0\n" + b"0 0 0\n" * 40 + b"3 0 0 9\n"}
    ((_, outcome),) = pool.run([Input("off", files=tuple(files.items()), target="cube.off")])
    assert outcome.kind == "refused"
    fewer = smaller(pool, "off", files, "cube.off", outcome, trials=30)
    assert len(fewer["cube.off"]) < len(files["cube.off"])


def test_the_program_reports_and_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pool: Pool
) -> None:
    assert program.main(["--inputs", "12", "--formats", "table", "--output", str(tmp_path)]) == 0
    assert "0 distinct defects" in capsys.readouterr().out
    told = tmp_path / "told.txt"
    told.write_text("traceback")
    assert program.main(["--formats", "control", "--file", str(told)]) == 1
    assert "ValueError" in capsys.readouterr().out
    item = Input("off", 1, 50)
    program.write_defect(tmp_path, 0, [(item, Outcome("hang", "somewhere", "…"))], pool)
    (about,) = tmp_path.glob("*/about.json")
    repeat = json.loads(about.read_text(encoding="utf-8"))["repeat"]
    assert repeat == "python -m tests.fuzz --formats off --seed 1 --index 50"
    assert (about.parent / "input" / "cube.off").is_file()


@pytest.mark.parametrize("device", ["zero", "pipe"])
@pytest.mark.parametrize("suffix", [".off", ".ply", ".npy", ".xyz", ".cif", ".extxyz"])
def test_devices_and_pipes_are_refused(tmp_path: Path, device: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if device == "zero":
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(path)
    read = read_structures if suffix in (".cif", ".extxyz") else read_shape
    with pytest.raises(DataError, match="device"):
        read(path)

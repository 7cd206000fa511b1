"""The examples of docs/embedding.md run as they stand."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import ase.io
import pytest
from ase.build import bulk

PAGE = (Path(__file__).parents[2] / "docs" / "embedding.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"## ([^\n]*)\n(?:(?!\n## ).)*?```python\n(.*?)```", PAGE, re.DOTALL))
NEEDS = {"scikit-learn": "sklearn", "pymatgen": "pymatgen"}
SNAPSHOT = Path(__file__).parents[2] / "docs" / "examples" / "c60-300K.extxyz"


def test_all_examples_are_found() -> None:
    assert set(EXAMPLES) == {"Whole structures", "scikit-learn", "ASE", "pymatgen"}


@pytest.mark.parametrize("title", EXAMPLES)
def test_examples(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if title in NEEDS:
        pytest.importorskip(NEEDS[title])
    monkeypatch.chdir(tmp_path)
    salt = bulk("NaCl", "rocksalt", 5.64)
    ase.io.write("salt.cif", salt)
    structures = [salt, salt * (2, 1, 1), "salt.cif"]
    snapshot = ase.io.read(SNAPSHOT)
    scope = {
        "structures": structures,
        "energies": [1.0, 2.0, 1.0],
        "atoms": snapshot,
        "structure": snapshot,
    }
    with warnings.catch_warnings():
        # Salt has few neighbours in the data of the phonons.
        warnings.simplefilter("ignore", UserWarning)
        exec(compile(EXAMPLES[title], f"embedding.md: {title}", "exec"), scope)

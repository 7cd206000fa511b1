"""The examples of docs/models.md are models that keep the contract."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from ase.build import bulk

from csgnn_dgl.mapping import find_neighbors
from csgnn_dgl.models import Classifier, DOSModel
from csgnn_dgl.models.contract import check_class

PAGE = (Path(__file__).parents[1] / "docs" / "models.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def defined(name: str) -> Any:
    (code,) = [code for code in EXAMPLES if f"class {name}(" in code]
    found: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "models.md", "exec"), found)
    return found[name]


def test_a_model_of_shapes() -> None:
    model = check_class(defined("HexNet"), "shapes", "HexNet")
    scores = Classifier(model(model.Hypers(width=8)), 3)(torch.rand(4, 20, 3))
    assert scores.shape == (4, 3)


def test_a_model_of_atoms() -> None:
    model = check_class(defined("Counts"), "atoms", "Counts")
    network = DOSModel(model(model.Hypers(), (6,)), 11)
    found = find_neighbors([bulk("C", "diamond", 3.57)], 5.0).to("cpu", torch.float32)
    assert network(found).shape == (1, 11)

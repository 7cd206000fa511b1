"""Files written by earlier versions: every schema stays readable, with the same numbers.

What lies in ``old/`` was written by the version that its header names, and is never written anew.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from ase import Atoms
from ase.build import bulk, molecule

from csgnn_dgl.errors import CheckpointError
from csgnn_dgl.mapping import normalize_clouds
from csgnn_dgl.models import Classifier, ShapeCSGNN, ShapeCSGNNHypers
from csgnn_dgl.tasks.classes import train as classes
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.evaluate import evaluate as evaluate_shapes
from csgnn_dgl.tasks.classes.trained import load_classifier
from csgnn_dgl.tasks.dos import train as dos
from csgnn_dgl.tasks.dos.evaluate import evaluate as evaluate_dos
from csgnn_dgl.tasks.dos.trained import load_dos_model
from csgnn_dgl.tasks.use_config import EvaluateConfig
from csgnn_dgl.tasks.weights import Header, save_weights

OLD = Path(__file__).with_name("old")
GOLDEN = json.loads((OLD / "shipped.json").read_text())


def helices() -> torch.Tensor:
    """Two clouds without random numbers, whose generators may change."""
    t = torch.linspace(0, 12, 64, dtype=torch.float64)
    slim = torch.stack([0.2 * t.cos(), 0.2 * t.sin(), t / 6 - 1], dim=1)
    flat = torch.stack([t.cos(), (2 * t).sin(), 0.1 * (3 * t).cos()], dim=1)
    return normalize_clouds(torch.stack([slim, flat]).float())


def structures() -> list[Atoms]:
    diamond = bulk("C", "diamond", 3.57, cubic=True)
    diamond.positions += 0.05 * np.sin(np.arange(diamond.positions.size)).reshape(-1, 3)
    return [diamond, bulk("NaCl", "rocksalt", 5.64), molecule("C60")]


def test_scores_of_schema_1() -> None:
    trained = load_classifier(OLD / "classifier-schema-1.safetensors")
    assert trained.class_names == ("ball", "disc", "rod")
    assert trained.points == 64
    with torch.no_grad():
        scores = trained.model(helices())
    expected = torch.tensor([[-0.34348, -0.42688, 0.6466], [0.82176, 0.53258, -0.97752]])
    torch.testing.assert_close(scores, expected, atol=1e-4, rtol=0)


def test_curves_of_schema_1() -> None:
    trained = load_dos_model(OLD / "dos-schema-1.safetensors")
    assert trained.elements == (11, 17)
    trained.model.double()
    (curve,) = trained.predict([structures()[1]])
    expected = [0.2183653077, 0.2036296125, 0.1938818183, 0.1697023841, 0.1863136957]
    np.testing.assert_allclose(curve[:5], expected, atol=1e-9)


# Up to schema 3, CSGNN of level 3 and first width 2 had these widths.
WIDTHS = {
    "intra_widths": ((2, 2), (4, 4), (8, 8), (16,)),
    "radial_widths": ((4, 4), (8, 8), (16,), (32,)),
}


def test_widths_of_schema_3(tmp_path: Path) -> None:
    hypers: dict[str, Any] = {"level": 3, "n_spheres": 2, "channels": 1}
    torch.manual_seed(0)
    model = Classifier(ShapeCSGNN(ShapeCSGNNHypers(**hypers, **WIDTHS)), 2, hidden=(4,)).eval()
    described = {"name": "csgnn", "hypers": {**hypers, "base_width": 2}}
    data = {"points": 64, "up_axis": "z"}
    header = Header("classifier", described, {"hidden": [4]}, ("a", "b"), data, schema=3)
    save_weights(tmp_path / "old.safetensors", model.state_dict(), header)
    trained = load_classifier(tmp_path / "old.safetensors")
    with torch.no_grad():
        assert torch.equal(trained.model(helices()), model(helices()))
    # Control: a present file with this header has other widths.
    header = replace(header, schema=4)
    save_weights(tmp_path / "new.safetensors", model.state_dict(), header)
    with pytest.raises(CheckpointError, match=r"new\.safetensors"):
        load_classifier(tmp_path / "new.safetensors")


def test_widths_of_old_runs(tmp_path: Path) -> None:
    def hypers(**content: Any) -> ShapeCSGNNHypers:
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(content))
        found = TrainModelNetConfig.from_yaml(path).hypers
        assert isinstance(found, ShapeCSGNNHypers)
        return found

    for found in (
        hypers(level=3, base_width=2),
        hypers(model="csgnn", hypers={"level": 3, "base_width": 2, "intra_widths": None}),
    ):
        assert (found.intra_widths, found.radial_widths) == tuple(WIDTHS.values())
    five = hypers(level=5)
    assert [len(widths) for widths in five.intra_widths or ()] == [2, 2, 2, 2, 2, 1]
    assert [len(widths) for widths in five.radial_widths or ()] == [2, 2, 2, 2, 1, 1]
    for same in (
        hypers(level=2, base_width=2),
        hypers(base_width=2),
        hypers(level=3, base_width=2, neighbourhood="face"),
        hypers(model="csgnn", hypers={"level": 3, "base_width": 2, "neighbourhood": "face"}),
    ):
        assert same.intra_widths is None
        assert same.base_width == 2


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_shipped_weights_give_the_numbers_of_the_last_version(name: str) -> None:
    """The first and the last atom of two structures, in float64, as version 0.1.0 has them."""
    # What shipped as carbon-tb then has been trained anew; users may still have the old file.
    older = OLD / f"{name}-0.1.safetensors"
    trained = load_dos_model(older if older.exists() else name)
    trained.model.double()
    known = GOLDEN[name]
    asked = [structures()[index] for index in known["structures"]]
    for found, expected in (
        (trained.describe(asked), known["descriptors"]),
        (trained.per_atom(asked), known["curves"]),
    ):
        for values, some in zip(found, expected, strict=True):
            np.testing.assert_allclose(values[[0, -1]], some, atol=1e-6)
    # Control: the numbers are not all alike.
    assert np.ptp(known["descriptors"][0]) > 1e-2


def old_run(kind: str, data: str, tmp_path: Path) -> Path:
    """A run that version 0.1.0 was stopped in after two of four epochs, with its data."""
    shutil.copytree(OLD / data, tmp_path / data)
    run = shutil.copytree(OLD / kind, tmp_path / kind)
    config = run / "config.yaml"
    text = config.read_text().replace("/data/old/files", str(tmp_path))
    config.write_text(text)
    return run


def answers(weights: Path) -> torch.Tensor:
    """What a network says; biases that batch norm takes away again do not matter to it."""
    if weights.parent.name == "dos":
        atoms = [bulk("C", "diamond", lattice) for lattice in (3.4, 3.6, 3.8)]
        return torch.from_numpy(load_dos_model(weights).predict(atoms))
    with torch.no_grad():
        return load_classifier(weights).model(helices()).double()


@pytest.mark.parametrize(
    ("kind", "data", "resume"),
    [("modelnet", "clouds", classes.resume), ("dos", "diamonds", dos.resume)],
)
def test_old_runs_go_on_and_end_as_they_would_have(
    kind: str, data: str, resume: Callable[..., Any], tmp_path: Path
) -> None:
    run = old_run(kind, data, tmp_path)
    before = answers(run / "model.safetensors")
    resume(run)
    found, expected = answers(run / "model.safetensors"), answers(run / "whole.safetensors")
    # Rounding decides where biases go that batch norm takes away again.
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)
    assert float((before - expected).abs().max()) > 2e-2


def test_old_runs_are_evaluated(tmp_path: Path) -> None:
    shapes = old_run("modelnet", "clouds", tmp_path)
    shutil.copy(shapes / "whole.safetensors", shapes / "model.safetensors")
    found = evaluate_shapes(shapes, EvaluateConfig(rotation="none"))
    assert found.result.accuracy == pytest.approx(1 / 3)
    curves = old_run("dos", "diamonds", tmp_path)
    shutil.copy(curves / "whole.safetensors", curves / "model.safetensors")
    table = evaluate_dos(curves, EvaluateConfig()).table
    assert table["dos_mae"].iloc[-1] == pytest.approx(0.046164, abs=1e-5)
    # By the paper's definition, which version 0.1.0 had, it is 0.119087. These coarse curves do not
    # begin with zero, and a spline does not keep their states.
    assert table["band_energy_mae"].iloc[-1] == pytest.approx(0.121427, abs=1e-4)


def test_a_later_schema_names_the_version_that_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "later.safetensors"
    header = {
        "kind": "classifier",
        "model": {},
        "schema": 9,
        "versions": {"csgnn-dgl": "4.2"},
    }
    content = safetensors.torch.save(
        {"a": torch.zeros(1)}, metadata={"csgnn_dgl": json.dumps(header)}
    )
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"schema version 9.*upgrade csgnn-dgl to 4\.2"):
        load_classifier(path)

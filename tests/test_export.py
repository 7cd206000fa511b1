"""Exported programs give the same numbers where this package cannot be imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ase.build import bulk

from csgnn_dgl.errors import CheckpointError
from csgnn_dgl.export import export_model
from csgnn_dgl.mapping import normalize_clouds
from csgnn_dgl.mapping.neighbors import find_neighbors
from csgnn_dgl.models import (
    AtomCSGNN,
    AtomCSGNNHypers,
    Classifier,
    DOSModel,
    ShapeCSGNN,
    ShapeCSGNNHypers,
)
from csgnn_dgl.tasks.weights import Header, save_weights
from csgnn_dgl.testing import run_alone


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    """With statistics that matter."""
    torch.manual_seed(3)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model.eval()


@pytest.mark.parametrize(
    ("neighbourhood", "radial", "pooling", "spheres"),
    [
        ("face", "shell", "max", 3),
        ("face", "bracket", "mean", 3),
        ("face", "shell", "max", 6),
        ("nearest", "shell", "max", 3),
    ],
)
def test_classifier(
    neighbourhood: Any, radial: Any, pooling: Any, spheres: int, tmp_path: Path
) -> None:
    hypers = ShapeCSGNNHypers(
        level=2,
        n_spheres=spheres,
        channels=2,
        base_width=4,
        pooling=pooling,
        global_pooling=pooling,
        neighbourhood=neighbourhood,
        radial=radial,
    )
    model = randomised(Classifier(ShapeCSGNN(hypers), 3, hidden=(8,)))
    described = {"name": "csgnn", "hypers": hypers.model_dump()}
    header = Header(
        "classifier", described, {"hidden": [8]}, ("a", "b", "c"), {"points": 32, "up_axis": "z"}
    )
    save_weights(tmp_path / "model.safetensors", model.state_dict(), header)
    export_model(tmp_path / "model.safetensors", tmp_path / "model.pt2")
    # Neither the batch nor the cloud it was traced with; larger than where kernels change.
    points = 7 * torch.randn(40, 50, 3)
    (scores,), found = run_alone(tmp_path / "model.pt2", (points,))
    torch.testing.assert_close(scores, model(normalize_clouds(points)), rtol=1e-4, atol=1e-5)
    assert found["class_names"] == ["a", "b", "c"]


@pytest.mark.parametrize(("elements", "assignment"), [((6,), "nearest"), ((6, 8), "smooth")])
def test_dos_model(elements: tuple[int, ...], assignment: Any, tmp_path: Path) -> None:
    hypers = AtomCSGNNHypers(level=1, channels=4, cutoff=4.0, assignment=assignment)
    network = DOSModel(AtomCSGNN(hypers, elements), 20)
    model = randomised(network)
    data = {
        "grid": {"start": -1.0, "step": 0.1, "size": 20},
        "quantity": "electronic",
        "dos_unit": "states/eV/atom",
    }
    described = {"name": "csgnn", "hypers": hypers.model_dump(), "elements": list(elements)}
    header = Header("dos", described, {"bins": 20}, (), data)
    save_weights(tmp_path / "model.safetensors", model.state_dict(), header)
    export_model(tmp_path / "model.safetensors", tmp_path / "model.pt2")
    structure = bulk("C", "diamond", 3.57, cubic=True)
    structure.numbers[::2] = elements[-1]
    # More than the cutoff: what is too far must not count in the program either.
    found = find_neighbors([structure], 5.0).to("cpu", torch.float32)
    inputs = (found.displacements, found.centres, found.numbers, found.centre_numbers)
    (descriptors, curves), header_found = run_alone(tmp_path / "model.pt2", inputs)
    torch.testing.assert_close(descriptors, network.describe(found), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(curves, network.per_atom(found), rtol=1e-4, atol=1e-5)
    assert header_found["data"]["grid"]["size"] == 20


def test_the_command(clouds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from csgnn_dgl.cli.main import main

    hypers = ShapeCSGNNHypers(level=0, n_spheres=1, channels=1, base_width=2)
    described = {"name": "csgnn", "hypers": hypers.model_dump()}
    header = Header("classifier", described, {}, ("a", "b"), {"points": 8, "up_axis": "z"})
    model = Classifier(ShapeCSGNN(hypers), 2)
    save_weights(tmp_path / "model.safetensors", model.state_dict(), header)
    output = tmp_path / "m.pt2"
    with pytest.raises(SystemExit) as stop:
        main(["export", str(tmp_path / "model.safetensors"), "-o", str(output)])
    assert stop.value.code == 0
    assert "classifier of" in capsys.readouterr().out
    assert output.is_file()


def test_no_model_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no run"):
        export_model(tmp_path / "nothing", tmp_path / "model.pt2")
    assert not (tmp_path / "model.pt2").exists()

"""Pages of structures: what they hold is what the commands and the mappings say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from csgnn_dgl.mapping import AtomMapping
from csgnn_dgl.mapping.neighbors import find_neighbors
from csgnn_dgl.models import DOSModel
from csgnn_dgl.models.registry import find_class
from csgnn_dgl.tasks.dos.predict import predict_files
from csgnn_dgl.tasks.use_config import PredictConfig
from csgnn_dgl.tasks.weights import Header, save_weights
from csgnn_dgl.viewing.atoms.drawing import bonds, cell_edges
from csgnn_dgl.viewing.atoms.surroundings import find_surroundings, shell_radii
from csgnn_dgl.viewing.page import drawing_bytes

Pages = Callable[..., Any]


def test_curves_are_those_of_predict(page: Pages, c60: Path) -> None:
    _, (result,) = predict_files("carbon-tb", [c60], PredictConfig(progress=False))
    (expected,) = result.values
    found = page("view", c60, "--model", "carbon-tb")
    curves = found.data["curves"]
    assert curves["total"] == expected.dos.tolist()
    assert curves["energies"] == expected.energies.tolist()
    assert curves["fermi_level"] == expected.fermi_level
    assert curves["fermi_half"] == expected.uncertainty["fermi_level"][0.68]
    assert curves["gap"] == expected.gap
    assert expected.scores is not None
    np.testing.assert_array_equal(curves["scores"], expected.scores.atoms.astype(np.float32))
    np.testing.assert_array_equal(found.data["own"], expected.per_atom.astype(np.float32))
    assert expected.summary in found.out
    assert f"{expected.fermi_level:.3f} ± {curves['fermi_half']:.2g} eV" in found.text
    assert f"{expected.scores.structure:.2f} (up to 1: inside)" in found.text


def test_options_of_predictions(page: Pages, c60: Path) -> None:
    words = {"votes": 2, "seed": 3, "electrons": 3.9}
    config = PredictConfig(progress=False, **words)  # type: ignore[arg-type]
    _, (result,) = predict_files("carbon-tb", [c60], config)
    flags = [text for name, value in words.items() for text in (f"--{name}", value)]
    curves = page("view", c60, "--model", "carbon-tb", *flags).data["curves"]
    assert curves["total"] == result.values[0].dos.tolist()
    assert curves["fermi_level"] == result.values[0].fermi_level


def test_outside_the_domain_the_limits_are_said(page: Pages, tmp_path: Path) -> None:
    file = tmp_path / "diamond.cif"
    ase.io.write(file, bulk("C", "diamond", 3.57))
    found = page("view", file, "--model", "carbon-tb")
    assert "warning: outside what carbon-tb was trained on" in found.out
    assert "limit of carbon-tb" in found.text
    assert "± unknown eV" in found.text
    assert found.data["curves"]["fermi_half"] is None


def test_a_frame_of_several(run: Callable[..., Any], page: Pages, tmp_path: Path) -> None:
    file = tmp_path / "two.extxyz"
    ase.io.write(file, [bulk("Al"), bulk("NaCl", "rocksalt", 5.64)])
    found = page("view", file, "--frame", 1)
    assert found.data["symbols"] == ["Na", "Cl"]
    assert "two.extxyz[1]: ClNa" in found.text.replace("NaCl", "ClNa")
    done = run("view", file, "--frame", 2, "-o", tmp_path / "b.html")
    assert done.status == 2
    assert "two.extxyz holds 2 structures, 0 to 1, but --frame is 2" in done.err
    assert not (tmp_path / "b.html").exists()


@pytest.mark.parametrize("assignment", ["nearest", "smooth"])
def test_surroundings_are_those_of_the_mapping(assignment: Any) -> None:
    atoms = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    mapping = AtomMapping(1, 2, 6, r_min=1.0, cutoff=5.0, assignment=assignment)
    found = find_surroundings(atoms, mapping, np.array([1, 2, 5]), 5.0)
    near = find_neighbors([atoms], 5.0)
    sites = mapping(near.displacements, near.centres, near.n_atoms)
    radii = shell_radii(mapping)
    assert len(radii) == 12
    start = first = 0
    for row, atom in enumerate((1, 2, 5)):
        own = near.displacements[near.centres == atom].numpy()
        count = found.counts[row]
        np.testing.assert_array_equal(found.vectors[start : start + count], own)
        dense = torch.zeros(42, 12, dtype=torch.float64)
        part = slice(first, first + found.filled[row])
        dense[found.vertices[part], found.shells[part]] = torch.from_numpy(found.weights[part])
        # Row v·R + r, channel k is shell r·C + k.
        expected = sites[:, atom].view(42, 2, 6).reshape(42, 12)
        torch.testing.assert_close(dense, expected)
        start, first = start + count, first + found.filled[row]


def test_rounding_of_surroundings(page: Pages, tmp_path: Path) -> None:
    file = tmp_path / "salt.cif"
    atoms = bulk("NaCl", "rocksalt", 5.64)
    ase.io.write(file, atoms)
    data = page("view", file, "--cutoff", 4.5).data
    near = find_neighbors([atoms], 4.5)
    assert data["around"]["counts"].tolist() == torch.bincount(near.centres).tolist()
    lengths = np.linalg.norm(data["around"]["step"] * data["around"]["vectors"], axis=1)
    expected = near.displacements.norm(dim=1).numpy()
    np.testing.assert_allclose(np.sort(lengths), np.sort(expected), atol=2e-4)
    assert data["curves"] is None
    assert data["cutoff"] == 4.5
    assert data["cell"].shape == (12, 2, 3)


def test_a_small_page_leaves_atoms_out_and_says_so(page: Pages, c60: Path) -> None:
    limit = (drawing_bytes() + 60_000) / 1e6
    found = page("view", c60, "--model", "carbon-tb", "--limit", limit)
    shown = len(found.data["around"]["counts"])
    assert 1 <= shown < 60
    assert len(found.data["own"]) == shown
    assert f"only the first {shown} of 60 atoms have surroundings and curves" in found.out
    assert len(found.text) < 1e6 * limit
    assert found.data["positions"].shape == (60, 3)


def test_a_model_without_spheres(page: Pages, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = find_class("atoms", "agni")
    hypers = model.Hypers()
    head = {"bins": 41, "hidden": [8], "dropout": 0.0, "norm": "batch"}
    network = DOSModel(model(hypers, (6,)), **head)  # type: ignore[arg-type]
    data = {
        "grid": {"start": 0.0, "step": 20.0, "size": 41, "unit": "cm^-1", "zero": "zero frequency"},
        "quantity": "phonon",
        "dos_unit": "1 at the maximum",
        "name": "none",
    }
    described = {"name": "agni", "elements": [6], "hypers": hypers.model_dump(mode="json")}
    path, file = tmp_path / "agni.safetensors", tmp_path / "c.cif"
    save_weights(path, network.state_dict(), Header("dos", described, head, data=data))
    ase.io.write(file, bulk("C", "diamond", 3.57))
    found = page("view", file, "--model", path, "--n-spheres", 5)
    assert "agni does not work on concentric spheres" in found.out
    assert len(found.data["shells"]) == 5
    assert found.data["curves"]["energy_unit"] == "cm⁻¹"
    assert found.data["curves"]["fermi_level"] is None


def test_an_atom_alone(page: Pages, tmp_path: Path) -> None:
    file = tmp_path / "he.xyz"
    ase.io.write(file, Atoms("He"))
    data = page("view", file).data
    assert data["around"]["counts"].tolist() == [0]
    assert data["around"]["vectors"].shape == (0, 3)


def test_bonds_and_edges() -> None:
    ends, image = bonds(bulk("C", "diamond", 3.57))
    # Each atom has four bonds; one is within the cell, and three cross its boundary.
    assert (image < 0).sum() == 1
    assert (image >= 0).sum() == 6
    np.testing.assert_allclose(np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1), 1.5459, atol=1e-3)
    water = molecule("H2O")
    assert len(bonds(water)[0]) == 2
    assert cell_edges(water).shape == (0, 2, 3)
    layer = Atoms("C", cell=[2, 2, 9], pbc=[True, True, False])
    assert cell_edges(layer).shape == (4, 2, 3)

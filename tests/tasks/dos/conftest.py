"""Small models of densities of states, untrained, as they are saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from csgnn_dgl.models import AtomEncoderConfig, DOSConfig, DOSModel
from csgnn_dgl.tasks.weights import Header, save_weights

ELECTRONIC = {
    "grid": {"start": -10.0, "step": 0.5, "size": 41, "unit": "eV", "zero": "vacuum level"},
    "quantity": "electronic",
    "dos_unit": "states/eV/atom",
}
PHONON = {
    "grid": {"start": 0.0, "step": 20.0, "size": 41, "unit": "cm^-1", "zero": "zero frequency"},
    "quantity": "phonon",
    "dos_unit": "1 at the maximum",
}


def save_tiny(path: Path, elements: tuple[int, ...], data: dict[str, object]) -> Path:
    """Write an untrained model whose curves hold some 10 states per atom."""
    torch.manual_seed(0)
    atoms = AtomEncoderConfig(elements, level=1, channels=6, base_width=4, features=16)
    config = DOSConfig(atoms, bins=41, hidden=(16,))
    model = DOSModel(config)
    model.calibrate(0.5 + 0.1 * torch.randn(64, 41))
    save_weights(path, model.state_dict(), Header(kind="dos", model=config.to_dict(), data=data))
    return path


@pytest.fixture(scope="session")
def carbon_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An electronic model of carbon alone."""
    path = tmp_path_factory.mktemp("weights") / "carbon.safetensors"
    return save_tiny(path, (6,), {**ELECTRONIC, "electrons_per_element": {"6": 4.0}})


@pytest.fixture(scope="session")
def salt_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An electronic model of two elements, whose electrons nobody counted."""
    return save_tiny(
        tmp_path_factory.mktemp("weights") / "salt.safetensors", (11, 17), dict(ELECTRONIC)
    )


@pytest.fixture(scope="session")
def phonon_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phonon model of three elements."""
    return save_tiny(
        tmp_path_factory.mktemp("weights") / "phonon.safetensors", (6, 11, 17), dict(PHONON)
    )

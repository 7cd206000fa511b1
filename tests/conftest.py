"""What several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from csgnn_dgl.errors import MissingDependencyError

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


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing is read from, or left in, the user's cache."""
    os.environ["CSGNN_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real shapes, where they are at hand."""
    named = os.environ.get("CSGNN_DATA")
    path = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"no data at {path}; set CSGNN_DATA")
    return path


@pytest.fixture(scope="session")
def open3d() -> None:
    """For tests that read or sample meshes."""
    from csgnn_dgl._open3d import import_open3d

    try:
        import_open3d()
    except MissingDependencyError as error:
        pytest.skip(str(error))


def make_clouds(
    folder: Path,
    per_class: int = 6,
    points: int = 96,
    seed: int = 0,
    tested: int | None = None,
) -> Path:
    """Three classes of .npy clouds, with train/ and test/: rods, discs and balls."""
    rng = np.random.default_rng(seed)
    for name, stretch in (("rod", (1, 0.1, 0.1)), ("disc", (1, 1, 0.1)), ("ball", (1, 1, 1))):
        for which, count in (("train", per_class), ("test", tested or per_class)):
            place = folder / name / which
            place.mkdir(parents=True)
            for index in range(count):
                np.save(place / f"{name}{index}.npy", rng.normal(size=(points, 3)) * stretch)
    return folder


@pytest.fixture(scope="session")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small clouds that many tests read and none changes."""
    return make_clouds(tmp_path_factory.mktemp("clouds"))


@pytest.fixture(scope="session")
def few_clouds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clouds that are so few that commands start no workers to read them."""
    return make_clouds(tmp_path_factory.mktemp("few"), tested=4)


def save_tiny(path: Path, elements: tuple[int, ...], data: dict[str, object]) -> Path:
    """Write an untrained model whose curves hold some 10 states per atom."""
    # Imported here, because some tests run without torch.
    import torch

    from csgnn_dgl.models import AtomCSGNN, AtomCSGNNHypers, DOSModel
    from csgnn_dgl.tasks.weights import Header, save_weights

    torch.manual_seed(0)
    hypers = AtomCSGNNHypers(level=1, channels=6, base_width=4, features=16)
    head = {"bins": 41, "hidden": [16], "dropout": 0.0, "norm": "batch"}
    network = DOSModel(AtomCSGNN(hypers, elements), **head)  # type: ignore[arg-type]
    network.head.calibrate(0.5 + 0.1 * torch.randn(64, 41))
    model = {"name": "csgnn", "elements": list(elements), "hypers": hypers.model_dump()}
    save_weights(path, network.state_dict(), Header("dos", model, head, data=data))
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

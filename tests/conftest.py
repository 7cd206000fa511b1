"""What several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from csgnn_dgl.errors import MissingDependencyError


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


def make_clouds(folder: Path, per_class: int = 6, points: int = 96, seed: int = 0) -> Path:
    """Three classes of .npy clouds, with train/ and test/: rods, discs and balls."""
    rng = np.random.default_rng(seed)
    for name, stretch in (("rod", (1, 0.1, 0.1)), ("disc", (1, 1, 0.1)), ("ball", (1, 1, 1))):
        for which in ("train", "test"):
            place = folder / name / which
            place.mkdir(parents=True)
            for index in range(per_class):
                np.save(place / f"{name}{index}.npy", rng.normal(size=(points, 3)) * stretch)
    return folder


@pytest.fixture(scope="session")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small clouds that many tests read and none changes."""
    return make_clouds(tmp_path_factory.mktemp("clouds"))

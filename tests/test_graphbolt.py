"""``import csgnn_dgl`` is enough for a plain ``import dgl``, and costs nothing by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import csgnn_dgl

ROOT = Path(csgnn_dgl.__file__).parents[1]

USE = """
graph = dgl.graph(([0, 1], [1, 2]))
graph.ndata["x"] = torch.ones(3, 1)
graph.update_all(dgl.function.copy_u("x", "m"), dgl.function.sum("m", "y"))
assert graph.ndata["y"].flatten().tolist() == [0, 1, 1]
assert dgl.nn.GraphConv(1, 2)(dgl.add_self_loop(graph), graph.ndata["x"]).shape == (3, 2)
"""


def run(code: str, home: Path, *path: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOME": str(home), "PYTHONPATH": os.pathsep.join(map(str, path))}
    environment.pop("DGLBACKEND", None)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=home, env=environment
    )


def succeeds(code: str, home: Path, *path: Path) -> None:
    done = run(code, home, *path)
    assert done.returncode == 0, done.stderr


def test_a_plain_import_afterwards(tmp_path: Path) -> None:
    succeeds(f"import csgnn_dgl\nimport dgl, torch\n{USE}", tmp_path, ROOT)
    # Nothing is asked about the backend, and nothing is written to the home folder.
    assert list(tmp_path.iterdir()) == []


def test_together_with_our_own(tmp_path: Path) -> None:
    code = f"""
import csgnn_dgl, dgl, torch
from csgnn_dgl._dgl import GRAPHBOLT_IS_REAL, dgl as ours
assert ours is dgl
assert GRAPHBOLT_IS_REAL == hasattr(dgl.graphbolt, "load_graphbolt")
{USE}
"""
    succeeds(code, tmp_path, ROOT)


def test_after_an_import_that_failed(tmp_path: Path) -> None:
    code = f"""
import sys
try:
    import dgl
except ImportError:
    pass
import csgnn_dgl, torch
import dgl
{USE}
"""
    succeeds(code, tmp_path, ROOT)


def test_it_is_cheap(tmp_path: Path) -> None:
    code = """
import sys
import csgnn_dgl
heavy = {"torch", "dgl", "numpy", "networkx", "lightning"} & set(sys.modules)
assert not heavy, heavy
import importlib
before = len(sys.meta_path)
importlib.reload(csgnn_dgl)
assert len(sys.meta_path) == before
"""
    succeeds(code, tmp_path, ROOT)


# A DGL of which nothing but what matters here is there.
FAKE = "from . import graphbolt\n"
VERSION = torch.__version__.split("+", maxsplit=1)[0]


@pytest.mark.parametrize(
    ("library", "graphbolt", "real"),
    [
        (VERSION, "LOADED = True\nfrom . import part\n", True),
        ("2.0.1", "LOADED = True\nfrom . import part\n", False),
        # Compiled for this torch, but something else is missing.
        (VERSION, "LOADED = True\nfrom . import part\nimport nothing_of_this_name\n", False),
        (VERSION, "LOADED = True\nraise OSError('cannot load')\n", False),
    ],
)
def test_the_real_one_where_it_loads(
    library: str, graphbolt: str, real: bool, tmp_path: Path
) -> None:
    package = tmp_path / "site" / "dgl" / "graphbolt"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text(FAKE)
    (package / "__init__.py").write_text(graphbolt)
    (package / "part.py").write_text("")
    (package / f"libgraphbolt_pytorch_{library}.so").touch()
    code = f"""
import sys
import csgnn_dgl
import dgl
from csgnn_dgl._graphbolt import is_stand_in
assert dgl.__file__.startswith({str(tmp_path)!r})
assert hasattr(dgl.graphbolt, "LOADED") == {real}
assert is_stand_in(dgl.graphbolt) == {not real}
assert ("dgl.graphbolt.part" in sys.modules) == {real}
"""
    succeeds(code, tmp_path, tmp_path / "site", ROOT)


def test_without_dgl(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["dgl"] = None
import csgnn_dgl.grid
csgnn_dgl.grid.ConcentricGrid(0, 1)
csgnn_dgl.grid.ConcentricGrid(0, 1).graph()
"""
    done = run(code, tmp_path, ROOT)
    assert "MissingDependencyError: DGL is not installed: pip install" in done.stderr

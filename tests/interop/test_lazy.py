"""Nothing here needs a package that is not asked for, and what is missing is named."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys

import pytest

from csgnn_dgl.errors import MissingDependencyError

MODULES = {"sklearn": "scikit-learn", "pymatgen": "pymatgen"}


def test_packages_are_imported_when_they_are_used() -> None:
    pytest.importorskip("torch")
    program = (
        "import sys, csgnn_dgl.interop, csgnn_dgl.descriptor, csgnn_dgl.tasks.dos.describe\n"
        "assert csgnn_dgl.interop.DOSCalculator.__name__ == 'DOSCalculator'\n"
        "loaded = {'sklearn', 'pymatgen', 'chemiscope', 'wandb', 'mlflow'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("package", MODULES)
def test_a_missing_package_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] == package or name == f"csgnn_dgl.interop.{package}":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        MissingDependencyError, match=rf"pip install 'csgnn-dgl\[{package}\]'"
    ) as caught:
        importlib.import_module(f"csgnn_dgl.interop.{package}")
    assert MODULES[package] in str(caught.value)


def test_unknown_names() -> None:
    import csgnn_dgl.interop as interop

    with pytest.raises(AttributeError, match="no attribute DOSCalculater"):
        _ = interop.DOSCalculater


@pytest.mark.parametrize("name", ["ase", "pymatgen", "sklearn"])
def test_examples(name: str) -> None:
    if name in MODULES:
        pytest.importorskip(name)
    found = importlib.import_module(f"csgnn_dgl.interop.{name}")
    assert doctest.testmod(found).failed == 0

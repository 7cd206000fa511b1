"""Where DGL can be installed, and that nothing needs what only some systems have."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from csgnn_dgl import _platform
from csgnn_dgl._platform import usable_cores, why_no_dgl, why_unsupported

Pretend = Callable[..., None]


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Pretend:
    """Make this CPython 3.11 on Linux with glibc on x86-64, but for what is said."""

    def pretend(
        system: str = "Linux",
        machine: str = "x86_64",
        python: tuple[int, int] = (3, 11),
        implementation: str = "CPython",
        libc: str = "glibc",
    ) -> None:
        class Sys:
            version_info = (*python, 4)

        answers = {
            "system": system,
            "machine": machine,
            "python_implementation": implementation,
            "python_version_tuple": tuple(str(n) for n in (*python, 4)),
            "libc_ver": (libc, "2.36"),
        }
        monkeypatch.setattr(_platform, "sys", Sys)
        for name, answer in answers.items():
            monkeypatch.setattr(platform, name, lambda answer=answer: answer)

    return pretend


@pytest.mark.parametrize(
    "place",
    [
        {},
        {"python": (3, 10)},
        {"python": (3, 12)},
        {"machine": "aarch64"},
        {"system": "Darwin", "machine": "arm64", "libc": ""},
        {"system": "Windows", "machine": "AMD64", "libc": ""},
    ],
)
def test_where_dgl_has_a_release(place: dict[str, Any], pretend: Pretend) -> None:
    pretend(**place)
    assert why_unsupported() is None
    assert "pip install 'dgl>=2.1'" in why_no_dgl()


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({"python": (3, 13)}, r"no release for Python 3\.13, only for 3\.10 to 3\.12: make"),
        ({"python": (3, 9)}, r"Python 3\.9 is too old, and 3\.10 to 3\.12 is needed: make"),
        ({"implementation": "PyPy"}, r"no release for PyPy, only for CPython 3\.10 to 3\.12"),
        ({"libc": ""}, r"Linux without glibc, such as Alpine"),
        ({"machine": "ppc64le"}, r"no release for Linux on ppc64le, only for Linux with glibc on"),
        ({"system": "Darwin", "libc": ""}, r"torch has no release after 2\.2 for Macs with Intel"),
        ({"system": "Windows", "machine": "ARM64", "libc": ""}, r"no release for Windows on ARM64"),
        ({"system": "FreeBSD", "machine": "amd64"}, r"no release for FreeBSD on amd64"),
    ],
)
def test_where_it_has_none(place: dict[str, Any], message: str, pretend: Pretend) -> None:
    pretend(**place)
    assert why_unsupported() is not None
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(why_no_dgl())
    assert "pip install" not in why_no_dgl(), "that would not help"


def test_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: [0, 5], raising=False)
    assert usable_cores() == 2

    def forbidden(self: psutil.Process) -> list[int]:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "cpu_affinity", forbidden)
    assert usable_cores() == 64
    monkeypatch.delattr(psutil.Process, "cpu_affinity")  # as on macOS
    assert usable_cores() == 64
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1


_IMPORT_ALL = """
    import importlib, os, pkgutil, sys

    ABSENT = ("fcntl", "grp", "pwd", "resource", "termios")

    class Absent:
        def find_spec(self, name, path=None, target=None):
            frame = sys._getframe(1)
            while "importlib" in frame.f_code.co_filename:
                frame = frame.f_back
            # Other packages know themselves what to do on Windows.
            if name in ABSENT and frame.f_globals["__name__"].startswith("csgnn_dgl"):
                raise ModuleNotFoundError(f"no {name} on this system", name=name)

    if not CONTROL:
        import torch, lightning, ase.io, matplotlib.pyplot
    for name in ABSENT:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, Absent())
    import csgnn_dgl
    names = [m.name for m in pkgutil.walk_packages(csgnn_dgl.__path__, "csgnn_dgl.")]
    for name in CONTROL or names:
        if not name.endswith("__main__") and "triton_kernels" not in name:
            for absent in ABSENT:
                sys.modules.pop(absent, None)
            importlib.import_module(name)
    print(len(names))
"""


@pytest.mark.parametrize("control", [[], ["csgnn_dgl_control"]], ids=["package", "control"])
def test_no_module_imports_what_windows_lacks(control: list[str], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "csgnn_dgl_control.py").write_text("import fcntl")
    done = subprocess.run(
        [sys.executable, "-c", f"CONTROL = {control!r}\n{textwrap.dedent(_IMPORT_ALL)}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(tmp_path)])},
        check=False,
    )
    if control:
        assert "no fcntl on this system" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert int(done.stdout.split()[-1]) > 100

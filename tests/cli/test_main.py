"""The entry point: fast to start, and every user's mistake is one clear line with status 2."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import csgnn_dgl

HEAVY = ("torch", "dgl", "lightning", "open3d", "pandas", "matplotlib", "ase", "networkx")


@pytest.mark.parametrize(
    "words", [["--help"], ["train", "modelnet", "--help"], ["data", "info", "--help"]]
)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = f"""
import sys
from csgnn_dgl.cli.main import main
try:
    main({words!r})
except SystemExit as stop:
    assert stop.code == 0, stop.code
print("LOADED", *[name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "Usage: csgnn-dgl" in done.stdout
    assert done.stdout.splitlines()[-1].split() == ["LOADED"]


def test_the_check_above_can_fail() -> None:
    code = "import csgnn_dgl.grid, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_the_console_script_runs() -> None:
    script = Path(sys.executable).with_name("csgnn-dgl")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert csgnn_dgl.__version__ in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "no such command 'trian': did you mean 'train'"),
        (["train", "modelnet", "--levl", "3"], "unknown option --levl: did you mean --level?"),
        (["train", "modelnet", "--preset", "quik"], "unknown preset 'quik': did you mean 'quick'"),
        (["train", "modelnet", "--train-rotation", "so4"], "'so4' is not one of"),
        (["train", "modelnet", "--epochs", "many"], "'many' is not a valid integer"),
        (["train", "modelnet", "--epochs", "0"], "epochs = 0 (from --epochs)"),
        (["train", "modelnet", "--kernel-size", "4"], "kernel_size is 4, but it must be odd"),
        (["train", "modelnet", "--set", "level=1", "--set", "level=2"], "--set gives level twice"),
        (["train", "modelnet", "--set", "level"], "'level' is not KEY=VALUE"),
        (["train", "modelnet", "--hidden", "a,b"], "'a,b' is not a list of whole numbers"),
        (["train", "modelnet", "--scale-range", "a,b"], "'a,b' is not a list of numbers such as"),
        (["train", "modelnet", "--scale-range", "2,1"], "must be two numbers, low and high"),
        (["train", "modelnet", "--readout", "max"], "'pool', 'max-mean' or 'power'"),
        (["train", "modelnet", "--filter-order", "3"], "filter_order = 3 (from --filter-order)"),
        (["train", "modelnet", "--pool", "5"], "pool is 5, but it must be at least points"),
        (["train", "modelnet", "--data", "nowhere"], "there is no data at nowhere"),
        (["train", "modelnet", "--config", "no.yaml"], "there is no configuration file no.yaml"),
        (["train", "modelnet", "--resume", "no-run"], "there is no run no-run"),
        (["train", "modelnet", "--resume", "r", "--epochs", "3"], "--epochs cannot be given with"),
        (["train", "modelnet", "--level", "12", "--n-spheres", "64"], "GiB"),
        (["evaluate", "no-run"], "there is no run no-run"),
        (["evaluate"], "Missing argument 'RUN'"),
        (["predict", "no-run", "a.off"], "there is no run no-run"),
        (["data", "info", "nowhere"], "there is no data at nowhere"),
    ],
)
def test_mistakes_are_named(
    words: list[str],
    message: str,
    run: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*words)
    assert result.status == 2
    assert message in result.err
    assert "Traceback" not in result.err
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_debug_shows_the_traceback(run: Callable[..., Any]) -> None:
    result = run("evaluate", "no-run", "--debug")
    assert result.status == 2
    assert "Traceback" in result.err


def test_yaml_keys_are_checked(run: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("preset: quick\nepoch: 3\n")
    result = run("train", "modelnet", "--config", file)
    assert result.status == 2
    assert f"unknown key 'epoch' in {file}: did you mean 'epochs'?" in result.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("preset: 3\n", "unknown preset 3"),
        ("preset: [quick]\n", "unknown preset ['quick']"),
        ("epochs: 3\nseed: 1\nepochs: 4\n", "the key 'epochs' is given twice"),
        ("epochs: [3\n", "is not YAML"),
        ("- epochs\n", "must hold 'key: value' lines, but it holds a list"),
        ("jitter: .inf\n", "jitter = inf (from"),
        ("epochs: 2.5\n", "epochs = 2.5 (from"),
        ("? [a, b]\n: 3\n", "is not YAML"),
    ],
)
def test_unusable_yaml_is_named(
    text: str, message: str, run: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(text)
    result = run("train", "modelnet", "--config", file, "--print-config")
    assert (result.status, result.out) == (2, "")
    assert message in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("words", [[], ["train"], ["data"]])
def test_without_a_command_there_is_help(words: list[str], run: Callable[..., Any]) -> None:
    result = run(*words)
    assert result.status == 2
    assert result.err.startswith("Usage: csgnn-dgl")
    assert "error:" not in result.err


def test_printed_configuration_reads_back(run: Callable[..., Any], tmp_path: Path) -> None:
    first = run("train", "modelnet", "--preset", "z", "--hidden", "8,4", "--print-config")
    assert first.status == 0
    assert "n_spheres: 15" in first.out
    file = tmp_path / "my.yaml"
    file.write_text(first.out)
    second = run("train", "modelnet", "--config", file, "--seed", "7", "--print-config")
    assert second.out == first.out.replace("seed: 0\n", "seed: 7\n")
    assert second.out != first.out


def test_lists_of_names_and_numbers(run: Callable[..., Any]) -> None:
    lists = ("--readout", "max-mean, power", "--scale-range", "0.667,1.5")
    printed = run("train", "modelnet", *lists, "--print-config").out
    assert "readout:\n  - max-mean\n  - power\n" in printed
    assert "scale_range:\n- 0.667\n- 1.5\n" in printed


def test_flags_go_before_file_and_preset(run: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("preset: so3\nn_spheres: 3\nchannels: 5\n")
    printed = run("train", "modelnet", "--config", file, "--channels", "6", "--print-config").out
    assert "n_spheres: 3\n" in printed
    assert "channels: 6\n" in printed
    assert "learning_rate: 0.00022\n" in printed


def test_doctor(run: Callable[..., Any]) -> None:
    result = run("doctor")
    assert result.status == 0
    for word in ("torch", "dgl", "graphbolt", "CPU", "open3d", "cache", "vesin", "tqdm"):
        assert word in result.out
    assert "mypy" not in result.out, "what only developers need is left out"


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ({"torch": "2.1.0"}, "2.1.0, DOES NOT FIT: pip install 'torch>=2.4'"),
        ({"torch": "2.4.0+cpu"}, None),
        ({"tqdm": None}, "MISSING: pip install 'tqdm>=4.66'"),
        ({"csgnn-dgl": None}, "csgnn-dgl is not installed"),
    ],
)
def test_doctor_finds_what_is_wrong(
    versions: dict[str, str | None],
    message: str | None,
    run: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def pretend(real: Callable[[str], Any]) -> Callable[[str], Any]:
        def look_up(name: str) -> Any:
            if versions.get(name, name) is None:
                raise metadata.PackageNotFoundError(name)
            return versions.get(name) or real(name)

        return look_up

    for function in ("version", "requires"):
        monkeypatch.setattr(metadata, function, pretend(getattr(metadata, function)))
    result = run("doctor")
    assert result.status == (0 if message is None else 2)
    assert message is None or message in result.out + result.err

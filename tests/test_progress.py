"""Progress appears in one clean line on a terminal, and nowhere else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")

SLOW = """
import time
from csgnn_dgl._progress import each, shown, working, write
with shown(SHOWN), working("predicting", 2, unit="file") as done:
    for number in range(2):
        for _ in each(range(8), "atoms", unit="atom"):
            time.sleep(0.1)
        done(1)
        write(f"epoch {number} ended")
    time.sleep(0.6)
"""


def on_terminal(*arguments: str, cwd: Path | None = None) -> str:
    """Everything that a program writes to a terminal of 100 columns."""
    main, other = pty.openpty()
    environment = {**os.environ, "COLUMNS": "100", "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdin=other,
        stdout=other,
        stderr=other,
        env=environment,
        cwd=cwd,
        close_fds=True,
    ) as process:
        os.close(other)
        parts = []
        while True:
            try:
                part = os.read(main, 65536)
            except OSError:  # Linux says so when the other end is closed
                break
            if not part:
                break
            parts.append(part)
        os.close(main)
        process.wait()
    return b"".join(parts).decode()


def as_seen(written: str) -> list[str]:
    """The lines that stay on the screen: a carriage return goes back to a line's beginning."""
    lines = []
    for line in written.replace("\r\n", "\n").split("\n"):
        seen: list[str] = []
        for part in line.split("\r"):
            seen[: len(part)] = part
        lines.append("".join(seen).rstrip())
    return lines


def test_one_line_that_is_removed() -> None:
    written = on_terminal("-c", SLOW.replace("SHOWN", "True"))
    assert re.search(r"predicting \d/2, atoms: +\d+%", written), written
    assert "atom/s" in written
    # Only the program's own lines stay, each by itself.
    assert [line for line in as_seen(written) if line] == ["epoch 0 ended", "epoch 1 ended"]


def test_nothing_if_it_is_not_wanted() -> None:
    written = on_terminal("-c", SLOW.replace("SHOWN", "False"))
    assert written.replace("\r\n", "\n") == "epoch 0 ended\nepoch 1 ended\n"


def test_nothing_without_a_terminal() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SLOW.replace("SHOWN", "True")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("epoch 0 ended\nepoch 1 ended\n", "")


def test_an_exception_ends_the_line() -> None:
    code = """
import time
from csgnn_dgl._progress import _LINE, each, shown, working
with shown():
    try:
        with working("outside"):
            for _ in each(range(3), "inside"):
                time.sleep(3)
                raise ValueError
    except ValueError:
        pass
assert not _LINE._works and _LINE._thread is None
"""
    written = on_terminal("-c", code)
    assert "Error" not in written
    assert "outside" in written
    assert not any(as_seen(written))


def test_a_training_on_a_terminal(few_clouds: Path, tmp_path: Path) -> None:
    pytest.importorskip("lightning")  # which the process needs, and this one does not import
    options = "--level 1 --n-spheres 2 --channels 2 --base-width 4 --hidden 8 --points 64"
    written = on_terminal(
        *("-m", "csgnn_dgl.cli", "train", "modelnet", "--data", str(few_clouds)),
        *(*options.split(), "--epochs", "3", "--output", str(tmp_path / "run")),
    )
    seen = [line for line in as_seen(written) if line]
    assert "v_num" not in written
    epochs = [line for line in seen if "epoch" in line and line.startswith("epoch ")]
    assert [line.split(":")[0] for line in epochs] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert not any("%|" in line or "it/s" in line for line in seen), seen
    # The last line of an epoch and the closing line give one number.
    kept = next(line for line in seen if "validation accuracy" in line)
    share, epoch = re.findall(r"accuracy ([\d.]+) % .*epoch (\d) of 3", kept)[0]
    assert epochs[int(epoch) - 1].split("validation")[1].split(", ")[1].startswith(f"{share} %")

"""Only one process trains in a run, and its lock ends with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import filelock
import pytest

from csgnn_dgl.errors import CSGNNError, ResourceError
from csgnn_dgl.tasks.run_directory import RunDirectory

HOLD = """
import sys
from pathlib import Path
from csgnn_dgl.errors import CSGNNError
from csgnn_dgl.tasks.run_directory import RunDirectory

sys.stdin.readline()
try:
    with RunDirectory(Path(sys.argv[1])).locked():
        print("in", flush=True)
        sys.stdin.readline()
except CSGNNError as error:
    print(error, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", "modelnet", "seed: 0\n")


def start(run: RunDirectory) -> subprocess.Popen[str]:
    """A process that takes the lock at the first line it gets, and gives it back at the second."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_the_lock_ends_with_a_killed_process(run: RunDirectory) -> None:
    with start(run) as process:
        tell(process)
        assert answer(process) == "in"
        with pytest.raises(CSGNNError, match=f"^process {process.pid} is training in"):
            run.locked().__enter__()
        with pytest.raises(CSGNNError, match=f"^process {process.pid} is training in"):
            run.locked().__enter__()  # the refusal above has broken nothing
        (run.path / ".tmp-0123.partial").touch()
        process.kill()
        process.wait()
    with run.locked():
        assert not list(run.path.glob("*.partial")), "what it was writing is removed"


def test_of_several_processes_one_trains(run: RunDirectory) -> None:
    processes = [start(run) for _ in range(4)]
    try:
        for process in processes:
            tell(process)
        said = [answer(process) for process in processes]
        assert said.count("in") == 1
        assert sum("is training in" in line for line in said) == 3
        winner = processes[said.index("in")]
        tell(winner)
        winner.wait()
        with run.locked():
            pass
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_the_lock_is_given_back_after_an_error(run: RunDirectory) -> None:
    def fail() -> None:
        with run.locked():
            raise RuntimeError("out of luck")

    for _ in range(2):
        with pytest.raises(RuntimeError, match="out of luck"):
            fail()
    assert not (run.path / ".lock-owner").exists()


def test_an_owner_that_has_not_said_its_name(run: RunDirectory) -> None:
    with run.locked():
        (run.path / ".lock-owner").unlink()
        with pytest.raises(CSGNNError, match=r"^process unknown is training in"):
            run.locked().__enter__()


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (NotImplementedError("no flock"), r"this file system has no locks.*--output"),
        (PermissionError(13, "Permission denied"), r"cannot write .*\.lock: permission denied"),
    ],
)
def test_places_without_locks(
    failure: Exception, message: str, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def acquire(self: filelock.BaseFileLock) -> None:
        raise failure

    monkeypatch.setattr(filelock.BaseFileLock, "acquire", acquire)
    with pytest.raises(ResourceError, match=message):
        run.locked().__enter__()


def test_an_unused_run_leaves_nothing(run: RunDirectory) -> None:
    with run.locked():
        pass
    run.discard_unused()
    assert not run.path.exists()

"""Commands in forks behave as commands in new processes, and end with whoever started them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from csgnn_dgl.testing.commands import FORKS, run_in_two_processes, run_python, start_python

pytestmark = pytest.mark.skipif(not FORKS, reason="nothing is forked here")


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("import sys; print('done', file=sys.stderr)", 0, "done\n"),
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('it is broken')", 1, "it is broken\n"),
        ("raise SystemExit", 0, ""),
        ("import os; os.kill(os.getpid(), 9)", -9, ""),
        ("import atexit; atexit.register(print, 'left')", 0, ""),
    ],
)
def test_as_python_ends(code: str, status: int, said: str) -> None:
    found = run_python(["-c", code])
    expected = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (status, said)
    assert (found.stdout, found.stderr) == (expected.stdout, expected.stderr)
    assert found.returncode == expected.returncode


def test_errors_are_shown() -> None:
    found = run_python(["-c", "1 / 0"])
    assert found.returncode == 1
    assert found.stderr.startswith("Traceback")
    assert found.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_what_a_command_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "beside.py").write_text("VALUE = 5")
    script = tmp_path / "script.py"
    script.write_text("import beside, os, sys; print(beside.VALUE, os.environ['SEEN'], sys.argv)")
    found = run_python([script, "--word", 1], {"SEEN": "yes"})
    assert found.stdout == f"5 yes {[str(script), '--word', '1']}\n"
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("SEEN", "here")
    found = run_python(["-m", "script"])
    assert found.stdout == f"5 here {[str(script)]}\n"
    # What is random in a new Python is random in a fork.
    code = "import random; print(random.random())"
    assert run_python(["-c", code]).stdout != run_python(["-c", code]).stdout


def test_modules_that_are_not_imported() -> None:
    code = "import sys; print('torch' in sys.modules, 'csgnn_dgl' in sys.modules)"
    assert run_python(["-c", code], imported=("json",)).stdout == "False False\n"
    assert run_python(["-c", code], imported=("torch",)).stdout == "True False\n"


def test_commands_are_stopped_and_limited(tmp_path: Path) -> None:
    wait = "import time; print('begun', flush=True); time.sleep(600)"
    command = start_python(["-c", wait])
    assert command.poll() is None
    command.send_signal(signal.SIGTERM)
    assert command.finish(60).returncode == -signal.SIGTERM
    started = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        run_python(["-c", wait], timeout=1)
    assert time.monotonic() - started < 60
    path = tmp_path / "large"
    code = f"with open({str(path)!r}, 'wb') as file: file.write(bytes(3000))"
    refused = start_python(["-c", code], largest_file=2000).finish(60)
    assert "File too large" in refused.stderr
    assert run_python(["-c", code]).returncode == 0


def test_two_processes_know_of_each_other() -> None:
    code = (
        "import os; from lightning.pytorch.utilities import rank_zero_only\n"
        "print(os.environ['WORLD_SIZE'], rank_zero_only.rank)"
    )
    found = run_in_two_processes(["-c", code])
    assert [done.stdout for done in found] == ["2 0\n", "2 1\n"]


def test_nothing_is_left_when_the_tests_are_killed() -> None:
    code = (
        "import sys, time\n"
        "from csgnn_dgl.testing.commands import start_python\n"
        "print(start_python(['-c', 'import time; time.sleep(600)'], imported=()).pid, flush=True)\n"
        "time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as tests:
        assert tests.stdout is not None
        command = psutil.Process(int(tests.stdout.readline()))
        assert command.is_running()
        tests.kill()
    psutil.wait_procs([command], timeout=30)
    assert not command.is_running()

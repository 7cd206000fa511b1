"""A process that imports some modules once, and forks for each command of the tests.

It is run as a file, with the names of the modules, so that it need not import this package. It
reads requests as lines of JSON, and answers each with the number of the process that was forked.
The exit status of a command is written to the file ``status`` in its folder.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import random
import runpy
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

if sys.platform == "win32":
    raise ImportError("nothing can be forked on Windows")

#: Variables that number processes; the first that is set counts, as for Lightning.
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")


def _serve(requests: IO[str], answers: int) -> Mapping[str, Any]:
    """Fork for each request. Returns only in the forks, with the request."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody has to ask how keepers ended
    for line in requests:
        request: Mapping[str, Any] = json.loads(line)
        if os.fork() == 0:
            # The keeper waits for the command, so that the server need not.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if (command := os.fork()) == 0:
                return request
            os.write(answers, f"{command}\n".encode())
            _keep(command, Path(request["folder"]))
    # Whoever asked is gone: the commands that still run, and this process, end.
    os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _keep(command: int, folder: Path) -> NoReturn:
    status = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
    with contextlib.suppress(FileNotFoundError):  # nobody waits any more
        (folder / "partial").write_text(str(status), encoding="ascii")
        (folder / "partial").rename(folder / "status")
    os._exit(0)


def _become(request: Mapping[str, Any]) -> None:
    """Make this fork what a new Python would be."""
    for name, stream, mode in (
        (os.devnull, 0, os.O_RDONLY),
        ("stdout", 1, os.O_WRONLY),
        ("stderr", 2, os.O_WRONLY),
    ):
        opened = os.open(os.path.join(request["folder"], name), mode)
        os.dup2(opened, stream)
        os.close(opened)
    os.environ.clear()
    os.environ.update(request["variables"])
    os.chdir(request["cwd"])
    sys.path[:] = request["paths"]
    importlib.invalidate_caches()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    random.seed()
    if "lightning" in sys.modules:
        # Lightning reads it when it is imported.
        from lightning.pytorch.utilities import rank_zero_only

        rank = next((int(os.environ[name]) for name in _RANKS if name in os.environ), 0)
        vars(rank_zero_only)["rank"] = rank
    if request["largest_file"] is not None:
        import resource

        limit = request["largest_file"]
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def _run(words: Sequence[str]) -> None:
    """Do what ``python WORDS`` does."""
    first, *rest = words
    if first == "-m":
        sys.argv[:] = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv[:] = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv[:] = words
        sys.path.insert(0, str(Path(first).parent.resolve()))
        runpy.run_path(first, run_name="__main__")


def main() -> None:
    """What the process does that imports and forks."""
    del sys.path[0]  # the folder of this file
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in sys.argv[1:]:
            # A fork that needs a module which cannot be imported says so by itself.
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    # Objects of this process are never freed in forks, so that their memory stays shared.
    gc.collect()
    gc.freeze()
    answers = os.dup(1)
    request = _serve(sys.stdin, answers)
    os.close(answers)
    _become(request)
    try:
        _run(request["words"])
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    # As at the end of Python, but nothing is freed, which takes seconds with all that is imported.
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


if __name__ == "__main__":
    main()

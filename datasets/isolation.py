"""Read many files so that none can take the others down: in worker processes with limits."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

from csgnn_dgl._foreign import excerpt, reading
from csgnn_dgl.datasets.readers import registered, replace_registered
from csgnn_dgl.errors import CSGNNError, DataError

__all__ = ["MANY", "isolation", "read_each", "start_early"]

Value = TypeVar("Value")

#: From this number of files on, commands read in worker processes.
MANY = 32
#: Longest time that a file may take in a worker process [s].
SECONDS = 120.0
# Memory that a worker may always take beside what it has when it starts [bytes].
_LEAST_MEMORY = 1 << 30
_MOST_WORKERS = 4
# Files that are read ahead, for each worker.
_AHEAD = 8
# How often workers are started again after all of them ended at once.
_RESTARTS = 3

_PRELOADED = ("csgnn_dgl.datasets.isolation", "csgnn_dgl.datasets.shapes", "torch", "ase.io")

# Not fork: this process may have threads of torch, and a copy would wait for their locks for ever.
_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"

# Set while the process starts from which workers are forked: the process that it ends with, if any.
_SERVER = "CSGNN_READING_SERVER"

_chosen: ContextVar[bool | None] = ContextVar("isolation", default=False)


@contextlib.contextmanager
def isolation(choice: bool | None, *, automatic: bool = False) -> Iterator[None]:
    """Choose whether :func:`read_each` reads in worker processes, while the block runs.

    Parameters
    ----------
    choice
        True or False; None changes nothing.
    automatic
        Use worker processes from :data:`MANY` files on. The commands do so; by itself, Python code
        reads in its own process.

    Examples
    --------
    >>> with isolation(False):
    ...     list(read_each(len, ["a", "bc"]))
    [1, 2]
    """
    if choice is None and not automatic:
        yield
        return
    token = _chosen.set(choice)
    try:
        yield
    finally:
        _chosen.reset(token)


def read_each(
    read: Callable[[Any], Value],
    files: Sequence[Any],
    *,
    seconds: float = SECONDS,
    memory: int | None = None,
) -> Generator[Value | DataError, None, None]:
    """Call ``read`` for each file and yield what it returns, in the order of the files.

    With :func:`isolation`, worker processes call it. A file whose reader crashes, takes too long or
    needs too much memory then costs one worker, which is replaced. Readers that were registered
    are sent to the workers. If that fails, a line on standard error says so, and all files are read
    in this process.

    Parameters
    ----------
    read
        Reads one file. It must not depend on what other calls left behind.
    files
        Paths, or whatever ``read`` takes; the text of each names it in messages.
    seconds
        Longest time for one file in a worker [s].
    memory
        Memory that a worker may take for a file [bytes]. Default: half of the memory that is free,
        divided among the workers, and at least 1 GiB. Only Linux limits it.

    Yields
    ------
    object
        What ``read`` returned; or the error, if it raised one of this package's.

    Raises
    ------
    CSGNNError
        An error that does not belong to one file, such as a missing library.
    """
    if not _isolated(len(files)):
        yield from (_attempt(read, file) for file in files)
        return
    try:
        # Readers may be lambdas, or functions of a user's script, which pickle refuses.
        import cloudpickle

        job = cloudpickle.dumps((read, registered()))
        workers = _Workers(job, len(files), seconds, memory)
    except Exception as error:
        _say_unprotected(error)
        yield from (_attempt(read, file) for file in files)
        return
    done = 0
    try:
        for content in workers.read(files):
            yield content
            done += 1
    except _NotReadyError as error:
        _say_unprotected(error)
        yield from (_attempt(read, file) for file in files[done:])


class _NotReadyError(Exception):
    """Workers cannot be started, or cannot load the reader."""


def _say_unprotected(error: Exception) -> None:
    print(
        f"note: files are read in this process, so one could end the command: {excerpt(error)}",
        file=sys.stderr,
    )


def start_early(count: int) -> None:
    """Start the process that makes workers, if ``count`` files will be read in workers.

    It imports the readers meanwhile, so call this before importing anything that takes long.
    """
    if _isolated(count):
        _start_server()


def _start_server() -> None:
    """Start the process from which workers are forked, unless it runs already."""
    if _METHOD != "forkserver":
        return
    from multiprocessing import forkserver

    multiprocessing.get_context(_METHOD).set_forkserver_preload(list(_PRELOADED))
    # Otherwise Linux would end the server with the thread.
    in_main = threading.current_thread() is threading.main_thread()
    os.environ[_SERVER] = str(os.getpid()) if in_main else ""
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop(_SERVER, None)


def _isolated(count: int) -> bool:
    choice = _chosen.get()
    return count >= MANY if choice is None else choice


def _attempt(read: Callable[[Any], Value], file: Any) -> Value | DataError:
    """What ``read`` returns, or its error. Other errors than ours become errors of the file."""
    try:
        with reading(file):
            return read(file)
    except DataError as error:
        return error


class _Workers:
    """Worker processes for one batch of files."""

    def __init__(self, job: bytes, count: int, seconds: float, memory: int | None) -> None:
        self.job, self.seconds = job, seconds
        self.workers = max(1, min(_cores(), _MOST_WORKERS, count))
        self.memory = memory if memory is not None else _fair_share(self.workers)
        self._pool: Any = None

    def read(self, files: Sequence[Any]) -> Iterator[Any]:
        waiting: deque[tuple[Any, Any]] = deque()
        coming = deque(files)
        restarts = 0
        # A worker may die so that the others never get a file again. This bounds the wait.
        patience = self.seconds * (_AHEAD + 2) + 60
        try:
            while coming or waiting:
                while coming and len(waiting) < _AHEAD * self.workers:
                    file = coming.popleft()
                    waiting.append((file, self._schedule(file)))
                file, future = waiting[0]
                try:
                    answer = future.result(timeout=patience)
                except (BrokenProcessPool, CancelledError) as error:
                    restarts += 1
                    if restarts > _RESTARTS:
                        raise _NotReadyError(f"worker processes do not start ({error})") from error
                    self.stop()
                    coming.extendleft(file for file, _ in reversed(waiting))
                    waiting.clear()
                    continue
                except TimeoutError:
                    answer = self._too_slow(file)
                except Exception as error:
                    answer = self._died(file, error)
                waiting.popleft()
                yield _unpacked(file, answer)
        finally:
            self.stop()

    def _schedule(self, file: Any) -> Any:
        if self._pool is None:
            self._pool = self._start()
        return self._pool.schedule(_call, args=[file], timeout=self.seconds)

    def _start(self) -> Any:
        from pebble import ProcessPool

        _start_server()
        context: Any = multiprocessing.get_context(_METHOD)
        place = (os.getcwd(), dict(os.environ), list(sys.path))
        return ProcessPool(
            max_workers=self.workers,
            initializer=_prepare,
            initargs=(self.job, self.memory, *place),
            context=context,
        )

    def stop(self) -> None:
        """End the workers at once."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            pool.stop()
            pool.join()

    def _too_slow(self, file: Any) -> DataError:
        return DataError(
            f"{excerpt(file)} cannot be read: its reader took longer than {self.seconds:g} s and "
            f"was stopped; --no-isolate reads it without this limit"
        )

    def _died(self, file: Any, error: Exception) -> DataError:
        code = getattr(error, "exitcode", None)
        name = excerpt(file)
        if not isinstance(code, int):
            return DataError(f"{name} cannot be read: {excerpt(error) or type(error).__name__}")
        if code == -signal.SIGABRT or (sys.platform != "win32" and code == -signal.SIGKILL):
            how = (
                f"its reader was killed ({signal.Signals(-code).name}), as for want of memory (it "
                f"may take {self.memory / 2**30:.1f} GiB)"
            )
        elif code < 0:
            how = f"its reader crashed ({signal.Signals(-code).name})"
        else:
            how = f"its reader ended the process with status {code}"
        return DataError(f"{name} cannot be read: {how}; the file is probably damaged")


def _unpacked(file: Any, answer: Any) -> Any:
    """The value in a worker's answer, or the error. Errors that concern all files are raised."""
    if isinstance(answer, DataError):
        return answer
    kind, content = answer
    if kind == "not ready":
        raise _NotReadyError(content)
    if kind == "text":
        return DataError(content)
    value = pickle.loads(content)  # written by our own worker
    if isinstance(value, CSGNNError) and not isinstance(value, DataError):
        raise value
    return value


# What follows runs in the workers. The function that reads, or why it could not be loaded:
_job: Callable[[Any], Any] | str


def _prepare(
    job: bytes, memory: int, folder: str, environment: dict[str, str], path: list[str]
) -> None:
    """Make this process like the one that started it, with limits."""
    global _job
    # By default Python would handle these only after a library's function has returned.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = path
    with contextlib.suppress(OSError):
        os.chdir(folder)
    _end_with_parent(os.getppid())
    _be_quiet()
    try:
        read, others = pickle.loads(job)
        replace_registered(others)
        _job = read
    except Exception as error:
        _job = f"a reader cannot be loaded in another process ({excerpt(error)})"
    _limit_memory(memory)


def _call(file: Any) -> tuple[str, Any]:
    if isinstance(_job, str):
        return "not ready", _job
    try:
        value: Any = _attempt(_job, file)
    except CSGNNError as error:
        value = error
    try:
        return "pickle", pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        if isinstance(value, CSGNNError):
            return "text", str(value)
        return "text", (
            f"{excerpt(file)}: what its reader returns cannot be sent between processes "
            f"({excerpt(error)}); read it with --no-isolate"
        )


def _limit_memory(memory: int) -> None:
    if sys.platform != "linux":
        return
    import resource

    with contextlib.suppress(OSError, ValueError):
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        own = next(line for line in status.splitlines() if line.startswith("VmData:"))
        limit = int(own.split()[1]) * 1024 + memory
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
        # A crash must not write gigabytes to the disk.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end_with_parent(parent: int) -> None:
    """Ask Linux to kill this process when its parent ends, however that happens."""
    if sys.platform != "linux":
        return
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)  # it ended before Linux knew


def _be_quiet() -> None:
    """Drop what libraries print when they crash. The error of the file says it."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)


def _cores() -> int:
    every = os.cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else every


def _fair_share(workers: int) -> int:
    import psutil

    return max(_LEAST_MEMORY, int(psutil.virtual_memory().available) // (2 * workers))


def _begin_worker() -> None:
    """What a process that is forked from the server does first."""
    global _server
    server, _server = _server, None  # processes of workers are their own matter
    if server is not None:
        _end_with_parent(server)


_server: int | None = None
if (_owner := os.environ.pop(_SERVER, None)) is not None:
    # This is the server. It ends with the command, and all workers with it, also if they hang.
    if _owner:
        _end_with_parent(int(_owner))
    _server = os.getpid()
    if sys.platform != "win32":
        os.register_at_fork(after_in_child=_begin_worker)

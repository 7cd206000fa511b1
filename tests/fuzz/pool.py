"""Worker processes that read damaged files: a crash or a hang belongs to one file.

A worker makes each input from its number, so that nothing but numbers and outcomes is sent. When a
worker dies, the input that follows its last outcome killed it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import re
import resource
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

__all__ = ["LONGEST_MESSAGE", "Input", "Limits", "Outcome", "Pool", "judge"]

#: Longest message for users, without the folder of the file [characters].
LONGEST_MESSAGE = 400


@dataclass(frozen=True)
class Limits:
    """What one input may use.

    Parameters
    ----------
    seconds
        Processor time.
    wait
        Time after which a worker is killed that does nothing. Other programs may slow it down.
    memory
        Address space beyond that of an idle worker [bytes].
    growth
        Resident memory that one input may take [bytes].
    """

    seconds: float = 10.0
    wait: float = 90.0
    memory: int = 4 << 30
    growth: int = 1 << 30


@dataclass(frozen=True)
class Input:
    """One input: a number, from which the files follow, or the files themselves."""

    format: str
    seed: int = 0
    index: int = 0
    files: tuple[tuple[str, bytes], ...] | None = None
    target: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of an input.

    Parameters
    ----------
    kind
        ``"fine"``, ``"refused"`` (an error for the user), or the kind of the defect: ``"signal"``,
        ``"hang"``, ``"memory"``, ``"traceback"``, ``"message"``, ``"wrong"``, ``"warning"``.
    key
        What defects of one cause have in common: the type of the error, and where it arose.
    detail
        The message, or the end of the traceback.
    seconds
        Processor time.
    """

    kind: str
    key: str = ""
    detail: str = ""
    seconds: float = 0.0

    @property
    def defect(self) -> bool:
        """Whether it is one."""
        return self.kind not in ("fine", "refused")


def _place(error: BaseException) -> str:
    """The innermost function of the package in the traceback, and the library below it."""
    own, last = "", ""
    for frame in traceback.extract_tb(error.__traceback__):
        file = frame.filename.replace("\\", "/")
        match = re.search(r"/(csgnn_dgl|datasets|cli)/(.*)\.py$", file)
        if match and "site-packages" not in file:
            own = f"{match[2].removeprefix('datasets/')}:{frame.name}"
            last = ""
        else:
            last = f"{Path(file).stem}:{frame.name}"
    return f"{own or '-'}{f' ({last})' if last else ''}"


def judge(error: BaseException, folder: Path, target: Path) -> Outcome:
    """Decide whether an exception is one for users: one line, not long, with the file's name."""
    from csgnn_dgl.errors import ConfigError, CSGNNError

    text = str(error).replace(str(folder), "")
    if isinstance(error, MemoryError) or _from_memory(error):
        return Outcome("memory", f"MemoryError in {_place(error)}", text[-500:])
    if not isinstance(error, CSGNNError):
        lines = "".join(traceback.format_exception(error))
        name = "Broken" if type(error) is AssertionError else type(error).__name__
        if name == "Broken":
            return Outcome("wrong", re.sub(r"[-+]?\d[\d.e+-]*", "#", text)[:80], text[:500])
        return Outcome("traceback", f"{name} in {_place(error)}", lines[-1500:])
    # What is said of a folder names some of its files.
    longest = LONGEST_MESSAGE if target.is_file() else 3 * LONGEST_MESSAGE
    problem = ""
    if "\n" in text or "\r" in text:
        problem = "several lines"
    elif not text.isprintable():
        problem = "control characters"
    elif len(text) > longest:
        problem = f"more than {longest} characters"
    elif (
        target.name not in text
        and target.parent.name not in str(error)
        # Options that do not go together may be from a file, flags and a preset: they are named.
        and not isinstance(error, ConfigError)
    ):
        problem = "no file name"
    elif re.search("weights_only|allow_pickle", text):
        problem = "unsafe advice"
    elif not text.strip():
        problem = "empty"
    if problem:
        return Outcome("message", f"{problem}, from {_place(error)}", text[:1000])
    return Outcome("refused", "", text)


def _from_memory(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        # An array that no machine holds is refused by numpy without a trial.
        if isinstance(cause, MemoryError):
            return True
        cause = cause.__cause__
    return False


def _peak() -> int:
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("VmHWM"):
                return int(line.split()[1]) << 10
    return 0


def _prepare(limits: Limits, log: str) -> None:
    # Libraries write to the terminal; faults go to the log.
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    file = open(log, "w")  # noqa: SIM115 (stays open for faults)
    faulthandler.enable(file, all_threads=False)
    faulthandler.register(signal.SIGXCPU, file, all_threads=False, chain=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    space = pages * resource.getpagesize() + limits.memory
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    # A file that grows without end.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def _worker(connection: Connection, limits: Limits, scratch: str, log: str) -> None:
    from tests.fuzz import preloaded
    from tests.fuzz.controls import CONTROLS
    from tests.fuzz.formats import FORMATS

    assert preloaded
    known = {**FORMATS, **CONTROLS}
    os.environ["CSGNN_CACHE"] = f"{scratch}/cache"
    _prepare(limits, log)
    number = 0
    while True:
        try:
            work: Sequence[Input] | None = connection.recv()
        except EOFError:
            return
        if work is None:
            return
        for item in work:
            number += 1
            folder = Path(scratch) / f"in{number}"
            outcome = _read(known[item.format], item, folder, limits)
            shutil.rmtree(folder, ignore_errors=True)
            connection.send(outcome)


def _read(form: Any, item: Input, folder: Path, limits: Limits) -> Outcome:
    files, target = (
        (dict(item.files), item.target)
        if item.files is not None
        else form.make(item.seed, item.index)
    )
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    before, start = _peak(), time.process_time()
    allowed = int(start + limits.seconds + 1.5)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (allowed, hard))
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            form.read(folder, folder / target)
        outcome = Outcome("fine")
        if caught:
            first = caught[0]
            place = f"{first.category.__name__} at {Path(first.filename).stem}"
            outcome = Outcome("warning", f"{place}: {str(first.message)[:60]}", str(first.message))
    except BaseException as error:
        outcome = judge(error, folder, folder / target)
    took = time.process_time() - start
    if not outcome.defect and took > limits.seconds:
        outcome = Outcome("hang", f"slow: {form.name}", f"{took:.1f} s")
    grown = _peak() - before
    if not outcome.defect and grown > limits.growth:
        outcome = Outcome("memory", f"grew: {form.name}", f"{grown >> 20} MiB; {outcome.detail}")
    return Outcome(outcome.kind, outcome.key, outcome.detail, took)


class Pool:
    """Some workers, which are replaced when they die.

    Parameters
    ----------
    count
        Number of workers.
    limits
        What one input may use.
    """

    def __init__(self, count: int = 1, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._scratch = tempfile.mkdtemp(prefix="fuzz-", dir=_in_memory())
        # Children are forked from a process that has imported everything and started no thread.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.fuzz.preloaded"])
        _start_server()
        self._made = 0
        self._workers = [self._start() for _ in range(count)]

    def _start(self) -> _Handle:
        self._made += 1
        scratch = f"{self._scratch}/{self._made}"
        os.makedirs(scratch)
        log = f"{scratch}/faults"
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_worker, args=(theirs, self.limits, scratch, log), daemon=True
        )
        process.start()
        theirs.close()
        return _Handle(process, ours, scratch, log)

    def run(self, items: Iterable[Input], batch: int = 32) -> Iterator[tuple[Input, Outcome]]:
        """Read all inputs, and yield the outcomes as they come."""
        source = iter(items)
        while True:
            for place, worker in enumerate(self._workers):
                if not worker.pending:
                    work = [item for _, item in zip(range(batch), source, strict=False)]
                    if work and not worker.give(work):
                        self._workers[place] = worker = self._replaced(worker)
                        worker.give(work)
            busy = [worker for worker in self._workers if worker.pending]
            if not busy:
                return
            ready = wait([w.connection for w in busy], timeout=0.5)
            for place, worker in enumerate(self._workers):
                if not worker.pending:
                    continue
                late = time.monotonic() - worker.since > self.limits.wait
                if worker.connection not in ready and not late:
                    continue
                outcome = worker.take() if worker.connection in ready else None
                item = worker.pending.pop(0)
                if outcome is not None:
                    worker.since = time.monotonic()
                    yield item, outcome
                    continue
                left = worker.pending
                self._workers[place], outcome = self._start(), worker.end(late)
                if left:
                    self._workers[place].give(left)
                yield item, outcome
                shutil.rmtree(worker.scratch, ignore_errors=True)

    def _replaced(self, worker: _Handle) -> _Handle:
        worker.end(False)
        return self._start()

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            worker.stop()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _start_server() -> None:
    """Start the process that is forked, with one thread: a fork copies no others."""
    name = "OMP_NUM_THREADS"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def _in_memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class _Handle:
    """One worker, and what it has still to do."""

    def __init__(self, process: Any, connection: Connection, scratch: str, log: str) -> None:
        self.process, self.connection, self.scratch, self.log = process, connection, scratch, log
        self.pending: list[Input] = []
        self.since = time.monotonic()

    def give(self, work: Sequence[Input]) -> bool:
        try:
            self.connection.send(work)
        except OSError:
            return False
        self.pending, self.since = list(work), time.monotonic()
        return True

    def take(self) -> Outcome | None:
        try:
            outcome: Outcome = self.connection.recv()
        except (EOFError, OSError):
            return None
        return outcome

    def end(self, late: bool) -> Outcome:
        """Say how the worker died; one that waits is killed."""
        if late:
            self.process.kill()
        self.process.join(20)
        code = self.process.exitcode
        try:
            log = Path(self.log).read_text(errors="replace")
        except OSError:
            log = ""
        frames = re.findall(r'File "([^"]*)", line \d+ in (\S+)', log)
        own = [
            f"{re.sub('.*/(csgnn_dgl|datasets)/', '', file)}:{name}"
            for file, name in frames
            if re.search("/(csgnn_dgl|datasets)/", file) and "site-packages" not in file
        ]
        inner = f"{Path(frames[0][0]).stem}:{frames[0][1]}" if frames else "-"
        place = f"{own[0] if own else '-'} ({inner})"
        self.connection.close()
        if late or code == -signal.SIGXCPU:
            return Outcome("hang", f"hang in {place}", log[-1500:])
        name = signal.Signals(-code).name if code is not None and code < 0 else f"status {code}"
        return Outcome("signal", f"{name} in {place}", log[-1500:])

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.send(None)
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join(5)
        self.connection.close()

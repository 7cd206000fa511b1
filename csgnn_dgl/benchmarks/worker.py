"""Child processes, one for each implementation, so that allocators and peak memory are separate."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from types import TracebackType
from typing import Any

import psutil

from csgnn_dgl.errors import CSGNNError

__all__ = ["Worker", "peak_memory"]


_INTERVAL = 0.001


def _memory() -> int:
    return int(psutil.Process().memory_info().rss)


class _Watch:
    """Records the peak of this process's memory by looking every millisecond, in a thread.

    The record of the operating system is named differently on each system, and on Linux it starts
    with the memory of the parent. Compared with it (VmHWM), this peak was correct to 0.1 %.
    """

    def __init__(self) -> None:
        self.peak = _memory()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._end.wait(_INTERVAL):
            self.peak = max(self.peak, _memory())

    def stop(self) -> int:
        """Stop, and return the peak since the start [bytes]."""
        self._end.set()
        self._thread.join()
        return max(self.peak, _memory())


def _answer(**values: Any) -> None:
    print(json.dumps(values), flush=True)


def _main(text: str) -> None:
    import torch

    from csgnn_dgl.benchmarks.cases import Spec, build
    from csgnn_dgl.tasks.allocator import keep_freed_memory

    spec = Spec(**json.loads(text))
    if spec.threads is not None:
        torch.set_num_threads(spec.threads)
    if spec.keep_memory:
        keep_freed_memory()
    before = _memory()
    watch: _Watch | None = None
    try:
        case = build(spec)
    except CSGNNError as error:
        _answer(error=str(error))
        return
    _answer(ready=True)
    for line in sys.stdin:
        word = line.strip()
        if word == "scores":
            assert case.scores is not None
            with torch.no_grad():
                _answer(scores=case.scores().double().tolist())
            continue
        if word == "watch":  # not during timed calls, which it would slow down
            watch = _Watch()
            _answer(ready=True)
            continue
        if word == "memory":
            assert watch is not None
            _answer(peak=watch.stop(), before=before)
            continue
        function = {"train": case.train, "infer": case.infer, **case.parts}[word]
        wall, cpu = time.perf_counter(), time.process_time()
        function()
        _answer(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)


class Worker:
    """A child process that runs and times calls of a case.

    Parameters
    ----------
    spec
        Keywords of :class:`~csgnn_dgl.benchmarks.cases.Spec`.

    Raises
    ------
    CSGNNError
        The child could not build its network, or ended.
    """

    def __init__(self, **spec: Any) -> None:
        self.name = str(spec.get("writing", "toolkit"))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "csgnn_dgl.benchmarks.worker", json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            self._read()
        except CSGNNError:
            self.close()
            raise

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise CSGNNError(
                f"the process of {self.name} ended by itself (status {self._process.wait()}); "
                f"check that there is enough memory"
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise CSGNNError(f"{self.name}: {answer['error']}")
        return answer

    def ask(self, word: str) -> dict[str, Any]:
        """Send ``"train"``, ``"infer"``, a part, ``"scores"``, ``"watch"`` or ``"memory"``."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End the child process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def peak_memory(word: str, repeats: int = 3, **spec: Any) -> int:
    """Measure the peak memory of some calls in a process, beyond its imports [bytes]."""
    with Worker(**spec) as worker:
        worker.ask("watch")
        for _ in range(repeats):
            worker.ask(word)
        found = worker.ask("memory")
    return int(found["peak"] - found["before"])


if __name__ == "__main__":
    _main(sys.argv[1])

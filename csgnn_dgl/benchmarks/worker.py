"""A process of its own for each way of writing, with its own allocator and its own peak memory."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from csgnn_dgl.errors import CSGNNError

__all__ = ["Worker", "peak_memory"]


def _status(key: str) -> int | None:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _peak() -> int:
    # What getrusage tells is at least what the parent had when it started this process.
    found = _status("VmHWM:")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 if found is None else found


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
    before = _status("VmRSS:")
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
        if word == "memory":
            _answer(peak=_peak(), before=before or 0)
            continue
        function = {"train": case.train, "infer": case.infer, **case.parts}[word]
        wall, cpu = time.perf_counter(), time.process_time()
        function()
        _answer(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)


class Worker:
    """A child process that times what it is told to.

    Parameters
    ----------
    spec
        Keywords of :class:`~csgnn_dgl.benchmarks.cases.Spec`.

    Raises
    ------
    CSGNNError
        The child could not build its network, or died.
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
                f"was there enough memory?"
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise CSGNNError(f"{self.name}: {answer['error']}")
        return answer

    def ask(self, word: str) -> dict[str, Any]:
        """``"train"``, ``"infer"``, a part's name, ``"scores"`` or ``"memory"``."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End the child."""
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
    """Bytes that a process needs at most for some calls, beyond what it has after its imports."""
    with Worker(**spec) as worker:
        for _ in range(repeats):
            worker.ask(word)
        found = worker.ask("memory")
    return int(found["peak"] - found["before"])


if __name__ == "__main__":
    _main(sys.argv[1])

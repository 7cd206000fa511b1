"""Do a job in many processes: hand out partitions, and do again what was lost."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from csgnn_dgl._foreign import excerpt
from csgnn_dgl.datasets.pieces import Piece, partitions
from csgnn_dgl.errors import ConfigError, CSGNNError, ResourceError, StoppedError
from csgnn_dgl.tasks.many.cluster import (
    WorkerWatch,
    check_installed,
    connected,
    number_of_workers,
)
from csgnn_dgl.tasks.many.job import Job
from csgnn_dgl.tasks.many.part import Care, begun, make_part
from csgnn_dgl.tasks.many.results import Counts, Results
from csgnn_dgl.tasks.output_files import refuse_inputs
from csgnn_dgl.tasks.use_config import ManyConfig

__all__ = ["Summary", "run_job", "start_many"]

# Partitions that are handed out at once, for each worker. Their places are all that is in memory.
_WAITING = 2
# The same without a worker; a cluster that grows with its work must see some.
_AT_LEAST = 16
# Deaths of workers after which frames of a partition are worked on one by one.
_DEATHS = 1
# Deaths before any frame is begun, after which the work is given up.
_DEATHS_AT_START = 4
# Time between two looks for partitions that are finished [s].
_PAUSE = 0.02
# Time to wait for the result of one before looking for workers again [s].
_WAIT = 2.0
_SHOWN = 5


@dataclass(frozen=True)
class Summary:
    """What was done.

    Parameters
    ----------
    results
        The folder of results.
    partitions
        Number of partitions, and how many of them had been there before.
    earlier
        See ``partitions``.
    counts
        What all partitions hold.
    """

    results: Results
    partitions: int
    earlier: int
    counts: Counts

    def plain(self) -> dict[str, Any]:
        """The numbers as plain values, for JSON."""
        return {
            "output": str(self.results.path),
            "errors_file": str(self.results.errors),
            "partitions": self.partitions,
            "partitions_of_before": self.earlier,
            **self.counts.plain(),
        }

    def lines(self, what: str) -> list[str]:
        """Lines to print; ``what`` names the frames, as in "structures described"."""
        found = [f"warning: {note}" for note in self.counts.notes]
        if self.counts.outside:
            found.append(
                f"warning: {self.counts.outside} of {self.counts.frames} are outside what the "
                f"model was trained on (score above 1); do not rely on them"
            )
        before = f", {self.earlier} of them made before" if self.earlier else ""
        found.append(
            f"{self.counts.frames} {what}, in {self.partitions} "
            f"file{'s' * (self.partitions != 1)}{before}: {self.results.path}"
        )
        return found

    def errors(self) -> tuple[int, list[str]]:
        """Exit status, and lines about frames that could not be used."""
        counts = self.counts
        if not counts.errors:
            return 0, []
        total = counts.errors + counts.frames
        found = [f"{counts.errors} of {total} cannot be used; all are in {self.results.errors}:"]
        found += list(self.results.first_errors(_SHOWN))
        if counts.errors > _SHOWN:
            found.append("…")
        return (1 if counts.frames else 2), found


def start_many(config: ManyConfig, inputs: Sequence[Path], *, unused: Sequence[str] = ()) -> Path:
    """Check the options of a command that works in many processes; returns the output.

    Parameters
    ----------
    config
        The options.
    inputs
        Files and folders.
    unused
        Options that have no effect in many processes.

    Raises
    ------
    ConfigError
        Options contradict each other, or the output cannot be a folder of partitions.
    MissingDependencyError
        A library is missing.
    """
    if config.jobs is not None and config.scheduler is not None:
        raise ConfigError(
            "--jobs starts processes on this machine, and --scheduler uses those of a cluster; "
            "give one of them"
        )
    check_installed()
    config.refuse_unused(unused, "with --jobs or --scheduler files are read in other processes")
    if len(set(config.columns)) < len(config.columns):
        raise ConfigError(f"--columns names one twice: {', '.join(config.columns)}")
    output = config.output
    if output is None:
        raise ConfigError(
            "with --jobs or --scheduler, name a folder for the results: -o NAME.parquet"
        )
    if output.suffix.lower() != ".parquet":
        raise ConfigError(
            f"with --jobs or --scheduler the output is a folder of Parquet files, but {output} is "
            f"not called NAME.parquet; convert it afterwards with pandas, or leave out --jobs"
        )
    refuse_inputs(output, inputs)
    return output


def run_job(
    job: Job[Any],
    *,
    jobs: int | None = None,
    scheduler: str | None = None,
    done: Callable[[int], object] | None = None,
) -> Summary:
    """Do a job, or what is left of it.

    Partitions whose files are there already are not made again. A partition whose worker process
    died is made again by another. If that one dies, too, frames are worked on one by one, and those
    on which workers die are errors.

    Parameters
    ----------
    job
        What is done with which inputs.
    jobs, scheduler
        Number of worker processes on this machine, or else the address of a Dask scheduler.
    done
        Called with the number of frames finished since the last call.

    Raises
    ------
    ConfigError
        The folder for the results holds something else.
    ResourceError
        There are no workers, they died and do not come back, or the connection is lost.
    StoppedError
        The run was interrupted. The same call goes on with it.
    """
    # Workers may run in another folder.
    job = replace(job, output=Path(os.path.abspath(job.output)))
    results = Results(job.output, job.identity)
    state = _State(job, results, done)
    with results.opened():
        try:
            todo = state.missing()
            first = next(todo, None)
            if first is not None:
                with connected(jobs, scheduler) as client:
                    state.work(client, first, todo, WorkerWatch(client, jobs))
        except KeyboardInterrupt:
            raise StoppedError(f"stopped; {state.how_far()}") from None
        results.finish(state.partitions, state.counts)
    return Summary(results, state.partitions, state.earlier, state.counts)


Partition = tuple[int, tuple[Piece, ...]]


class _State:
    """A job in progress. Nothing in it grows with the number of frames."""

    def __init__(
        self, job: Job[Any], results: Results, done: Callable[[int], object] | None
    ) -> None:
        self.job, self.results, self.done = job, results, done
        self.partitions = self.earlier = self.finished = 0
        self.counts = Counts()
        # Partitions on which workers died: how often, and how to get past it.
        self.deaths: dict[int, int] = {}
        self.care: dict[int, Care] = {}
        self.suspects: dict[int, tuple[int, int, bool]] = {}

    def missing(self) -> Iterator[Partition]:
        """Partitions that are still to be made."""
        marks = self.job.marks(self.job.sources())
        for index, pieces in enumerate(partitions(marks, self.job.size)):
            self.partitions = index + 1
            path = self.results.part(index)
            if path.exists():
                self.earlier += 1
                self._finished(self.results.counts(path))
            else:
                yield index, pieces

    def _finished(self, counts: Counts) -> None:
        self.finished += 1
        self.counts += counts
        if self.done is not None:
            self.done(counts.frames + counts.errors)

    def work(
        self, client: Any, first: Partition, todo: Iterator[Partition], watch: WorkerWatch
    ) -> None:
        """Hand out partitions, never many at once, until all are made."""
        from distributed import as_completed

        waiting: dict[Any, Partition] = {}
        completed = as_completed(loop=client.loop)

        def submit(part: Partition) -> None:
            future = client.submit(
                make_part, self.job, *part, self.care.get(part[0]), pure=False, retries=0
            )
            waiting[future] = part
            completed.add(future)

        submit(first)
        room = self._room(client)
        for part in todo:
            submit(part)
            if len(waiting) >= room:
                break
        while waiting:
            while not completed.has_ready():
                self._look(watch)
                time.sleep(_PAUSE)
            future = next(completed)
            part = waiting.pop(future)
            if self._collect(future, part, watch):
                submit(part)
            future.release()
            room = self._room(client)
            while len(waiting) < room and (following := next(todo, None)) is not None:
                submit(following)

    def _look(self, watch: WorkerWatch) -> None:
        try:
            watch.look()
        except ResourceError as error:
            raise ResourceError(f"{error}; {self.how_far()}") from None

    def how_far(self) -> str:
        """What is finished, for messages."""
        return (
            f"{self.finished} partitions are in {self.results.path}, and the same command goes on "
            f"from there"
        )

    @staticmethod
    def _room(client: Any) -> int:
        return max(_AT_LEAST, _WAITING * number_of_workers(client))

    def _result(self, future: Any, watch: WorkerWatch) -> Counts:
        """The counts of a partition, which is made again if they were lost with its worker."""
        from distributed import TimeoutError as WaitError

        while True:
            try:
                counts: Counts = future.result(timeout=_WAIT)
                return counts
            except WaitError:
                if future.status == "error":
                    raise
                self._look(watch)

    def _collect(self, future: Any, part: Partition, watch: WorkerWatch) -> bool:
        """Count a partition that was made; returns whether it must be made again."""
        from distributed import CancelledError, KilledWorker

        index = part[0]
        try:
            self._finished(self._result(future, watch))
        except CSGNNError:
            raise
        except KilledWorker:
            self._died(index)
            return True
        except (CancelledError, OSError) as error:
            # The part may name a disk that is full, or a scheduler that ended.
            raise ResourceError(
                f"partition {index} was not made: {excerpt(error) or type(error).__name__}; "
                f"{self.how_far()}"
            ) from error
        for kept in (self.care, self.deaths, self.suspects):
            kept.pop(index, None)
        return False

    def _died(self, index: int) -> None:
        """Decide how a partition is made again after its worker died."""
        self.deaths[index] = deaths = self.deaths.get(index, 0) + 1
        if deaths <= _DEATHS:
            # It may have been killed for a reason that has nothing to do with this partition.
            return
        care = self.care.setdefault(index, Care())
        last = begun(self.results, index)
        if last is None:
            if deaths > _DEATHS_AT_START:
                raise ResourceError(
                    f"{deaths} worker processes died before they began with partition {index}, as "
                    f"for want of memory; {self.how_far()}"
                )
            return
        if self.suspects.get(index) != last:
            # Only a frame on which two workers die is to blame.
            self.suspects[index] = last
            return
        piece, frame, was_read = last
        if was_read:
            care = replace(care, unworked=care.unworked | {(piece, frame)})
        else:
            care = replace(care, unread={**care.unread, piece: frame})
        self.care[index] = care

"""What a worker process does: read a partition, work on it, and write its file."""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from csgnn_dgl import __version__
from csgnn_dgl._files import atomic_write, atomic_write_text
from csgnn_dgl._foreign import message_text
from csgnn_dgl.datasets.isolation import SECONDS
from csgnn_dgl.datasets.pieces import Frame, Piece
from csgnn_dgl.datasets.readers import replace_registered
from csgnn_dgl.errors import DataError
from csgnn_dgl.tasks.allocator import keep_freed_memory
from csgnn_dgl.tasks.files import worked
from csgnn_dgl.tasks.many.job import Job, Rows
from csgnn_dgl.tasks.many.results import COUNTS, ERRORS, IDENTITY, Counts, Results

__all__ = ["Care", "begun", "installed_version", "make_part"]

# Time that a new worker process waits before its first partition [s].
_KNOWN_AFTER = 2.0
# Rows that are written together. Fewer would make larger files, more would need more memory.
_ROWS = 4096
# Notes of a partition are sentences on elements and the like; there are never many.
_NOTES = 200

_DIED = "the process that worked on it died, by a crash or for want of memory"
_SLOW = f"the process that {{}} it died, by a crash, for want of memory or after {SECONDS:g} s"


@dataclass(frozen=True)
class Care:
    """How to get past frames on which worker processes died.

    Frames are then worked on one by one, and the worker notes each before it begins.

    Parameters
    ----------
    unread
        Pieces of which a frame cannot be read, by their index, with the number of frames before.
    unworked
        Frames that can be read but not worked on: index of the piece, and of the frame in it.
    """

    unread: dict[int, int] = field(default_factory=dict)
    unworked: frozenset[tuple[int, int]] = frozenset()


def installed_version() -> str:
    """The version of this package in a worker process."""
    return __version__


def make_part(job: Job[Any], index: int, pieces: Sequence[Piece], care: Care | None) -> Counts:
    """Make the file of a partition, in a worker process.

    Parameters
    ----------
    job
        What is done.
    index
        Index of the partition.
    pieces
        Its frames.
    care
        None unless a worker process died of this partition.

    Raises
    ------
    CSGNNError
        Something is wrong that concerns all frames, such as the weights.
    """
    _prepare(job)
    results = Results(job.output, job.identity)
    errors: list[tuple[str, int, str]] = []
    if care is None:
        frames, enough = _watched(job.read(pieces)), job.enough
    else:
        # Batches of one.
        frames, enough = _careful(job, pieces, care, results, index), 0
    writer = _Writer(job)
    with atomic_write(results.part(index), "wb") as file, contextlib.closing(writer):
        writer.begin(file)
        for batch in _batches(job, frames, enough, errors):
            for rows, used in _worked(job, batch, errors):
                writer.add(rows, used)
        counts = writer.finish(len(errors), errors)
    with contextlib.suppress(OSError):
        _progress(results, index).unlink()
    return counts


@functools.cache
def _become_known() -> None:
    """Wait, once in each worker process, until Dask knows that it runs.

    Otherwise it would not start another if this one dies of its first partition.
    """
    from distributed import get_worker

    with contextlib.suppress(ValueError):  # this is no worker
        get_worker()
        time.sleep(_KNOWN_AFTER)


def _prepare(job: Job[Any]) -> None:
    import torch

    _become_known()
    # Dask starts one process per core; more threads would compete with each other.
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1") or 1))
    keep_freed_memory()
    replace_registered(job.readers)


def _watched(frames: Iterator[Frame[Any]]) -> Iterator[Frame[Any]]:
    """The same frames; a reader that hangs ends the process, which the command notices."""
    with open(os.devnull, "w") as nowhere:
        while True:
            faulthandler.dump_traceback_later(SECONDS, exit=True, file=nowhere)
            try:
                frame = next(frames, None)
            finally:
                faulthandler.cancel_dump_traceback_later()
            if frame is None:
                return
            yield frame


def _progress(results: Results, index: int) -> Path:
    return results.about / f".begun-{index:05d}.json"


def begun(results: Results, index: int) -> tuple[int, int, bool] | None:
    """What a careful worker did last: piece, frame in it, and whether it had been read."""
    try:
        piece, frame, was_read = json.loads(_progress(results, index).read_text(encoding="utf-8"))
        return int(piece), int(frame), bool(was_read)
    except (OSError, ValueError):
        return None


def _careful(
    job: Job[Any], pieces: Sequence[Piece], care: Care, results: Results, index: int
) -> Iterator[Frame[Any]]:
    with contextlib.suppress(FileNotFoundError):
        _progress(results, index).unlink()
    for number, piece in enumerate(pieces):
        frames = _watched(job.read([piece]))
        readable = care.unread.get(number)
        at = 0
        while readable is None or at < readable:
            atomic_write_text(_progress(results, index), json.dumps([number, at, False]))
            frame = next(frames, None)
            if frame is None:
                break
            if (number, at) in care.unworked:
                yield Frame(frame.file, frame.frame, error=f"{_source(frame)}: {_DIED}")
            else:
                atomic_write_text(_progress(results, index), json.dumps([number, at, True]))
                yield frame
            at += 1
        if readable is not None:
            first = piece.first
            for place in range(first.frame + readable, first.frame + piece.count):
                source = f"{first.name}[{place}]" if piece.count > 1 else first.name
                yield Frame(first.name, place, error=f"{source}: {_SLOW.format('read')}")


def _source(frame: Frame[Any]) -> str:
    return getattr(frame.item, "source", None) or f"{frame.file}[{frame.frame}]"


def _batches(
    job: Job[Any],
    frames: Iterator[Frame[Any]],
    enough: int,
    errors: list[tuple[str, int, str]],
) -> Iterator[list[Frame[Any]]]:
    """Frames with items, together until they are enough; others become errors."""
    batch: list[Frame[Any]] = []
    total = 0
    for frame in frames:
        if frame.error is not None:
            errors.append((frame.file, frame.frame, message_text(frame.error)))
            continue
        batch.append(frame)
        total += job.weight(frame.item)
        if total >= enough:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


def _worked(
    job: Job[Any], batch: list[Frame[Any]], errors: list[tuple[str, int, str]]
) -> Iterator[tuple[Rows, list[Frame[Any]]]]:
    try:
        yield worked(job.work, batch), batch
        return
    except DataError as error:
        if len(batch) == 1:
            errors.append(_refused(batch[0], error))
            return
    for frame in batch:
        try:
            yield worked(job.work, [frame]), [frame]
        except DataError as error:
            errors.append(_refused(frame, error))


def _refused(frame: Frame[Any], error: DataError) -> tuple[str, int, str]:
    problem = getattr(error, "problem", str(error))
    source = _source(frame)
    text = problem if source in problem else f"{source}: {problem}"
    return frame.file, frame.frame, message_text(text)


class _Writer:
    """Writes rows to Parquet, some thousand at a time."""

    def __init__(self, job: Job[Any]) -> None:
        self.job = job
        self._file: Any = None
        self._writer: Any = None
        self._waiting: list[Any] = []
        self._count = self._frames = self._rows = self._outside = 0
        self._notes: dict[str, None] = {}

    def begin(self, file: Any) -> None:
        self._file = file

    def add(self, rows: Rows, frames: Sequence[Frame[Any]]) -> None:
        self._waiting.append(self._table(rows, frames))
        self._count += len(rows.table)
        self._rows += len(rows.table)
        self._frames += len(frames)
        self._outside += rows.outside
        if len(self._notes) < _NOTES:
            self._notes |= dict.fromkeys(rows.notes)
        if self._count >= _ROWS:
            self._flush()

    def _table(self, rows: Rows, frames: Sequence[Frame[Any]]) -> Any:
        import pyarrow as pa

        table = pa.Table.from_pandas(rows.table, preserve_index=False)
        values = {(frame.file, frame.frame): frame.columns for frame in frames}
        keys = list(zip(rows.table["file"], rows.table["frame"], strict=True))
        for name, kind in self.job.columns.items():
            own = [values[key].get(name) for key in keys]
            array = pa.array(
                [None if value is None else kind(value) for value in own], _arrow(kind)
            )
            table = table.append_column(name, array)
        # Pandas of another version would write text as another type.
        fields = [
            field.with_type(pa.string()) if field.type == pa.large_string() else field
            for field in table.schema
        ]
        attributes = json.dumps({"csgnn_dgl": dict(self.job.attributes)})
        metadata = {**(table.schema.metadata or {}), b"PANDAS_ATTRS": attributes.encode()}
        return table.cast(pa.schema(fields)).replace_schema_metadata(metadata)

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, table.schema)
        self._writer.write_table(table)
        self._waiting, self._count = [], 0

    def finish(self, errors: int, messages: Sequence[tuple[str, int, str]]) -> Counts:
        if self._rows == 0:
            sample = self.job.sample()
            self._waiting = [self._table(self.job.work(sample), sample).slice(0, 0)]
        self._flush()
        counts = Counts(self._frames, self._rows, errors, self._outside, tuple(self._notes))
        self._writer.add_key_value_metadata(
            {
                IDENTITY: json.dumps(self.job.identity),
                COUNTS: json.dumps(counts.plain()),
                ERRORS: json.dumps(messages),
            }
        )
        self._writer.close()
        self._writer = None
        return counts

    def close(self) -> None:
        """Let go of a file that was not finished."""
        self._waiting = []
        if self._writer is not None:
            with contextlib.suppress(Exception):
                self._writer.close()


def _arrow(kind: type[float] | type[str]) -> Any:
    import pyarrow as pa

    return pa.float64() if kind is float else pa.string()

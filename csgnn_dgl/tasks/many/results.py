"""The folder of results: partitions in Parquet, and what they were made from.

``NAME.parquet`` holds ``part-00000.parquet``, …, and the folder ``_run`` with ``run.json`` and
``errors.parquet``. Readers of Parquet pass over names that begin with an underscore, so
``pandas.read_parquet("NAME.parquet")`` reads all partitions and nothing else.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from csgnn_dgl._files import atomic_write, atomic_write_json, remove_leftovers, resource_error
from csgnn_dgl._foreign import excerpt, quoted, reading
from csgnn_dgl.errors import ConfigError, ResourceError

__all__ = ["Counts", "Results"]

#: Keys of the metadata of a partition's file.
IDENTITY, ERRORS, COUNTS = "csgnn_dgl.run", "csgnn_dgl.errors", "csgnn_dgl.counts"

_LARGEST_MANIFEST = 1 << 20
_WORDS = {
    "command": "the command",
    "csgnn_dgl": "the version of csgnn-dgl",
    "weights": "the weights",
    "options": "the options",
    "columns": "the columns",
    "structures_per_partition": "--partition",
    "inputs": "the inputs",
}


@dataclass(frozen=True)
class Counts:
    """What a partition, or all of them, holds.

    Parameters
    ----------
    frames
        Number of frames with rows.
    rows, errors, outside
        Numbers of rows, of frames without rows, and of frames outside the model's domain.
    notes
        Warnings that hold for many frames.
    """

    frames: int = 0
    rows: int = 0
    errors: int = 0
    outside: int = 0
    notes: tuple[str, ...] = ()

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.frames + other.frames,
            self.rows + other.rows,
            self.errors + other.errors,
            self.outside + other.outside,
            tuple(dict.fromkeys((*self.notes, *other.notes))),
        )

    def plain(self) -> dict[str, Any]:
        """The numbers and notes as plain values."""
        return {**vars(self), "notes": list(self.notes)}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Counts:
        """The opposite of :meth:`plain`."""
        return cls(**{**plain, "notes": tuple(plain["notes"])})


class Results:
    """A folder of partitions of one run.

    Parameters
    ----------
    path
        The folder; made by :meth:`opened`.
    identity
        What the results depend on.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path = path
        # As it comes back from JSON.
        self.identity: dict[str, Any] = json.loads(json.dumps(identity))

    @property
    def about(self) -> Path:
        """Folder of the manifest and the errors."""
        return self.path / "_run"

    @property
    def manifest(self) -> Path:
        """What the run is, and whether it is complete."""
        return self.about / "run.json"

    @property
    def errors(self) -> Path:
        """The frames without results."""
        return self.about / "errors.parquet"

    def part(self, index: int) -> Path:
        """File of a partition."""
        return self.path / f"part-{index:05d}.parquet"

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Make the folder, or go on in it, and keep other commands from writing there.

        Raises
        ------
        ConfigError
            The path is a file, or a folder of something else or of another run. The message names
            what differs.
        ResourceError
            Another command writes there, or the folder cannot be written.
        """
        if self.path.is_file():
            raise ConfigError(
                f"{self.path} is a file, but with --jobs or --scheduler the results are a folder; "
                f"choose another --output, or remove the file"
            )
        fresh = not self.path.exists() or not any(self.path.iterdir())
        if not fresh:
            self._refuse_others()
        try:
            # Not its parents: a mistyped path is found here.
            self.path.mkdir(exist_ok=True)
            self.about.mkdir(exist_ok=True)
        except OSError as error:
            raise resource_error(error, self.path, "write") from error
        lock = FileLock(self.about / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise ResourceError(
                f"another command is writing to {self.path}; wait for it, or choose another "
                f"--output"
            ) from None
        except (OSError, NotImplementedError) as error:
            raise ResourceError(f"cannot lock {self.about}: {excerpt(error)}") from error
        try:
            for folder in (self.path, self.about):
                remove_leftovers(folder)
            if fresh:
                atomic_write_json(self.manifest, {**self.identity, "complete": False})
            self._check_parts()
            yield
        finally:
            lock.release()

    def _refuse_others(self) -> None:
        advice = "choose another --output, or an empty folder"
        if not self.manifest.is_file():
            raise ConfigError(
                f"{self.path} is not empty, and was not made by csgnn-dgl with --jobs (it lacks "
                f"_run/run.json); {advice}"
            )
        with reading(self.manifest, ConfigError), self.manifest.open(encoding="utf-8") as file:
            found = json.loads(file.read(_LARGEST_MANIFEST))
        if not isinstance(found, dict):
            raise ConfigError(f"{self.manifest} is no manifest of a run; {advice}")
        if differences := self._differences(found):
            raise ConfigError(
                f"{self.path} holds results of another run: {differences}. Nothing was changed; "
                f"{advice}, or repeat that command to go on with it"
            )
        strange = [
            path.name
            for path in self.path.glob("*.parquet")
            if path != self.part(self._index(path))
        ]
        if strange:
            raise ConfigError(
                f"{self.path} holds {excerpt(min(strange))}, which is no partition of the run; "
                f"move it elsewhere"
            )

    @staticmethod
    def _index(path: Path) -> int:
        number = path.stem.removeprefix("part-")
        return int(number) if number.isascii() and number.isdigit() and len(number) < 12 else -1

    def _differences(self, other: Mapping[str, Any]) -> str:
        """In words, what is not as in this run; empty if everything is."""
        found = []
        for key, words in _WORDS.items():
            mine, theirs = self.identity.get(key), other.get(key)
            if mine == theirs:
                continue
            if isinstance(mine, dict) and isinstance(theirs, dict):
                parts = [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]
                if key == "inputs":
                    found.append(
                        f"the inputs are others, or have changed ({quoted(theirs.get('files'))} "
                        f"files there, {mine['files']} here)"
                    )
                    continue
                if key == "weights":
                    found.append(f"the weights are {_short(theirs)} there and {_short(mine)} here")
                    continue
                found += [
                    f"{name} is {quoted(theirs.get(name))} there and {quoted(mine.get(name))} here"
                    for name in parts
                ]
            else:
                found.append(f"{words} is {quoted(theirs)} there and {quoted(mine)} here")
        return "; ".join(found)

    def _check_parts(self) -> None:
        """Refuse partitions of other runs among those of this one."""
        for path in sorted(self.path.glob("part-*.parquet")):
            self.counts(path)

    def counts(self, path: Path) -> Counts:
        """What a finished partition holds.

        Raises
        ------
        ConfigError
            It belongs to another run, or is damaged.
        """
        found = self._metadata(path)
        try:
            identity = json.loads(found[IDENTITY])
            counts = Counts.of(json.loads(found[COUNTS]))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"{path} was not written by this run; remove it, and the same command makes it"
            ) from error
        if differences := self._differences(identity):
            raise ConfigError(
                f"{path} belongs to another run: {differences}. Remove it, and the same command "
                f"makes it again"
            )
        return counts

    def _metadata(self, path: Path) -> dict[str, str]:
        import pyarrow.parquet as pq

        with reading(path, ConfigError, "remove it, and the same command makes it again"):
            found = pq.read_metadata(path).metadata or {}
            return {key.decode(): value.decode() for key, value in found.items()}

    def finish(self, partitions: int, counts: Counts) -> None:
        """Write the errors of all partitions, and that the run is complete."""
        # Worker processes that were killed left files behind.
        remove_leftovers(self.path)
        self._write_errors(partitions)
        content = {**self.identity, "complete": True, "partitions": partitions, **counts.plain()}
        atomic_write_json(self.manifest, content)

    def _write_errors(self, partitions: int) -> None:
        """Gather the errors; one partition's are in memory at a time."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema([("file", pa.string()), ("frame", pa.int64()), ("message", pa.string())])
        with atomic_write(self.errors, "wb") as file, pq.ParquetWriter(file, schema) as writer:
            for index in range(partitions):
                found = json.loads(self._metadata(self.part(index))[ERRORS])
                if found:
                    writer.write_table(pa.table(_transposed(found), schema=schema))

    def first_errors(self, count: int) -> Sequence[str]:
        """Messages of the first frames without results."""
        import pyarrow.parquet as pq

        found: list[str] = []
        with pq.ParquetFile(self.errors) as file:
            for batch in file.iter_batches(batch_size=count, columns=["message"]):
                found += batch.column(0).to_pylist()
                if len(found) >= count:
                    break
        return found[:count]


def _transposed(rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    files, frames, messages = zip(*rows, strict=True)
    return {"file": list(files), "frame": list(frames), "message": list(messages)}


def _short(weights: Mapping[str, Any]) -> str:
    return f"{excerpt(weights.get('name'), 80)} (sha256 {excerpt(weights.get('sha256'), 12)})"

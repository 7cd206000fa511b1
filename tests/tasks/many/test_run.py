"""Jobs in two worker processes: complete and equal whatever happens to them."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import pandas as pd
import pytest

from csgnn_dgl.datasets.pieces import Frame, Mark, Piece, fingerprint, walk
from csgnn_dgl.errors import ConfigError, DataError, ResourceError, StoppedError
from csgnn_dgl.tasks.many import cluster
from csgnn_dgl.tasks.many.job import Job, Rows
from csgnn_dgl.tasks.many.run import run_job

pytest.importorskip("distributed")
pytest.importorskip("pyarrow")

# Frames of each file, and of a partition.
FRAMES, SIZE = 10, 4


def make_job(folder: Path, output: Path, work: Callable[..., Rows], **identity: Any) -> Job[int]:
    """A job on files of numbers, one in each line."""

    def sources() -> Iterator[tuple[Path, str]]:
        return ((path, path.name) for path, _ in walk([folder], is_text))

    def is_text(path: Path) -> bool:
        return path.suffix == ".txt"

    def marks(files: Iterator[tuple[Path, str]]) -> Iterator[Mark]:
        for path, name in files:
            for frame, _ in enumerate(path.read_text().split()):
                yield Mark(str(path), name, "line", frame, (frame,))

    def read(pieces: Sequence[Piece]) -> Iterator[Frame[int]]:
        for piece in pieces:
            words = Path(piece.first.path).read_text().split()
            for frame in range(piece.first.frame, piece.last.frame + 1):
                try:
                    yield Frame(piece.first.name, frame, int(words[frame]))
                except ValueError:
                    yield Frame(piece.first.name, frame, error=f"{words[frame]} is no number")

    return Job(
        command="square",
        output=output,
        size=SIZE,
        sources=sources,
        marks=marks,
        read=read,
        work=work,
        sample=lambda: [Frame("", 0, 1)],
        identity={"command": "square", "inputs": fingerprint(sources()), **identity},
        enough=3,
        readers=(),
    )


def squares(frames: Sequence[Frame[int]]) -> Rows:
    numbers = [frame.item for frame in frames if frame.item is not None]
    if 13 in numbers:
        raise DataError("13 brings bad luck")
    table = pd.DataFrame(
        {
            "file": [frame.file for frame in frames],
            "frame": [frame.frame for frame in frames],
            "square": [float(number) ** 2 for number in numbers],
        }
    )
    return Rows(table, ("numbers",), sum(number > 20 for number in numbers))


def dying(flag: Path, number: int, times: int) -> Callable[[Sequence[Frame[int]]], Rows]:
    """Work that kills its process when it comes to some number, the first times."""

    def work(frames: Sequence[Frame[int]]) -> Rows:
        if any(frame.item == number for frame in frames):
            deaths = len(flag.read_bytes()) if flag.exists() else 0
            if deaths < times:
                with flag.open("ab") as file:
                    file.write(b"x")
                os.kill(os.getpid(), signal.SIGKILL)
        return squares(frames)

    return work


@pytest.fixture(autouse=True)
def _functions_travel_by_value() -> Iterator[None]:
    """Workers cannot import this file."""
    import sys

    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    """Files with the numbers 0 to 29."""
    folder = tmp_path / "numbers"
    folder.mkdir()
    for index in range(3):
        lines = [str(index * FRAMES + frame) for frame in range(FRAMES)]
        (folder / f"{index}.txt").write_text("\n".join(lines))
    return folder


def table_of(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path)


def errors_of(path: Path) -> list[list[Any]]:
    return pd.read_parquet(path / "_run" / "errors.parquet").to_numpy().tolist()


EXPECTED = [number**2 for number in range(30) if number != 13]


def test_everything_is_done_in_order(numbers: Path, tmp_path: Path, scheduler: str) -> None:
    (numbers / "3.txt").write_text("30\nabc\n31")
    output = tmp_path / "out.parquet"
    seen: list[int] = []
    job = make_job(numbers, output, squares)
    summary = run_job(job, scheduler=scheduler, done=seen.append)
    assert table_of(output)["square"].tolist() == [*EXPECTED, 900, 961]
    assert errors_of(output) == [
        ["1.txt", 3, "1.txt[3]: 13 brings bad luck"],
        ["3.txt", 1, "abc is no number"],
    ]
    assert sum(seen) == 33
    assert (summary.partitions, summary.earlier) == (9, 0)
    assert (summary.counts.frames, summary.counts.errors, summary.counts.outside) == (31, 2, 11)
    assert summary.counts.notes == ("numbers",)
    assert summary.errors()[0] == 1
    manifest = json.loads((output / "_run" / "run.json").read_text())
    assert manifest["complete"]
    assert manifest["partitions"] == 9
    assert not list(output.glob(".tmp*"))

    again = run_job(job, scheduler="tcp://127.0.0.1:1")  # there is nothing to do for workers
    assert (again.earlier, again.counts) == (9, summary.counts)


@pytest.mark.parametrize("times", [1, 2])
def test_a_dead_worker_loses_its_partition_only(
    numbers: Path, tmp_path: Path, scheduler: str, times: int
) -> None:
    output, flag = tmp_path / "out.parquet", tmp_path / "flag"
    summary = run_job(make_job(numbers, output, dying(flag, 17, times)), scheduler=scheduler)
    assert len(flag.read_bytes()) == times
    assert table_of(output)["square"].tolist() == EXPECTED
    assert summary.counts.errors == 1
    assert not list(output.rglob(".begun*"))
    assert not list(output.rglob(".tmp*"))


def test_a_frame_on_which_workers_die_is_an_error(
    numbers: Path, tmp_path: Path, scheduler: str
) -> None:
    output, flag = tmp_path / "out.parquet", tmp_path / "flag"
    run_job(make_job(numbers, output, dying(flag, 17, 99)), scheduler=scheduler)
    assert table_of(output)["square"].tolist() == [n for n in EXPECTED if n != 17**2]
    (_, (file, frame, message)) = errors_of(output)
    assert (file, frame) == ("1.txt", 7)
    assert "1.txt[7]: the process that worked on it died" in message


def test_a_file_on_which_readers_die_is_an_error(
    numbers: Path, tmp_path: Path, scheduler: str
) -> None:
    output = tmp_path / "out.parquet"
    job = make_job(numbers, output, squares)
    plain = job.read

    def read(pieces: Sequence[Piece]) -> Iterator[Frame[int]]:
        for frame in plain(pieces):
            if frame.item == 15:
                os.kill(os.getpid(), signal.SIGKILL)
            yield frame

    run_job(replace(job, read=read), scheduler=scheduler)
    # 12 to 15 are one partition; what follows 14 in it cannot be reached.
    assert table_of(output)["square"].tolist() == [n for n in EXPECTED if n != 15**2]
    assert [entry[:2] for entry in errors_of(output)] == [["1.txt", 3], ["1.txt", 5]]
    assert "the process that read it died" in errors_of(output)[1][2]


@pytest.fixture
def without_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead workers are not started again, as if they had died before Dask knew that they run."""
    from distributed import Nanny

    monkeypatch.setattr(Nanny, "_on_worker_exit_sync", lambda self, exitcode: None)


@pytest.mark.usefixtures("without_restarts")
def test_workers_that_do_not_come_back_are_replaced(
    numbers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_REPLACED_AFTER", 1.0)
    output, flag = tmp_path / "out.parquet", tmp_path / "flag"
    summary = run_job(make_job(numbers, output, dying(flag, 17, 1)), jobs=1)
    assert len(flag.read_bytes()) == 1
    assert table_of(output)["square"].tolist() == EXPECTED
    assert summary.counts.errors == 1


@pytest.mark.usefixtures("without_restarts")
def test_a_scheduler_whose_workers_are_gone_is_an_error(
    numbers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr(cluster, "_ENDS_AFTER_QUEUE", 2.0)
    output, flag = tmp_path / "out.parquet", tmp_path / "flag"
    job = make_job(numbers, output, dying(flag, 17, 1))
    found = r"no worker process for 2 s; \d partitions are in .*out.parquet, and the same command"
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            silence_logs=logging.CRITICAL,
        ) as own,
        pytest.raises(ResourceError, match=found),
    ):
        run_job(job, scheduler=own.scheduler_address)
    run_job(job, jobs=1)
    assert table_of(output)["square"].tolist() == EXPECTED
    assert not list(output.rglob(".tmp*"))


def test_a_stopped_run_goes_on(numbers: Path, tmp_path: Path, scheduler: str) -> None:
    output = tmp_path / "out.parquet"
    job = make_job(numbers, output, squares)

    def stop(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(StoppedError, match="the same command goes on"):
        run_job(job, scheduler=scheduler, done=stop)
    made = {path: path.stat().st_mtime_ns for path in output.glob("part-*")}
    assert 1 <= len(made) < 8
    assert not json.loads((output / "_run" / "run.json").read_text())["complete"]
    (output / ".tmp-0123456789abcdef.partial").write_text("left by a killed process")
    summary = run_job(job, scheduler=scheduler)
    # Some partitions may have been finished by workers after the command stopped.
    assert len(made) <= summary.earlier < 8
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert table_of(output)["square"].tolist() == EXPECTED
    assert not list(output.glob(".tmp*"))


def test_partitions_without_rows_have_columns(tmp_path: Path, scheduler: str) -> None:
    folder, output = tmp_path / "in", tmp_path / "out.parquet"
    folder.mkdir()
    (folder / "a.txt").write_text("a b c d 5")
    summary = run_job(make_job(folder, output, squares), scheduler=scheduler)
    assert (summary.counts.frames, summary.counts.errors) == (1, 4)
    assert table_of(output)["square"].tolist() == [25]
    assert list(pd.read_parquet(output / "part-00000.parquet")) == ["file", "frame", "square"]


def test_errors_of_all_frames_are_raised(numbers: Path, tmp_path: Path, scheduler: str) -> None:
    def work(frames: Sequence[Frame[int]]) -> Rows:
        raise ConfigError("no such thing")

    with pytest.raises(ConfigError, match="no such thing"):
        run_job(make_job(numbers, tmp_path / "out.parquet", work), scheduler=scheduler)
    assert not list((tmp_path / "out.parquet").glob("part*"))


def test_other_runs_are_refused(numbers: Path, tmp_path: Path, scheduler: str) -> None:
    output = tmp_path / "out.parquet"
    weights = {"name": "mine", "sha256": "ab" * 32}
    identity: dict[str, Any] = {"weights": weights, "options": {"votes": 1}}
    run_job(make_job(numbers, output, squares, **identity), scheduler=scheduler)
    before = {path: path.read_bytes() for path in output.rglob("*.parquet")}

    def refused(match: str, **other: Any) -> None:
        with pytest.raises(ConfigError, match=match):
            run_job(make_job(numbers, output, squares, **{**identity, **other}), jobs=1)

    refused(
        "the weights are mine .sha256 abab.* there and mine .sha256 cdcd",
        weights={"name": "mine", "sha256": "cd" * 32},
    )
    refused("votes is '?1'? there and '?8'? here", options={"votes": 8})
    refused("the command is 'square' there and 'cube' here", command="cube")
    (numbers / "9.txt").write_text("1")
    refused("the inputs are others, or have changed .3 files there, 4 here")
    (numbers / "9.txt").unlink()
    assert {path: path.read_bytes() for path in output.rglob("*.parquet")} == before

    # A partition of another run among those of this one.
    other = tmp_path / "other.parquet"
    run_job(make_job(numbers, other, squares, options={"votes": 2}), scheduler=scheduler)
    (output / "part-00003.parquet").write_bytes((other / "part-00003.parquet").read_bytes())
    refused("part-00003.parquet belongs to another run: .*the weights")
    (output / "part-00003.parquet").write_bytes(b"PAR1 damaged")
    refused("part-00003.parquet cannot be read: .*remove it")
    (output / "part-00003.parquet").unlink()
    summary = run_job(make_job(numbers, output, squares, **identity), scheduler=scheduler)
    assert summary.earlier == summary.partitions - 1
    (output / "extra.parquet").write_bytes(before[output / "part-00000.parquet"])
    refused("extra.parquet, which is no partition")


def test_foreign_folders_are_refused(numbers: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    output.write_text("x")
    with pytest.raises(ConfigError, match="is a file, but"):
        run_job(make_job(numbers, output, squares), jobs=1)
    output.unlink()
    output.mkdir()
    (output / "part-00000.parquet").write_text("x")
    with pytest.raises(ConfigError, match="was not made by csgnn-dgl"):
        run_job(make_job(numbers, output, squares), jobs=1)
    with pytest.raises(ResourceError, match="its folder does not exist"):
        run_job(make_job(numbers, tmp_path / "no" / "out.parquet", squares), jobs=1)


def test_two_commands_do_not_write_to_one_folder(numbers: Path, tmp_path: Path) -> None:
    from csgnn_dgl.tasks.many.results import Results

    job = make_job(numbers, tmp_path / "out.parquet", squares)
    with (
        Results(job.output, job.identity).opened(),
        pytest.raises(ResourceError, match="another command is writing"),
    ):
        run_job(job, jobs=1)


def test_a_silent_scheduler_is_named_within_ten_seconds(numbers: Path, tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()  # accepts, and never answers
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(ResourceError, match=r"no Dask scheduler answers at tcp://127.0.0.1"):
            run_job(make_job(numbers, tmp_path / "a.parquet", squares), scheduler=address)
        assert time.monotonic() - started < 10
    with pytest.raises(ResourceError, match="no Dask scheduler answers"):
        run_job(make_job(numbers, tmp_path / "b.parquet", squares), scheduler=address)
    for wrong in ("a/b", "what://node:1", "tcp://node:notaport"):
        with pytest.raises((ConfigError, ResourceError), match="scheduler"):
            run_job(make_job(numbers, tmp_path / "c.parquet", squares), scheduler=wrong)

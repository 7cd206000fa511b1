"""Many files: small ones together, bad ones named and passed over, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from csgnn_dgl.datasets.shapes.shape_files import is_shape_file
from csgnn_dgl.errors import ConfigError, DataError, ResourceError
from csgnn_dgl.tasks.classes.many import shape_sources
from csgnn_dgl.tasks.files import FileResult, files_in, work_on_files


class Reader:
    """Files are names such as "3,4": items are numbers; "bad" cannot be read, 13 not worked on."""

    def __init__(self) -> None:
        self.together: list[list[int]] = []
        self.done: list[int] = []

    def read(self, file: Path) -> list[int]:
        if file.name == "bad":
            raise DataError(f"{file} cannot be read")
        return [int(part) for part in file.name.split(",") if part]

    def work(self, items: Sequence[int]) -> list[int]:
        self.together.append(list(items))
        if 13 in items:
            raise DataError("13 is not lucky")
        return [10 * item for item in items]

    def __call__(self, names: Sequence[str], **options: Any) -> list[FileResult[int, int]]:
        files = [Path(name) for name in names]
        found = work_on_files(files, self.read, self.work, done=self.done.append, **options)
        return list(found)


def test_results_are_in_the_order_of_files() -> None:
    reader = Reader()
    found = reader(["1", "bad", "2,3", ""])
    assert [str(result.file) for result in found] == ["1", "bad", "2,3", "."]
    assert [result.items for result in found] == [(1,), (), (2, 3), ()]
    assert [result.values for result in found] == [(10,), (), (20, 30), ()]
    assert [result.error for result in found] == [None, "bad cannot be read", None, None]
    assert reader.together == [[1, 2, 3]]
    assert sum(reader.done) == 4


@pytest.mark.parametrize(
    ("enough", "groups"),
    [
        (1, [[1], [2], [3], [4, 5]]),
        (3, [[1, 2], [3], [4, 5]]),
        (100, [[1, 2, 3, 4, 5]]),
    ],
)
def test_files_are_worked_on_together(enough: int, groups: list[list[int]]) -> None:
    reader = Reader()
    found = reader(["1", "2", "3", "4,5"], size=lambda item: item, enough=enough)
    assert reader.together == groups
    assert [value for result in found for value in result.values] == [10, 20, 30, 40, 50]
    assert sum(reader.done) == 4


def test_few_files_wait_however_small_they_are() -> None:
    reader = Reader()
    found = reader([str(index % 9) for index in range(150)], size=lambda item: 0)
    assert [len(group) for group in reader.together] == [64, 64, 22]
    assert reader.done == [64, 64, 22]
    assert len(found) == 150


def test_an_item_that_cannot_be_worked_on_is_found() -> None:
    reader = Reader()
    found = reader(["1", "2,13", "3", "bad"], message=lambda item, error: f"{item}: {error}")
    assert [result.error for result in found] == [
        None,
        "13: 13 is not lucky",
        None,
        "bad cannot be read",
    ]
    # Nothing of a bad file is used, and nothing of the others is lost.
    assert [result.values for result in found] == [(10,), (), (30,), ()]
    assert [result.items for result in found] == [(1,), (), (3,), ()]


def test_strict() -> None:
    reader = Reader()
    with pytest.raises(DataError, match="bad cannot be read"):
        reader(["1", "bad", "2"], strict=True)
    with pytest.raises(DataError, match="13 is not lucky"):
        reader(["1", "2,13", "3"], strict=True)
    assert len(reader(["1", "2"], strict=True)) == 2


def test_strict_gives_what_came_before() -> None:
    reader = Reader()
    files = [Path(name) for name in ("1", "13")]
    results = work_on_files(files, reader.read, reader.work, enough=1, strict=True)
    assert next(results).values == (10,)
    with pytest.raises(DataError):
        next(results)


def test_other_errors_are_not_the_files() -> None:
    def broken(items: Sequence[int]) -> list[int]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(work_on_files([Path("1")], Reader().read, broken))


def test_no_files() -> None:
    with pytest.raises(ConfigError, match="no files were given"):
        Reader()([])


def test_bad_files_alone() -> None:
    reader = Reader()
    found = reader(["bad", "bad"])
    assert all(result.error and not result.values for result in found)
    assert reader.together == []
    assert sum(reader.done) == 2


@pytest.mark.parametrize(
    "problem",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")],
    ids=str,
)
def test_lack_of_memory_belongs_to_its_file(problem: Exception) -> None:
    def read(file: Path) -> list[int]:
        if file.name == "1":
            raise problem
        return [int(file.name)]

    def work(items: Sequence[int]) -> list[int]:
        if 3 in items:
            raise problem
        return [10 * item for item in items]

    found = list(work_on_files([Path(str(n)) for n in range(5)], read, work))
    assert [result.values for result in found] == [(0,), (), (20,), (), (40,)]
    for index in (1, 3):
        assert "memory" in (found[index].error or "")

    def wrong(items: Sequence[int]) -> list[int]:
        raise RuntimeError("a mistake in the program")

    with pytest.raises(RuntimeError, match="a mistake in the program"):
        list(work_on_files([Path("0")], read, wrong))


def test_whatever_a_reader_raises_belongs_to_its_file() -> None:
    def read(file: Path) -> list[int]:
        if file.name == "1":
            raise KeyError("a\x1b[2J")
        return [int(file.name)]

    found = list(work_on_files([Path(str(n)) for n in range(3)], read, lambda items: items))
    assert [result.values for result in found] == [(0,), (), (2,)]
    assert found[1].error is not None
    assert found[1].error.isprintable()


def test_folders_hold_the_same_files_with_and_without_jobs(tmp_path: Path) -> None:
    names = ("b/c.off", "b.off", "b/_d.off", ".hidden/e.off", ".f.off", "b/notes.md", "g.off/h.off")
    for name in (*names, "old.parquet/_run/run.json", "old.parquet/_run/i.off"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text("")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "j.off").write_text("")
    for name, place in (("k", "elsewhere"), ("b/up", "in"), ("b/gone.off", "absent")):
        (tmp_path / "in" / name).symlink_to(tmp_path / place)
    found = files_in([tmp_path / "in"], is_shape_file, ".off")
    expected = ["b/_d.off", "b/c.off", "b/gone.off", "b.off", "g.off/h.off", "k/j.off"]
    assert [str(path.relative_to(tmp_path / "in")) for path in found] == expected
    assert list(found) == sorted(found)
    assert [path for path, _ in shape_sources([tmp_path / "in"])] == list(found)


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:  # not by chmod: root may read anything
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("csgnn_dgl.datasets.pieces.os.scandir", refuse)
    with pytest.raises(ResourceError, match=f"cannot read {tmp_path}"):
        files_in([tmp_path], is_shape_file, ".off")
    with pytest.raises(DataError, match=f"the folder {tmp_path} cannot be listed"):
        list(shape_sources([tmp_path]))

"""Inputs are walked through without being held."""

from __future__ import annotations

from pathlib import Path

import pytest

from csgnn_dgl.datasets.pieces import Mark, fingerprint, partitions, walk
from csgnn_dgl.errors import ConfigError, DataError


def text_file(path: Path) -> bool:
    return path.suffix == ".txt"


def test_partitions_cut_files_and_join_them() -> None:
    marks = [Mark("/a", "a", "xyz", index, (index,)) for index in range(5)]
    marks += [Mark("/b", "b"), Mark("/c", "c")]
    found = list(partitions(marks, 3))
    assert [[(p.first.name, p.first.frame, p.count) for p in part] for part in found] == [
        [("a", 0, 3)],
        [("a", 3, 2), ("b", 0, 1)],
        [("c", 0, 1)],
    ]
    assert found[0][0].last.place == (2,)


def test_a_mark_with_a_problem_stands_alone() -> None:
    marks = [Mark("/a", "a", "xyz", 0, (0,)), Mark("/a", "a", "xyz", 1, problem="broken")]
    assert [piece.count for piece in next(partitions(marks, 9))] == [1, 1]


def test_partitions_are_lazy() -> None:
    def endless():  # type: ignore[no-untyped-def]
        index = 0
        while True:
            yield Mark("/a", "a", "xyz", index, (index,))
            index += 1

    assert next(partitions(endless(), 4))[0].count == 4


def test_folders_are_walked_in_the_order_of_names(tmp_path: Path) -> None:
    for name in (
        "b/2.txt",
        "b/1.txt",
        "a.txt",
        "notes.md",
        ".hidden/x.txt",
        "_4.txt",
        "_run/5.txt",
        "old.parquet/_run/run.json",
        "old.parquet/_run/x.txt",
        "c/d/3.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    found = [name for _, name in walk([tmp_path], text_file, skip=tmp_path / "c")]
    expected = ("_4.txt", "_run/5.txt", "a.txt", "b/1.txt", "b/2.txt")
    assert found == [str(tmp_path / name) for name in expected]


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    for name in ("in/a.txt", "elsewhere/b.txt", "results/c.txt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("x")
    for name in ("elsewhere", "results"):
        (tmp_path / "in" / name).symlink_to(tmp_path / name, target_is_directory=True)
    found = list(walk([tmp_path / "in"], text_file, skip=tmp_path / "results"))
    assert [path.relative_to(tmp_path / "in") for path, _ in found] == [
        Path("a.txt"),
        Path("elsewhere/b.txt"),
    ]
    assert [str(path) for path, _ in found] == [name for _, name in found]


def test_a_link_to_a_folder_above_ends(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("x")
    (tmp_path / "in" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "in" / "itself").symlink_to(tmp_path / "in" / "itself")
    assert len(list(walk([tmp_path], text_file))) == 1


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file or folder .*missing"):
        list(walk([tmp_path / "missing"], text_file))
    with pytest.raises(DataError, match="holds no file that can be read"):
        list(walk([tmp_path], text_file))


def test_fingerprints_see_names_sizes_and_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one")
    first = fingerprint([(path, "a")])
    assert first == fingerprint([(path, "a")])
    assert first["files"] == 1
    assert first != fingerprint([(path, "b")])
    path.write_text("other")
    assert first != fingerprint([(path, "a")])
    with pytest.raises(ConfigError, match="no files were given"):
        fingerprint([])

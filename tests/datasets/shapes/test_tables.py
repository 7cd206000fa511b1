"""Tables of text: what separates numbers, and what is no cloud."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from csgnn_dgl.datasets.shapes.shape_files import read_shape
from csgnn_dgl.errors import DataError

ROWS = [[0.5, 1.5, 2.5], [3.0, -4.0, 5.0], [6.0, 7.0, 8e-3]]


def read(text: str | bytes, folder: Path, name: str = "a.txt") -> np.ndarray:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    shape = read_shape(path)
    assert isinstance(shape, np.ndarray)
    return shape


@pytest.mark.parametrize(
    "text",
    [
        "0.5 1.5 2.5\n3 -4 5\n6 7 8e-3\n",
        "0.5,1.5,2.5\n3,-4,5\n6,7,8e-3\n",
        "0.5, 1.5, 2.5\n3, -4, 5\n6, 7, 8e-3\n",
        "   0.500,   1.500,   2.500\n 3.0,-4.0, 5.0\n6.0,7.0,8.0e-3\n",
        "0.5\t1.5\t2.5\n3\t-4\t5\n6\t7\t8e-3\n",
        "0.5 , 1.5 , 2.5\n3 , -4 , 5\n6 , 7 , 8e-3\n",
        "3\n0.5 1.5 2.5\n3 -4 5\n6 7 8e-3\n",
        "// made, by hand\n# x y z\n0.5 1.5 2.5 # first\n\n3 -4 5\n6 7 8e-3\n",
        b"# Gr\xf6\xdfe\n0.5 1.5 2.5\n3 -4 5\n6 7 8e-3\n",
        "\ufeff0.5 1.5 2.5\r\n3 -4 5\r\n6 7 8e-3\r\n",
        "0.5 1.5 2.5 255 0 0\n3 -4 5 255 0 0\n6 7 8e-3 0 0 0\n",
    ],
)
def test_sound_tables_are_read(text: str | bytes, tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(text, tmp_path), ROWS)


def test_integers_with_commas_are_three_columns(tmp_path: Path) -> None:
    assert read("1,5,2\n3,4,5\n", tmp_path).tolist() == [[1, 5, 2], [3, 4, 5]]
    assert read("1, 5, 2\n3, 4, 5\n", tmp_path).tolist() == [[1, 5, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,5 2,5 3,5\n4,5 5,5 6,5\n", "'1,5 2,5 3,5' may have decimal commas"),
        ("1,5\t2,5\t3,5\n", "may have decimal commas"),
        ("1,5, 2,5, 3,5\n", "may have decimal commas"),
        ("1 2 3\n1,5 2 3\n", "'1,5 2 3' may have decimal commas"),
        ("1,234.5 2,345.6 3,456.7\n", "may have decimal commas"),
        ("1,5;2,5;3,5\n", "is not a table of numbers"),
        ("x y z\n1 2 3\n", "it begins with 'x y z'"),
        ("²\n1 2 3\n", "it begins with '²'"),
        ("٣ 1 2\n", "is not a table of numbers"),
        ("1_0 1 2\n", "is not a table of numbers"),
        ("9" * 5000 + "\n1 2 3\n", "is not a table of numbers"),
        ("4\n1 2 3\n4 5 6\n", "announces 4 points and holds 2"),
        ("-2\n1 2 3\n4 5 6\n", "announces -2 points and holds 2"),
        ("1 2 3\n4 5\n", "is not a table of numbers"),
        ("3\ncarbon\nC 0 0 0\nC 0 0 1\nC 0 1 0\n", "is not a table of numbers"),
        (b"1 2 3\n4 5\0 6\n", "is not text in UTF-8"),
        ("1 2 3\n".encode("utf-16"), "in UTF-16"),
        # Indices, then coordinates: columns 1 to 3 would be index, x and y.
        ("".join(f"{i} {i % 2} {i % 3} {i % 5}\n" for i in range(9)), "numbers the rows"),
        ("".join(f"{i + 1},{i % 2},{i % 3},{i % 5}\n" for i in range(9)), "numbers the rows"),
    ],
)
def test_what_is_no_cloud_is_named(text: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.txt") as caught:
        read(text, tmp_path)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_first_column_that_counts_may_be_a_coordinate(tmp_path: Path) -> None:
    line = "".join(f"{i} {i % 2} {i % 3}\n" for i in range(9))
    assert read(line, tmp_path)[:, 0].tolist() == list(range(9))

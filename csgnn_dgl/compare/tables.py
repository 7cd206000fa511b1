"""The tables: systems in rows, trainings and tests in columns. Does not import torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from csgnn_dgl.compare import published
from csgnn_dgl.errors import ConfigError, suggest
from csgnn_dgl.tasks.use_config import Rotation

__all__ = ["TABLES", "Kind", "Row", "Table", "Test", "find_table", "short_name"]

Kind = Literal["shapes", "atoms", "speed"]


def short_name(text: str) -> str:
    """A name as the names of folders have it.

    Examples
    --------
    >>> short_name("R = 16, K = 3")
    'r-16-k-3'
    """
    return re.sub("[^a-z0-9]+", "-", text.lower())


@dataclass(frozen=True)
class Row:
    """A system, or a variant of one.

    Parameters
    ----------
    name
        Label in the table; also part of the names of folders.
    model
        Name of the model.
    options
        Options of the model, and of the training, that differ from the preset's.
    """

    name: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def short(self) -> str:
        """The name without blanks and commas, as in the names of folders.

        Examples
        --------
        >>> Row("csgnn, C = 1", "csgnn").short
        'csgnn-c-1'
        """
        return short_name(self.name)


@dataclass(frozen=True)
class Test:
    """How a trained system is tested.

    Parameters
    ----------
    column
        Label in the table.
    rotation
        Rotations of the test shapes.
    votes
        Orientations to average over.
    """

    column: str
    rotation: Rotation = "none"
    votes: int = 1


@dataclass(frozen=True)
class Table:
    """A table of the paper.

    Parameters
    ----------
    name, title
        Its name in the command, and what it shows.
    kind
        What its systems are given.
    rows
        Its systems, in order.
    tests
        For each way of training, the tests.
    quick
        Options of every training at the size ``quick``, beside those of the models' presets.
    published
        Published numbers by row and column, in the unit of the table.
    unit
        Unit of the results.
    """

    name: str
    title: str
    kind: Kind
    rows: Sequence[Row]
    tests: Mapping[str, Sequence[Test]]
    published: Mapping[str, Mapping[str, float]]
    unit: str
    quick: Mapping[str, Any] = field(default_factory=dict)

    def select(self, models: Sequence[str] | None) -> Sequence[Row]:
        """The rows of some systems, in the order of the table.

        Parameters
        ----------
        models
            Names of rows, in full or as :attr:`Row.short`, each for that row alone; or names of
            models that are no row's name, for all rows of the model. None for all rows.

        Raises
        ------
        ConfigError
            The table has no such system.

        Examples
        --------
        >>> [row.name for row in TABLES["table2"].select(["csgnn", "csgnn-c-1"])]
        ['csgnn, C = 1', 'csgnn']
        >>> len(TABLES["table3"].select(["csgnn"]))
        11
        """
        if models is None:
            return self.rows
        chosen = {row.name for name in models for row in self._rows_of(name)}
        return [row for row in self.rows if row.name in chosen]

    def _rows_of(self, name: str) -> Sequence[Row]:
        found = (
            [row for row in self.rows if row.name == name]
            or [row for row in self.rows if row.short == name]
            or [row for row in self.rows if row.model == name]
        )
        if not found:
            # Names with commas would run into each other in the list.
            known = {row.short if "," in row.name else row.name for row in self.rows}
            known |= {row.model for row in self.rows}
            raise ConfigError(f"{self.name} has no system {name!r}: {suggest(name, known)}")
        return found

    def names(self, text: str) -> tuple[str, ...]:
        """Split a list of systems at its commas, except at those within the name of a row.

        Of names that begin alike, the longest is taken. Rows are named in full in the result, so
        that one choice is always written in one way. A name that is not known stays as it is.

        Examples
        --------
        >>> TABLES["table2"].names("csgnn, C = 1, csgnn,csgnn-c-1")
        ('csgnn, C = 1', 'csgnn', 'csgnn, C = 1')
        """
        known = {form: row.name for row in self.rows for form in (row.short, _joined(row.name))}
        parts = [part.strip() for part in text.split(",")]
        found, start = [], 0
        while start < len(parts):
            for end in range(len(parts), start, -1):
                row = known.get(_joined(",".join(parts[start:end])))
                if row is not None:
                    found.append(row)
                    break
            else:
                end = start + 1
                found.append(parts[start])
            start = end
        return tuple(name for name in found if name)


def _joined(name: str) -> str:
    """A name without its blanks."""
    return "".join(name.split())


_SYSTEMS = (
    "pointnet",
    "dgcnn",
    "shellnet",
    "kpconv",
    "sphnet",
    "riconv",
    "rigcn",
    "sfcnn",
    "prin",
)

# Written out, so that presets cannot change what the paper's row is.
_AS_PAPER: Mapping[str, Any] = {
    "filter_order": 0,
    "gradients": False,
    "readout": ["pool"],
    "members": 1,
}
_SHAPES_AS_PAPER: Mapping[str, Any] = {**_AS_PAPER, "point_features": []}
# The other systems are trained as published: by gradient descent alone.
_NO_CLOSING_FIT: Mapping[str, Any] = {"closing_fit": False}
_IMPROVED_ATOMS: Mapping[str, Any] = {
    "channels": 32,
    "invariants": "all",
    "append_invariants": True,
    "closing_fit": True,
}
_ATOMS_AS_PAPER: Mapping[str, Any] = {
    **_AS_PAPER,
    **_NO_CLOSING_FIT,
    "invariants": "none",
    "append_invariants": False,
    "passes": 0,
    "block_norm": "batch",
}

_SHAPE_TESTS = {
    "z": (Test("z/z", "z"), Test("z/so3", "so3"), Test("z/so3, 5 votes", "so3", 5)),
    "so3": (Test("so3/so3", "so3"), Test("so3/so3, 5 votes", "so3", 5)),
    "none": (Test("none/none", "none"),),
}


def _ablation(name: str) -> Row:
    """A row of Table 3 from its label, such as ``R = 16, K = 3``."""
    keys = {"R": "n_spheres", "C": "channels", "K": "kernel_size"}
    given = dict(part.split(" = ") for part in name.split(", "))
    options = {keys[key]: int(value) for key, value in given.items()}
    # The default is written, too, so that a preset cannot change it.
    options = {**_SHAPES_AS_PAPER, "channels": 8, **options}
    if options["n_spheres"] == 1:
        options.pop("kernel_size", None)
    return Row(name, "csgnn", options)


TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (
        Table(
            "table1",
            "Classification of shapes under rotations: accuracy",
            "shapes",
            [
                *(Row(name, name) for name in _SYSTEMS),
                Row("csgnn", "csgnn", _SHAPES_AS_PAPER),
                Row("csgnn improved", "csgnn", {"filter_order": 1}),
            ],
            _SHAPE_TESTS,
            published.TABLE_1,
            "%",
        ),
        Table(
            "table2",
            "Band energy from densities of states of carbon: mean absolute error",
            "atoms",
            [
                Row("agni", "agni", _NO_CLOSING_FIT),
                Row("schnet", "schnet", _NO_CLOSING_FIT),
                Row("csgnn, C = 1", "csgnn", {**_ATOMS_AS_PAPER, "channels": 1}),
                Row("csgnn", "csgnn", {**_ATOMS_AS_PAPER, "channels": 32}),
                Row("csgnn improved", "csgnn", _IMPROVED_ATOMS),
            ],
            {"structures": (Test("all"), Test("all, 8 votes", votes=8))},
            published.TABLE_2,
            "eV/atom",
        ),
        Table(
            "table3",
            "Spheres, channels and radial kernels of the concentric grid: so3/so3 accuracy",
            "shapes",
            [_ablation(name) for name in published.TABLE_3],
            {"so3": (Test("so3/so3", "so3"),)},
            {row: {"so3/so3": value} for row, value in published.TABLE_3.items()},
            "%",
        ),
        Table(
            "table4",
            "Time of training and inference against the number of spheres",
            "speed",
            [
                Row(f"R = {n}", "csgnn", {**_SHAPES_AS_PAPER, "n_spheres": n, "channels": 8})
                for n in (1, 8, 16, 24, 32)
            ],
            {"random clouds": (Test("s per epoch"), Test("ms per batch"))},
            {
                row: {"s per epoch": seconds, "ms per batch": milliseconds}
                for row, (seconds, milliseconds) in published.TABLE_4.items()
            },
            "",
        ),
    )
}


def find_table(name: str) -> Table:
    """Find a table by name.

    Raises
    ------
    ConfigError
        There is none of this name.

    Examples
    --------
    >>> [row.name for row in find_table("table3").rows][:2]
    ['R = 1, C = 1', 'R = 1, C = 8']
    """
    if name not in TABLES:
        raise ConfigError(f"there is no table {name!r}: {suggest(name, TABLES)}")
    return TABLES[name]

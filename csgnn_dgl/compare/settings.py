"""What a user chose to compare, and the cells that follow from it. Does not import torch."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from csgnn_dgl.compare.tables import Row, Table, Test, find_table, short_name
from csgnn_dgl.errors import ConfigError, suggest

__all__ = ["RECIPES", "SIZES", "Cell", "Settings"]

#: Sizes of the networks: their preset ``quick``, or ``paper``.
SIZES = ("quick", "compact", "paper")
#: Optimiser and schedule: this package's, or those that the authors of a system published.
RECIPES = ("ours", "own")


@dataclass(frozen=True)
class Cell:
    """A training of a table, with its tests.

    Parameters
    ----------
    row
        The system.
    protocol
        How it is trained, such as ``"so3"``.
    recipe
        Optimiser and schedule: one of :data:`RECIPES`.
    seed
        Random seed.
    tests
        How it is tested.
    """

    row: Row
    protocol: str
    recipe: str
    seed: int
    tests: Sequence[Test]

    @property
    def name(self) -> str:
        """Name of its folder.

        Examples
        --------
        >>> Cell(Row("csgnn, C = 1", "csgnn"), "so3", "ours", 0, ()).name
        'csgnn-c-1-so3-ours-0'
        """
        text = f"{self.row.name} {self.protocol} {self.recipe} {self.seed}"
        return short_name(text)


@dataclass(frozen=True)
class Settings:
    """Everything that the results of a comparison depend on.

    Parameters
    ----------
    table
        Name of the table.
    data
        Folder with the data; None for built-in data.
    size
        One of :data:`SIZES`.
    models
        Systems, by name: of a row, in full or in short, or of a model; see
        :meth:`~csgnn_dgl.compare.tables.Table.select`. None for all.
    protocols
        Ways of training; None for those of the paper.
    recipes
        Some of :data:`RECIPES`; the better by validation is shown.
    seeds
        Random seeds; each system is trained with each of them.
    budget
        Minutes of training of each cell; None for the number of epochs of the preset.
    epochs
        Epochs of each training; None for the budget's or the preset's.
    up_axis
        Axis that points up; None for the data set's own.
    device
        Lightning's accelerator.

    Raises
    ------
    ConfigError
        A name is unknown, or settings contradict each other.

    Examples
    --------
    >>> settings = Settings("table1", models=("dgcnn", "rigcn"))
    >>> [cell.name for cell in settings.cells()]
    ['dgcnn-z-ours-0', 'dgcnn-so3-ours-0', 'rigcn-z-ours-0', 'rigcn-so3-ours-0']
    """

    table: str
    data: str | None = None
    size: str = "quick"
    models: tuple[str, ...] | None = None
    protocols: tuple[str, ...] | None = None
    recipes: tuple[str, ...] = ("ours",)
    seeds: tuple[int, ...] = (0,)
    budget: float | None = None
    epochs: int | None = None
    up_axis: str | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        table = self.found
        table.select(self.models)
        for name, known in (("size", SIZES), ("recipes", RECIPES), ("protocols", table.tests)):
            value = getattr(self, name)
            for one in (value,) if isinstance(value, str) else value or ():
                if one not in known:
                    what = f"{self.table} has no {name.rstrip('s')} {one!r}"
                    raise ConfigError(f"{what}: {suggest(str(one), known)}")
        for name in ("models", "protocols", "recipes", "seeds"):
            value = getattr(self, name)
            if value is not None and (not value or len(set(value)) != len(value)):
                raise ConfigError(f"{name} is {list(value)}, but it must name each once, and some")
        for name in ("budget", "epochs"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{name} is {value}, but it must be positive")
        if self.budget is not None and self.epochs is not None:
            raise ConfigError("both budget and epochs are given; leave one of them out")
        if min(self.seeds) < 0 or max(self.seeds) >= 2**32:
            raise ConfigError(
                f"seeds is {list(self.seeds)}, but seeds must be from 0 to {2**32 - 1}"
            )
        if self.up_axis not in (None, "x", "y", "z"):
            raise ConfigError(f"up_axis is {self.up_axis!r}, but it must be x, y or z")
        if table.kind == "speed":
            for name in ("data", "budget", "epochs", "up_axis"):
                if getattr(self, name) is not None:
                    raise ConfigError(f"{self.table} measures time on random clouds: no {name}")

    @property
    def found(self) -> Table:
        """The table."""
        return find_table(self.table)

    def cells(self) -> list[Cell]:
        """All cells, in the order of their numbers."""
        table = self.found
        usual = [name for name in table.tests if name != "none"]
        protocols = list(self.protocols or usual)
        recipes = self.recipes if table.kind != "speed" else ("ours",)
        return [
            Cell(row, protocol, recipe, seed, table.tests[protocol])
            for row in table.select(self.models)
            for protocol in protocols
            for recipe in recipes
            for seed in self.seeds
        ]

    def cell(self, number: str) -> Cell:
        """The cell ``"7/40"``: a number from 1, and how many cells there must be.

        Raises
        ------
        ConfigError
            It is not of this form, or there is no such cell.
        """
        cells = self.cells()
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", number)
        if match is None:
            raise ConfigError(f"--only is {number!r}, but it must be like 7/{len(cells)}")
        index, total = int(match[1]), int(match[2])
        if total != len(cells) or not 1 <= index <= total:
            raise ConfigError(
                f"--only is {number}, but this comparison has the cells 1/{len(cells)} to "
                f"{len(cells)}/{len(cells)}"
            )
        return cells[index - 1]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @classmethod
    def from_json(cls, content: Any, path: Path) -> Settings:
        """The settings that :meth:`to_json` gave.

        Raises
        ------
        ConfigError
            The content is not that; ``path`` names its file.
        """
        known = {f.name for f in fields(cls)}
        if not isinstance(content, dict) or not content.keys() <= known or "table" not in content:
            raise ConfigError(f"{path} does not hold the settings of a comparison")
        try:
            values: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in content.items()
            }
            return cls(**values)
        except (TypeError, AttributeError) as error:
            raise ConfigError(f"{path} holds settings that cannot be used: {error}") from error

    def differences(self, other: Settings) -> str:
        """Name the settings in which another differs; empty if none does."""
        mine, theirs = self.to_json(), other.to_json()
        return "; ".join(
            f"{key} is {json.dumps(mine[key])} there and {json.dumps(theirs[key])} here"
            for key in mine
            if mine[key] != theirs[key]
        )

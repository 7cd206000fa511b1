"""The folder of a comparison: its settings, and a folder per cell. Does not import torch."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from csgnn_dgl._files import atomic_write_json, resource_error
from csgnn_dgl._foreign import check_file, reading
from csgnn_dgl.compare.settings import Cell, Settings
from csgnn_dgl.errors import ConfigError

__all__ = ["Store"]

_SETTINGS = "compare.json"


class Store:
    """Results of a comparison on disk. Several processes may use it at once.

    ============================  =========================================================
    ``compare.json``              the settings
    ``cells/NAME/run/``           the run directory of a cell's training
    ``cells/NAME/cell.json``      its results, once it is done
    ``cells/NAME/failed.json``    why it failed the last time
    ``report.*``                  the table, see :mod:`csgnn_dgl.compare.report`
    ============================  =========================================================

    Parameters
    ----------
    path
        The folder.
    settings
        Its settings.
    """

    def __init__(self, path: Path, settings: Settings) -> None:
        self.path, self.settings = path, settings

    @classmethod
    def open(cls, path: Path) -> Store:
        """The comparison in a folder.

        Raises
        ------
        ConfigError
            There is none.
        """
        file = path / _SETTINGS
        if not file.exists():
            found = "is not there" if not path.exists() else f"holds no {_SETTINGS}"
            raise ConfigError(
                f"{path} {found}, so it is no folder of a comparison; make one: csgnn-dgl compare "
                f"table1 --output {path}"
            )
        check_file(file, ConfigError)
        with reading(file, ConfigError):
            content = json.loads(file.read_text(encoding="utf-8"))
        return cls(path, Settings.from_json(content, file))

    @classmethod
    def create(cls, path: Path, settings: Settings) -> Store:
        """The comparison in a folder, which is made if it is not there.

        Raises
        ------
        ConfigError
            The folder holds something else, or a comparison with other settings.
        ResourceError
            The folder cannot be made.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise resource_error(error, path, "make") from error
        store = cls.planned(path, settings)
        if not (path / _SETTINGS).exists():
            with FileLock(str(path / ".lock")):
                if not (path / _SETTINGS).exists():
                    atomic_write_json(path / _SETTINGS, settings.to_json())
            # Another process may have been faster, with other settings.
            store = cls.planned(path, settings)
        return store

    @classmethod
    def planned(cls, path: Path, settings: Settings) -> Store:
        """The comparison that :meth:`create` would give, or refuse; nothing is made.

        Raises
        ------
        ConfigError
            The folder holds something else, or a comparison with other settings.
        ResourceError
            The folder cannot be read.
        """
        if (path / _SETTINGS).exists():
            store = cls.open(path)
            if different := store.settings.differences(settings):
                raise ConfigError(
                    f"{path} holds a comparison with other settings: {different}; choose another "
                    f"--output, or leave these options out to continue that one"
                )
            return store
        try:
            others = [p.name for p in path.iterdir()] if path.exists() else []
        except OSError as error:
            raise resource_error(error, path, "read") from error
        others = sorted(name for name in others if not name.startswith("."))
        if others:
            raise ConfigError(
                f"{path} holds other files ({', '.join(others[:3])}); choose another --output"
            )
        return cls(path, settings)

    def folder(self, cell: Cell) -> Path:
        """The folder of a cell."""
        return self.path / "cells" / cell.name

    def result(self, cell: Cell) -> dict[str, Any] | None:
        """Results of a cell; None if it is not done.

        Raises
        ------
        ConfigError
            Its file is damaged.
        """
        file = self.folder(cell) / "cell.json"
        if not file.is_file():
            return None
        with reading(file, ConfigError, "remove it, and the cell is done again"):
            content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(content.get("tests"), dict):
                raise ValueError("it holds no results")
        return content

    def failure(self, cell: Cell) -> str | None:
        """Why a cell failed the last time; None if it did not."""
        file = self.folder(cell) / "failed.json"
        try:
            return str(json.loads(file.read_text(encoding="utf-8"))["error"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, cell: Cell, content: dict[str, Any]) -> None:
        """Record the results of a cell."""
        self.folder(cell).mkdir(parents=True, exist_ok=True)
        atomic_write_json(self.folder(cell) / "cell.json", content)
        (self.folder(cell) / "failed.json").unlink(missing_ok=True)

    def write_failure(self, cell: Cell, error: str) -> None:
        """Record why a cell failed."""
        self.folder(cell).mkdir(parents=True, exist_ok=True)
        atomic_write_json(self.folder(cell) / "failed.json", {"error": error})

    def is_claimed(self, cell: Cell) -> bool:
        """Whether a process is at a cell now."""
        with self.claimed(cell) as free:
            return not free

    @contextlib.contextmanager
    def claimed(self, cell: Cell) -> Iterator[bool]:
        """Keep other processes away from a cell; False if one has it.

        The lock is the system's, so it ends with the process. It holds between machines if their
        file system passes locks on, as NFS version 4 does.
        """
        folder = self.folder(cell)
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(str(folder / ".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

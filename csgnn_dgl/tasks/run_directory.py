"""The folder of one training run."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from csgnn_dgl._files import (
    atomic_write_json,
    atomic_write_text,
    remove_leftovers,
    resource_error,
)
from csgnn_dgl._foreign import check_file, excerpt, reading
from csgnn_dgl.errors import CheckpointError, CSGNNError, ResourceError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RunDirectory"]


class RunDirectory:
    """Files of a run. Each file is complete at any time.

    ========================  =========================================================
    ``config.yaml``           all options, enough to repeat the run
    ``metrics.csv``           one row per epoch
    ``model.safetensors``     weights and header, for inference
    ``last.ckpt``             everything needed to resume
    ``summary.json``          results, and how they were made
    ``*.png``                 plots
    ``tensorboard/``          the same curves for TensorBoard; ``csv/``, ``wandb/`` and
                              ``mlflow/`` of other loggers
    ``loggers.json``          names of the run at services
    ========================  =========================================================

    Make one with :meth:`create` or :meth:`open`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def config(self) -> Path:
        """``config.yaml``."""
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        """``metrics.csv``."""
        return self.path / "metrics.csv"

    @property
    def model(self) -> Path:
        """``model.safetensors``."""
        return self.path / "model.safetensors"

    @property
    def last_checkpoint(self) -> Path:
        """``last.ckpt``."""
        return self.path / "last.ckpt"

    @property
    def summary(self) -> Path:
        """``summary.json``."""
        return self.path / "summary.json"

    @property
    def loggers(self) -> Path:
        """``loggers.json``."""
        return self.path / "loggers.json"

    @property
    def _lock(self) -> Path:
        return self.path / ".lock"

    @property
    def _owner(self) -> Path:
        """File with the id of the process that trains here."""
        return self.path / ".lock-owner"

    @classmethod
    def create(cls, path: Path | None, command: str, config_yaml: str) -> RunDirectory:
        """Make a new run directory and write its configuration.

        Parameters
        ----------
        path
            The folder to make; None for the first free one of ``runs/<command>-001``, …
        command
            Name of the command, for the default path.
        config_yaml
            Content of ``config.yaml``.

        Raises
        ------
        ResourceError
            The folder cannot be made.
        CSGNNError
            The folder exists and is not empty.
        """
        run = cls(_next_free(command) if path is None else _claim(path))
        atomic_write_text(run.config, config_yaml)
        return run

    @staticmethod
    def require_free(path: Path) -> None:
        """Refuse a path where :meth:`create` would fail.

        Raises
        ------
        ResourceError
            The path is a file.
        CSGNNError
            The folder exists and is not empty.
        """
        if path.exists() and not path.is_dir():
            raise ResourceError(f"{path} is a file, not a folder for a run; choose another path")
        if path.is_dir() and any(path.iterdir()):
            what = "holds a run" if (path / "config.yaml").is_file() else "is not empty"
            raise CSGNNError(
                f"{path} exists and {what}; nothing was changed. Choose another --output, or "
                f"continue that run: --resume {path}"
            )

    def discard_unused(self) -> None:
        """Remove the folder again if no epoch was finished in it."""
        if any(path.exists() for path in (self.metrics, self.model, self.last_checkpoint)):
            return
        for path in (self.config, self.loggers, self._lock, self._owner):
            path.unlink(missing_ok=True)
        for name in ("tensorboard", "csv", "wandb", "mlflow"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        # Other files belong to the user and stay, and with them the folder.
        with contextlib.suppress(OSError):
            self.path.rmdir()

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """The run at ``path``.

        Raises
        ------
        CheckpointError
            There is no run at the path (the message names runs nearby), or one of its files is a
            device or a pipe.
        """
        run = cls(path)
        if run.config.is_file():
            run._refuse_pipes()
            return run
        if not path.exists():
            found = f"there is no run {path}"
        elif not path.is_dir():
            found = f"{path} is a file, not a run directory"
        else:
            found = f"{path} is not a run directory: it holds no config.yaml"
        nearby = sorted(p.parent for p in path.parent.glob("*/config.yaml")) or sorted(
            p.parent for p in Path("runs").glob("*/config.yaml")
        )
        listed = ", ".join(str(p) for p in nearby[-8:])
        advice = f"existing runs: {listed}" if nearby else "make one: csgnn-dgl train modelnet"
        raise CheckpointError(f"{found}; {advice}")

    def _refuse_pipes(self) -> None:
        """Refuse what would block for ever when it is read or written."""
        files = (self.metrics, self.model, self.last_checkpoint, self.summary)
        for file in (*files, self._lock, self._owner):
            if file.exists() and not file.is_file() and not file.is_dir():
                raise CheckpointError(
                    f"{file} is a device, a pipe or a socket, not a file; remove it"
                )

    def figure(self, name: str) -> Path:
        """Path of the plot ``name``."""
        return self.path / f"{name}.png"

    def read_summary(self) -> dict[str, Any]:
        """Content of ``summary.json``; empty if there is none yet.

        Raises
        ------
        CheckpointError
            The file is damaged, or its evaluations are not a list of objects.
        """
        if not self.summary.exists():
            return {}
        check_file(self.summary, CheckpointError)
        advice = "move it away and run the command again"
        with reading(self.summary, CheckpointError, advice):
            content = json.loads(
                self.summary.read_text(encoding="utf-8"),
                parse_float=_finite,
                parse_constant=_finite,
            )
        if not isinstance(content, dict):
            raise CheckpointError(f"{self.summary} does not hold a JSON object; {advice}")
        for key in ("evaluation", "retrieval"):
            found = content.get(key, [])
            if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
                raise CheckpointError(
                    f"{self.summary} has no list of evaluations under '{key}'; {advice}"
                )
        return content

    def write_summary(self, content: dict[str, Any]) -> None:
        """Replace ``summary.json``."""
        atomic_write_json(self.summary, content)

    def record_evaluation(
        self, entry: dict[str, Any], protocol: Sequence[str], key: str = "evaluation"
    ) -> None:
        """Add an evaluation to the summary; it replaces an earlier one of the same protocol.

        Parameters
        ----------
        entry
            Results and protocol.
        protocol
            Keys of ``entry`` that distinguish evaluations.
        key
            Name of the list of evaluations in the summary.
        """
        summary = self.read_summary()
        # Evaluations of shapes did not name their split as long as it was always the same.
        others = [
            e
            for e in summary.get(key, [])
            if any({"split": "test", **e}.get(k) != entry[k] for k in protocol)
        ]
        self.write_summary({**summary, key: [*others, entry]})

    def write_table(self, name: str, table: pd.DataFrame) -> Path:
        """Write a table as ``<name>.csv`` and return its path."""
        path = self.path / f"{name}.csv"
        atomic_write_text(path, table.to_csv(index=False))
        return path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training here at the same time.

        The operating system locks an open file, so the lock ends with the process, even if the
        process is killed.

        Raises
        ------
        CSGNNError
            Another process holds the lock.
        ResourceError
            The lock file cannot be written, or the file system has no locks.
        """
        lock = FileLock(self._lock, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise CSGNNError(
                f"process {self._read_owner()} is training in {self.path}; wait for it, stop it, "
                f"or choose another --output"
            ) from None
        except NotImplementedError:  # some network file systems
            raise ResourceError(
                f"cannot lock {self._lock}: this file system has no locks; choose a folder on "
                f"another disk with --output"
            ) from None
        except OSError as error:
            raise resource_error(error, self._lock, "write") from error
        try:
            # A second file, because on Windows no other process can read the locked one.
            atomic_write_text(self._owner, f"{os.getpid()}\n")
            # A killed process may have left temporary files.
            remove_leftovers(self.path)
            yield
        finally:
            with contextlib.suppress(OSError):
                self._owner.unlink()
            lock.release()

    def _read_owner(self) -> str:
        try:
            text = self._owner.read_text(encoding="utf-8", errors="replace")
            return excerpt(text, 20) or "unknown"
        except OSError:  # the other process has the lock, but has not written its id yet
            return "unknown"


def _finite(text: str) -> float:
    """Read a number of JSON, which has neither NaN nor infinity."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{excerpt(text)} is no number of JSON")
    return number


def _claim(path: Path) -> Path:
    RunDirectory.require_free(path)
    return _make(path)


def _make(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise resource_error(error, path, "make") from error
    return path


def _next_free(command: str) -> Path:
    parent = _make(Path("runs"))
    number = 1
    while True:
        path = parent / f"{command}-{number:03d}"
        try:
            path.mkdir()  # fails if the folder exists, so two processes never share one
        except FileExistsError:
            number += 1
        except OSError as error:
            raise resource_error(error, path, "write") from error
        else:
            return path

"""Metrics of each epoch, in the checkpoint and in ``metrics.csv``."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from lightning.pytorch import Callback, LightningModule, Trainer

from csgnn_dgl._files import atomic_write_text
from csgnn_dgl.tasks.training_task import TrainingTask

__all__ = ["History"]


class History(Callback):
    """Collects what was logged in each epoch. The first epoch has the number 1.

    The rows are part of the checkpoint, so a resumed run continues them. The whole file is written
    again after each epoch, so it never holds an epoch twice.

    Parameters
    ----------
    path
        The CSV file to write.
    echo
        Called with a line of text after each epoch.
    """

    def __init__(self, path: Path, echo: Callable[[str], object] = lambda line: None) -> None:
        self.path, self.echo = path, echo
        self.rows: list[dict[str, float]] = []
        self._started = self._worked = 0.0
        #: Whether an epoch has begun in this process.
        self.begun = False

    @property
    def table(self) -> pd.DataFrame:
        """All rows so far."""
        return pd.DataFrame(self.rows)

    @property
    def processor_seconds(self) -> float | None:
        """Seconds of the processor over all epochs; None if an earlier version trained some."""
        seconds = [row.get("processor_seconds") for row in self.rows]
        known = [value for value in seconds if value is not None]
        return sum(known) if len(known) == len(seconds) else None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started, self._worked = time.perf_counter(), time.process_time()
        self.begun = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        row = {
            "epoch": trainer.current_epoch + 1,
            **{name: float(value) for name, value in sorted(trainer.callback_metrics.items())},
            "learning_rate": float(trainer.optimizers[0].param_groups[0]["lr"]),
            "seconds": time.perf_counter() - self._started,
            "processor_seconds": time.process_time() - self._worked,
        }
        self.rows = [r for r in self.rows if r["epoch"] < row["epoch"]] + [row]
        if trainer.is_global_zero:
            atomic_write_text(self.path, self.table.to_csv(index=False))
        assert isinstance(pl_module, TrainingTask)
        self.echo(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: "
            f"{pl_module.epoch_line(row)}; {row['seconds']:.1f} s"
        )

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "first_epoch": 1}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # Versions before 0.2 counted epochs from 0.
        shift = 1 - state_dict.get("first_epoch", 0)
        self.rows = [{**row, "epoch": row["epoch"] + shift} for row in state_dict["rows"]]

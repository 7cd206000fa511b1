"""Lightning checkpoints that are complete at any time, and load without running code from them."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from csgnn_dgl._files import atomic_write
from csgnn_dgl._foreign import check_file, excerpt, reading
from csgnn_dgl.errors import CheckpointError
from csgnn_dgl.tasks.schemas import upgrade_checkpoint
from csgnn_dgl.tasks.weights import infinite

__all__ = ["AtomicCheckpointIO"]

_ADVICE = "it is damaged or not a checkpoint; remove it to start the run from the beginning"
# What Lightning reads from a checkpoint.
_ENTRIES = {
    "state_dict": dict,
    "epoch": int,
    "global_step": int,
    "pytorch-lightning_version": str,
    "loops": dict,
    "callbacks": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
}


class AtomicCheckpointIO(CheckpointIO):
    """Writes to a temporary file and renames it; reads tensors and plain values only."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write ``checkpoint`` to ``path``; an older one stays until the new one is complete."""
        # Via memory: if the disk is full, torch.save raises an error that does not say so.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with atomic_write(path, "wb") as file:
            file.write(content.getbuffer())

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint.

        Raises
        ------
        CheckpointError
            The file is missing or damaged, lacks an entry, or holds anything but tensors and plain
            values, or weights that are NaN or infinite.
        """
        path = Path(path)
        if not path.exists():
            raise CheckpointError(f"there is no checkpoint {path}")
        try:
            check_file(path, CheckpointError)
        except CheckpointError as error:
            raise CheckpointError(f"{error}; {_ADVICE}") from error
        with reading(path, CheckpointError, _ADVICE):
            _check_sums(path)
            content = _load(path, map_location or "cpu")
        _check_entries(path, content)
        with reading(path, CheckpointError, _ADVICE):
            content = upgrade_checkpoint(content)
        states = [content["state_dict"], content.get("current_model_state") or {}]
        if wrong := next((found for state in states if (found := infinite(state))), ""):
            raise CheckpointError(
                f"{path} holds weights that are NaN or infinite: {wrong}; the training diverged. "
                f"Start a new run with a lower --learning-rate"
            )
        return content

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint if it is there."""
        Path(path).unlink(missing_ok=True)


def _check_sums(path: Path) -> None:
    """Compare the checksums of the archive's parts, which torch writes but does not compare."""
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise CheckpointError(
                f"{path} is damaged: the checksum of its part {excerpt(damaged)} differs; restore "
                f"it, or remove it to start the run from the beginning"
            )


def _load(path: Path, map_location: Any) -> Any:
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        # The message of torch says how to load the file unsafely.
        raise CheckpointError(
            f"{path} holds something else than tensors and plain values, or is damaged; remove it "
            f"to start the run from the beginning"
        ) from error


def _check_entries(path: Path, content: Any) -> None:
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a checkpoint of a training run")
    wrong = [
        name if name not in content else f"{name} (a {type(content[name]).__name__})"
        for name, kind in _ENTRIES.items()
        if not isinstance(content.get(name), kind)
    ]
    for name in ("state_dict", "current_model_state"):
        # The second is there only if weights are averaged.
        state = content.get(name)
        if isinstance(state, dict):
            if not all(isinstance(key, str) for key in state):
                wrong.append(f"{name} (not all names are text)")
            if not all(isinstance(value, torch.Tensor) for value in state.values()):
                wrong.append(f"{name} (not all weights are tensors)")
        elif state is not None and name not in _ENTRIES:
            wrong.append(f"{name} (a {type(state).__name__})")
    if not wrong:
        wrong = _wrong_callbacks(content["callbacks"])
    if wrong:
        raise CheckpointError(
            f"{path} is not a checkpoint of a training run: these entries are missing or of "
            f"another type: {', '.join(wrong)}; remove it to start the run from the beginning"
        )


def _wrong_callbacks(callbacks: dict[str, Any]) -> list[str]:
    """Callbacks of which the state is missing or not what they wrote."""
    wrong = [f"callbacks.{excerpt(k)}" for k, v in callbacks.items() if not isinstance(v, dict)]
    if wrong:
        return wrong
    rows = callbacks.get("History", {}).get("rows")
    if not (
        isinstance(rows, list)
        and rows
        and all(isinstance(row, dict) and row.keys() == rows[0].keys() for row in rows)
        and "epoch" in rows[0]
        and all(isinstance(value, (int, float)) for row in rows for value in row.values())
    ):
        wrong.append("callbacks.History.rows")
    kept = callbacks.get("KeepWeights", {})
    best, epoch = kept.get("best", False), kept.get("epoch", False)
    if not (best is None or (isinstance(best, list) and all(isinstance(b, float) for b in best))):
        wrong.append("callbacks.KeepWeights.best")
    if not (epoch is None or type(epoch) is int):
        wrong.append("callbacks.KeepWeights.epoch")
    return wrong

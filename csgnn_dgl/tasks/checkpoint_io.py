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
from csgnn_dgl.errors import CheckpointError
from csgnn_dgl.tasks.schemas import upgrade_checkpoint

__all__ = ["AtomicCheckpointIO"]


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
            The file is missing or damaged, or holds anything but tensors and plain values.
        """
        try:
            content = torch.load(path, map_location=map_location or "cpu", weights_only=True)
        except FileNotFoundError:
            raise CheckpointError(f"there is no checkpoint {path}") from None
        except (
            pickle.UnpicklingError,
            RuntimeError,
            EOFError,
            OSError,
            zipfile.BadZipFile,
        ) as error:
            reason = (str(error) or repr(error)).splitlines()[0]
            raise CheckpointError(
                f"{path} is damaged or not a checkpoint ({reason}); remove it to start the run "
                f"from the beginning"
            ) from error
        if not isinstance(content, dict) or "state_dict" not in content:
            raise CheckpointError(f"{path} is not a checkpoint of a training run")
        return upgrade_checkpoint(content)

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint if it is there."""
        Path(path).unlink(missing_ok=True)

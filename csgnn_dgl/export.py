"""Export trained networks of any target as programs that need only torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from csgnn_dgl.tasks.output_files import refuse_inputs
from csgnn_dgl.tasks.shipped import find_weights
from csgnn_dgl.tasks.targets import target_of

__all__ = ["export_model"]


def export_model(weights: str | Path, path: Path, *, model: Any = None) -> str:
    """Write a network as a ``.pt2`` file, and return its kind.

    :func:`csgnn_dgl.tasks.classes.export.export` and :func:`csgnn_dgl.tasks.dos.export.export`
    describe the inputs and outputs of the programs.

    Parameters
    ----------
    weights
        A run directory, a file of weights, or a shipped model by name.
    path
        File to write.
    model
        The model, if it is one of your own: ``module:Class``, or the class.

    Raises
    ------
    CheckpointError
        There are no weights, or they cannot be used.
    ConfigError
        The file to write is one of the run.
    """
    found = find_weights(weights)
    refuse_inputs(path, [found] if found.is_file() else sorted(found.iterdir()))
    target = target_of(found)
    target.export(found, path, model)
    return target.kind

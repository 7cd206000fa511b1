"""Write networks as programs that torch runs without this package and without DGL."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from csgnn_dgl._files import atomic_write
from csgnn_dgl.tasks.weights import Header

__all__ = ["HEADER", "write_program"]

#: Name of the header inside the file; the header is JSON.
HEADER = "csgnn_dgl.json"


def write_program(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    dynamic: dict[str, Any],
    header: Header,
    path: Path,
) -> None:
    """Trace ``module`` and write it as a ``.pt2`` file with its header.

    Parameters
    ----------
    module
        The module to export.
    inputs
        Example inputs.
    dynamic
        Sizes of the inputs that may vary; see :func:`torch.export.export`.
    header
        Written beside the program.
    path
        File to write.
    """
    module.eval()
    with torch.no_grad():
        # Index tensors of graphs must be computed and cached from real tensors, before tracing.
        module(*inputs)
        program = torch.export.export(module, inputs, dynamic_shapes=dynamic)
    buffer = io.BytesIO()
    # A program computes what the network computes: it neither scores nor calibrates.
    text = json.dumps(asdict(replace(header, domain={}, calibration={})), ensure_ascii=False)
    torch.export.save(program, buffer, extra_files={HEADER: text})
    with atomic_write(path, "wb") as file:
        file.write(buffer.getvalue())

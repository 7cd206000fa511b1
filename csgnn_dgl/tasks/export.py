"""Networks as programs that torch runs by itself, without this package and without DGL."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from csgnn_dgl._files import atomic_write
from csgnn_dgl.tasks.weights import Header

__all__ = ["HEADER", "write_program"]

#: The name under which the header lies in the file, as JSON.
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
        What is exported.
    inputs
        An example.
    dynamic
        Sizes of the inputs that are free; see :func:`torch.export.export`.
    header
        Written beside the program.
    path
        File to write.
    """
    module.eval()
    with torch.no_grad():
        module(*inputs)  # finds out all there is to know of graphs, with real tensors
        program = torch.export.export(module, inputs, dynamic_shapes=dynamic)
    buffer = io.BytesIO()
    text = json.dumps(asdict(header), ensure_ascii=False)
    torch.export.save(program, buffer, extra_files={HEADER: text})
    with atomic_write(path, "wb") as file:
        file.write(buffer.getvalue())

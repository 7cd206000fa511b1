"""Running an exported program where this package cannot be imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["run_alone"]

# A process in which neither this package nor DGL can be imported.
_ALONE = """
import sys, torch
sys.modules["csgnn_dgl"] = sys.modules["dgl"] = None
extra = {sys.argv[4]: ""}
program = torch.export.load(sys.argv[1], extra_files=extra).module()
outputs = program(*torch.load(sys.argv[2], weights_only=True))
outputs = outputs if isinstance(outputs, tuple) else (outputs,)
torch.save((list(outputs), extra[sys.argv[4]]), sys.argv[3])
assert not any(n.partition(".")[0] in ("csgnn_dgl", "dgl") and m for n, m in sys.modules.items())
"""


def run_alone(
    program: Path, inputs: tuple[Tensor, ...], *, timeout: float = 300
) -> tuple[list[Tensor], dict[str, Any]]:
    """Run a program that ``csgnn-dgl export`` wrote, in a process that has torch alone.

    Parameters
    ----------
    program
        The ``.pt2`` file; inputs and outputs are written beside it.
    inputs
        What the program takes.
    timeout
        Patience [s].

    Returns
    -------
    tuple
        What the program gives, and the header that lies in the file.

    Raises
    ------
    AssertionError
        It does not run; with what the process said.

    Examples
    --------
    .. code-block:: python

        (scores,), header = run_alone(Path("model.pt2"), (torch.rand(2, 64, 3),))
    """
    from csgnn_dgl.tasks.export import HEADER

    given, taken = program.with_suffix(".in"), program.with_suffix(".out")
    torch.save(inputs, given)
    command = [sys.executable, "-c", _ALONE, str(program), str(given), str(taken), HEADER]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise AssertionError(f"the program does not run without csgnn-dgl:\n{done.stderr}")
    outputs, header = torch.load(taken, weights_only=True)
    return outputs, json.loads(header)

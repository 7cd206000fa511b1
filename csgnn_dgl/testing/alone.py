"""Running an exported program where this package cannot be imported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from csgnn_dgl.testing.commands import run_python

__all__ = ["run_alone"]

# What torch imports to load and run a program, which takes seconds.
_TORCH = (
    *("torch", "torch.export", "torch._dynamo", "torch._export.serde.serialize"),
    *(
        "torch.export.pt2_archive._package",
        "torch._inductor.sizevars",
        "torch.fx.experimental.validator",
    ),
)
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
    words = ["-c", _ALONE, program, given, taken, HEADER]
    done = run_python(words, imported=_TORCH, timeout=timeout)
    if done.returncode:
        raise AssertionError(f"the program does not run without csgnn-dgl:\n{done.stderr}")
    outputs, header = torch.load(taken, weights_only=True)
    return outputs, json.loads(header)

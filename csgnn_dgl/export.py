"""Trained models as programs that torch runs by itself, without this package and without DGL."""

from __future__ import annotations

import copy
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from csgnn_dgl._files import atomic_write
from csgnn_dgl.errors import CheckpointError
from csgnn_dgl.mapping import normalize_clouds
from csgnn_dgl.mapping.neighbors import Neighbors
from csgnn_dgl.models import Classifier, DOSModel
from csgnn_dgl.tasks.dos.trained import KIND as DOS
from csgnn_dgl.tasks.dos.trained import load_dos_model
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.shapes.trained import KIND as CLASSIFIER
from csgnn_dgl.tasks.shapes.trained import load_classifier
from csgnn_dgl.tasks.weights import Header, read_kind

__all__ = ["HEADER", "export_classifier", "export_dos_model", "export_model"]

#: The name under which the header lies in the file, as JSON.
HEADER = "csgnn_dgl.json"


class _Scores(nn.Module):
    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model
        model.mapping.validate = False

    def forward(self, points: Tensor) -> Tensor:
        scores: Tensor = self.model(normalize_clouds(points))
        return scores


class _Atoms(nn.Module):
    def __init__(self, model: DOSModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, displacements: Tensor, centres: Tensor, numbers: Tensor, centre_numbers: Tensor
    ) -> tuple[Tensor, Tensor]:
        # Structures do not matter here: every atom is by itself.
        one = torch.zeros_like(centre_numbers)
        neighbors = Neighbors(displacements, centres, numbers, centre_numbers, one, 1)
        descriptors = self.model.atoms(neighbors)
        return descriptors, self.model.curves(descriptors)


def _export(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    dynamic: dict[str, Any],
    header: Header,
    path: Path,
) -> None:
    module.eval()
    with torch.no_grad():
        module(*inputs)  # finds out all there is to know of graphs, with real tensors
        program = torch.export.export(module, inputs, dynamic_shapes=dynamic)
    buffer = io.BytesIO()
    text = json.dumps(asdict(header), ensure_ascii=False)
    torch.export.save(program, buffer, extra_files={HEADER: text})
    with atomic_write(path, "wb") as file:
        file.write(buffer.getvalue())


def export_classifier(run: Path, path: Path) -> None:
    """Write a classifier as a ``.pt2`` file.

    The program takes clouds ``(B, N, 3)``, float32, in any unit, and gives scores before the
    softmax ``(B, classes)``; ``B`` and ``N`` are free. As always, clouds must be centred as those
    that it was trained with. Class names and the rest of the header come along.

    Parameters
    ----------
    run
        Run directory, or ``model.safetensors``.
    path
        File to write.

    Raises
    ------
    CheckpointError
        No usable classifier there.

    Examples
    --------
    .. code-block:: python

        export_classifier(Path("runs/modelnet-001"), Path("model.pt2"))
        # and wherever there is torch:
        extra = {"csgnn_dgl.json": ""}
        scores = torch.export.load("model.pt2", extra_files=extra).module()(points)
        names = json.loads(extra["csgnn_dgl.json"])["class_names"]
    """
    trained = load_classifier(run)
    module = _Scores(copy.deepcopy(trained.model).float())
    points = torch.rand(2, trained.points, 3) - 0.5
    dynamic = {"points": {0: Dim("clouds"), 1: Dim("points_per_cloud")}}
    _export(module, (points,), dynamic, trained.header, path)


def export_dos_model(run: Path, path: Path) -> None:
    """Write a model of densities of states as a ``.pt2`` file.

    The program takes what :func:`~csgnn_dgl.mapping.neighbors.find_neighbors` finds, as plain
    tensors: displacements ``(P, 3)`` [Å], float32, to neighbours; the atom ``(P,)`` that each
    belongs to; the neighbours' atomic numbers ``(P,)`` and the atoms' own ``(A,)``, int64. It
    gives the descriptors ``(A, features)`` and each atom's curve ``(A, bins)``; a structure's
    curve is the mean of its atoms'. The header holds the energies and the cutoff.

    Parameters
    ----------
    run
        Run directory, or ``model.safetensors``.
    path
        File to write.

    Raises
    ------
    CheckpointError
        No usable model there.
    """
    trained = load_dos_model(run)
    module = _Atoms(copy.deepcopy(trained.model).float())
    element = trained.elements[0]
    generator = torch.Generator().manual_seed(0)
    displacements = torch.randn(30, 3, generator=generator) + 1
    inputs = (
        displacements,
        torch.arange(30) % 3,
        torch.full((30,), element),
        torch.full((3,), element),
    )
    pairs, atoms = Dim("neighbours"), Dim("atoms")
    dynamic = {
        "displacements": {0: pairs},
        "centres": {0: pairs},
        "numbers": {0: pairs},
        "centre_numbers": {0: atoms},
    }
    _export(module, inputs, dynamic, trained.header, path)


def export_model(run: Path, path: Path) -> str:
    """Write the model of a run, whatever its kind, and say which it is.

    Raises
    ------
    CheckpointError
        No model there, or one of a kind that cannot be exported.
    """
    file = run if run.is_file() else RunDirectory.open(run).model
    kind = read_kind(file)
    exporters = {CLASSIFIER: export_classifier, DOS: export_dos_model}
    if kind not in exporters:
        raise CheckpointError(f"{file} holds a model of the kind {kind!r}, which has no export")
    exporters[kind](run, path)
    return kind

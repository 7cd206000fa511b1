"""Fit the last layer of a trained network by least squares to all training structures.

Steps of gradient descent converge slowly here: bins and hidden features are strongly correlated, so
many of their combinations have tiny gradients. For a linear layer, the least-squares solution needs
no steps. It minimises the error of curves, of their sums and of all that is linear in them at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from csgnn_dgl._progress import working
from csgnn_dgl.mapping.neighbors import Neighbors
from csgnn_dgl.models.dos import DOSModel, structure_mean
from csgnn_dgl.models.fitted_head import FittedHead
from csgnn_dgl.models.heads import CurveHeads
from csgnn_dgl.tasks.dos.task import DOSBatch, DOSTask, StructureBatches, random_turns
from csgnn_dgl.tasks.seeds import generator

__all__ = ["RIDGES", "ClosingFit", "closing_fit", "held_out_loss"]

#: Penalties that are tried, as shares of the variance of each feature. Curves of atoms need small
#: ones. Curves of structures alone are few equations, and need large ones.
RIDGES = (1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 0.1, 1.0)
# Losses up to this multiple of the smallest count as equal.
_AS_GOOD = 1.01


@dataclass(frozen=True, eq=False)
class ClosingFit:
    """What a closing fit found.

    Parameters
    ----------
    ridge
        The penalty; None if the trained layer is better than any fitted one.
    losses
        Loss of the held-out structures by penalty; that of the trained layer under None.
    error
        Mean absolute error of the held-out curves with the better layer.
    """

    ridge: float | None
    losses: dict[float | None, float]
    error: float

    @property
    def loss(self) -> float:
        """Loss of the held-out structures with the better layer."""
        return self.losses[self.ridge]


class _Sums:
    """Normal equations of one head: sums over atoms with a curve, and the rows of structures."""

    def __init__(self) -> None:
        self.rows: list[Tensor] = []
        self.square: Tensor | float = 0.0
        self.right: Tensor | float = 0.0
        self.atoms = 0

    def add(self, rows: Tensor, neighbors: Neighbors, curves: Tensor | None) -> None:
        """Add the atoms of some structures, with their curves if they are known."""
        self.rows.append(structure_mean(rows, neighbors).cpu())
        if curves is None:
            return
        known = curves.isfinite().all(dim=1)
        rows, curves = rows[known], curves[known].to(rows)
        self.square = self.square + (rows.T @ rows).cpu()
        self.right = self.right + (rows.T @ curves).cpu()
        self.atoms += len(rows)

    def solve(self, curves: Tensor, atom_weight: float) -> dict[float, Tensor]:
        """Weights ``(rows, bins)`` of the linear layer for curves ``(n, bins)`` of structures.

        They are returned for each of :data:`RIDGES`. Bins that no curve defines get none.
        """
        rows, curves = torch.cat(self.rows), curves.double()
        found = {ridge: rows.new_zeros(rows.shape[1], curves.shape[1]) for ridge in RIDGES}
        share = atom_weight / self.atoms if self.atoms else 0.0
        # Bins that are defined for the same structures share their equations.
        masks, group = torch.unique(curves.isfinite(), dim=1, return_inverse=True)
        for index, mask in enumerate(masks.T):
            bins, known = group == index, rows[mask]
            count = max(len(known), 1)
            square = known.T @ known / count + share * self.square
            right = known.T @ curves[mask][:, bins] / count
            if isinstance(self.right, Tensor):
                right = right + share * self.right[:, bins]
            if square[-1, -1] > 0:
                for ridge, weights in found.items():
                    weights[:, bins] = _ridge(square, right, ridge)
        return found


def _ridge(square: Tensor, right: Tensor, ridge: float) -> Tensor:
    """Solve normal equations; the last row is the constant, which has no penalty."""
    variance = (square.diagonal() - square[-1].square() / square[-1, -1]).clamp(min=0)
    # Features that never vary, such as units that are always off, get no weight.
    floor = 1e-12 * variance.max().clamp(min=torch.finfo(square.dtype).tiny)
    penalty = ridge * variance + floor
    penalty[-1] = 0
    square = square + torch.diag(penalty)
    # LAPACK's other solvers round differently from call to call.
    scale = square.diagonal().rsqrt()
    factor, failed = torch.linalg.cholesky_ex(scale[:, None] * square * scale)
    if failed:
        return torch.full_like(right, torch.nan)
    return scale[:, None] * torch.cholesky_solve(scale[:, None] * right, factor)


def closing_fit(
    task: DOSTask, fitted: DOSModel, training: StructureBatches, validation: StructureBatches
) -> ClosingFit:
    """Fit the last layer of a trained network to the training structures in closed form.

    The fitted layer sees the last hidden layer, the descriptor and a constant
    (:class:`~csgnn_dgl.models.fitted_head.FittedHead`). The errors of structures and of atoms with
    known curves are weighed as in the loss of the training (``atom_weight``). The penalty is the
    largest one whose loss of the held-out structures is within 1 % of the smallest; a larger one
    extrapolates less. If no fitted layer has a smaller loss than the trained one, that one stays.
    If the training turned surroundings at random, so does the fit.

    Parameters
    ----------
    task
        The trained network with its options. It is not changed.
    fitted
        A network of the same model and sizes whose heads are to be fitted. It gets the weights of
        the trained one, and the fitted layer.
    training, validation
        The structures to fit, and those held out.
    """
    network = task.model.eval()
    _take_over(network, fitted)
    heads = [cast(FittedHead, head) for head in _heads(fitted)]
    sums = [_Sums() for _ in heads]
    with torch.no_grad(), working("closing fit", len(training), unit="structure") as done:
        for index, batch in enumerate(_batches(training, task.config.batch_size)):
            neighbors = batch.neighbors.to(task.device, next(network.parameters()).dtype)
            if task.config.rotate:
                turns = generator(task.config.seed, "closing fit", index)
                neighbors = random_turns(neighbors, turns, together=not network.model.local)
            parts = _descriptors(network, neighbors).split(network.model.head_features, dim=1)
            for head, part, own in zip(heads, parts, sums, strict=True):
                rows = head.rows(part).double()
                rows = torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1)
                own.add(rows, neighbors, batch.atom_curves)
            done(len(batch.curves))
    solutions = [own.solve(training.curves, task.config.atom_weight) for own in sums]
    held_out = _Described(task, network, validation)
    losses: dict[float | None, float] = {}
    losses[None], error = held_out.loss(network.head)

    def loss_of(ridge: float) -> tuple[float, float]:
        for head, found in zip(heads, solutions, strict=True):
            head.linear.weight.data.copy_(found[ridge][:-1].T)
            head.linear.bias.data.copy_(found[ridge][-1])
        return held_out.loss(fitted.head)

    for ridge in RIDGES:
        losses[ridge] = loss_of(ridge)[0]
    smallest = min(loss for loss in losses.values() if math.isfinite(loss))
    good = [r for r in RIDGES if losses[r] <= _AS_GOOD * smallest and losses[r] < losses[None]]
    if good:
        error = loss_of(max(good))[1]
    return ClosingFit(max(good) if good else None, losses, error)


def held_out_loss(
    task: DOSTask, network: DOSModel, batches: StructureBatches
) -> tuple[float, float]:
    """Loss and mean absolute error of curves, over all atoms of all structures."""
    return _Described(task, network.eval(), batches).loss(network.head)


class _Described:
    """Descriptors of structures, for which heads are compared."""

    def __init__(self, task: DOSTask, network: DOSModel, batches: StructureBatches) -> None:
        self.task, self.parts, dtype = task, [], next(network.parameters()).dtype
        with torch.no_grad():
            for batch in _batches(batches, task.config.batch_size):
                neighbors = batch.neighbors.to(task.device, dtype)
                descriptors = _descriptors(network, neighbors)
                self.parts.append((descriptors, neighbors, batch.to(task.device)))

    def loss(self, head: nn.Module) -> tuple[float, float]:
        """Loss and mean absolute error of curves with a head, over all structures."""
        loss = error = count = 0.0
        with torch.no_grad():
            for descriptors, neighbors, batch in self.parts:
                own, mean = self.task.loss_of_atoms(head(descriptors), neighbors, batch)
                loss += float(own) * len(batch.curves)
                error += float(mean) * len(batch.curves)
                count += len(batch.curves)
        return loss / max(count, 1), error / max(count, 1)


def _batches(batches: StructureBatches, size: int) -> Iterator[DOSBatch]:
    for start in range(0, len(batches), size):
        yield batches.__getitems__(range(start, min(start + size, len(batches))))


def _descriptors(network: DOSModel, neighbors: Neighbors) -> Tensor:
    """Descriptors of all atoms, of so many at a time as the model wants."""
    if not network.model.local:
        return network.describe(neighbors)
    chunks = neighbors.chunks(network.model.atoms_at_once)
    return torch.cat([network.describe(chunk) for chunk in chunks])


def _heads(network: DOSModel) -> list[nn.Module]:
    head = network.head
    return list(head.heads) if isinstance(head, CurveHeads) else [head]


def _take_over(network: DOSModel, fitted: DOSModel) -> None:
    """Give a network the tensors of another that it has, too: all but those of the last layer."""
    weight = next(network.parameters())
    fitted.to(weight.device, weight.dtype).eval()
    known, own = network.state_dict(), fitted.state_dict()
    fitted.load_state_dict({name: known.get(name, value) for name, value in own.items()})

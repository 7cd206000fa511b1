"""The LightningModule that trains on densities of states."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from csgnn_dgl.datasets.atoms.dos import DOSRecord
from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.mapping import random_rotations
from csgnn_dgl.mapping.neighbors import Neighbors, find_neighbors
from csgnn_dgl.models import DOSModel
from csgnn_dgl.models.dos import structure_mean
from csgnn_dgl.physics import EnergyGrid, find_levels
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.mean import SampleMean
from csgnn_dgl.tasks.seeds import derive_seed, generator
from csgnn_dgl.tasks.training_task import TrainingTask

__all__ = [
    "DOSBatch",
    "DOSTask",
    "StructureBatches",
    "fermi_levels",
    "random_turns",
    "target_tensor",
]

# Neighbours are kept in memory up to this size [bytes]; beyond it they are found again when needed.
_CACHE = 4 << 30


def target_tensor(records: Sequence[DOSRecord]) -> Tensor:
    """Stack curves of structures, shape ``(n, E)``, float32; NaN where a bin is not defined."""
    return torch.stack([torch.as_tensor(record.dos, dtype=torch.float32) for record in records])


def fermi_levels(records: Sequence[DOSRecord], grid: EnergyGrid) -> Tensor:
    """Fermi levels of the structures' curves, shape ``(n,)``; NaN where they are not known."""
    found = torch.full((len(records),), torch.nan)
    for index, record in enumerate(records):
        if record.electrons is not None and not np.isnan(record.dos).any():
            # A curve may hold too few states.
            with contextlib.suppress(DataError):
                found[index] = find_levels(record.dos, grid, record.electrons).fermi_level
    return found


class DOSBatch:
    """Some structures with their curves.

    Parameters
    ----------
    neighbors
        Neighbours of all ``A`` atoms.
    curves
        Curves of the structures, shape ``(n, E)``; NaN where a bin is not defined.
    atom_curves
        Curves of the atoms, shape ``(A, E)``; NaN for atoms without a known curve. None if no atom
        has one.
    fermi
        Fermi levels of the structures, shape ``(n,)``; NaN where they are not known. None if they
        are not needed.
    """

    # Not a dataclass: Lightning would take it apart for precisions such as 64-true, and cannot
    # take apart frozen ones.
    def __init__(
        self,
        neighbors: Neighbors,
        curves: Tensor,
        atom_curves: Tensor | None = None,
        fermi: Tensor | None = None,
    ) -> None:
        self.neighbors, self.curves, self.atom_curves = neighbors, curves, atom_curves
        self.fermi = fermi

    def to(self, device: torch.device | str, non_blocking: bool = False) -> DOSBatch:
        """Copy the batch to another device."""
        atoms, fermi = self.atom_curves, self.fermi
        return DOSBatch(
            self.neighbors.to(device),
            self.curves.to(device, non_blocking=non_blocking),
            None if atoms is None else atoms.to(device, non_blocking=non_blocking),
            None if fermi is None else fermi.to(device, non_blocking=non_blocking),
        )

    def some_atoms(self, count: int, generator: torch.Generator) -> DOSBatch:
        """Choose at most ``count`` atoms of each structure at random.

        Where the curves of the atoms are known, a structure's curve becomes the mean over the
        chosen atoms.
        """
        structures = self.neighbors.structures.cpu()
        order = torch.rand(self.neighbors.n_atoms, generator=generator)
        # Sort by structure, and at random within it; then take the first few of each structure.
        ranked = torch.argsort(structures.double() + order.double() * 0.999)
        sizes = torch.bincount(structures, minlength=self.neighbors.n_structures)
        starts = torch.cumsum(sizes, 0) - sizes
        rank = torch.arange(len(ranked)) - starts[structures[ranked]]
        taken = ranked[rank < count].sort().values
        neighbors = self.neighbors.select(taken)
        if self.atom_curves is None:
            return DOSBatch(neighbors, self.curves, fermi=self.fermi)
        atoms = self.atom_curves[taken]
        means = structure_mean(atoms, neighbors)
        curves = torch.where(means.isnan(), self.curves, means)
        return DOSBatch(neighbors, curves, atoms, self.fermi)


class StructureBatches(Dataset[DOSBatch]):
    """Structures of a split, returned as whole batches.

    Neighbours are found once, and kept as long as memory for them lasts.

    Parameters
    ----------
    records
        The structures.
    cutoff
        Radius within which neighbours are found [Å].
    grid
        Energies of the curves, if batches shall have Fermi levels.

    Raises
    ------
    ConfigError
        Fermi levels are asked for, but no structure has one.
    """

    def __init__(
        self, records: Sequence[DOSRecord], cutoff: float, *, grid: EnergyGrid | None = None
    ) -> None:
        self.records, self.cutoff = records, cutoff
        self.fermi = None if grid is None else fermi_levels(records, grid)
        if self.fermi is not None and not bool(self.fermi.isfinite().any()):
            raise ConfigError(
                "band_weight is set, but none of the structures has a band energy, which takes a "
                "complete electronic curve and the number of electrons; leave it out"
            )
        self.curves = target_tensor(records)
        self._has_atom_curves = any(record.atom_dos is not None for record in records)
        self._found: dict[int, Neighbors] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.records)

    def __getitems__(self, indices: Sequence[int]) -> DOSBatch:
        found = [self._neighbors(int(index)) for index in indices]
        atoms = [self._atom_curves(int(index)) for index in indices]
        return DOSBatch(
            Neighbors.concatenate(found),
            self.curves[list(indices)],
            torch.cat(atoms) if self._has_atom_curves else None,
            None if self.fermi is None else self.fermi[list(indices)],
        )

    def _atom_curves(self, index: int) -> Tensor:
        record = self.records[index]
        if record.atom_dos is None:
            return torch.full((len(record.atoms), self.curves.shape[1]), torch.nan)
        return torch.as_tensor(record.atom_dos).float()

    def _neighbors(self, index: int) -> Neighbors:
        known = self._found.get(index)
        if known is not None:
            return known
        found = find_neighbors([self.records[index].atoms], self.cutoff).to("cpu", torch.float32)
        if self._bytes + found.nbytes <= _CACHE:
            self._found[index] = found
            self._bytes += found.nbytes
        return found


def random_turns(
    neighbors: Neighbors, generator: torch.Generator, *, together: bool = False
) -> Neighbors:
    """Rotate the surroundings at random: of each atom by itself, or of each structure together."""
    displacements = neighbors.displacements
    count = neighbors.n_structures if together else neighbors.n_atoms
    rotations = random_rotations(
        count, "so3", "z", generator, displacements.dtype, displacements.device
    )
    return neighbors.rotated(rotations[neighbors.structures] if together else rotations)


def jitter(neighbors: Neighbors, spread: float, generator: torch.Generator) -> Neighbors:
    """Add normal noise of ``spread`` Å, clipped at three times that, to neighbours' positions."""
    displacements = neighbors.displacements
    noise = torch.randn(displacements.shape, generator=generator).to(displacements)
    return replace(neighbors, displacements=displacements + spread * noise.clamp(-3, 3))


class DOSTask(TrainingTask[DOSModel, TrainDOSConfig]):
    r"""A model of densities of states with its loss, augmentation and metrics.

    The loss is :math:`\alpha\,L(g) + (1-\alpha)\,L(\Delta\varepsilon \sum g)` (Sec. 4.2 of
    the paper). Bins that are not defined (NaN) count in neither term. Where the curves of the atoms
    are known, ``config.atom_weight`` times the same loss of these curves is added. With
    ``config.band_weight`` :math:`\beta`, both have a further term :math:`\beta\,L(\Omega)` with
    :math:`\Omega = \Delta\varepsilon \sum_{\varepsilon < E_F} (\varepsilon - E_F)\, g`, where
    :math:`E_F` is that of the reference. To first order its error is that of the band energy,
    because the number of electrons is fixed.

    Parameters
    ----------
    config
        The run's options.
    model
        The network to train.
    grid
        Energies of the curves.
    """

    energies: Tensor

    def __init__(self, config: TrainDOSConfig, model: DOSModel, grid: EnergyGrid) -> None:
        super().__init__(config, model)
        self.step = grid.step
        energies = torch.from_numpy(grid.energies).float()
        self.register_buffer("energies", energies, persistent=False)
        if config.atoms_per_structure is not None and not model.model.local:
            raise ConfigError(
                f"atoms_per_structure is {config.atoms_per_structure}, but {config.model} passes "
                f"messages between atoms, so it needs all atoms of a structure; leave out this "
                f"option"
            )
        self.train_loss, self.validation_loss = SampleMean(), SampleMean()
        self.train_error, self.validation_error = SampleMean(), SampleMean()

    def training_step(self, batch: DOSBatch, batch_idx: int) -> Tensor:
        place = (self.current_epoch, batch_idx, self.global_rank)
        # Dropout draws from the global generator, as PyTorch's modules do.
        torch.manual_seed(derive_seed(self.config.seed, "dropout", *place))
        batch = self._some_atoms(batch, "atoms", *place)
        neighbors = batch.neighbors
        if self.config.rotate:
            rotations = generator(self.config.seed, "turns", *place)
            neighbors = random_turns(neighbors, rotations, together=not self.model.model.local)
        if self.config.jitter:
            noise = generator(self.config.seed, "jitter", *place)
            neighbors = jitter(neighbors, self.config.jitter, noise)
        turned = DOSBatch(neighbors, batch.curves, batch.atom_curves, batch.fermi)
        loss, error = self._compare(turned)
        self.train_loss.update(loss.detach(), len(batch.curves))
        self.train_error.update(error, len(batch.curves))
        self.log("train_loss", self.train_loss, on_epoch=True, on_step=False, prog_bar=True)
        self.log("train_error", self.train_error, on_epoch=True, on_step=False)
        return loss

    def validation_step(self, batch: DOSBatch, batch_idx: int) -> None:
        # The same atoms in every epoch, so that epochs can be compared.
        batch = self._some_atoms(batch, "validation", batch_idx, self.global_rank)
        loss, error = self._compare(batch)
        self.validation_loss.update(loss, len(batch.curves))
        self.validation_error.update(error, len(batch.curves))
        self.log("validation_loss", self.validation_loss, on_epoch=True)
        self.log("validation_error", self.validation_error, on_epoch=True, prog_bar=True)

    def _some_atoms(self, batch: DOSBatch, purpose: str, *place: int) -> DOSBatch:
        count = self.config.atoms_per_structure
        if count is None:
            return batch
        return batch.some_atoms(count, generator(self.config.seed, purpose, *place))

    def _compare(self, batch: DOSBatch) -> tuple[Tensor, Tensor]:
        """Loss, and mean absolute error of the structures' curves."""
        neighbors = batch.neighbors.to(self.device, next(self.model.parameters()).dtype)
        # In training each head has its own loss. With a loss of their mean, one would rely on
        # another, so that all make the same errors.
        each = self.model.per_head(neighbors)
        mean = each.mean(dim=0)
        loss, error = self.loss_of_atoms(mean, neighbors, batch)
        if self.training and len(each) > 1:
            losses = [self.loss_of_atoms(atoms, neighbors, batch)[0] for atoms in each]
            loss = torch.stack(losses).mean()
        return loss, error

    def loss_of_atoms(
        self, atoms: Tensor, neighbors: Neighbors, batch: DOSBatch
    ) -> tuple[Tensor, Tensor]:
        """Loss of atoms' curves, and mean absolute error of the structures' curves."""
        fermi = batch.fermi
        loss, error = self._losses(structure_mean(atoms, neighbors), batch.curves, fermi)
        weight = self.config.atom_weight
        if batch.atom_curves is not None and weight:
            own = None if fermi is None else fermi[neighbors.structures]
            loss = loss + weight * self._losses(atoms, batch.atom_curves, own)[0]
        return loss, error

    def _losses(
        self, predicted: Tensor, curves: Tensor, fermi: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Loss, and mean absolute error of the curves."""
        defined = ~curves.isnan()
        difference = torch.where(defined, predicted - curves.nan_to_num(), 0)
        summed = torch.where(defined, self.step * difference.cumsum(dim=1), 0)
        alpha, count = self.config.dos_weight, defined.sum().clamp(min=1)
        error = difference.abs().sum() / count
        if self.config.loss == "absolute":
            loss = alpha * error + (1 - alpha) * summed.abs().sum() / count
        else:
            loss = (alpha * difference.square() + (1 - alpha) * summed.square()).sum() / count
        if fermi is not None and self.config.band_weight:
            loss = loss + self.config.band_weight * self._band_loss(difference, defined, fermi)
        return loss, error.detach()

    def _band_loss(self, difference: Tensor, defined: Tensor, fermi: Tensor) -> Tensor:
        """Error of the energy of filled states, from the Fermi level, of complete curves."""
        known = fermi.isfinite() & defined.all(dim=1)
        depth = (self.energies - fermi.nan_to_num()[:, None]).clamp(max=0)
        errors = (difference * depth).sum(dim=1) * self.step
        errors = errors.abs() if self.config.loss == "absolute" else errors.square()
        return torch.where(known, errors, 0).sum() / known.sum().clamp(min=1)

    def validation_score(self, metrics: Mapping[str, Tensor]) -> tuple[float, ...]:
        return (-float(metrics["validation_loss"]),)

    def epoch_line(self, row: Mapping[str, float]) -> str:
        return (
            f"training loss {row['train_loss']:.3g}, error {row['train_error']:.3g}; "
            f"validation {row['validation_loss']:.3g}, {row['validation_error']:.3g}"
        )

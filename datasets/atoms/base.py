"""Structures with their densities of states, and their splits."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.data import chemical_symbols

from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.physics import EnergyGrid

__all__ = ["DOSDataset", "DOSRecord", "Rejected"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DOSRecord:
    """One structure with its density of states.

    Parameters
    ----------
    atoms
        The structure.
    dos
        Shape ``(E,)`` on the data set's grid, in its unit; NaN where it is not defined.
    name
        File, or number within a file.
    group
        Type of structure, by which results are listed; one for all if there are none.
    electrons
        Electrons that the curve holds up to the Fermi level [1/atom]; None if unknown.
    band_energy
        :math:`\\int^{E_F} \\varepsilon g` [unit of energy per atom], where known better than from
        the curve.
    fermi_level
        [unit of energy], where known.
    atom_dos
        Shares of the atoms, shape ``(N, E)``, whose mean is ``dos``: a projected density of
        states, where known. Any floating type; it may be large.

    Raises
    ------
    DataError
        A label of another shape, infinite values, or nothing but NaN.
    """

    atoms: Atoms
    dos: Floats
    name: str
    group: str = "all"
    electrons: float | None = None
    band_energy: float | None = None
    fermi_level: float | None = None
    atom_dos: npt.NDArray[np.floating[Any]] | None = None

    def __post_init__(self) -> None:
        if self.dos.ndim != 1:
            raise DataError(f"{self.name}: a density of states has shape {self.dos.shape}")
        if np.isinf(self.dos).any() or np.isnan(self.dos).all():
            raise DataError(f"{self.name}: the density of states is infinite or NaN throughout")
        shape = (len(self.atoms), len(self.dos))
        if self.atom_dos is not None and self.atom_dos.shape != shape:
            raise DataError(
                f"{self.name}: densities of states of the atoms have shape {self.atom_dos.shape}, "
                f"but {shape} is expected"
            )
        if len(self.atoms) == 0:
            raise DataError(f"{self.name}: a structure without atoms")


@dataclass(frozen=True)
class Rejected:
    """Something that was found but could not be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class DOSDataset:
    """Structures with densities of states on one grid.

    Parameters
    ----------
    name, source
        What it is called, and where it came from, in a line.
    grid
        Energies, their unit and their zero.
    quantity
        ``"electronic"`` or ``"phonon"``.
    dos_unit
        Unit of the curves, such as ``"states/eV/atom"``.
    train
        Structures to learn from.
    validation
        A given validation split; empty to hold out a part of ``train``.
    test
        May be empty.
    rejected, warnings
        What could not be used, and what a user should know.

    Raises
    ------
    DataError
        A curve that is not on the grid.
    """

    name: str
    source: str
    grid: EnergyGrid
    quantity: str
    dos_unit: str
    train: tuple[DOSRecord, ...]
    validation: tuple[DOSRecord, ...] = ()
    test: tuple[DOSRecord, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    warnings: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        for record in self.records:
            if len(record.dos) != self.grid.size:
                raise DataError(
                    f"{record.name} has {len(record.dos)} values, but the grid of {self.source} "
                    f"has {self.grid.size} energies"
                )

    @property
    def records(self) -> tuple[DOSRecord, ...]:
        """All structures of all splits."""
        return (*self.train, *self.validation, *self.test)

    @cached_property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers in the training structures, ascending."""
        found = {int(n) for record in self.train for n in record.atoms.numbers}
        return tuple(sorted(found))

    @cached_property
    def electrons_per_element(self) -> dict[int, float] | None:
        """Electrons that an atom of each element brings, if that explains every structure.

        None if counts are unknown, or not a sum over atoms (to 0.01 per atom).
        """
        records = [r for r in self.train if r.electrons is not None]
        if not records or len(records) < len(self.train):
            return None
        shares = np.array(
            [[np.mean(r.atoms.numbers == number) for number in self.elements] for r in records]
        )
        counts = np.array([r.electrons for r in records])
        per_element, _, rank, _ = np.linalg.lstsq(shares, counts, rcond=None)
        if rank < len(self.elements) or np.abs(shares @ per_element - counts).max() > 0.01:
            return None
        return {
            number: round(float(value), 3)
            for number, value in zip(self.elements, per_element, strict=True)
        }

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all structures, curves and the grid, in hexadecimal."""
        digest = hashlib.sha256(repr(self.grid).encode())
        for split in (self.train, self.validation, self.test):
            digest.update(str(len(split)).encode())
            for record in split:
                atoms = record.atoms
                parts: Sequence[npt.NDArray[np.float64]] = (
                    atoms.numbers,
                    atoms.positions,
                    atoms.cell.array,
                    atoms.pbc,
                    record.dos,
                )
                for part in parts:
                    digest.update(np.ascontiguousarray(part, dtype=np.float64).tobytes())
        return digest.hexdigest()

    def split_validation(
        self, fraction: float, seed: int
    ) -> tuple[tuple[DOSRecord, ...], tuple[DOSRecord, ...]]:
        """The given validation split, or a part of the training structures of each group.

        Raises
        ------
        ConfigError
            The fraction is not between 0 and 1.
        DataError
            Fewer than two structures.
        """
        if self.validation:
            return self.train, self.validation
        if not 0 < fraction < 1:
            raise ConfigError(f"the validation fraction is {fraction}, but it must be within 0 … 1")
        if len(self.train) < 2:
            raise DataError(
                f"{self.source} has {len(self.train)} training structures; at least two are "
                f"needed, one to learn from and one to hold out for validation"
            )
        rng = np.random.default_rng([seed, 0xD05])
        groups: dict[str, list[int]] = {}
        for index, record in enumerate(self.train):
            groups.setdefault(record.group, []).append(index)
        held: set[int] = set()
        for members in groups.values():
            # A group of one stays whole.
            count = min(max(1, round(fraction * len(members))), len(members) - 1)
            held |= set(rng.permutation(members)[:count].tolist())
        if not held:
            # Every group has a single structure: groups cannot matter.
            count = min(max(1, round(fraction * len(self.train))), len(self.train) - 1)
            held = set(rng.permutation(len(self.train))[:count].tolist())
        training = tuple(r for i, r in enumerate(self.train) if i not in held)
        return training, tuple(self.train[i] for i in sorted(held))

    def summary(self) -> str:
        """What it holds, for people."""
        sizes = [len(record.atoms) for record in self.records]
        symbols = " ".join(chemical_symbols[number] for number in self.elements)
        lines = [
            f"{self.name}: {self.source}",
            f"  {len(self.train)} training, {len(self.validation)} validation and "
            f"{len(self.test)} test structures of {min(sizes)} to {max(sizes)} atoms",
            f"  {len(self.elements)} elements: {symbols}",
            f"  {self.quantity} density of states [{self.dos_unit}] at {self.grid.size} energies "
            f"{self.grid.start:g} … {self.grid.stop:g} {self.grid.unit} in steps of "
            f"{self.grid.step:g}, zero at the {self.grid.zero}",
            f"  electrons: {self._electrons()}",
        ]
        projected = sum(record.atom_dos is not None for record in self.records)
        if projected:
            lines.append(f"  {projected} structures have curves of their atoms, too")
        groups = Counter(record.group for record in self.records)
        if len(groups) > 1:
            lines.append(
                "  " + ", ".join(f"{name} {count}" for name, count in sorted(groups.items())[:24])
            )
        lines.append(f"  fingerprint {self.fingerprint}")
        lines += [f"  warning: {warning}" for warning in self.warnings]
        if self.rejected:
            lines.append(f"  rejected: {len(self.rejected)}")
            lines += [f"    {entry.name}: {entry.reason}" for entry in self.rejected]
        return "\n".join(lines)

    def _electrons(self) -> str:
        counts = [r.electrons for r in self.records if r.electrons is not None]
        if not counts:
            return "not given"
        missing = len(self.records) - len(counts)
        spread = f"{min(counts):g}" + (f" to {max(counts):g}" if max(counts) > min(counts) else "")
        return f"{spread} per atom" + (f"; not given for {missing} structures" if missing else "")

"""Predict densities of states of structures, and the quantities that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real

import numpy as np
import numpy.typing as npt
from ase import Atoms

from csgnn_dgl._pairs import element_problem, formula_of
from csgnn_dgl.errors import ConfigError, DataError, StructureError
from csgnn_dgl.physics import EnergyGrid, find_levels
from csgnn_dgl.tasks.dos.averages import average_curves
from csgnn_dgl.tasks.dos.domain import (
    AtomScores,
    Uncertainty,
    score_atoms,
    uncertainties,
)
from csgnn_dgl.tasks.dos.trained import TrainedDOS
from csgnn_dgl.tasks.dos.unseen import unknown_elements
from csgnn_dgl.tasks.use_config import VoteSet
from csgnn_dgl.tasks.votes import check_votes

__all__ = [
    "SHOWN_LEVEL",
    "DOSPrediction",
    "predict_structures",
]

Floats = npt.NDArray[np.float64]
#: Share of predictions that ± covers in text and pictures.
SHOWN_LEVEL = 0.68


@dataclass(frozen=True, eq=False)
class DOSPrediction:
    """A predicted density of states.

    Parameters
    ----------
    atoms
        The structure.
    grid
        Energies, with their unit and zero.
    dos
        The structure's curve, which is the mean over its atoms, shape ``(E,)`` [``unit``].
    unit
        Unit of the curve.
    quantity
        ``"electronic"`` or ``"phonon"``.
    per_atom
        Each atom's own curve, shape ``(N, E)`` [``unit``].
    electrons
        Electrons per atom; None if unknown.
    fermi_level
        Fermi level [unit of energy, from the grid's zero]; None if the electrons are unknown. If
        the grid ends within the gap, it is the gap's lower end.
    band_energy
        Energy of the electrons [unit of energy per atom]; None if their number is unknown.
    gap
        Width of the range around the Fermi level in which the curve stays below 0.01 [unit of
        energy]; None if the electrons are unknown, or the grid ends within the gap.
    at_least
        Lower bounds of ``"fermi_level"`` and ``"gap"`` if the grid ends within the gap [unit of
        energy]; otherwise empty.
    reference
        The curve in the structure's file, shape ``(E,)``; None if there is none on this grid.
    notes
        Warnings for the user, in sentences.
    scores
        Out-of-domain scores of the structure and of its atoms; None if the file of the model does
        not tell what it was trained on.
    uncertainty
        Uncertainties by quantity: ``"dos"`` (mean absolute error of the curve), ``"fermi_level"``,
        ``"band_energy"``, ``"gap"``. A quantity is missing where its uncertainty is unknown, which
        is so for every structure outside the domain. They compare with the reference of the
        training data, not with experiment.
    """

    atoms: Atoms
    grid: EnergyGrid
    dos: Floats
    unit: str
    quantity: str
    per_atom: Floats
    electrons: float | None = None
    fermi_level: float | None = None
    band_energy: float | None = None
    gap: float | None = None
    at_least: Mapping[str, float] = field(default_factory=dict)
    reference: Floats | None = None
    notes: tuple[str, ...] = ()
    scores: AtomScores | None = None
    uncertainty: Mapping[str, Uncertainty] = field(default_factory=dict)

    @property
    def score(self) -> float | None:
        """Out-of-domain score of the structure, above 1 if it is outside; None if unknown."""
        return None if self.scores is None else self.scores.structure

    @property
    def outside(self) -> bool | None:
        """Whether the structure lies outside the training data; None if unknown."""
        return None if self.scores is None else self.scores.outside

    @property
    def energies(self) -> Floats:
        """Energies of the curve, shape ``(E,)``."""
        return self.grid.energies

    @property
    def formula(self) -> str:
        """Chemical formula."""
        return str(self.atoms.get_chemical_formula())

    @property
    def error(self) -> float | None:
        """Mean absolute difference from the reference [``unit``]; None without one."""
        return None if self.reference is None else _mae(self.dos, self.reference)

    @property
    def summary(self) -> str:
        """The main results, in a line."""
        unit, zero = self.grid.unit, self.grid.zero
        parts = []
        if self.fermi_level is not None:
            level, energy, gap = map(self._plus_minus, ("fermi_level", "band_energy", "gap"))
            least = "at least " if self.at_least else ""
            parts.append(f"E_F {least}{self.fermi_level:.3f}{level} {unit} (zero: {zero})")
            parts.append(f"band energy {self.band_energy:.4f}{energy} {unit}/atom")
            if self.at_least:
                parts.append(f"gap of the curve at least {self.at_least['gap']:.2f} {unit}")
            elif self.gap:
                parts.append(f"gap of the curve {self.gap:.2f}{gap} {unit}")
            else:
                parts.append(f"no gap ({gap.strip()})" if gap else "no gap")
            parts.append(f"{self.electrons:g} electrons/atom")
        else:
            total = self.dos.sum()
            middle = (self.energies * self.dos).sum() / total if total > 0 else float("nan")
            parts.append(f"{self.quantity} DOS, mean at {middle:.1f} {unit}")
            parts.append(f"highest at {self.energies[self.dos.argmax()]:.1f} {unit} (zero: {zero})")
        if self.error is not None:
            parts.append(f"mean absolute error {self.error:.4f} {self.unit}")
        return ", ".join(parts)

    @property
    def confidence(self) -> str | None:
        """The score and what an uncertainty means, in a line; None if the score is unknown."""
        if self.scores is None:
            return None
        text = self.scores.text
        if "dos" in self.uncertainty:
            curve = f"error of the curve below {self.uncertainty['dos'][SHOWN_LEVEL]:.2g}"
            share = f"{100 * SHOWN_LEVEL:g} % of such structures"
            if self.fermi_level is None:
                text += f"; {curve} for {share}"
            else:
                text += f"; ±, and an {curve}, hold for {share}"
        return text

    def _plus_minus(self, quantity: str) -> str:
        if self.scores is None or quantity in self.at_least:
            return ""
        known = self.uncertainty.get(quantity)
        return " ± unknown" if known is None else f" ± {known[SHOWN_LEVEL]:.2g}"


def predict_structures(
    trained: TrainedDOS,
    structures: Sequence[Atoms],
    *,
    electrons: float | None = None,
    votes: int = 1,
    seed: int = 0,
    vote_set: VoteSet = "designed",
) -> list[DOSPrediction]:
    """Predict densities of states, with Fermi level, band energy and gap where they exist.

    Parameters
    ----------
    trained
        The model.
    structures
        Structures; a ``dos`` in the ``info`` of one is its reference.
    electrons
        Electrons per atom. By default they come from the training data, element by element, or
        else from the structure's ``info`` (``electrons_per_atom``, or ``electrons`` of all atoms).
    votes, seed, vote_set
        See :func:`~csgnn_dgl.tasks.dos.averages.average_curves`.

    Raises
    ------
    ConfigError
        Electrons were given for a model of phonons, or are no number; or the votes are no whole
        number of at least 1.
    DataError
        An atom is of no known element, or of one that the model does not know; the energy window
        holds fewer states than electrons; or a structure has no neighbourhoods.
    """
    if electrons is not None and trained.quantity != "electronic":
        raise ConfigError(
            f"electrons were given, but {trained.path} predicts a {trained.quantity} density of "
            f"states, which holds none; leave them out"
        )
    if electrons is not None and (isinstance(electrons, bool) or not isinstance(electrons, Real)):
        raise ConfigError(
            f"electrons is {electrons!r}, but it must be a number: the electrons per atom"
        )
    check_votes(votes)
    for index, atoms in enumerate(structures):
        problem = element_problem(atoms)
        problem = problem or unknown_elements(trained.model.model, atoms, str(trained.path))
        if problem:
            raise StructureError(index, problem, formula_of(atoms))
    curves = average_curves(trained, structures, votes=votes, seed=seed, vote_set=vote_set)
    found = []
    for atoms, curve, scores in zip(
        structures, curves, score_atoms(trained, structures), strict=True
    ):
        prediction = _analysed(trained, atoms, curve, electrons)
        known = uncertainties(trained, scores, votes)
        usual = _electrons(trained, atoms)
        if None not in (electrons, usual) and electrons != usual:
            # Nothing is known about levels of a charged structure.
            known = {name: value for name, value in known.items() if name == "dos"}
        known = {name: value for name, value in known.items() if name not in prediction.at_least}
        found.append(replace(prediction, scores=scores, uncertainty=known))
    return found


def _analysed(
    trained: TrainedDOS, atoms: Atoms, per_atom: Floats, electrons: float | None
) -> DOSPrediction:
    grid, dos = trained.grid, per_atom.mean(axis=0)
    notes: list[str] = []
    reference = _reference(atoms, grid, notes)
    common = (atoms, grid, dos, trained.dos_unit, trained.quantity, per_atom)
    if trained.quantity != "electronic":
        return DOSPrediction(*common, reference=reference, notes=tuple(notes))
    count = electrons if electrons is not None else _electrons(trained, atoms)
    if count is None:
        notes.append(
            "the number of electrons that fill the states is unknown, so there is no Fermi level: "
            "give --electrons PER_ATOM"
        )
        return DOSPrediction(*common, reference=reference, notes=tuple(notes))
    try:
        levels = find_levels(dos, grid, count)
    except DataError as error:
        raise DataError(
            f"{error} of {grid.start:g} … {grid.stop:g} {grid.unit} (per atom of "
            f"{atoms.get_chemical_formula()}); is the number of electrons right?"
        ) from error
    if levels.cut:
        notes.append(
            f"hardly any states above the Fermi level lie within the model's energies, which end "
            f"at {grid.stop:g} {grid.unit}: Fermi level and gap are only known to be at least "
            f"{levels.fermi_level:.3f} and {levels.gap:.2f} {grid.unit}"
        )
    return DOSPrediction(
        *common,
        electrons=count,
        fermi_level=levels.fermi_level,
        band_energy=levels.band_energy,
        gap=None if levels.cut else levels.gap,
        at_least={"fermi_level": levels.fermi_level, "gap": levels.gap} if levels.cut else {},
        reference=reference,
        notes=tuple(notes),
    )


def _electrons(trained: TrainedDOS, atoms: Atoms) -> float | None:
    """Electrons per atom: from the training data if they know all elements, else the structure."""
    known = trained.electrons_per_element
    numbers = [int(number) for number in atoms.numbers]
    if known is not None and all(number in known for number in numbers):
        return float(np.mean([known[number] for number in numbers]))
    for key, per in (("electrons_per_atom", 1), ("electrons", len(numbers))):
        value = atoms.info.get(key)
        if isinstance(value, (int, float)) and np.isfinite(value) and value > 0:
            return float(value) / per
    return None


def _reference(atoms: Atoms, grid: EnergyGrid, notes: list[str]) -> Floats | None:
    given = atoms.info.get("dos")
    if given is None:
        return None
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        notes.append("the dos in the file is not made of numbers; it is not compared")
        return None
    if values.shape != (grid.size,):
        notes.append(
            f"the dos in the file has the shape {values.shape}, but the model's grid has "
            f"{grid.size} energies; it is not compared"
        )
        return None
    # NaN stands for energies without a reference, but infinities would be in the mean.
    if np.isinf(values).any():
        notes.append(
            f"the dos in the file is infinite at {np.isinf(values).sum()} of {grid.size} energies; "
            f"it is not compared"
        )
        return None
    return None if np.isnan(values).all() else values


def _mae(predicted: Floats, reference: Floats) -> float:
    return float(np.nanmean(np.abs(predicted - reference)))

"""A calculator of ASE that predicts densities of states and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.outputs import Properties, all_outputs
from ase.spectrum.doscollection import GridDOSCollection
from ase.spectrum.dosdata import GridDOSData

from csgnn_dgl._warn import warn_caller
from csgnn_dgl.errors import ConfigError, DataError, DataWarning, StructureError, suggest
from csgnn_dgl.models.registry import name_of
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.tasks.dos.domain import QUANTITIES
from csgnn_dgl.tasks.dos.outside import outside_note, warn_outside
from csgnn_dgl.tasks.dos.prediction import SHOWN_LEVEL, DOSPrediction, predict_structures
from csgnn_dgl.tasks.dos.trained import load_dos_model
from csgnn_dgl.tasks.dos.unseen import UnseenElements, UnseenElementWarning
from csgnn_dgl.tasks.use_config import VoteSet
from csgnn_dgl.tasks.votes import vote_rotations

__all__ = ["DOSCalculator"]

# Keys of ``info`` that the number of electrons may come from.
_ELECTRONS = ("electrons", "electrons_per_atom")
_LEVELS = ("fermi_level", "band_energy", "gap", "electrons")
_SCORES = ("out_of_domain_score", "atom_scores")


class DOSCalculator(Calculator):
    """Predicts the density of states, Fermi level, band energy and gap of ASE ``Atoms``.

    It has no energies and no forces. Results are those of
    :func:`~csgnn_dgl.dos.predict_dos`, kept until the atoms or the parameters change (ASE's
    ``check_state``).

    =======================  =======================================================
    property
    =======================  =======================================================
    ``fermi_level``          Fermi level [eV, from the zero of the training data]
    ``dos``                  the curve, shape ``(E,)`` [states/eV/atom]
    ``dos_energies``         its energies, shape ``(E,)`` [eV]
    ``atom_dos``             each atom's curve, shape ``(N, E)`` [states/eV/atom]
    ``band_energy``          energy of the electrons [eV/atom]
    ``gap``                  gap of the curve [eV]; an error if the energies end within it,
                             and ``fermi_level`` is its lower end then, with a warning
    ``electrons``            electrons per atom
    ``…_uncertainty``        of ``dos``, ``fermi_level``, ``band_energy``, ``gap``: half
                             the width of the 68 % interval; NaN if unknown
    ``out_of_domain_score``  above 1: unlike the training data
    ``atom_scores``          the same of every atom, shape ``(N,)``
    =======================  =======================================================

    A model of phonons has no levels, and energies in its own unit. All of the prediction, with its
    units, is in :attr:`prediction`.

    Parameters
    ----------
    weights
        A shipped model by name, a run directory, or a ``.safetensors`` file.
    electrons
        Electrons per atom; by default from the training data, or else from the ``info`` of the
        atoms.
    votes, vote_set, seed
        Orientations to average over, the kind of their set, and its random seed.
    device, model
        As for :class:`~csgnn_dgl.descriptor.AtomDescriptor`.
    atoms
        ``Atoms`` to attach the calculator to.

    Raises
    ------
    CheckpointError
        There are no such weights, or they belong to another kind of model.
    ConfigError
        A parameter does not exist, or has no such value.

    Examples
    --------
    .. code-block:: python

        atoms = ase.build.bulk("C", "diamond", 3.57)
        atoms.calc = DOSCalculator("carbon-tb")
        atoms.calc.get_fermi_level(atoms), atoms.calc.get_property("gap", atoms)
        atoms.calc.get_dos(atoms).plot()
    """

    # Electrons are counted by element, whatever charges and moments the atoms start with.
    ignored_changes = {"initial_charges", "initial_magmoms"}  # noqa: RUF012
    default_parameters = {  # noqa: RUF012
        "weights": "carbon-tb",
        "electrons": None,
        "votes": 1,
        "vote_set": "designed",
        "seed": 0,
        "device": "auto",
        "model": None,
    }

    def __init__(
        self,
        weights: str | Path = "carbon-tb",
        *,
        electrons: float | None = None,
        votes: int = 1,
        vote_set: VoteSet = "designed",
        seed: int = 0,
        device: str = "auto",
        model: Any = None,
        atoms: Atoms | None = None,
    ) -> None:
        self._loaded: tuple[Any, ...] = ()
        self._found: DOSPrediction | None = None
        super().__init__(
            atoms=atoms,
            weights=str(weights),
            electrons=electrons,
            votes=votes,
            vote_set=vote_set,
            seed=seed,
            device=device,
            model=model,
        )

    def set(self, **kwargs: Any) -> dict[str, Any]:
        """Change parameters; results are computed again if any differs.

        Raises
        ------
        CheckpointError, ConfigError
            As for a new calculator.
        """
        for name in kwargs:
            if name not in self.default_parameters:
                raise ConfigError(
                    f"a DOSCalculator has no parameter {name!r}: "
                    f"{suggest(name, self.default_parameters)}"
                )
        # A model given as a class stays that class.
        kept_model = {"model": self._loaded[2]} if self._loaded else {}
        wanted = {**self.parameters, **kept_model, **kwargs}
        vote_rotations(wanted["votes"], wanted["seed"], vote_set=wanted["vote_set"])  # checks them
        source = tuple(wanted[name] for name in ("weights", "device", "model"))
        if source != self._loaded:
            weights, device, model = source
            self._trained = load_dos_model(weights, choose_device(device), model=model)
            self._unseen = UnseenElements(self._trained.elements, str(weights))
            self._loaded = source
        # Parameters are written to files, where a class has no place.
        if kwargs.get("model") is not None:
            kwargs["model"] = name_of(kwargs["model"])
        changed: dict[str, Any] = super().set(**kwargs)
        if changed:
            self.reset()
        return changed

    def reset(self) -> None:
        """Forget all results."""
        super().reset()
        self._found = None

    @property
    def implemented_properties(self) -> list[str]:  # type: ignore[override]
        """Properties that this model has."""
        names = ["dos", "dos_energies", "atom_dos"]
        if self._trained.quantity == "electronic":
            names += _LEVELS
        names += [f"{name}_uncertainty" for name in QUANTITIES if name in names]
        return names + list(_SCORES) * (self._trained.domain is not None)

    @property
    def prediction(self) -> DOSPrediction:
        """All of the latest prediction, with its units and its uncertainties at every level.

        Raises
        ------
        DataError
            Nothing was computed yet.
        """
        if self._found is None:
            raise DataError("nothing was computed yet; ask for a property of atoms first")
        return self._found

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What has changed since the latest calculation; also the electrons in ``info``."""
        changes: list[str] = super().check_state(atoms, tol=tol)
        if self.atoms is not None and any(
            not _same(self.atoms.info.get(key), atoms.info.get(key)) for key in _ELECTRONS
        ):
            changes.append("electrons")
        return changes

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("dos",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Compute all properties at once; ASE calls this where results are missing.

        Raises
        ------
        DataError
            The model does not know an element; the atoms have no neighbourhoods; or a level is
            asked for, and the number of electrons is unknown.
        """
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        options = {k: self.parameters[k] for k in ("electrons", "votes", "vote_set", "seed")}
        try:
            [found] = predict_structures(self._trained, [self.atoms], **options)
        except StructureError as error:
            raise DataError(f"{error.formula or 'empty structure'}: {error.problem}") from error
        for note in self._unseen.notes(self.atoms):
            warn_caller(note, UnseenElementWarning)
        beyond = outside_note(found.scores, str(self.parameters["weights"]), predicts=True)
        warn_outside([f"{found.formula}: {beyond}"] if beyond else [])
        self._found = found
        self.results = {
            name: value
            for name, value in _results(found).items()
            if name in self.implemented_properties and value is not None
        }
        missing = [name for name in properties if name in _LEVELS and name not in self.results]
        if missing:
            raise DataError(f"{found.formula} has no {missing[0]}: {'; '.join(found.notes)}")

    def get_property(
        self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True
    ) -> Any:
        """A property by name; with a warning where only a lower bound of the Fermi level is known.

        Raises
        ------
        DataError
            As for :meth:`calculate`.
        """
        value = super().get_property(name, atoms, allow_calculation)
        if (
            name == "fermi_level"
            and self._found is not None
            and "fermi_level" in self._found.at_least
        ):
            warn_caller(
                f"{self._found.formula}: hardly any states above the Fermi level lie within the "
                f"model's energies, so it is only known to be at least {value:.3f} "
                f"{self._found.grid.unit}",
                DataWarning,
            )
        return value

    def export_properties(self) -> Properties:
        """The results that have a name in ASE."""
        return Properties({k: v for k, v in self.results.items() if k in all_outputs})

    def get_fermi_level(self, atoms: Atoms | None = None) -> float:
        """Fermi level [eV, from the zero of the training data]."""
        return float(self.get_property("fermi_level", atoms))

    def get_dos(self, atoms: Atoms | None = None) -> GridDOSData:
        """The density of states of all atoms together, for ASE's plots and smearing.

        The zero of energy is that of the training data, which ``info`` names.
        """
        curves = self.get_property("atom_dos", atoms)
        return GridDOSData(self.results["dos_energies"], curves.sum(axis=0), self._info())

    def get_pdos(self, atoms: Atoms | None = None) -> GridDOSCollection:
        """The atoms' own curves, which add up to :meth:`get_dos`.

        Each has the index and the symbol of its atom in ``info``.
        """
        curves = self.get_property("atom_dos", atoms)
        energies, info = self.results["dos_energies"], self._info()
        symbols = self.prediction.atoms.get_chemical_symbols()
        return GridDOSCollection(
            GridDOSData(energies, curve, {**info, "index": str(index), "symbol": symbol})
            for index, (curve, symbol) in enumerate(zip(curves, symbols, strict=True))
        )

    def _info(self) -> dict[str, str]:
        grid = self.prediction.grid
        return {
            "quantity": self.prediction.quantity,
            "unit": grid.unit,
            "zero": grid.zero,
            "weights": str(self.parameters["weights"]),
        }


def _same(one: Any, other: Any) -> bool:
    """Whether two entries of ``info`` are equal, arrays among them."""
    return bool(np.array_equal(one, other))


def _results(found: DOSPrediction) -> dict[str, Any]:
    values: dict[str, Any] = {
        "dos": found.dos,
        "dos_energies": found.energies,
        "atom_dos": found.per_atom,
        "fermi_level": found.fermi_level,
        "band_energy": found.band_energy,
        "gap": found.gap,
        "electrons": found.electrons,
        "out_of_domain_score": found.score,
        "atom_scores": None if found.scores is None else found.scores.atoms,
    }
    for name in QUANTITIES:
        known = found.uncertainty.get(name)
        values[f"{name}_uncertainty"] = np.nan if known is None else known[SHOWN_LEVEL]
    return values

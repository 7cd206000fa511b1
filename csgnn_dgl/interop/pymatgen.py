"""Predicted densities of states as objects of pymatgen."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from ase import Atoms

from csgnn_dgl.errors import DataError, MissingDependencyError
from csgnn_dgl.tasks.dos.prediction import DOSPrediction

try:
    from pymatgen.core import Structure
    from pymatgen.electronic_structure.core import Orbital, Spin
    from pymatgen.electronic_structure.dos import CompleteDos, Dos
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.phonon.dos import CompletePhononDos, PhononDos
except ImportError as error:
    raise MissingDependencyError(
        f"this needs pymatgen, which cannot be imported ({error}): pip install "
        f"'csgnn-dgl[pymatgen]'"
    ) from error

__all__ = ["AtomResolvedDos", "complete_dos"]

# Units of energy, in eV, and in THz.
_EV = {"eV": 1.0, "meV": 1e-3}
_THZ = {"THz": 1.0, "cm^-1": 0.0299792458, "meV": 0.2417989242}
# Empty space beside a structure along a direction without a cell vector [Å].
_VACUUM = 10.0


class AtomResolvedDos(CompleteDos):
    """A ``CompleteDos`` with the curve of each atom, which is not divided into orbitals.

    Sites and elements have curves (``get_site_dos``, ``get_element_dos``), and total fingerprints
    exist. Everything that needs orbitals is refused, rather than answered wrongly. ``as_dict``
    gives a plain ``CompleteDos`` that can be read without this package; there all states are
    formally of s type.
    """

    def _plain(self) -> CompleteDos:
        return CompleteDos(self.structure, self, self.pdos, normalize=self.norm_vol is not None)

    def as_dict(self) -> dict[str, Any]:
        """A dictionary for JSON, as of a plain ``CompleteDos``."""
        content: dict[str, Any] = self._plain().as_dict()
        del content["spd_dos"]
        return content

    def get_dos_fp(self, fp_type: str = "summed_pdos", *args: Any, **options: Any) -> Any:
        """The fingerprint of the total curve: ``"summed_pdos"`` or ``"tdos"``."""
        if fp_type not in ("summed_pdos", "tdos"):
            self._refuse()
        return self._plain().get_dos_fp(fp_type, *args, **options)

    def get_spd_dos(self) -> NoReturn:
        """Refused."""
        self._refuse()

    def get_site_spd_dos(self, site: Any) -> NoReturn:
        """Refused."""
        self._refuse()

    def get_element_spd_dos(self, el: Any) -> NoReturn:
        """Refused."""
        self._refuse()

    def get_site_orbital_dos(self, site: Any, orbital: Any) -> NoReturn:
        """Refused."""
        self._refuse()

    def get_site_t2g_eg_resolved_dos(self, site: Any) -> NoReturn:
        """Refused."""
        self._refuse()

    @staticmethod
    def _refuse() -> NoReturn:
        raise DataError(
            "predicted curves are those of atoms, not of orbitals; use get_site_dos or "
            "get_element_dos"
        )


def complete_dos(prediction: DOSPrediction) -> AtomResolvedDos | CompletePhononDos:
    """Make pymatgen's density of states of a prediction.

    Parameters
    ----------
    prediction
        From :func:`~csgnn_dgl.dos.predict_dos`.

    Returns
    -------
    AtomResolvedDos or CompletePhononDos
        The curve of all atoms together [states/eV] and of every site, with the Fermi level. Of a
        model of phonons, frequencies are in THz, and curves keep the scale of the training data.
        Energies count from the zero of the training data. Where the structure has no cell vector
        along a direction, its lattice has one with 10 Å of empty space.

    Raises
    ------
    DataError
        The number of electrons is unknown, so there is no Fermi level; or pymatgen has no unit for
        the energies.
    MissingDependencyError
        pymatgen is not installed (raised when this module is imported).

    Examples
    --------
    .. code-block:: python

        found = complete_dos(predict_dos("diamond.cif", "carbon-tb"))
        found.get_gap(), found.get_element_dos(), found.as_dict()
    """
    structure = _structure(prediction.atoms)
    grid = prediction.grid
    phonon = prediction.quantity != "electronic"
    factor = (_THZ if phonon else _EV).get(grid.unit)
    if factor is None:
        raise DataError(
            f"pymatgen has its densities of states over {'THz' if phonon else 'eV'}, and the "
            f"energies are in {grid.unit!r}"
        )
    energies, curves = prediction.energies * factor, prediction.per_atom
    if prediction.unit.startswith("states/"):
        curves = curves / factor
    if phonon:
        total = PhononDos(energies, curves.sum(axis=0))
        return CompletePhononDos(structure, total, dict(zip(structure, curves, strict=True)))
    if prediction.fermi_level is None:
        raise DataError(
            f"{prediction.formula} has no Fermi level, which a CompleteDos must have: "
            f"{'; '.join(prediction.notes)}; in Python, electrons=…"
        )
    level = prediction.fermi_level * factor
    total = Dos(level, energies, {Spin.up: curves.sum(axis=0)})
    sites = zip(structure, curves, strict=True)
    return AtomResolvedDos(
        structure, total, {site: {Orbital.s: {Spin.up: curve}} for site, curve in sites}
    )


def _structure(atoms: Atoms) -> Structure:
    bare = Atoms(atoms.numbers, atoms.positions, cell=_cell(atoms), pbc=atoms.pbc)
    return AseAtomsAdaptor.get_structure(bare)


def _cell(atoms: Atoms) -> npt.NDArray[np.float64]:
    """The cell, with vectors for the directions that have none."""
    empty = ~atoms.cell.any(axis=1)
    cell: npt.NDArray[np.float64] = atoms.cell.complete().array.copy()
    extent = np.ptp(atoms.positions @ np.linalg.inv(cell), axis=0)
    cell[empty] *= (extent[empty] + _VACUUM)[:, None]
    return cell

"""Stands in for VASP: writes what an import reads of ``vasprun.xml``, by tight binding."""

from pathlib import Path

import numpy as np
from ase import Atoms
from scipy.special import erf

from csgnn_dgl.physics.carbon_bands import solve_bands

ENERGIES = np.arange(-30.0, 20.0, 0.05)
BROADENING = 0.5


def write_vasprun(atoms: Atoms, folder: Path) -> None:
    """Write ``vasprun.xml`` of a carbon crystal into a folder."""
    bands = solve_bands(atoms, spacing=0.35)
    apart = (ENERGIES[:, None, None] - bands.eigenvalues) / (np.sqrt(2) * BROADENING)
    integral = ((1 + erf(apart)).sum(axis=2) * bands.weights).sum(axis=1)
    # VASP writes the mean over the interval that ends at an energy.
    dos = np.diff(integral, prepend=0.0) / 0.05
    occupied = bands.eigenvalues <= bands.fermi_level
    levels = "".join(
        f"<set>{_rows(np.stack([point, full], axis=1))}</set>"
        for point, full in zip(bands.eigenvalues, occupied, strict=True)
    )
    curve = _rows(np.stack([ENERGIES, dos, integral], axis=1))
    symbols = "".join(f"<rc><c>{symbol}</c><c>1</c></rc>" for symbol in atoms.symbols)
    folder.mkdir(parents=True)
    (folder / "vasprun.xml").write_text(
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>'
        f'<kpoints><varray name="weights">{_rows(bands.weights[:, None], "v")}</varray></kpoints>'
        f'<parameters><i name="NELECT">{4 * len(atoms)}</i></parameters>'
        f'<atominfo><array name="atoms"><set>{symbols}</set></array></atominfo>'
        '<calculation><structure><crystal><varray name="basis">'
        f'{_rows(atoms.cell.array, "v")}</varray></crystal><varray name="positions">'
        f"{_rows(atoms.get_scaled_positions(), 'v')}</varray></structure>"
        f"<eigenvalues><array><set><set>{levels}</set></set></array></eigenvalues>"
        f'<dos><i name="efermi">{bands.fermi_level:.6f}</i><total><array><set>'
        f'<set comment="spin 1">{curve}</set></set></array></total></dos>'
        "</calculation></modeling>\n",
        encoding="ISO-8859-1",
    )


def _rows(values: np.ndarray, tag: str = "r") -> str:
    lines = (" ".join(f"{float(value):.6f}" for value in row) for row in values)
    return "".join(f"<{tag}>{line}</{tag}>\n" for line in lines)

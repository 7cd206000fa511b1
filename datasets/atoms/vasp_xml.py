"""Read structure, density of states and gap from a ``vasprun.xml``."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.data import atomic_numbers

from csgnn_dgl._foreign import excerpt, read_bytes
from csgnn_dgl.datasets.atoms.numbers_in_text import parse_numbers
from csgnn_dgl.datasets.atoms.vasp_run import VaspRun, even_grid, make_run, matching
from csgnn_dgl.errors import DataError

__all__ = ["read_vasprun"]

Floats = npt.NDArray[np.float64]
Element = ElementTree.Element

# Large parts that are not needed here. "projected" repeats the eigenvalues.
_SKIPPED = ("scstep", "projected", "dynmat", "eigenvalues_kpoints_opt", "projected_kpoints_opt")
# Symbols that some versions of VASP print with one letter.
_SHORTENED = {"X": "Xe", "r": "Zr"}
# Largest difference between the electrons of a spin and a whole number in an insulator.
_WHOLE = 0.01


class _Builder(ElementTree.TreeBuilder):
    """Builds the tree without its large parts, with the rows of a set as lines of its text."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.found: dict[str, Any] = {}
        self.steps = 0
        self._depth = 0
        self._rows: list[str] = []
        self._row: list[str] | None = None

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        # Entities, which only a document type can declare, may expand without end.
        raise DataError(f"{self.name} has a document type, which VASP never writes; it was refused")

    def start(self, tag: str, attrs: dict[str, str]) -> Element:
        if self._depth or tag in _SKIPPED:
            self._depth += 1
            return Element(tag)
        if tag == "r":
            self._row = []
            return Element(tag)
        return super().start(tag, attrs)

    def data(self, data: str) -> None:
        if self._depth:
            return
        if self._row is not None:
            self._row.append(data)
            return
        super().data(data)

    def end(self, tag: str) -> Element:
        if self._depth:
            self._depth -= 1
            return Element(tag)
        if tag == "r":
            self._rows.append(" ".join("".join(self._row or []).split()))
            self._row = None
            return Element(tag)
        element = super().end(tag)
        if tag == "set" and self._rows:
            element.text = "\n".join(self._rows)
            self._rows = []
        elif tag == "structure":
            self.found["structure"] = element
        elif tag == "i" and element.get("name") in ("NELECT", "LNONCOLLINEAR"):
            self.found[str(element.get("name"))] = (element.text or "").strip()
        elif tag in ("atominfo", "kpoints"):
            self.found.setdefault(tag, element)
        elif tag == "calculation":
            self._finish(element)
        return element

    def _finish(self, calculation: Element) -> None:
        self.steps += 1
        dos = calculation.find("dos")
        if dos is not None and dos.find("total/array/set/set") is not None:
            # The structure of the same step, which is not the last one's in every file.
            self.found |= {
                "dos": dos,
                "of": self.found.get("structure"),
                "eigenvalues": calculation.find("eigenvalues"),
                "step": self.steps,
            }
        else:
            calculation.clear()


def read_vasprun(file: Path) -> VaspRun:
    """Read a ``vasprun.xml[.gz]``.

    Curves of both spins are added up. If the file has several steps, the last one with a density of
    states is read, with the structure and the eigenvalues of the same step.

    Raises
    ------
    DataError
        The file is incomplete, declares a document type, has no density of states or structure, or
        has rows that do not match.
    Exception
        Any other, from the parser; to be called inside
        :func:`~csgnn_dgl._foreign.reading`.
    """
    content = read_bytes(file)
    builder = _Builder(file.name)
    parser = ElementTree.XMLParser(target=builder)
    try:
        parser.feed(content)
        parser.close()
    except ElementTree.ParseError as error:
        raise DataError(
            f"{file.name} is not whole XML ({error}): did the calculation finish?"
        ) from error
    del content
    said, notes = builder.found, list[str]()
    dos = said.get("dos")
    if dos is None:
        raise DataError(f"{file.name} holds no density of states")
    if said["step"] < builder.steps:
        notes.append(
            f"the density of states is that of step {said['step']} of {builder.steps}, and so is "
            f"the structure"
        )
    noncollinear = "T" in said.get("LNONCOLLINEAR", "")
    total = _total(dos, noncollinear, file)
    atoms = _structure(said, file)
    fermi = dos.find("i[@name='efermi']")
    nelect = said.get("NELECT")
    return make_run(
        file,
        atoms,
        even_grid(total[0, :, 0], file),
        (total[:, :, 1].sum(axis=0), total[:, :, 2].sum(axis=0)),
        fermi_level=np.nan if fermi is None else _number(fermi.text, "efermi", file),
        electrons=None if nelect is None else _number(nelect, "NELECT", file),
        pdos=_projected(dos, noncollinear, len(atoms), total[0, :, 0], file, notes),
        gap=_gap(said.get("eigenvalues"), said.get("kpoints"), file, notes),
        notes=notes,
    )


def _number(text: str | None, what: str, file: Path) -> float:
    try:
        return float(parse_numbers([(text or "").strip()])[0])
    except DataError as error:
        raise DataError(f"{file.name}: {what}: {error}") from error


def _rows(part: Element, file: Path, what: str = "density of states") -> Floats:
    lines = (part.text or "").strip().split("\n")
    widths = {line.count(" ") + 1 if line else 0 for line in lines}
    if len(widths) != 1:
        raise DataError(f"{file.name}: rows of the {what} differ in length")
    try:
        return parse_numbers(" ".join(lines).split()).reshape(len(lines), -1)
    except DataError as error:
        raise DataError(f"{file.name}, {what}: {error}") from error


def _total(dos: Element, noncollinear: bool, file: Path) -> Floats:
    """Rows of the total curve of each spin, shape ``(S, E, 3)``."""
    spins = [_rows(part, file) for part in dos.findall("total/array/set/set")]
    # With spin-orbit coupling, all sets but the first are components of the magnetisation.
    spins = spins[:1] if noncollinear else spins
    if len({len(rows) for rows in spins}) != 1 or len(spins) > 2:
        raise DataError(
            f"{file.name} has {len(spins)} total densities of states, of "
            f"{', '.join(str(len(rows)) for rows in spins[:8])} rows; one is needed, or two of the "
            f"same length for the two spins"
        )
    if min(rows.shape[1] for rows in spins) < 3 or len(spins[0]) < 2:
        raise DataError(f"{file.name}: the rows of the density of states are too few or too short")
    total = np.array([rows[:, :3] for rows in spins])
    if not np.array_equal(total[0, :, 0], total[-1, :, 0]):
        raise DataError(f"{file.name}: the two spins have different energies")
    return total


def _projected(
    dos: Element, noncollinear: bool, n_atoms: int, energies: Floats, file: Path, notes: list[str]
) -> Floats | None:
    ions = dos.findall("partial/array/set/set")
    if not ions:
        return None
    curves: list[Any] = []
    for ion in ions:
        try:
            spins = [_rows(part, file, "projected curves") for part in ion.findall("set")]
        except DataError as error:
            notes.append(f"{error}; projected curves were left out")
            return None
        spins = spins[:1] if noncollinear else spins
        # An ion without sets, or with other energies than the total, does not match.
        fits = [rows.shape[1] > 1 and np.array_equal(rows[:, 0], energies) for rows in spins]
        known = bool(fits) and all(fits)
        curves.append(sum(rows[:, 1:].sum(axis=1) for rows in spins) if known else np.zeros(0))
    return matching(curves, n_atoms, len(energies), notes)


def _structure(said: dict[str, Any], file: Path) -> Atoms:
    info, structure = said.get("atominfo"), said.get("of")
    if info is None or structure is None:
        raise DataError(f"{file.name}: the structure of the density of states is missing")
    symbols = [
        (row.findtext("c") or "").strip() for row in info.findall("array[@name='atoms']/set/rc")
    ]
    symbols = [_SHORTENED.get(symbol, symbol) for symbol in symbols]
    for symbol in symbols:
        if atomic_numbers.get(symbol, 0) < 1:
            raise DataError(f"{file.name}: {excerpt(repr(symbol), 40)} is not an element")
    parts = []
    for name, place in (("basis", "crystal/varray"), ("positions", "varray")):
        rows = structure.findall(f"{place}[@name='{name}']/v")
        try:
            words = [parse_numbers((row.text or "").split()) for row in rows]
        except DataError as error:
            raise DataError(f"{file.name}, {name} of the structure: {error}") from error
        expected = 3 if name == "basis" else len(symbols)
        if len(words) != expected or any(len(row) != 3 for row in words) or not expected:
            raise DataError(
                f"{file.name}: the {name} of the structure should have {expected} rows of 3 "
                f"numbers, but has {len(words)} rows"
            )
        parts.append(np.array(words))
    cell, places = parts
    if not (np.isfinite(cell).all() and np.isfinite(places).all()):
        raise DataError(f"{file.name}: the structure has NaN or infinite coordinates")
    return Atoms(symbols, scaled_positions=places, cell=cell, pbc=True)


def _gap(
    eigenvalues: Element | None, kpoints: Element | None, file: Path, notes: list[str]
) -> float | None:
    """Gap between the highest filled and the lowest empty band; 0 if bands overlap."""
    if eigenvalues is None:
        return None
    try:
        spins = [
            np.array([_rows(point, file, "eigenvalues")[:, :2] for point in spin.findall("set")])
            for spin in eigenvalues.findall("array/set/set")
        ]
    except (DataError, ValueError) as error:
        notes.append(f"the eigenvalues were left out: {excerpt(error, 120)}")
        return None
    weights = np.ones(spins[0].shape[0] if spins else 0)
    if kpoints is not None:
        words = [row.text or "" for row in kpoints.findall("varray[@name='weights']/v")]
        try:
            given = parse_numbers([word.strip() for word in words])
        except DataError:
            given = np.zeros(0)
        if given.shape != weights.shape or not given.sum() > 0:
            return None
        weights = given
    highest, lowest = -np.inf, np.inf
    for bands in spins:
        if bands.ndim != 3 or bands.shape[2] < 2 or len(bands) != len(weights):
            return None
        if not np.isfinite(bands).all():
            return None
        energies = np.sort(bands[:, :, 0], axis=1)
        count = float(weights @ bands[:, :, 1].sum(axis=1) / weights.sum())
        filled = round(count)
        if abs(count - filled) > _WHOLE:
            return 0.0
        if filled:
            highest = max(highest, float(energies[:, filled - 1].max()))
        if filled < energies.shape[1]:
            lowest = min(lowest, float(energies[:, filled].min()))
    return max(0.0, lowest - highest) if np.isfinite([highest, lowest]).all() else None

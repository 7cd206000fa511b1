"""The page of a structure: its atoms, the surroundings and curve of each, and the total."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from csgnn_dgl._progress import shown, working
from csgnn_dgl.datasets.atoms.structure import Structure
from csgnn_dgl.datasets.atoms.structures import read_structures
from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.mapping import AtomMapping
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.tasks.dos.predict import predict_with_notes
from csgnn_dgl.tasks.dos.prediction import SHOWN_LEVEL, DOSPrediction
from csgnn_dgl.tasks.dos.structure_files import error_text
from csgnn_dgl.tasks.dos.trained import TrainedDOS, load_dos_model
from csgnn_dgl.tasks.dos.unseen import UnseenElements
from csgnn_dgl.tasks.evaluation import refuse_idle_votes
from csgnn_dgl.tasks.plots import pretty_unit
from csgnn_dgl.tasks.shipped import limits_of
from csgnn_dgl.viewing.atoms.drawing import draw_atoms
from csgnn_dgl.viewing.atoms.surroundings import (
    find_atom_mapping,
    find_surroundings,
    shell_radii,
    sphere_vertices,
)
from csgnn_dgl.viewing.config import ViewConfig
from csgnn_dgl.viewing.page import drawing_bytes, facts, pack, payload_bytes, write_page

__all__ = ["write_view"]

_LEVEL, _SPHERES = 1, 16
# Atoms that the size of all details is estimated from.
_TRIED = 32


def write_view(
    file: Path, weights: Path | None, config: ViewConfig, path: Path
) -> tuple[list[str], int]:
    """Write the page of a structure; see :func:`~csgnn_dgl.viewing.view.view_file`.

    Returns
    -------
    tuple
        Lines to print, and the size of the page [bytes].
    """
    with shown(config.progress), working("making a page"):
        if weights is None:
            config.refuse_unused(("seed",), "nothing is random without --model")
            structure, notes = _read(file, config)
            own = _own_mapping(config, config.cutoff)
            return _write(path, structure, own, None, [], notes, config)
        options = config.predicting(("votes", "seed", "electrons", "occupancy"))
        refuse_idle_votes(options)
        trained = load_dos_model(weights, choose_device(config.device), model=config.own_model)
        structure, notes = _read(file, config)
        name = str(config.model)
        unseen = UnseenElements(trained.elements, name)
        try:
            (found,) = predict_with_notes(trained, options, unseen, name, [structure])
        except DataError as error:
            raise DataError(error_text(structure, error)) from error
        mapping = find_atom_mapping(trained.model)
        config.refuse_unused(("cutoff",), f"{name} has a cutoff of {trained.cutoff:g} Å")
        kind = trained.header.model["name"]
        if mapping is None:
            mapping = _own_mapping(config, trained.cutoff)
            notes.append(
                f"the model {kind} does not work on concentric spheres; the sites are those of a "
                f"mapping that it does not use"
            )
        else:
            config.refuse_unused(("level", "n_spheres"), f"{name} has spheres of its own")
        notes += found.notes
        if found.outside:
            notes += [f"limit of {name}: {limit}" for limit in limits_of(trained.path)]
        rows = _about(trained, found, f"{name} ({kind})", config)
        return _write(path, structure, mapping, found, rows, notes, config)


def _read(file: Path, config: ViewConfig) -> tuple[Structure, list[str]]:
    structures = read_structures(file, occupancy=config.occupancy)
    if config.frame >= len(structures):
        there = f"{len(structures)} structures, 0 to {len(structures) - 1}"
        if len(structures) == 1:
            there = "one structure, 0"
        raise ConfigError(f"{file} holds {there}, but --frame is {config.frame}")
    structure = structures[config.frame]
    return structure, list(structure.warnings)


def _own_mapping(config: ViewConfig, cutoff: float) -> AtomMapping:
    level = _LEVEL if config.level is None else config.level
    spheres = _SPHERES if config.n_spheres is None else config.n_spheres
    return AtomMapping(level, spheres, 1, r_min=min(1.0, cutoff / 2), cutoff=cutoff)


def _about(
    trained: TrainedDOS, found: DOSPrediction, model: str, config: ViewConfig
) -> list[tuple[str, object]]:
    unit = pretty_unit(found.grid.unit)

    def value(quantity: str, number: float | None, digits: int, unit: str) -> str | None:
        if number is None:
            return None
        known = found.uncertainty.get(quantity)
        if quantity in found.at_least:
            return f"at least {number:.{digits}f} {unit}"
        half = "" if known is None else f" ± {known[SHOWN_LEVEL]:.2g}"
        if not half and found.scores is not None:
            half = " ± unknown"
        return f"{number:.{digits}f}{half} {unit}"

    zero = None if found.fermi_level is None else f" (zero: {found.grid.zero})"
    level = value("fermi_level", found.fermi_level, 3, unit)
    error = found.uncertainty.get("dos")
    return [
        ("Fermi level", None if level is None else f"{level}{zero}"),
        ("gap of the curve", value("gap", found.at_least.get("gap", found.gap), 2, unit)),
        ("band energy", value("band_energy", found.band_energy, 4, f"{unit}/atom")),
        ("electrons per atom", found.electrons),
        (
            "out-of-domain score",
            None
            if found.scores is None
            else found.scores.text.removeprefix("out-of-domain score "),
        ),
        (
            "error of the curve",
            None
            if error is None
            else f"below {error[SHOWN_LEVEL]:.2g} for {100 * SHOWN_LEVEL:g} % of such structures",
        ),
        ("error", None if found.error is None else f"{found.error:.4g} {pretty_unit(found.unit)}"),
        ("model", model),
        ("trained on", f"{trained.header.data['name']}: {trained.quantity} densities of states"),
        ("orientations", config.votes),
    ]


def _write(
    path: Path,
    structure: Structure,
    mapping: AtomMapping,
    found: DOSPrediction | None,
    rows: list[tuple[str, object]],
    notes: list[str],
    config: ViewConfig,
) -> tuple[list[str], int]:
    atoms = structure.atoms
    elements = np.unique(atoms.numbers)
    payload: dict[str, Any] = {
        **draw_atoms(atoms, elements),
        "vertices": pack(sphere_vertices(mapping).astype(np.float32)),
        "shells": shell_radii(mapping).tolist(),
        "cutoff": float(mapping.cutoff),
        "curves": None if found is None else _curves(found),
    }
    room = 1e6 * config.limit - drawing_bytes() - payload_bytes(payload)
    shown_atoms = _add_details(payload, structure, mapping, found, elements, room)
    if shown_atoms < len(atoms):
        notes.append(
            f"only the first {shown_atoms} of {len(atoms)} atoms have surroundings"
            f"{'' if found is None else ' and curves'} here, to keep the page small; --limit MB "
            f"raises the limit"
        )
    shells = mapping.n_spheres * mapping.channels
    spheres = (
        f"{shells} shells between {mapping.r_min:g} and {mapping.cutoff:g} Å, level "
        f"{mapping.level} ({mapping.num_vertices} vertices)"
    )
    # A page is passed on, so it names the file without its folder.
    source = Path(structure.source).name
    head = [("file", source), ("structure", structure.summary)]
    size = write_page(
        path,
        title=f"{source}: {atoms.get_chemical_formula()}",
        name="atoms",
        payload=payload,
        facts=facts([*head, *rows, ("spheres", spheres)]),
        warnings=facts([("warning", note) for note in notes], kind="facts warnings"),
    )
    lines = [f"{structure.source}: {structure.summary}"]
    if found is not None:
        lines.append(f"  {found.summary}")
        if found.confidence is not None:
            lines.append(f"  {found.confidence}")
    return [*lines, *(f"  warning: {note}" for note in notes)], size


def _curves(found: DOSPrediction) -> dict[str, Any]:
    """The curve of the structure and what belongs to it, as values for a page."""
    known = found.uncertainty.get("fermi_level")
    return {
        "energies": found.energies.tolist(),
        "total": found.dos.tolist(),
        "reference": None if found.reference is None else found.reference.tolist(),
        "fermi_level": found.fermi_level,
        "fermi_half": None if known is None else known[SHOWN_LEVEL],
        "gap": found.gap,
        "energy_unit": pretty_unit(found.grid.unit),
        "zero": found.grid.zero,
        "dos_unit": pretty_unit(found.unit),
        "quantity": found.quantity,
        "scores": None if found.scores is None else pack(found.scores.atoms.astype(np.float32)),
    }


def _add_details(
    payload: dict[str, Any],
    structure: Structure,
    mapping: AtomMapping,
    found: DOSPrediction | None,
    elements: npt.NDArray[np.int64],
    room: float,
) -> int:
    """Add surroundings and curves of as many atoms as there is room for; returns their number."""
    total = len(structure.atoms)

    def details(count: int) -> dict[str, Any]:
        around = find_surroundings(structure.atoms, mapping, np.arange(count), mapping.cutoff)
        curves = None if found is None else pack(found.per_atom[:count].astype(np.float32))
        return {"around": around.packed(mapping.cutoff, elements.tolist()), "own": curves}

    count = min(total, _TRIED)
    chosen = details(count)
    while count > 1 and payload_bytes(chosen) > room:
        count = max(1, count // 2)
        chosen = details(count)
    most = min(total, int(count * max(room, 0) / payload_bytes(chosen)))
    while most > count:
        more = details(most)
        if payload_bytes(more) <= room:
            chosen, count = more, most
            break
        most = min(most - 1, int(0.95 * most * room / payload_bytes(more)))
    payload.update(chosen)
    return count

"""Measure whether out-of-domain scores and uncertainties of trained models are right.

    python benchmarks/domain.py --carbon data/carbon-tb --phonon PHONON_DATA \
        --classifier runs/demo --meshes SHREC11 --output benchmarks/results/domain.json

For ``carbon-tb``: whether scores separate the test snapshots from diamond, strained graphite, SiC
with C renamed, and random packings (AUROC), and whether intervals cover the shares of errors that
they should. For ``phonon-dos``: coverage in cross-fits on the validation split. For a classifier of
the built-in solids (``make demo``): whether scores separate its test shapes from a folder of
meshes, and its expected calibration error. Parts whose data are not given stay as they are in the
file.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.build import bulk
from ase.lattice.hexagonal import Graphite
from scipy.stats import rankdata

from csgnn_dgl._files import atomic_write_json
from csgnn_dgl.datasets.atoms.loading import load_dos_dataset
from csgnn_dgl.tasks.calibration import expected_calibration_error
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.domain import calibrated, score_shapes
from csgnn_dgl.tasks.classes.train import load_run_data
from csgnn_dgl.tasks.classes.trained import load_classifier
from csgnn_dgl.tasks.classes.vote import vote
from csgnn_dgl.tasks.dos.averages import average_curves
from csgnn_dgl.tasks.dos.calibration_report import coverage_table
from csgnn_dgl.tasks.dos.domain import AtomScores, score_atoms
from csgnn_dgl.tasks.dos.learn import absolute_errors
from csgnn_dgl.tasks.dos.trained import TrainedDOS, load_dos_model

Floats = npt.NDArray[np.float64]
_CASES = 60
_DENSITY = 12.011 / 0.602214  # mass of a carbon atom [g/mol] by 1 g/cm³ in 1/Å³


def auroc(inside: Floats, outside: Floats) -> float:
    """Probability that a sample outside has a higher score than one inside."""
    ranks = rankdata(np.concatenate([inside, outside]))[len(inside) :]
    count = len(outside)
    return float((ranks.sum() - count * (count + 1) / 2) / (count * len(inside)))


def diamond(rng: np.random.Generator) -> Atoms:
    """Diamond with a lattice constant of 3.4 to 3.75 Å and thermal displacements."""
    atoms = bulk("C", "diamond", rng.uniform(3.4, 3.75), cubic=True) * (2, 2, 2)
    atoms.rattle(rng.uniform(0, 0.12), rng=rng)
    return atoms


def renamed_carbide(rng: np.random.Generator) -> Atoms:
    """SiC in which silicon was renamed to carbon."""
    atoms = bulk("C", "diamond", rng.uniform(4.25, 4.45), cubic=True) * (2, 2, 2)
    atoms.rattle(rng.uniform(0, 0.1), rng=rng)
    return atoms


def strained_graphite(strain: dict[tuple[int, int], float]) -> Callable[..., Atoms]:
    """Graphite with some entries of its deformation changed, and thermal displacements."""

    def make(rng: np.random.Generator) -> Atoms:
        atoms = Graphite("C", latticeconstant={"a": 2.46, "c": 6.7}, size=(4, 4, 1))
        deformation = np.eye(3)
        for place, value in strain.items():
            deformation[place] += value
        atoms.set_cell(atoms.cell.array @ deformation, scale_atoms=True)
        atoms.rattle(rng.uniform(0.02, 0.08), rng=rng)
        return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)

    return make


def packing(rng: np.random.Generator) -> Atoms:
    """Carbon atoms at random places, at 1.5 to 3.5 g/cm³ and no closer than 1.2 to 1.4 Å."""
    length = (64 * _DENSITY / rng.uniform(1.5, 3.5)) ** (1 / 3)
    closest = rng.uniform(1.2, 1.4)
    places = np.zeros((0, 3))
    for _ in range(100_000):
        place = rng.uniform(0, length, 3)
        apart = places - place
        apart -= length * np.round(apart / length)
        if not len(places) or np.linalg.norm(apart, axis=1).min() >= closest:
            places = np.concatenate([places, place[None]])
        if len(places) == 64:
            break
    return Atoms(f"C{len(places)}", places, cell=[length] * 3, pbc=True)


OUTSIDE: dict[str, Callable[..., Atoms]] = {
    "diamond": diamond,
    "graphite, +20 % in the plane": strained_graphite({(0, 0): 0.2, (1, 1): 0.2}),
    "graphite, -20 % in the plane": strained_graphite({(0, 0): -0.2, (1, 1): -0.2}),
    "graphite, +20 % along one axis": strained_graphite({(0, 0): 0.2}),
    "graphite, layers 20 % farther apart": strained_graphite({(2, 2): 0.2}),
    "graphite, layers 20 % closer": strained_graphite({(2, 2): -0.2}),
    "graphite, 20 % shear": strained_graphite({(0, 1): 0.2}),
    "SiC with Si renamed to C": renamed_carbide,
    "random packing": packing,
}


def structure_scores(trained: TrainedDOS, structures: list[Atoms]) -> list[AtomScores]:
    """Scores, which the shipped models have."""
    found = [score for score in score_atoms(trained, structures) if score is not None]
    assert len(found) == len(structures), f"{trained.path} has no domain"
    return found


def carbon(data: Path, votes: int) -> dict[str, Any]:
    """Scores and coverage of carbon-tb."""
    trained, dataset = load_dos_model("carbon-tb"), load_dos_dataset(data)
    records = dataset.test
    scores = structure_scores(trained, [record.atoms for record in records])
    inside = np.array([score.structure for score in scores])
    rng = np.random.default_rng(0)
    separated = {}
    for name, make in OUTSIDE.items():
        made = structure_scores(trained, [make(rng) for _ in range(_CASES)])
        values = np.array([score.structure for score in made])
        separated[name] = {
            "auroc": round(auroc(inside, values), 4),
            "lowest_score": round(float(values.min()), 2),
            "median_score": round(float(np.median(values)), 2),
            "warned": round(float((values > 1).mean()), 4),
        }
    result: dict[str, Any] = {
        "test_snapshots": len(records),
        "median_score": round(float(np.median(inside)), 3),
        "wrongly_warned": round(float((inside > 1).mean()), 4),
        "outside": separated,
    }
    for number in sorted({1, votes}):
        curves = average_curves(trained, [record.atoms for record in records], votes=number)
        predicted = np.array([curve.mean(axis=0) for curve in curves])
        errors = absolute_errors(records, predicted, dataset.grid)
        table = coverage_table(trained, scores, errors, number)
        result[f"coverage_{number}_votes"] = table.round(4).to_dict("records")
        groups = {}
        for group in sorted({record.group for record in records}):
            rows = [i for i, record in enumerate(records) if record.group == group]
            part = coverage_table(
                trained,
                [scores[i] for i in rows],
                {"band_energy": errors["band_energy"][rows]},
                number,
            )
            shown = part[part["level"] == 0.9]
            groups[group] = shown.round(4).to_dict("records")
        result[f"band_energy_by_type_{number}_votes"] = groups
    return result


def phonon(data: Path) -> dict[str, Any]:
    """Coverage of phonon-dos in cross-fits, and its scores of some structures."""
    trained, dataset = load_dos_model("phonon-dos"), load_dos_dataset(data)
    records = dataset.split_validation(0.2, 0)[1]
    inside = np.array(
        [s.structure for s in structure_scores(trained, [record.atoms for record in records])]
    )
    rng = np.random.default_rng(0)
    packings = [packing(rng) for _ in range(20)]
    values = np.array([score.structure for score in structure_scores(trained, packings)])
    entries = trained.header.calibration["votes"]["1"]["dos"]
    return {
        "validation_structures": len(records),
        "share_above_1": round(float((inside > 1).mean()), 4),
        "coverage_in_cross_fits": entries["coverage"],
        "auroc_of_random_packings": round(auroc(inside, values), 4),
    }


def classifier(run: Path, meshes: Path | None) -> dict[str, Any]:
    """Calibration of a classifier, and its scores of shapes of other kinds."""
    trained = load_classifier(run)
    config = TrainModelNetConfig.from_yaml(run / "config.yaml")
    own = load_run_data(config)
    points, labels = own.test.points[:, : trained.points], own.test.labels.numpy()
    result: dict[str, Any] = {"test_shapes": len(labels), "classes": len(own.class_names)}
    for votes in (1, 5):
        found = vote(
            trained.model, points, rotation="so3", up_axis=own.up_axis, votes=votes, seed=0
        )
        after = calibrated(trained, found, votes)
        result[f"ece_{votes}_votes"] = {
            "before": round(expected_calibration_error(found.numpy(), labels), 4),
            "after": round(expected_calibration_error(after.numpy(), labels), 4),
        }
    inside = score_shapes(trained, points)
    assert inside is not None
    result["wrongly_warned"] = round(float((inside > 1).mean()), 4)
    if meshes is not None:
        others = load_run_data(config, meshes)
        outside = np.concatenate(
            [score_shapes(trained, part.points) for part in (others.train, others.test)]
        )
        result["meshes"] = {
            "shapes": len(outside),
            "auroc": round(auroc(inside, outside), 4),
            "warned": round(float((outside > 1).mean()), 4),
        }
    return result


@click.command()
@click.option("--carbon", "carbon_data", type=click.Path(path_type=Path), help="carbon-tb.")
@click.option("--phonon", "phonon_data", type=click.Path(path_type=Path), help="Phonon data.")
@click.option("--classifier", "run", type=click.Path(path_type=Path), help="Run of make demo.")
@click.option("--meshes", type=click.Path(path_type=Path), help="Folder of other shapes.")
@click.option("--votes", default=4, help="Orientations beside one.", show_default=True)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="JSON to write.")
def main(
    carbon_data: Path | None,
    phonon_data: Path | None,
    run: Path | None,
    meshes: Path | None,
    votes: int,
    output: Path,
) -> None:
    """Measure scores and uncertainties, and write them as JSON."""
    result = json.loads(output.read_text(encoding="utf-8")) if output.is_file() else {}
    if carbon_data is not None:
        result["carbon-tb"] = carbon(carbon_data, votes)
    if phonon_data is not None:
        result["phonon-dos"] = phonon(phonon_data)
    if run is not None:
        result["classifier"] = classifier(run, meshes)
    atomic_write_json(output, result)
    click.echo(f"written to {output}")


if __name__ == "__main__":
    main()

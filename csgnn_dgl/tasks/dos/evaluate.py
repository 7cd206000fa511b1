"""Densities of states, Fermi levels and band energies of test structures."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from ase import Atoms
from tqdm import tqdm

from csgnn_dgl.datasets.atoms.dos import DOSDataset, DOSRecord
from csgnn_dgl.datasets.atoms.loading import load_dos_dataset
from csgnn_dgl.errors import CheckpointError, DataError
from csgnn_dgl.mapping import random_rotations
from csgnn_dgl.physics import EnergyGrid, band_energy, cumulative, fermi_level, refined
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.dos.plots import plot_examples, plot_parity
from csgnn_dgl.tasks.dos.trained import TrainedDOS, load_dos_model
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.seeds import generator

__all__ = ["DOSEvaluation", "compare_curves", "evaluate_dos", "predict_curves", "summarize"]

Floats = npt.NDArray[np.float64]
_GROUP = 16


@dataclass(frozen=True, eq=False)
class DOSEvaluation:
    """What came out on the test structures.

    Parameters
    ----------
    split, votes
        Which structures, and orientations per structure.
    structures
        A row per structure: see :func:`compare_curves`.
    table
        A row per type of structure and one for all: see :func:`summarize`.
    pictures
        What was drawn.
    units
        Unit of energies and of curves.
    """

    split: str
    votes: int
    structures: pd.DataFrame
    table: pd.DataFrame
    pictures: tuple[Path, ...]
    units: tuple[str, str]


def predict_curves(
    trained: TrainedDOS,
    structures: Sequence[Atoms],
    *,
    votes: int = 1,
    seed: int = 0,
    progress: bool = False,
) -> Floats:
    """Curves of structures, averaged over orientations: as given, then random ones.

    Parameters
    ----------
    trained
        The model.
    structures
        Structures.
    votes, seed
        Orientations per structure, and their seed.
    progress
        Show a bar.

    Returns
    -------
    numpy.ndarray
        Shape ``(n, E)``.
    """
    total = np.zeros((len(structures), trained.grid.size))
    with tqdm(
        total=votes * len(structures), unit="structure", leave=False, disable=not progress
    ) as bar:
        for vote in range(votes):
            turns = random_rotations(len(structures), "so3", "z", generator(seed, "votes", vote))
            if vote == 0:
                turns = torch.eye(3).expand(len(structures), 3, 3)
            for start in range(0, len(structures), _GROUP):
                places = range(start, min(start + _GROUP, len(structures)))
                turned = [_turned(structures[i], turns[i].double().numpy()) for i in places]
                total[start : start + len(turned)] += trained.predict(turned)
                bar.update(len(turned))
    return total / votes


def _turned(atoms: Atoms, rotation: Floats) -> Atoms:
    copy = atoms.copy()
    copy.set_cell(atoms.cell.array @ rotation.T)
    copy.set_positions(atoms.positions @ rotation.T)
    return copy


def compare_curves(
    records: Sequence[DOSRecord], predicted: Floats, grid: EnergyGrid
) -> pd.DataFrame:
    """Errors of predicted curves, structure by structure.

    The Fermi level and the band energy follow from both curves alike, as in the paper: cubic
    interpolation to a tenth of the grid's step, integration by trapezoids up to the number of
    electrons. Where a structure's exact band energy is known, the error against that is listed too.

    Parameters
    ----------
    records
        The structures.
    predicted
        Shape ``(n, E)``.
    grid
        Their energies.

    Returns
    -------
    pandas.DataFrame
        ``name``, ``group``, ``atoms``; ``dos_mae``, ``dos_mse``, ``r2``, ``fdos_mae`` (of the
        integral); where electrons are known ``fermi_level``, ``band_energy`` and their
        ``predicted_…`` and ``…_error``; ``exact_band_energy_error``.
    """
    rows: list[dict[str, Any]] = []
    for record, curve in zip(records, predicted, strict=True):
        defined = ~np.isnan(record.dos)
        difference = (curve - record.dos)[defined]
        spread = np.square(record.dos[defined] - record.dos[defined].mean()).sum()
        row: dict[str, Any] = {
            "name": record.name,
            "group": record.group,
            "atoms": len(record.atoms),
            "dos_mae": float(np.abs(difference).mean()),
            "dos_mse": float(np.square(difference).mean()),
            "r2": 1 - float(np.square(difference).sum() / spread) if spread > 0 else np.nan,
        }
        if defined.all():
            row["fdos_mae"] = float(
                np.abs(cumulative(curve, grid) - cumulative(record.dos, grid)).mean()
            )
            if record.electrons is not None:
                row |= _levels(record, curve, grid)
        rows.append(row)
    return pd.DataFrame(rows)


def _levels(record: DOSRecord, curve: Floats, grid: EnergyGrid) -> dict[str, float]:
    assert record.electrons is not None
    values: dict[str, float] = {}
    for prefix, dos in (("", record.dos), ("predicted_", curve)):
        fine, finer = refined(np.maximum(dos, 0), grid, grid.step / 10)
        try:
            values[f"{prefix}fermi_level"] = float(fermi_level(fine, finer, record.electrons))
            values[f"{prefix}band_energy"] = float(band_energy(fine, finer, record.electrons))
        except DataError as error:
            if not prefix:
                raise DataError(f"{record.name}: {error}") from error
            # A prediction that holds too few states has no Fermi level; that is its error to show.
            return values
    values["fermi_level_error"] = values["predicted_fermi_level"] - values["fermi_level"]
    values["band_energy_error"] = values["predicted_band_energy"] - values["band_energy"]
    if record.band_energy is not None:
        values["exact_band_energy_error"] = values["predicted_band_energy"] - record.band_energy
    return values


def summarize(structures: pd.DataFrame) -> pd.DataFrame:
    """Mean errors by type of structure, and of all.

    Returns
    -------
    pandas.DataFrame
        ``type``, ``structures``, ``dos_mae``, ``dos_mse``, ``r2`` and, where there are electrons,
        ``fdos_mae``, ``fermi_level_mae``, ``band_energy_mae``, ``exact_band_energy_mae``, and
        ``without_level``: predictions that hold too few states.
    """

    def means(name: str, rows: pd.DataFrame) -> dict[str, Any]:
        found: dict[str, Any] = {"type": name, "structures": len(rows)}
        found |= {key: float(rows[key].mean()) for key in ("dos_mae", "dos_mse", "r2")}
        if "fdos_mae" in rows:
            found["fdos_mae"] = float(rows["fdos_mae"].mean())
        for key in ("fermi_level", "band_energy", "exact_band_energy"):
            if f"{key}_error" in rows:
                found[f"{key}_mae"] = float(rows[f"{key}_error"].abs().mean())
        if "band_energy" in rows:
            known = rows["band_energy"].notna()
            errors = rows.get("band_energy_error", pd.Series(np.nan, index=rows.index))
            found["without_level"] = int((known & errors.isna()).sum())
        return found

    groups = [(str(name), rows) for name, rows in structures.groupby("group")]
    listed = groups if len(groups) > 1 else []
    return pd.DataFrame([means(name, rows) for name, rows in [*listed, ("all", structures)]])


def evaluate_dos(
    path: Path,
    *,
    votes: int = 1,
    seed: int = 0,
    data: Path | None = None,
    device: str = "auto",
    progress: bool = True,
) -> DOSEvaluation:
    """Predict the test structures of a run's data; without any, its validation structures.

    The result is added to the run's ``summary.json``; errors of every structure go to
    ``evaluation-<split>.csv``, and curves and band energies are drawn.

    Parameters
    ----------
    path
        The run directory.
    votes, seed
        Orientations per structure, and their seed.
    data
        Where the data are now; where they were by default.
    device, progress
        Where to compute, and whether to show a bar.

    Raises
    ------
    CSGNNError
        No such run, other data, other elements or grid.
    """
    run = RunDirectory.open(path)
    trained = load_dos_model(path, choose_device(device))
    options = TrainDOSConfig.from_yaml(run.config)
    dataset = load_dos_dataset(options.data if data is None else data, seed=options.seed)
    _check_same(trained, dataset, moved=data is not None)
    split, records = "test", dataset.test
    if not records:
        split = "validation"
        _, records = dataset.split_validation(options.validation_fraction, options.seed)
    predicted = predict_curves(
        trained,
        [record.atoms for record in records],
        votes=votes,
        seed=seed,
        progress=progress and sys.stderr.isatty(),
    )
    structures = compare_curves(records, predicted, dataset.grid)
    table = summarize(structures)
    run.write_table(f"evaluation-{split}", structures)
    order = np.argsort(structures["dos_mae"].to_numpy(), kind="stable")
    shown = order[np.linspace(0, len(order) - 1, min(6, len(order))).round().astype(int)]
    pictures = [run.figure(f"examples-{split}")]
    plot_examples([records[i] for i in shown], predicted[shown], dataset, pictures[0])
    if "band_energy_error" in structures:
        pictures.append(run.figure(f"band-energy-{split}"))
        error = float(structures["band_energy_error"].abs().mean())
        plot_parity(
            structures.dropna(subset="band_energy_error"),
            dataset.grid.unit,
            pictures[1],
            f"Band energy, {split}: mean absolute error {error:.4f} {dataset.grid.unit}/atom",
        )
    rows = table.to_dict("records")
    entry = {
        "split": split,
        "votes": votes,
        "seed": seed,
        "data": dataset.source,
        "fingerprint": dataset.fingerprint,
        # JSON has no NaN.
        "figures": [{k: None if v != v else v for k, v in row.items()} for row in rows],
    }
    run.record_evaluation(entry, ("split", "votes", "seed", "fingerprint"))
    units = dataset.grid.unit, dataset.dos_unit
    return DOSEvaluation(split, votes, structures, table, tuple(pictures), units)


def _check_same(trained: TrainedDOS, dataset: DOSDataset, *, moved: bool) -> None:
    if trained.grid != dataset.grid:
        raise DataError(
            f"{dataset.source} is on the grid {dataset.grid}, but {trained.path} was trained on "
            f"{trained.grid}"
        )
    if dataset.fingerprint != trained.header.data.get("fingerprint") and not moved:
        raise DataError(
            f"{dataset.source} has changed since {trained.path} was trained on it, so its test "
            f"structures may have been training structures; restore it, or name the data to use "
            f"with --data"
        )
    if trained.quantity != dataset.quantity:
        raise CheckpointError(
            f"{trained.path} predicts {trained.quantity} densities of states, and {dataset.source} "
            f"holds {dataset.quantity} ones"
        )

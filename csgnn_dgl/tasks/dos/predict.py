"""Predict densities of states of the structures in files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from csgnn_dgl.datasets.atoms.structure import Structure
from csgnn_dgl.datasets.isolation import isolation
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.tasks.dos.outside import closing_notes, outside_note
from csgnn_dgl.tasks.dos.prediction import DOSPrediction, predict_structures
from csgnn_dgl.tasks.dos.structure_files import work_on_structures
from csgnn_dgl.tasks.dos.trained import TrainedDOS, load_dos_model
from csgnn_dgl.tasks.dos.unseen import UnseenElements
from csgnn_dgl.tasks.evaluation import refuse_idle_votes
from csgnn_dgl.tasks.files import FileResult
from csgnn_dgl.tasks.outcome import Outcome
from csgnn_dgl.tasks.output_files import check_output
from csgnn_dgl.tasks.shipped import limits_of
from csgnn_dgl.tasks.use_config import PredictConfig

__all__ = ["predict_files", "predict_outcome"]

Result = FileResult[Structure, DOSPrediction]


def predict_files(
    weights: str | Path,
    files: Sequence[Path],
    config: PredictConfig,
    *,
    done: Callable[[int], object] | None = None,
) -> tuple[TrainedDOS, list[FileResult[Structure, DOSPrediction]]]:
    """Predict densities of states for all structures in files.

    Parameters
    ----------
    weights
        Run directory, file of weights, or a shipped model by name.
    files
        Structure files; each frame of a trajectory is a structure.
    config
        Electrons, occupancies, votes, device.
    done
        Called with the number of files finished since the last call.

    Raises
    ------
    CheckpointError
        There is no model, or it cannot be used.
    ConfigError
        There are no files, or electrons were given for a model of phonons.
    DataError
        A file cannot be used, with ``strict``.
    """
    trained = load_dos_model(weights, choose_device(config.device), model=config.model)
    name = _name(weights, trained)
    unseen = UnseenElements(trained.elements, name)

    def work(structures: Sequence[Structure]) -> list[DOSPrediction]:
        found = predict_structures(
            trained,
            [structure.atoms for structure in structures],
            electrons=config.electrons,
            votes=config.votes,
            seed=config.seed,
            vote_set=config.vote_set,
        )
        return [replace(each, notes=(*each.notes, *notes(each))) for each in found]

    def notes(prediction: DOSPrediction) -> list[str]:
        outside = outside_note(prediction.scores, name, predicts=True)
        return [*unseen.notes(prediction.atoms), *([outside] if outside else [])]

    with isolation(config.isolate):
        results = work_on_structures(
            files, work, occupancy=config.occupancy, strict=config.strict, done=done
        )
        return trained, list(results)


def _name(weights: str | Path, trained: TrainedDOS) -> str:
    return Path(weights).stem if trained.path == Path(weights) else str(weights)


def predict_outcome(
    weights: Path,
    files: Sequence[Path],
    config: PredictConfig,
    *,
    done: Callable[[int], object] | None = None,
) -> Outcome:
    """Like :func:`predict_files`, but also writes the output file and the plots."""
    refuse_idle_votes(config)
    if config.output is not None:
        check_output(config.output, (".npz", ".csv"), files)
    if config.plot is not None and config.plot.suffix and not config.plot.is_dir():
        check_output(config.plot, (".png",), files)
    trained, results = predict_files(weights, files, config, done=done)
    predicted = [
        (result.file, frame, value)
        for result in results
        for frame, value in enumerate(result.values)
    ]
    lines = [line for result in results for line in _lines(result)]
    if predicted and config.output is not None:
        from csgnn_dgl.tasks.dos.curve_files import write_curves

        write_curves(config.output, predicted, str(weights), limits_of(trained.path))
        lines.append(f"{len(predicted)} curves written to {config.output}")
    if predicted and config.plot is not None:
        _draw(config.plot, results)
        lines.append(f"{len(predicted)} picture{'s' * (len(predicted) > 1)}: {config.plot}")
    scores = [value.scores for *_, value in predicted]
    lines += closing_notes(trained.path, _name(weights, trained), scores)
    errors = [(result.file, result.error) for result in results]
    limits = limits_of(trained.path)
    return Outcome(lines, [_plain(result, limits) for result in results], errors)


def _draw(place: Path, results: Sequence[Result]) -> None:
    from csgnn_dgl.tasks.dos.plots_predict import picture_paths, plot_prediction

    predicted = [
        (result.file, frame, len(result.values), value)
        for result in results
        for frame, value in enumerate(result.values)
    ]
    paths = picture_paths(place, [(file, frame, count) for file, frame, count, _ in predicted])
    for path, (file, frame, count, value) in zip(paths, predicted, strict=True):
        name = f"{file.name}[{frame}]" if count > 1 else file.name
        plot_prediction(value, path, f"{name}, {value.formula}")


def _lines(result: Result) -> list[str]:
    if result.error is not None:
        return [f"{result.file}: cannot be used"]
    lines = []
    for structure, value in zip(result.items, result.values, strict=True):
        lines += [f"{structure.source}: {structure.summary}", f"  {value.summary}"]
        if value.confidence is not None:
            lines.append(f"  {value.confidence}")
        lines += [f"  warning: {note}" for note in (*structure.warnings, *value.notes)]
    return lines


def _plain(result: Result, limits: Sequence[str]) -> dict[str, Any]:
    return {
        "file": str(result.file),
        "error": result.error,
        "structures": [
            _plain_structure(structure, value, limits)
            for structure, value in zip(result.items, result.values, strict=True)
        ],
    }


def _plain_structure(
    structure: Structure, value: DOSPrediction, limits: Sequence[str]
) -> dict[str, Any]:
    return {
        "source": structure.source,
        "formula": value.formula,
        "sites": len(value.atoms),
        "reader": structure.reader,
        "quantity": value.quantity,
        "energy_unit": value.grid.unit,
        "zero_of_energy": value.grid.zero,
        "dos_unit": value.unit,
        "electrons_per_atom": value.electrons,
        "fermi_level": value.fermi_level,
        "band_energy_per_atom": value.band_energy,
        "gap": value.gap,
        "mean_absolute_error": value.error,
        "energies": value.energies.round(9).tolist(),
        "dos": value.dos.round(9).tolist(),
        "out_of_domain_score": value.score,
        "outside_domain": value.outside,
        "atom_scores": None if value.scores is None else value.scores.atoms.round(6).tolist(),
        "uncertainty": {
            name: {f"{level:g}": width for level, width in known.half_widths.items()}
            for name, known in value.uncertainty.items()
        },
        "warnings": [*structure.warnings, *value.notes],
        "limits": list(limits) if value.outside else [],
    }

"""Predict densities of states of the structures in files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
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

__all__ = ["predict_files", "predict_outcome", "predict_with_notes", "shown_name"]

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
    name = shown_name(weights, trained)
    unseen = UnseenElements(trained.elements, name)

    work = partial(predict_with_notes, trained, config, unseen, name)
    with isolation(config.isolate):
        results = work_on_structures(
            files, work, occupancy=config.occupancy, strict=config.strict, done=done
        )
        return trained, list(results)


def predict_with_notes(
    trained: TrainedDOS,
    config: PredictConfig,
    unseen: UnseenElements,
    name: str,
    structures: Sequence[Structure],
) -> list[DOSPrediction]:
    """Predict structures, with notes on what the model ``name`` does not know."""
    found = predict_structures(
        trained,
        [structure.atoms for structure in structures],
        electrons=config.electrons,
        votes=config.votes,
        seed=config.seed,
        vote_set=config.vote_set,
    )

    def notes(prediction: DOSPrediction) -> list[str]:
        outside = outside_note(prediction.scores, name, predicts=True)
        return [*unseen.notes(prediction.atoms), *([outside] if outside else [])]

    return [replace(each, notes=(*each.notes, *notes(each))) for each in found]


def shown_name(weights: str | Path, trained: TrainedDOS) -> str:
    """Name of a model in messages."""
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
    _check_plot(config, files)
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
        count = _draw(config, results)
        lines.append(f"{count} picture{'s' * (count > 1)}: {config.plot}")
    scores = [value.scores for *_, value in predicted]
    lines += closing_notes(trained.path, shown_name(weights, trained), scores)
    errors = [(result.file, result.error) for result in results]
    limits = limits_of(trained.path)
    return Outcome(lines, [_plain(result, limits) for result in results], errors)


def _check_plot(config: PredictConfig, files: Sequence[Path]) -> None:
    """Refuse pictures that could not be written, before anything is computed."""
    if config.plot is None:
        config.refuse_unused(("plot_format",), "nothing is drawn without --plot")
        return
    from csgnn_dgl.tasks.dos.plots_predict import is_picture
    from csgnn_dgl.tasks.plots import ENDINGS

    if is_picture(config.plot):
        check_output(config.plot, ENDINGS, files)
        config.refuse_unused(("plot_format",), f"the ending of {config.plot} says the format")


def _draw(config: PredictConfig, results: Sequence[Result]) -> int:
    """Draw all curves; returns the number of pictures."""
    from csgnn_dgl.tasks.dos import plots_predict as plots

    predicted = [
        (result.file, frame, len(result.values), value)
        for result in results
        for frame, value in enumerate(result.values)
    ]
    named = [
        (f"{file.name}[{frame}], {value.formula}" if count > 1 else f"{file.name}, {value.formula}")
        for file, frame, count, value in predicted
    ]
    assert config.plot is not None
    if plots.is_picture(config.plot):
        if len(predicted) > 1:
            values = [value for *_, value in predicted]
            plots.plot_predictions(list(zip(named, values, strict=True)), config.plot)
        else:
            plots.plot_prediction(predicted[0][-1], config.plot, named[0])
        return 1
    sources = [(file, frame, count) for file, frame, count, _ in predicted]
    paths = plots.picture_paths(config.plot, sources, config.plot_format)
    for path, name, (*_, value) in zip(paths, named, predicted, strict=True):
        plots.plot_prediction(value, path, name)
    return len(paths)


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
        "at_least": dict(value.at_least),
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

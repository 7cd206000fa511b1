"""``csgnn-dgl predict``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from csgnn_dgl.cli.options import config_options
from csgnn_dgl.cli.outcome import finish_files
from csgnn_dgl.errors import ConfigError, CSGNNError
from csgnn_dgl.tasks.predict_config import PredictFilesConfig

if TYPE_CHECKING:
    from csgnn_dgl.datasets.atoms.structures import Structure
    from csgnn_dgl.tasks.dos.files import FileResult
    from csgnn_dgl.tasks.dos.predict import DOSPrediction

__all__ = ["predict_command"]


@config_options(PredictFilesConfig)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def predict_command(
    config: PredictFilesConfig, given: set[str], run: Path, files: tuple[Path, ...], as_json: bool
) -> int | None:
    """Predict for FILES with the model of RUN: classes of shapes, or densities of states of atoms.

    RUN is a run directory, a .safetensors file, or a shipped model (csgnn-dgl models).

    \b
    A classifier takes meshes and clouds of any orientation, position and size.
    A model of densities of states takes CIF, POSCAR, extxyz, xyz and what else ASE reads, and gives
    the curve, the Fermi level, the band energy and the gap; each frame of a trajectory is a
    structure.

    A file that cannot be used is named at the end, and does not keep the others from being
    used.
    """
    from csgnn_dgl.tasks.dos.shipped import find_weights, shipped_models
    from csgnn_dgl.tasks.run_directory import RunDirectory
    from csgnn_dgl.tasks.weights import read_kind

    if str(run) in shipped_models():
        run = find_weights(str(run))
    kind = read_kind(run if run.is_file() else RunDirectory.open(run).model)
    for other, names in config.only.items():
        flags = [f"--{name}" for name in names if f"--{name}" in given]
        if other != kind and flags:
            does = "classifies shapes" if kind == "classifier" else "predicts densities of states"
            raise ConfigError(f"{run} {does}, so {', '.join(flags)} means nothing here")
    if kind == "dos":
        return _predict_dos(config, run, files, as_json)
    _predict_classes(config, run, files, as_json)
    return None


def _predict_classes(
    config: PredictFilesConfig, run: Path, files: tuple[Path, ...], as_json: bool
) -> None:
    from csgnn_dgl.tasks.shapes.predict import predict

    results = predict(run, files, config)
    if as_json:
        content = [
            {
                "file": str(result.file),
                "classes": [{"class": name, "probability": p} for name, p in result.classes],
                "error": result.error,
            }
            for result in results
        ]
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        width = max(len(str(result.file)) for result in results)
        for result in results:
            ranked = "   ".join(f"{name} {100 * p:.1f} %" for name, p in result.classes)
            click.echo(f"{result.file!s:<{width}}  {ranked or 'cannot be used'}")
    errors = [result.error for result in results if result.error]
    if errors:
        raise CSGNNError(
            "\n  ".join([f"{len(errors)} of {len(files)} files cannot be used:", *errors])
        )


def _predict_dos(
    config: PredictFilesConfig, run: Path, files: tuple[Path, ...], as_json: bool
) -> int:
    from tqdm import tqdm

    from csgnn_dgl.tasks.dos.atom_files import check_output
    from csgnn_dgl.tasks.dos.curve_files import write_curves
    from csgnn_dgl.tasks.dos.plots_predict import picture_paths, plot_prediction
    from csgnn_dgl.tasks.dos.predict import predict_files

    if config.output is not None:
        check_output(config.output, (".npz", ".csv"))
    if config.plot is not None and config.plot.suffix and not config.plot.is_dir():
        check_output(config.plot, (".png",))
    hidden = not config.progress or not sys.stderr.isatty() or len(files) < 3
    with tqdm(total=len(files), unit="file", leave=False, disable=hidden) as bar:
        _, results = predict_files(run, files, config, done=bar.update)
    predicted = [
        (result.file, frame, value)
        for result in results
        for frame, value in enumerate(result.values)
    ]
    if config.output is not None and predicted:
        write_curves(config.output, predicted, str(run))
    if as_json:
        click.echo(json.dumps([_plain(r) for r in results], indent=2, ensure_ascii=False))
    else:
        for result in results:
            _show(result)
        if config.output is not None and predicted:
            click.echo(f"{len(predicted)} curves written to {config.output}")
    if config.plot is not None and predicted:
        counts = {id(v): len(r.values) for r in results for v in r.values}
        sources = [(file, frame, counts[id(value)]) for file, frame, value in predicted]
        for path, (file, frame, value) in zip(
            picture_paths(config.plot, sources), predicted, strict=True
        ):
            place = f"{file.name}[{frame}]" if counts[id(value)] > 1 else file.name
            plot_prediction(value, path, f"{place}, {value.formula}")
        if not as_json:
            click.echo(f"{len(predicted)} pictures: {config.plot}")
    return finish_files([(r.file, r.error) for r in results])


def _show(result: FileResult[DOSPrediction]) -> None:
    if result.error is not None:
        click.echo(f"{result.file}: cannot be used")
    for structure, value in zip(result.structures, result.values, strict=True):
        click.echo(f"{structure.source}: {structure.summary}")
        click.echo(f"  {value.summary}")
        for note in (*structure.warnings, *value.notes):
            click.echo(f"  warning: {note}")


def _plain(result: FileResult[DOSPrediction]) -> dict[str, object]:
    return {
        "file": str(result.file),
        "error": result.error,
        "structures": [
            _plain_structure(structure, value)
            for structure, value in zip(result.structures, result.values, strict=True)
        ],
    }


def _plain_structure(structure: Structure, value: DOSPrediction) -> dict[str, object]:
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
        "warnings": [*structure.warnings, *value.notes],
    }

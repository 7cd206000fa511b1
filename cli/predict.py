"""``csgnn-dgl predict``."""

from __future__ import annotations

from pathlib import Path

import click

from csgnn_dgl._progress import shown, working
from csgnn_dgl.cli.options import config_options
from csgnn_dgl.cli.outcome import echo_json, echo_line, finish_files
from csgnn_dgl.tasks.targets import target_of
from csgnn_dgl.tasks.use_config import NEEDS_MANY, PredictConfig

__all__ = ["predict_command"]


@config_options(PredictConfig)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def predict_command(
    config: PredictConfig, given: set[str], run: Path, files: tuple[Path, ...], as_json: bool
) -> int:
    """Predict for FILES with the model of RUN: classes of shapes, or densities of states of atoms.

    RUN is a run directory, a .safetensors file, or a shipped model (csgnn-dgl models).

    \b
    A classifier takes meshes and clouds of any orientation, position and size.
    A model of densities of states takes CIF, POSCAR, extxyz, xyz and other formats that ASE reads.
    It predicts the curve, the Fermi level, the band energy and the gap. Each frame of a trajectory
    is a structure.

    A file that cannot be used does not stop the others. It is named at the end, and the exit status
    is 1, or 2 if no file can be used.

    With --jobs or --scheduler, FILES may also be folders, ASE databases (.db, .aselmdb) and
    trajectories of any size, and --output is a folder of Parquet files.
    """
    from csgnn_dgl.datasets.isolation import start_early

    if config.many:
        from csgnn_dgl.cli.many import run_many
        from csgnn_dgl.tasks.shipped import find_weights

        target = target_of(find_weights(run))
        return run_many(
            lambda done: target.predict_many(run, files, config, done),
            config,
            f"{'structures' if target.domain == 'atoms' else 'shapes'} predicted",
            as_json=as_json,
        )
    config.refuse_unused(*NEEDS_MANY)
    start_early(len(files))
    with shown(config.progress), working("predicting files", len(files), unit="file") as done:
        from csgnn_dgl.tasks.shipped import find_weights

        outcome = target_of(find_weights(run)).predict(run, files, config, done)
    if as_json:
        echo_json(outcome.content)
    else:
        for line in outcome.lines:
            echo_line(line)
    return finish_files(outcome.errors)

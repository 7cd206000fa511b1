"""``csgnn-dgl describe-shapes``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from csgnn_dgl._progress import shown, working
from csgnn_dgl.cli.options import config_options
from csgnn_dgl.cli.outcome import echo_json, echo_line, finish_files
from csgnn_dgl.tasks.use_config import DescribeShapesConfig

if TYPE_CHECKING:
    from csgnn_dgl.tasks.classes.describe import ShapeDescription

__all__ = ["describe_shapes_command"]

# Number of features to show for each file.
_COLUMNS = 6


@config_options(DescribeShapesConfig)
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    metavar="FILES|FOLDER...",
    type=click.Path(path_type=Path),
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def describe_shapes_command(
    config: DescribeShapesConfig, given: set[str], paths: tuple[Path, ...], as_json: bool
) -> int:
    """Describe each shape by a row of numbers, its embedding: similar shapes have similar rows.

    FILES are meshes (.off .obj .ply .stl) or clouds (.npy .npz .ply .xyz .pts .txt) of any
    orientation, position and size. Of a folder, all such files in it and below are taken.

    With --output, the embeddings are written. With --nearest K, the K most similar files are listed
    beside each file, and written, too. A file that cannot be used does not stop the others. It is
    named at the end, and the exit status is 1, or 2 if no file can be used.
    """
    from csgnn_dgl.datasets.isolation import MANY, start_early

    start_early(MANY if any(path.is_dir() for path in paths) else len(paths))
    with shown(config.progress), working("describing files", unit="file") as done:
        from csgnn_dgl.tasks.classes.describe import describe_shapes

        results = describe_shapes(paths, config, done=done)
    if as_json:
        echo_json([_plain(result) for result in results])
    else:
        for result in results:
            _show(result, with_numbers=config.output is None and config.nearest is None)
        count = sum(result.features is not None for result in results)
        where = f", written to {config.output}" if config.output is not None and count else ""
        echo_line(f"{count} shapes described by {config.weights}{where}")
    return finish_files([(result.file, result.error) for result in results])


def _show(result: ShapeDescription, *, with_numbers: bool) -> None:
    if result.features is None:
        echo_line(f"{result.file}: cannot be used")
        return
    score = "" if result.score is None else f"  score {result.score:.2f}"
    echo_line(f"{result.file}: {len(result.features)} numbers{score}")
    for note in result.warnings:
        echo_line(f"  warning: {note}")
    for file, similarity in result.nearest:
        echo_line(f"  {similarity:6.3f}  {file}")
    if with_numbers:
        numbers = " ".join(f"{number:8.4f}" for number in result.features[:_COLUMNS])
        click.echo(f"  {numbers} …; write all of them with -o FILE")


def _plain(result: ShapeDescription) -> dict[str, object]:
    return {
        "file": str(result.file),
        "features": None if result.features is None else result.features.tolist(),
        "nearest": [{"file": str(file), "similarity": value} for file, value in result.nearest],
        "out_of_domain_score": result.score,
        "outside_domain": result.outside,
        "error": result.error,
        "warnings": list(result.warnings),
    }

"""``csgnn-dgl data``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

__all__ = ["data"]


@click.group("data")
def data() -> None:
    """Look at data, or download them."""


@data.command("info")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--points", default=1024, show_default=True, help="Points per cloud.")
@click.option("--up-axis", type=click.Choice(["x", "y", "z"]), help="If the default is wrong.")
def info(path: Path | None, points: int, up_axis: str | None) -> None:
    """Read the data at PATH, and say what they hold. Without PATH: the built-in solids.

    \b
    PATH is a folder of one of these kinds:
      train_files.txt, test_files.txt, shape_names.txt, *.h5   as modelnet40_ply_hdf5_2048
      CLASS/train/*, CLASS/test/*                              as ModelNet's meshes
      CLASS/*                                                  split by seed
    with meshes (.off .obj .ply .stl) or clouds (.npy .npz .ply .xyz .pts .txt).
    """
    from csgnn_dgl.datasets.shapes import load_dataset

    click.echo(load_dataset(path, points=points, up_axis=up_axis).summary())  # type: ignore[arg-type]


@data.command("download")
@click.argument("name")
@click.option(
    "--to",
    "destination",
    default=Path("data"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder to put it in.",
)
@click.option("--sha256", help="Refuse an archive with another SHA-256.")
@click.option("--mirror", "mirrors", multiple=True, help="Fetch from here instead.")
def download_command(
    name: str, destination: Path, sha256: str | None, mirrors: tuple[str, ...]
) -> None:
    """Download the data set NAME (modelnet40) and unpack it.

    A download that was cut off goes on where it stopped.
    """
    from csgnn_dgl.datasets.download import download, find_archive

    folder = download(
        find_archive(name),
        destination,
        sha256=sha256,
        mirrors=mirrors or None,
        echo=lambda line: click.echo(line, err=True),
    )
    click.echo(f"train on it: csgnn-dgl train modelnet --data {folder}")


@data.group("make")
def make() -> None:
    """Make data by computation."""


@make.command("carbon-tb")
@click.option(
    "--to",
    "destination",
    default=Path("data/carbon-tb"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder to put it in.",
)
@click.option("--structure", "structures", multiple=True, help="Only this one; may be repeated.")
@click.option("--snapshots", default=100, show_default=True, help="Per structure and temperature.")
@click.option("--test-snapshots", default=20, show_default=True, help="Per structure.")
@click.option("--seed", default=0, show_default=True, help="Of velocities and noise.")
@click.option("--processes", type=int, help="How many at a time. Default: one per core.")
def make_carbon_command(
    destination: Path,
    structures: tuple[str, ...],
    snapshots: int,
    test_snapshots: int,
    seed: int,
    processes: int | None,
) -> None:
    """Eight carbon structures at 300 K and 600 K, with tight-binding densities of states.

    With the defaults it is the experiment of the paper: 1,600 snapshots and 160 for testing. A run
    that was stopped goes on with the trajectories that are missing.
    """
    from tqdm import tqdm

    from csgnn_dgl.datasets.atoms.carbon import ALLOTROPES
    from csgnn_dgl.datasets.atoms.carbon_md import CarbonRecipe, make_carbon

    recipe = CarbonRecipe(
        structures=structures or ALLOTROPES,
        snapshots=snapshots,
        test_snapshots=test_snapshots,
        seed=seed,
    )
    total = len(list(recipe.jobs()))
    with tqdm(total=total, unit="trajectory", disable=not sys.stderr.isatty()) as bar:
        paths = make_carbon(
            recipe, destination, processes=processes, progress=lambda path: bar.update()
        )
    click.echo(f"{destination}: {len(paths)} trajectories of {len(recipe.structures)} structures")

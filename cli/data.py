"""``csgnn-dgl data``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from csgnn_dgl._progress import shown, working, write
from csgnn_dgl.errors import ConfigError

if TYPE_CHECKING:
    from csgnn_dgl.datasets.atoms.structure import Occupancy

__all__ = ["data"]


@click.group("data")
def data() -> None:
    """Inspect, download, make, import or join data."""


@data.command("info")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option(
    "--kind",
    type=click.Choice(["shapes", "dos"]),
    help="Kind of the data at PATH, if it is not recognised correctly; or of the built-in data.",
)
@click.option("--points", type=int, help="Points per cloud of shapes.  [default: 1024]")
@click.option(
    "--up-axis", type=click.Choice(["x", "y", "z"]), help="The axis of shapes that points up."
)
@click.option(
    "--seed", default=0, show_default=True, help="Random seed for splits that are not given."
)
def info(
    path: Path | None, kind: str | None, points: int | None, up_axis: str | None, seed: int
) -> None:
    """Read the data at PATH. Print what they hold, and which columns, keys and arrays are used or
    not used. Without PATH: the built-in solids, or with --kind dos the built-in carbon set. PATH
    may also be solids, families or kinds: shapes that are made.

    \b
    Shapes; PATH is a folder of one of these kinds:
      train_files.txt, test_files.txt, shape_names.txt, *.h5   as modelnet40_ply_hdf5_2048
      CLASS/train/*, CLASS/test/*                              as ModelNet's meshes
      CLASS/*                                                  split by seed
    with meshes (.off .obj .ply .stl) or clouds (.npy .npz .ply .xyz .pts .txt).

    \b
    Densities of states; PATH is a folder of one of these kinds:
      grid.json, train.extxyz [validation, test]    a dos in each frame, pdos of its atoms
      grid.json, id_prop.csv [validation, test]     a table beside CIF or POSCAR files
      STRUCTURE/TEMPERATURE/NAME/POSCAR, doscar_s   as the paper's carbon data
      recipe.json, *.npz                            made by data make carbon-tb
    """
    with shown(), working(""):
        text = _description(path, kind, points, up_axis, seed)
    click.echo(text)


def _description(
    path: Path | None, kind: str | None, points: int | None, up_axis: str | None, seed: int
) -> str:
    from csgnn_dgl.datasets.kinds import data_kind

    if kind is None:
        kind = "shapes" if path is None else data_kind(path)
    if kind == "dos":
        from csgnn_dgl.datasets.atoms.loading import load_dos_dataset

        if points is not None or up_axis is not None:
            raise ConfigError(
                "--points and --up-axis are options for shapes, but the data are densities of "
                "states; leave these options out"
            )
        return load_dos_dataset(path, seed=seed).summary()
    from csgnn_dgl.datasets.shapes import load_dataset

    shapes = load_dataset(
        path,
        points=1024 if points is None else points,
        # click.Choice has checked it; mypy sees a plain string.
        up_axis=up_axis,  # type: ignore[arg-type]
        seed=seed,
    )
    return shapes.summary()


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
@click.option("--mirror", "mirrors", multiple=True, help="Fetch from this URL; may be repeated.")
def download_command(
    name: str, destination: Path, sha256: str | None, mirrors: tuple[str, ...]
) -> None:
    """Download the data set NAME (modelnet40) and unpack it.

    An interrupted download continues where it stopped.
    """
    from csgnn_dgl.datasets.download import download, find_archive

    with shown(), working(""):
        folder = download(
            find_archive(name),
            destination,
            sha256=sha256,
            mirrors=mirrors or None,
            echo=lambda line: write(line, err=True),
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
@click.option(
    "--structure", "structures", multiple=True, help="Make only this structure; may be repeated."
)
@click.option(
    "--snapshots",
    default=100,
    show_default=True,
    help="Training snapshots per structure and temperature.",
)
@click.option(
    "--test-snapshots", default=20, show_default=True, help="Test snapshots per structure."
)
@click.option("--interval", default=10, show_default=True, help="Steps between snapshots.")
@click.option("--seed", default=0, show_default=True, help="Random seed for velocities and noise.")
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    help="Processes at a time. Default: one per core.",
)
@click.option(
    "--projected",
    is_flag=True,
    help="Also write the curve of every atom: some 60 MB of labels, with which training takes much "
    "less time.",
)
@click.option(
    "--structures",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Instead of snapshots, give the carbon structures of this file their densities of states; "
    "may be repeated. Files called validation (valid, val) and test become these splits.",
)
@click.option(
    "--occupancy",
    type=click.Choice(["refuse", "majority", "full"]),
    help="With --structures: what to do with sites that are not fully occupied.  [default: refuse]",
)
@click.option(
    "--kpoint-spacing",
    "spacing",
    type=float,
    help="With --structures: largest distance between k-points [1/Å, with 2π].  [default: 0.2]",
)
@click.pass_context
def make_carbon_command(
    context: click.Context,
    destination: Path,
    structures: tuple[str, ...],
    snapshots: int,
    test_snapshots: int,
    interval: int,
    seed: int,
    processes: int | None,
    projected: bool,
    files: tuple[Path, ...],
    occupancy: Occupancy | None,
    spacing: float | None,
) -> None:
    """Make eight carbon structures at 300 K and 600 K with tight-binding densities of states.

    The defaults are those of the paper's experiment: 1,600 snapshots for training and 160 for
    testing. After an interruption, the same command makes the missing trajectories.

    The small set that comes with the package was made with --snapshots 20 --test-snapshots 10.

    With --structures FILE, structures of your own get such curves, crystals with small cells too.
    Those that cannot be used are listed at the end, and the exit status is then 1.
    """
    if files:
        _label_structures(context, destination, files, occupancy, spacing, projected, processes)
        return
    if occupancy is not None:
        raise ConfigError(
            "--occupancy is an option of --structures; leave it out: snapshots have whole atoms"
        )
    if spacing is not None:
        raise ConfigError(
            "--kpoint-spacing is an option of --structures; leave it out: snapshots have large "
            "cells, in which the Γ point is enough"
        )
    from csgnn_dgl.datasets.atoms.carbon import ALLOTROPES
    from csgnn_dgl.datasets.atoms.carbon_md import CarbonRecipe, make_carbon
    from csgnn_dgl.datasets.atoms.carbon_projected import project_all

    recipe = CarbonRecipe(
        structures=structures or ALLOTROPES,
        snapshots=snapshots,
        test_snapshots=test_snapshots,
        interval=interval,
        seed=seed,
    )
    total = len(list(recipe.jobs()))
    with shown(), working("making trajectories", total, unit="file") as done:
        paths = make_carbon(recipe, destination, processes=processes, progress=lambda path: done(1))
    if projected:
        with shown(), working("projecting trajectories", total, unit="file") as done:
            project_all(paths, processes=processes, progress=lambda path: done(1))
    click.echo(f"{destination}: {len(paths)} trajectories of {len(recipe.structures)} structures")


_OF_SNAPSHOTS = ("structures", "snapshots", "test_snapshots", "interval", "seed")


def _label_structures(
    context: click.Context,
    destination: Path,
    files: tuple[Path, ...],
    occupancy: Occupancy | None,
    spacing: float | None,
    projected: bool,
    processes: int | None,
) -> None:
    from click.core import ParameterSource

    from csgnn_dgl.datasets.atoms.carbon_structures import label_carbon

    for option in context.command.params:
        given = context.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE
        if given and option.name in _OF_SNAPSHOTS:
            raise ConfigError(
                f"{option.opts[0]} is an option for making snapshots, but with --structures none "
                f"are made; leave it out"
            )
    with shown(), working("computing densities of states", unit="structure") as done:
        result = label_carbon(
            files,
            destination,
            spacing=0.2 if spacing is None else spacing,
            projected=projected,
            occupancy=occupancy or "refuse",
            processes=processes,
            progress=done,
        )
    counts = ", ".join(f"{count} for {split}" for split, count in result.counts.items())
    click.echo(f"{destination}: structures: {counts}")
    for entry in result.rejected:
        click.echo(f"rejected: {entry.name}: {entry.reason}", err=True)
    if result.rejected:
        context.exit(1)


@data.command("join")
@click.argument(
    "folders", nargs=-1, required=True, metavar="FOLDER...", type=click.Path(path_type=Path)
)
@click.option(
    "--to",
    "destination",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder to make.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    help="Random seed for choosing validation and test structures, where a set has none.",
)
def join_command(folders: tuple[Path, ...], destination: Path, seed: int) -> None:
    """Join data sets of densities of states, to train on all of them.

    They must have the same energies, units and zero of energy. Their splits are kept. If some of
    them have validation structures and others have none, a part of the training structures of the
    others is held out. Warnings of the sets are repeated, and test structures that were not given
    but drawn by the seed are counted.
    """
    from csgnn_dgl.datasets.atoms.dos_join import join_dos
    from csgnn_dgl.tasks.dos.config import TrainDOSConfig

    with shown(), working("joining data"):
        fraction = TrainDOSConfig().validation_fraction
        result = join_dos(folders, destination, validation_fraction=fraction, seed=seed)
    for note in result.notes:
        click.echo(f"note: {note}", err=True)
    counts = ", ".join(f"{count} for {split}" for split, count in result.counts.items() if count)
    click.echo(f"{destination}: structures: {counts}")
    click.echo(f"train on it: csgnn-dgl train dos --data {destination}")


@data.command("import-vasp")
@click.argument("paths", nargs=-1, required=True, metavar="DIR...", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "destination",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder to make.",
)
@click.option("--start", type=float, help="First energy of all curves, from the zero chosen [eV].")
@click.option("--stop", type=float, help="Last energy of all curves [eV].")
@click.option("--step", type=float, help="Step between energies [eV].")
@click.option(
    "--zero",
    type=click.Choice(["fermi", "as-given"]),
    default="fermi",
    show_default=True,
    help="Zero of energy: the Fermi level of each calculation, or VASP's own zero.",
)
@click.option("--width", default=0.0, help="Broaden by a Gaussian of this standard deviation [eV].")
@click.option("--strict", is_flag=True, help="Stop at the first calculation that cannot be used.")
@click.pass_context
def import_vasp_command(
    context: click.Context,
    paths: tuple[Path, ...],
    destination: Path,
    start: float | None,
    stop: float | None,
    step: float | None,
    zero: str,
    width: float,
    strict: bool,
) -> None:
    """Import structures and densities of states from VASP's results, to train on.

    DIR holds vasprun.xml[.gz], or POSCAR and DOSCAR, or folders with these files. Calculations that
    cannot be used are listed at the end, and the exit status is then 1.
    """
    from csgnn_dgl.datasets.atoms.vasp_import import energy_window, import_vasp

    with shown(), working("importing calculations") as done:
        result = import_vasp(
            paths,
            destination,
            window=energy_window(start, stop, step),
            # click.Choice has checked it; mypy sees a plain string.
            zero=zero,  # type: ignore[arg-type]
            width=width,
            strict=strict,
            progress=lambda name: done(1),
        )
    for note in result.notes:
        click.echo(f"note: {note}", err=True)
    click.echo(f"{destination}: {len(result.imported)} calculations")
    for entry in result.rejected:
        click.echo(f"rejected: {entry.name}: {entry.reason}", err=True)
    if result.rejected:
        context.exit(1)

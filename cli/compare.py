"""``csgnn-dgl compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from csgnn_dgl._progress import shown, write
from csgnn_dgl.cli.compare_pictures import curve_command, figures_command
from csgnn_dgl.compare.settings import RECIPES, SIZES, Settings
from csgnn_dgl.compare.store import Store
from csgnn_dgl.compare.tables import TABLES
from csgnn_dgl.errors import ConfigError, suggest

__all__ = ["compare_command"]


def _names(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _seeds(text: str | None) -> tuple[int, ...] | None:
    names = _names(text)
    if names is None:
        return None
    from csgnn_dgl._foreign import parse_integer

    numbers = [parse_integer(name) for name in names]
    if None in numbers:
        raise ConfigError(f"--seeds is {text!r}, but it must be whole numbers, such as 0,1,2")
    return tuple(number for number in numbers if number is not None)


class _Compare(click.Command):
    """The command, which has others beside its tables: ``compare figures``, ``compare curve``."""

    @property
    def others(self) -> dict[str, click.Command]:
        """The other commands by name; the reference has pages for them, too."""
        return _OTHERS

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        command = _OTHERS.get(args[0]) if args else None
        if command is None:
            return super().make_context(info_name, args, parent, **extra)
        return command.make_context(f"{info_name} {command.name}", args[1:], parent, **extra)


_OTHERS: dict[str, click.Command] = {str(c.name): c for c in (figures_command, curve_command)}


@click.command("compare", cls=_Compare, context_settings={"max_content_width": 100})
@click.argument("table", required=False)
@click.option(
    "--data", type=click.Path(path_type=Path), help="Folder with the data. Default: built-in data."
)
@click.option(
    "--preset",
    "size",
    type=click.Choice(SIZES),
    help="Size of the networks: the preset of this name of each system. Default: quick.",
)
@click.option(
    "--models",
    help="Systems, separated by commas, as the table or the folders of cells name them: "
    "csgnn improved, csgnn-c-1. Default: all of the table.",
)
@click.option("--protocols", help="Trainings: z, so3, none. Default: z,so3.")
@click.option(
    "--recipes",
    help=f"Optimisers and schedules ({', '.join(RECIPES)}): this package's, or those that each "
    f"system's authors published. With both, the better in validation is shown. Default: ours.",
)
@click.option("--seeds", help="Random seeds, separated by commas. Default: 0.")
@click.option(
    "--budget",
    type=float,
    help="Minutes of training for each cell: as many epochs as fit into them. With one thread, "
    "time of the processor counts, which other work does not change. Default: the epochs of each "
    "preset.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs of each training.")
@click.option("--up-axis", help="Axis that points up, x, y or z. Default: the data set's own.")
@click.option("--device", help="Lightning's accelerator: auto, cpu, gpu. Default: auto.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the comparison. Default: results/TABLE.",
)
@click.option("--only", help="Do one cell, such as 7/40, in this process; for job arrays.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    help="Only show what is in this folder of a comparison.",
)
@click.option("--list", "listed", is_flag=True, help="Only list the cells, and which are done.")
def compare_command(
    table: str | None,
    output: Path | None,
    only: str | None,
    report: Path | None,
    listed: bool,
    data: Path | None,
    **given: Any,
) -> int:
    """Train and test many systems under one protocol: TABLE is table1, table2, table3 or table4.

    Without --only, all cells of the table that are not done are done, one after the other; several
    processes may work on one folder. Calling the command again continues. Afterwards the folder
    holds the table as report.md, .csv, .tex and .json, and a picture.

    \b
    csgnn-dgl compare figures    draw the paper's figures of clouds, grids and structures
    csgnn-dgl compare curve      turn test shapes, and measure how the answers change
    """
    if report is not None:
        _refuse_beside_report()
        _report(Store.open(report))
        return 0
    if table is None:
        raise ConfigError(f"name a table: {', '.join(TABLES)}; or --report FOLDER")
    if table not in TABLES:
        raise ConfigError(f"there is no table {table!r}: {suggest(table, [*TABLES, *_OTHERS])}")
    if given["models"] is not None:
        given["models"] = TABLES[table].names(given["models"])
    given["protocols"] = _names(given["protocols"])
    given["recipes"], given["seeds"] = _names(given["recipes"]), _seeds(given["seeds"])
    given["data"] = None if data is None else str(data)
    chosen = {key: value for key, value in given.items() if value is not None}
    folder = output or Path("results") / table
    # Without options, a comparison that was begun goes on as it was.
    known = (folder / "compare.json").is_file() and not chosen
    settings = Store.open(folder).settings if known else Settings(table, **chosen)
    if settings.table != table:
        raise ConfigError(f"{folder} holds {settings.table}, not {table}; choose another --output")
    planned = Store.planned(folder, settings)
    if listed:
        _list(planned)
        return 0
    cell = None if only is None else settings.cell(only)
    from csgnn_dgl.compare.runner import do_cell, do_missing

    if cell is not None:
        from csgnn_dgl.tasks import allocator

        allocator.keep_freed_memory()
        return 0 if do_cell(Store.create(folder, settings), cell, _note) else 1
    if any(planned.result(cell) is None for cell in settings.cells()):
        from csgnn_dgl.compare.check import check_data

        # Before the folder is made, so that its settings can still be corrected.
        check_data(settings)
    store = Store.create(folder, settings)
    with shown(True):
        failures = do_missing(store, _note)
    try:
        _report(store)
    finally:
        # Without any result there is no report, and the reason is then in these lines.
        if failures:
            count = f"{len(failures)} of {len(settings.cells())} cells"
            click.echo("\n  ".join([f"error: {count} failed:", *failures]), err=True)
    return 1 if failures else 0


def _refuse_beside_report() -> None:
    """Refuse what says how to train and test, where only results are shown."""
    context = click.get_current_context()
    others = [
        parameter.opts[0] if isinstance(parameter, click.Option) else parameter.human_readable_name
        for parameter in context.command.params
        if parameter.name != "report"
        and context.get_parameter_source(str(parameter.name)) is not ParameterSource.DEFAULT
    ]
    if others:
        raise ConfigError(
            f"--report FOLDER shows what is there, under the settings of the folder, so it takes "
            f"no {', '.join(others)}"
        )


def _note(line: str) -> None:
    write(line, err=True)


def _list(store: Store) -> None:
    cells = store.settings.cells()
    for number, cell in enumerate(cells, start=1):
        state = "done" if store.result(cell) is not None else store.failure(cell) or "missing"
        click.echo(f"{number}/{len(cells)} {cell.name}: {state}")


def _report(store: Store) -> None:
    from csgnn_dgl.compare.report import write_report

    paths = write_report(store)
    click.echo(paths[0].read_text(encoding="utf-8"))
    for path in paths:
        click.echo(str(path), err=True)

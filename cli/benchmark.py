"""``csgnn-dgl benchmark``."""

from __future__ import annotations

from pathlib import Path

import click

from csgnn_dgl._progress import shown, working, write

__all__ = ["benchmark_command"]


@click.command(context_settings={"max_content_width": 100, "show_default": True})
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("benchmark-results"),
    help="Folder for results.json and scaling.png.",
)
@click.option(
    "--section",
    "sections",
    default="",
    help="Measure only these, separated by commas: machine, step, memory, kernels, mapping, "
    "scaling, atoms. The folder's results of other sections are kept.",
    show_default=False,
)
@click.option(
    "--threads", type=click.IntRange(min=1), help="Threads of each process. Default: all cores."
)
@click.option("--repeats", type=click.IntRange(min=1), default=7, help="Calls per median.")
@click.option(
    "--clock",
    type=click.Choice(["wall", "cpu"]),
    default="wall",
    help="wall: elapsed time. cpu: processor time, for one thread on a machine with other work.",
)
@click.option("--quick", is_flag=True, help="Use small sizes, to see that everything runs.")
def benchmark_command(
    output: Path, sections: str, threads: int | None, repeats: int, clock: str, quick: bool
) -> None:
    """Measure this toolkit against plain DGL, plain PyTorch Geometric and a lower bound.

    A full run takes about ten minutes; each section can be run by itself. Nothing else should run
    on the machine at the same time. PyTorch Geometric is left out if it is not installed.
    """
    with shown(), working("measuring"):
        from csgnn_dgl._platform import usable_cores
        from csgnn_dgl.benchmarks.settings import Settings
        from csgnn_dgl.benchmarks.suite import run

        wanted = [name.strip() for name in sections.split(",") if name.strip()]
        threads = threads or usable_cores()
        settings = Settings(threads, repeats, "cpu" if clock == "cpu" else "wall", quick)
        run(output, settings, wanted, write)

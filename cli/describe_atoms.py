"""``csgnn-dgl describe-atoms``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from csgnn_dgl._progress import shown, working
from csgnn_dgl.cli.options import config_options
from csgnn_dgl.cli.outcome import echo_json, echo_line, finish_files
from csgnn_dgl.tasks.use_config import DescribeConfig

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from csgnn_dgl.datasets.atoms.structure import Structure
    from csgnn_dgl.tasks.dos.describe import Description
    from csgnn_dgl.tasks.files import FileResult

__all__ = ["describe_atoms_command"]

# Number of atoms to show, and of features to show for each.
_ROWS, _COLUMNS = 8, 6


@config_options(DescribeConfig)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def describe_atoms_command(
    config: DescribeConfig, given: set[str], files: tuple[Path, ...], as_json: bool
) -> int:
    """Describe every atom in structure FILES: CIF, POSCAR, extxyz, xyz and others that ASE reads.

    With --pool, describe each structure instead. Prints how each file was read. With --output, the
    descriptors are written with symbols, positions and units; without it, the first few are shown.
    A file that cannot be used does not stop the others. It is named at the end, and the exit status
    is 1, or 2 if no file can be used.
    """
    from csgnn_dgl.datasets.isolation import start_early

    start_early(len(files))
    with shown(config.progress), working("describing files", len(files), unit="file") as done:
        from csgnn_dgl.tasks.dos.describe import closing_lines, describe_files

        results = describe_files(files, config, done=done)
    if as_json:
        echo_json([_plain(r) for r in results])
    else:
        for result in results:
            _show(result, with_numbers=config.output is None)
        for line in closing_lines(config, results):
            click.echo(line)
        atoms = sum(len(value.features) for result in results for value in result.values)
        structures = sum(len(result.items) for result in results)
        where = f", written to {config.output}" if config.output is not None and atoms else ""
        what = f"{atoms} atoms of {structures} structures"
        if config.pool is not None:
            what = f"{structures} structures of {atoms} atoms"
        echo_line(f"{what} described by {config.weights}{where}")
    return finish_files([(r.file, r.error) for r in results])


def _notes(structure: Structure, value: Description) -> tuple[str, ...]:
    return (*structure.warnings, *value.notes)


def _show(result: FileResult[Structure, Description], *, with_numbers: bool) -> None:
    if result.error is not None:
        echo_line(f"{result.file}: cannot be used")
    for structure, value in zip(result.items, result.values, strict=True):
        echo_line(f"{structure.source}: {structure.summary}")
        if value.scores is not None:
            echo_line(f"  {value.scores.text}")
        for note in _notes(structure, value):
            echo_line(f"  warning: {note}")
        if not with_numbers:
            continue
        if value.pooled is not None:
            _show_row(" " * 8, value.pooled)
            click.echo(f"  1 structure × {len(value.pooled)} numbers; write all with -o FILE")
            continue
        symbols = structure.atoms.get_chemical_symbols()
        for atom, row in enumerate(value.features[:_ROWS]):
            _show_row(f"{atom:>5} {symbols[atom]:<2}", row)
        shape = f"{len(symbols)} atoms × {value.features.shape[1]} numbers"
        click.echo(f"  {shape}; write all of them with -o FILE")


def _show_row(name: str, row: npt.NDArray[np.float32]) -> None:
    numbers = " ".join(f"{number:8.4f}" for number in row[:_COLUMNS])
    click.echo(f"  {name} {numbers} …")


def _plain(result: FileResult[Structure, Description]) -> dict[str, object]:
    return {
        "file": str(result.file),
        "error": result.error,
        "structures": [
            {
                "source": structure.source,
                "formula": structure.atoms.get_chemical_formula(),
                "sites": len(structure.atoms),
                "reader": structure.reader,
                "warnings": list(_notes(structure, value)),
                "features": value.features.shape[1],
                "pooled_features": None if value.pooled is None else len(value.pooled),
                "out_of_domain_score": value.scores and value.scores.structure,
                "outside_domain": value.scores and value.scores.outside,
                "atom_scores": value.scores and value.scores.atoms.round(6).tolist(),
            }
            for structure, value in zip(result.items, result.values, strict=True)
        ],
    }

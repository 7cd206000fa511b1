"""Make crystals with displaced atoms, and diamonds, for the weights ``carbon-all``.

    python benchmarks/displaced_carbon.py data/carbon24 --to data/displaced-structures

writes ``train.extxyz`` and ``validation.extxyz``, to be labelled by ``data make carbon-tb
--structures``. Structures found by random search are at minima of their energy; a model also has to
know what lies around these. Copies for training are made of those structures of ``data/carbon24``
that ``data join`` keeps for training, and copies for validation of those that it holds out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ase.io
import click
import numpy as np
from ase import Atoms
from ase.build import bulk

from csgnn_dgl.datasets.atoms.dos import DOSRecord
from csgnn_dgl.datasets.atoms.loading import load_dos_dataset
from csgnn_dgl.tasks.dos.config import TrainDOSConfig

# Lattice constants of diamond [Å], and largest standard deviation of displacements [Å].
LATTICE, DISPLACEMENT = (3.4, 3.75), 0.12
# Copies and diamonds of each split.
TRAINING, VALIDATION = (388, 60), (49, 15)


def displaced(record: DOSRecord, rng: np.random.Generator) -> Atoms:
    """A copy of a structure with displaced atoms."""
    atoms = record.atoms.copy()
    atoms.info = {"group": "displaced"}
    atoms.rattle(rng.uniform(0.02, DISPLACEMENT), rng=rng)
    return atoms


def diamond(rng: np.random.Generator) -> Atoms:
    """A cell of eight atoms of diamond with displaced atoms."""
    atoms = bulk("C", "diamond", rng.uniform(*LATTICE), cubic=True)
    atoms.info = {"group": "diamond"}
    atoms.rattle(rng.uniform(0, DISPLACEMENT), rng=rng)
    return atoms


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True))
@click.option("--to", "destination", type=click.Path(path_type=Path), required=True)
def main(data: Path, destination: Path) -> None:
    """Make structures from those of DATA."""
    dataset = load_dos_dataset(data, seed=0)
    kept, held = dataset.split_validation(TrainDOSConfig().validation_fraction, 0)
    rng = np.random.default_rng(1)

    def made(records: Sequence[DOSRecord], copies: int, diamonds: int) -> list[Atoms]:
        chosen = rng.choice(len(records), copies, replace=False)
        first = [displaced(records[index], rng) for index in chosen]
        return first + [diamond(rng) for _ in range(diamonds)]

    destination.mkdir(parents=True, exist_ok=True)
    ase.io.write(destination / "train.extxyz", made(kept, *TRAINING))
    ase.io.write(destination / "validation.extxyz", made(held, *VALIDATION))


if __name__ == "__main__":
    main()

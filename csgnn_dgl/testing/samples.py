"""Small clouds, structures and data sets that are made here, in which nothing is symmetric."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols
from torch import Tensor

from csgnn_dgl.mapping import normalize_clouds

__all__ = ["random_clouds", "random_structures", "write_dos_folder", "write_shape_folder"]

_STRETCH = {"rod": (1, 0.2, 0.1), "disc": (1, 0.9, 0.1), "ball": (1, 0.9, 0.8)}


def random_clouds(batch: int = 3, points: int = 64, *, seed: int = 0) -> Tensor:
    """Clouds of no symmetry within the unit ball, shape ``(batch, points, 3)``, float64.

    Examples
    --------
    >>> random_clouds(2, 10).shape
    torch.Size([2, 10, 3])
    """
    generator = torch.Generator().manual_seed(seed)
    cloud = torch.randn(batch, points, 3, dtype=torch.float64, generator=generator)
    stretch = torch.rand(batch, 1, 3, dtype=torch.float64, generator=generator) + 0.3
    return normalize_clouds(cloud * stretch + 0.2)


def write_shape_folder(
    folder: Path, *, per_class: int = 6, tested: int = 4, points: int = 64, seed: int = 0
) -> Path:
    """Write a data set of rods, discs and balls, as ``csgnn-dgl train modelnet`` reads it.

    Parameters
    ----------
    folder
        Where.
    per_class
        Clouds for training of each class.
    tested
        Clouds for testing of each class.
    points
        Points of a cloud.
    seed
        Random seed.
    """
    rng = np.random.default_rng(seed)
    for name, stretch in _STRETCH.items():
        for split, count in (("train", per_class), ("test", tested)):
            place = folder / name / split
            place.mkdir(parents=True)
            for index in range(count):
                np.save(place / f"{name}-{index}.npy", rng.normal(size=(points, 3)) * stretch)
    return folder


def random_structures(elements: Sequence[int], *, seed: int = 0) -> list[Atoms]:
    """A crystal and two clusters of these elements, off symmetry.

    Examples
    --------
    >>> [len(atoms) for atoms in random_structures([6, 14])]
    [8, 5, 3]
    """
    rng = np.random.default_rng(seed)
    crystal = _crystal(elements, 4.1, cubic=True)
    crystal.rattle(0.08, rng=rng)
    clusters = []
    for size in (5, 3):
        # Well apart: no two atoms may lie at one place.
        corners = rng.permutation(27)[:size]
        places = 1.6 * np.stack(np.unravel_index(corners, (3, 3, 3)), axis=1)
        numbers = [elements[i % len(elements)] for i in range(size)]
        clusters.append(Atoms(numbers, places + rng.uniform(-0.3, 0.3, (size, 3))))
    return [crystal, *clusters]


def write_dos_folder(
    folder: Path, elements: Sequence[int], *, train: int = 16, test: int = 4, seed: int = 0
) -> Path:
    """Write crystals with made-up densities of states, as ``csgnn-dgl train dos`` reads them.

    The curve of a crystal is a peak that follows its lattice constant.

    Parameters
    ----------
    folder
        Where.
    elements
        Atomic numbers.
    train, test
        How many crystals.
    seed
        Random seed.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    energies = -10 + 0.5 * np.arange(41)
    for name, count in (("train", train), ("test", test)):
        frames = []
        for index in range(count):
            lattice = rng.uniform(3.6, 4.4)
            # Pure crystals, and mixed ones where there are several elements.
            atoms = _crystal(elements if index % 2 else elements[:1], lattice)
            atoms.rattle(0.05, rng=rng)
            centre = -8 + 4 * (lattice - 3.6)
            atoms.info["dos"] = 4 * np.exp(-((energies - centre) ** 2) / 2) / np.sqrt(2 * np.pi)
            atoms.info["electrons"] = 2.0
            frames.append(atoms)
        ase.io.write(folder / f"{name}.extxyz", frames, format="extxyz")
    content = {
        "quantity": "electronic density of states",
        "energies": energies.tolist(),
        "unit": "eV",
        "zero": "vacuum level",
        "dos_unit": "states/eV/atom",
    }
    (folder / "grid.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def _crystal(elements: Sequence[int], lattice: float, *, cubic: bool = False) -> Atoms:
    """Diamond's structure, with elements in turn: zinc blende for two."""
    from ase.build import bulk

    atoms = bulk("C", "diamond", lattice, cubic=cubic)
    symbols = [chemical_symbols[elements[i % len(elements)]] for i in range(len(atoms))]
    atoms.set_chemical_symbols(symbols)
    return atoms

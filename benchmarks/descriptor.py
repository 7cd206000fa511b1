"""Measure the speed of describing atoms against DScribe's SOAP, on the same structures in one run.

    python benchmarks/descriptor.py [--weights NAME|RUN] [--files FILE...] [--json OUT]

The structures are one cell of 1,000 atoms, 100 small cells, and those in ``--files``. SOAP has our
cutoff and only the elements of each structure, which is the least work for it. Without trained
weights, an untrained model of the paper's sizes is timed; its speed is the same.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from ase.data import chemical_symbols, reference_states

from csgnn_dgl.datasets.atoms.structures import read_structures
from csgnn_dgl.descriptor import AtomDescriptor
from csgnn_dgl.errors import CheckpointError
from csgnn_dgl.models import AtomCSGNN, AtomCSGNNHypers, DOSModel
from csgnn_dgl.tasks.weights import Header, save_weights

SIMPLE = ("fcc", "bcc", "hcp", "diamond")


def large_cell() -> Atoms:
    """A thousand atoms of rock salt, displaced from their sites at random."""
    atoms = bulk("NaCl", "rocksalt", 5.64, cubic=True) * (5, 5, 5)
    atoms.rattle(0.05, seed=0)
    return atoms


def small_structures(count: int = 100) -> list[Atoms]:
    """Elements in their simple structures, in cells of one to eight atoms."""
    usual = [
        chemical_symbols[number]
        for number, state in enumerate(reference_states[:95])
        if state is not None and state.get("symmetry") in SIMPLE and "basis" not in state
    ]
    # bulk() cannot build some of these.
    usual = [symbol for symbol in usual if _is_simple(symbol)]
    found = []
    for index in range(count):
        atoms = bulk(usual[index % len(usual)]) * (1 + index % 2, 1 + index % 3, 1)
        atoms.rattle(0.05, seed=index)
        found.append(atoms)
    return found


def _is_simple(symbol: str) -> bool:
    try:
        bulk(symbol)
    except ValueError:
        return False
    return True


def untrained(folder: Path, elements: Sequence[int]) -> Path:
    """Write weights of an untrained model of the paper's sizes, for the given elements."""
    hypers, head = AtomCSGNNHypers(), {"bins": 51}
    network = DOSModel(AtomCSGNN(hypers, tuple(elements)), **head)
    data = {
        "grid": {"start": 0.0, "step": 20.0, "size": 51, "unit": "cm^-1", "zero": "none"},
        "quantity": "phonon",
        "dos_unit": "1",
    }
    path = folder / "untrained.safetensors"
    model = {"name": "csgnn", "hypers": hypers.model_dump(), "elements": list(elements)}
    save_weights(path, network.state_dict(), Header("dos", model, head, data=data))
    return path


def soap(cutoff: float) -> Callable[[Sequence[Atoms]], object]:
    """Make a function that computes SOAP of all atoms with DScribe."""
    from dscribe.descriptors import SOAP

    def call(structures: Sequence[Atoms]) -> list[np.ndarray]:
        return [
            SOAP(
                species=sorted(set(atoms.get_chemical_symbols())),
                periodic=bool(atoms.pbc.any()),
                r_cut=cutoff,
                n_max=8,
                l_max=6,
            ).create(atoms)
            for atoms in structures
        ]

    return call


def median_seconds(call: Callable[[], object], repeats: int) -> float:
    """Median time of a call, after one call that is not counted."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="phonon-dos")
    parser.add_argument("--files", nargs="*", type=Path, default=[])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    loads = {"1000-atom cell": [large_cell()], "100 small": small_structures()}
    if options.files:
        loads["files"] = [
            s.atoms for file in options.files for s in read_structures(file, occupancy="majority")
        ]
    elements = sorted({int(n) for load in loads.values() for a in load for n in a.numbers})
    with tempfile.TemporaryDirectory() as folder:
        try:
            ours = AtomDescriptor(options.weights, device=options.device)
            weights = options.weights
        except CheckpointError as error:
            print(f"{error}\nan untrained model of the paper's sizes is timed instead")
            ours = AtomDescriptor(untrained(Path(folder), elements), device=options.device)
            weights = "untrained, level 3"
    try:
        peer = soap(ours.cutoff)
    except ImportError as error:
        peer = None
        print(f"SOAP is left out: {error}; pip install 'csgnn-dgl[bench]'")
    figures: dict[str, object] = {
        "weights": weights,
        "cutoff_angstrom": ours.cutoff,
        "features": ours.get_number_of_features(),
        "threads": torch.get_num_threads(),
        "machine": platform.processor() or platform.machine(),
        "repeats": options.repeats,
    }
    for name, structures in loads.items():
        atoms = sum(map(len, structures))
        rates = {
            "csgnn": atoms / median_seconds(lambda s=structures: ours.create(s), options.repeats)
        }
        if peer is not None:
            rates["soap"] = atoms / median_seconds(lambda s=structures: peer(s), options.repeats)
        entry = {
            "structures": len(structures),
            "atoms": atoms,
            **{f"{key}_atoms_per_second": round(rate, 1) for key, rate in rates.items()},
        }
        if "soap" in rates:
            entry["ratio"] = round(rates["csgnn"] / rates["soap"], 3)
        figures[name] = entry
        print(f"{name}: {entry}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

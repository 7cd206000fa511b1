"""Measure the speed of describing atoms against DScribe's SOAP, on the same structures in one run.

    OMP_NUM_THREADS=1 python benchmarks/descriptor.py [--weights NAME|RUN] [--json OUT]

The structures are one cell of 1,000 atoms, 100 small cells, and those in ``--files``. SOAP has our
cutoff and only the elements of each structure, which is the least work for it. Without trained
weights, an untrained model of the paper's sizes is timed; its speed is the same. Times are those of
the processor, since other work on the machine does not count then, and calls take turns. Ratios are
medians over the turns.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from ase.data import chemical_symbols, reference_states

from csgnn_dgl.datasets.atoms.structures import read_structures
from csgnn_dgl.descriptor import AtomDescriptor
from csgnn_dgl.errors import CheckpointError
from csgnn_dgl.mapping.neighbors import find_neighbors
from csgnn_dgl.models import AtomCSGNN, AtomCSGNNHypers, DOSModel
from csgnn_dgl.tasks.weights import Header, save_weights

# Atoms that the network computes at once in these measurements.
_AT_ONCE = 1024
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


def alternated(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Processor times of calls that take turns [s], after one round that is not counted.

    Other work on the machine, which comes and goes, slows all calls of a round down alike.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(repeats + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            if round_:
                times[name].append(time.process_time() - start)
    return times


def parts_of(ours: AtomDescriptor, structures: Sequence[Atoms], repeats: int) -> dict[str, float]:
    """Processor time of the parts of describing structures [ms]."""
    trained = ours._trained
    weight = next(trained.model.parameters())
    found = find_neighbors(structures, trained.cutoff)
    ready = [part.to("cpu", weight.dtype) for part in found.chunks(_AT_ONCE)]
    fingerprints = trained._fingerprint_of(found).numpy()

    def network() -> None:
        with torch.no_grad():
            for part in ready:
                trained.model.describe(part)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "all.extxyz"
        ase.io.write(path, list(structures))
        calls: dict[str, Callable[[], object]] = {
            "reading": lambda: read_structures(path),
            "neighbours": lambda: find_neighbors(structures, trained.cutoff),
            "mapping_and_network": network,
            "fingerprints": lambda: list(map(trained._fingerprint_of, found.chunks(128))),
            "scores": lambda: trained.domain and trained.domain.nearest(fingerprints),
        }
        times = alternated(calls, repeats)
    return {name: round(1e3 * statistics.median(values), 2) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="phonon-dos")
    parser.add_argument("--files", nargs="*", type=Path, default=[])
    parser.add_argument("--repeats", type=int, default=7)
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
            name = options.weights
            ours = AtomDescriptor(name, device=options.device)
            plain = AtomDescriptor(name, device=options.device, check_domain=False)
            weights = options.weights
        except CheckpointError as error:
            print(f"{error}\nan untrained model of the paper's sizes is timed instead")
            ours = plain = AtomDescriptor(untrained(Path(folder), elements), device=options.device)
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
        calls: dict[str, Callable[[], object]] = {
            "csgnn": lambda s=structures: ours.create(s),
            "csgnn_without_scores": lambda s=structures: plain.create(s),
        }
        if peer is not None:
            calls["soap"] = lambda s=structures: peer(s)
        times = alternated(calls, options.repeats)
        entry: dict[str, object] = {
            "structures": len(structures),
            "atoms": atoms,
            **{
                f"{key}_atoms_per_second": round(atoms / statistics.median(values), 1)
                for key, values in times.items()
            },
        }
        if peer is not None:
            for key, ratio in (
                ("csgnn", "ratio"),
                ("csgnn_without_scores", "ratio_without_scores"),
            ):
                pairs = zip(times["soap"], times[key], strict=True)
                entry[ratio] = round(statistics.median(a / b for a, b in pairs), 2)
        entry["milliseconds"] = parts_of(ours, structures, options.repeats)
        figures[name] = entry
        print(f"{name}: {entry}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Densities of states beside what they must beat, in one run: same data, head and budget.

    python benchmarks/dos.py --data data/carbon-tb --preset quick --output runs/dos-benchmark

Trains (1) the model of ``csgnn-dgl train dos``, (2) the same with a single channel, ``C = 1``,
(3) the same head on a hand-crafted fingerprint of the AGNI type, and (4) takes the mean curve of
each type of structure. Prints the errors on the test structures, and writes them as JSON and CSV.
"""

from __future__ import annotations

import time

import click
import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from csgnn_dgl._files import atomic_write_json, atomic_write_text
from csgnn_dgl.cli.options import config_options
from csgnn_dgl.datasets.atoms.dos import DOSDataset
from csgnn_dgl.datasets.atoms.loading import load_dos_dataset
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.mapping.neighbors import Neighbors
from csgnn_dgl.models import AtomEncoderConfig, DOSModel
from csgnn_dgl.tasks import allocator
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.dos.evaluate import compare_curves, predict_curves, summarize
from csgnn_dgl.tasks.dos.task import dos_config
from csgnn_dgl.tasks.dos.train import dos_header, fit_model, report
from csgnn_dgl.tasks.dos.trained import TrainedDOS
from csgnn_dgl.tasks.training import new_run, seed_weights


class AGNIEncoder(nn.Module):
    r"""A hand-crafted, rotation-invariant fingerprint of every atom, in place of the grid.

    The scalar, vector and tensor sums over neighbours of Botu et al. (J. Phys. Chem. C 121, 511,
    2017, doi 10.1021/acs.jpcc.6b10908), as Chandrasekaran et al. (npj Comput. Mater. 5, 22, 2019,
    doi 10.1038/s41524-019-0162-7) use them for densities of states:

    .. math:: S_k = \sum_j e^{-r^2/2\sigma_k^2} f, \quad
              V_k^a = \sum_j \frac{r^a}{2\sigma_k^2} e^{…} f, \quad
              T_k^{ab} = \sum_j \frac{r^a r^b}{4\sigma_k^4} e^{…} f

    of which :math:`S`, :math:`|V|` and the three invariants of :math:`T` are kept, standardised,
    and projected to as many features as the grid gives.
    """

    def __init__(self, config: AtomEncoderConfig, widths: int = 32) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("sigma", torch.logspace(-0.6, 0.85, widths), persistent=False)
        self.standard = nn.BatchNorm1d(5 * widths)
        self.project = nn.Linear(5 * widths, config.features)
        self.norm = nn.BatchNorm1d(config.features)

    def fingerprint(self, neighbors: Neighbors) -> Tensor:
        """Shape ``(A, 5 · widths)``."""
        r = neighbors.displacements
        distance = r.norm(dim=1)
        fade = (1 + torch.cos(torch.pi * distance / self.config.cutoff)) / 2
        weight = torch.exp(-(distance[:, None] ** 2) / (2 * self.sigma**2)) * fade[:, None]
        size = (neighbors.n_atoms, len(self.sigma))
        index = neighbors.centres
        scalar = weight.new_zeros(size).index_add(0, index, weight)
        vector = weight.new_zeros(*size, 3).index_add(
            0, index, (weight / (2 * self.sigma**2))[:, :, None] * r[:, None, :]
        )
        outer = (r[:, :, None] * r[:, None, :]).flatten(1)
        tensor = weight.new_zeros(*size, 9).index_add(
            0, index, (weight / (4 * self.sigma**4))[:, :, None] * outer[:, None, :]
        )
        t = tensor.view(*size, 3, 3)
        trace = t.diagonal(dim1=-2, dim2=-1).sum(-1)
        minors = (trace**2 - (t @ t).diagonal(dim1=-2, dim2=-1).sum(-1)) / 2
        invariants = [scalar, vector.norm(dim=-1), trace, minors, torch.linalg.det(t)]
        # They span many orders of magnitude.
        return torch.cat([torch.asinh(value) for value in invariants], dim=1)

    def forward(self, neighbors: Neighbors) -> Tensor:
        """Descriptors of all atoms of a batch."""
        return F.relu(self.norm(self.project(self.standard(self.fingerprint(neighbors)))))


def _group_means(dataset: DOSDataset) -> np.ndarray:
    """For every test structure, the mean training curve of its type."""
    groups = pd.Series([record.group for record in dataset.train])
    curves = np.array([record.dos for record in dataset.train])
    by_group = groups.groupby(groups).groups
    means = {name: curves[np.array(rows)].mean(axis=0) for name, rows in by_group.items()}
    return np.array([means[record.group] for record in dataset.test])


def _models(
    config: TrainDOSConfig, dataset: DOSDataset
) -> dict[str, tuple[TrainDOSConfig, DOSModel]]:
    """Name → options and untrained model."""
    single = config.model_copy(update={"channels": 1})
    seed_weights(config.seed)
    agni = DOSModel(dos_config(config, dataset))
    # Another encoder with the same call takes the place of the declared one.
    agni.atoms = AGNIEncoder(agni.config.atoms)  # type: ignore[assignment]
    seed_weights(config.seed)
    ours = DOSModel(dos_config(config, dataset))
    seed_weights(config.seed)
    return {
        f"concentric grid, C = {config.channels}": (config, ours),
        "concentric grid, C = 1": (single, DOSModel(dos_config(single, dataset))),
        "AGNI-type fingerprint": (config, agni),
    }


@config_options(TrainDOSConfig)
@click.option("--votes", default=1, show_default=True, help="Orientations per test structure.")
def main(config: TrainDOSConfig, given: set[str], votes: int) -> None:
    """Train the model and its alternatives, and compare them on the test structures."""
    allocator.keep_freed_memory()
    if config.output is None:
        raise ConfigError("name a folder for the results: --output")
    dataset = load_dos_dataset(config.data, seed=config.seed)
    if not dataset.test:
        raise ConfigError(f"{dataset.source} has no test structures")
    tables, seconds = {}, {}
    for number, (name, (options, model)) in enumerate(_models(config, dataset).items()):
        click.echo(f"== {name}")
        chosen = options.model_copy(update={"output": config.output / f"model-{number}"})
        started = time.perf_counter()
        with new_run(chosen, "dos") as run:
            done = fit_model(run, chosen, dataset, model, click.echo)
            if done is not None and "grid" in name:
                report(run, chosen, dataset, *done[1:])
        assert done is not None
        seconds[name] = time.perf_counter() - started
        trained = TrainedDOS(done[0].kept.eval(), dos_header(dataset, model.config), config.output)
        # A fingerprint of invariants has no orientation to average over.
        count = votes if "grid" in name else 1
        curves = predict_curves(trained, [r.atoms for r in dataset.test], votes=count)
        tables[name] = summarize(compare_curves(dataset.test, curves, dataset.grid))
    tables["mean curve of the type"] = summarize(
        compare_curves(dataset.test, _group_means(dataset), dataset.grid)
    )
    shown = pd.DataFrame(
        {name: table.set_index("type")["band_energy_mae"] for name, table in tables.items()}
    )
    click.echo(f"\nband energy, mean absolute error [{dataset.grid.unit}/atom]")
    click.echo(shown.to_string(float_format=lambda value: f"{value:.4f}"))
    overall = shown.loc["all"]
    best = overall.iloc[1:].min()
    click.echo(
        f"\n{overall.index[0]}: {overall.iloc[0]:.4f}, "
        f"{100 * (1 - overall.iloc[0] / best):.0f} % below the best alternative "
        f"({overall.iloc[1:].idxmin()})"
    )
    atomic_write_text(config.output / "band-energy.csv", shown.to_csv())
    atomic_write_json(
        config.output / "results.json",
        {
            "data": dataset.source,
            "fingerprint": dataset.fingerprint,
            "threads": torch.get_num_threads(),
            "votes": votes,
            "seconds": seconds,
            "tables": {name: table.fillna(0).to_dict("records") for name, table in tables.items()},
        },
    )


if __name__ == "__main__":
    main()

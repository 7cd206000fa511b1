"""What frozen embeddings of shapes are worth, and what they save in fine-tuning.

    python benchmarks/shape_embedding.py --weights shapes --shrec11 DATA/shrec11 \\
        --modelnet10 DATA/modelnet10_hdf5 --output benchmarks/results/shape-embedding/results.json

For each data set, every shape has its own random rotation (SO(3)), and embeddings are averaged over
4 votes. On the frozen embeddings are measured

- a linear probe: scikit-learn's logistic regression on standardised embeddings, whose C is chosen
  on a part of the training split that is held out for it;
- a nearest-neighbour probe: the class of the training shape with the largest cosine similarity of
  embeddings as they are, and of embeddings standardised by the training split;
- retrieval: mean average precision of ranking the other shapes of the test split, and of the whole
  set, by cosine similarity of embeddings as they are.

An untrained network of the same architecture is measured beside the weights. With ``--fine-tune``,
``train modelnet --init-from WEIGHTS`` with few shapes of each class is measured against the same
training from scratch. The test split is used for nothing but the figures.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from csgnn_dgl import __version__
from csgnn_dgl._files import atomic_write_json
from csgnn_dgl.datasets.shapes import ShapeDataset, ShapeSplit, load_dataset
from csgnn_dgl.models import Classifier
from csgnn_dgl.models.registry import find_class
from csgnn_dgl.tasks import allocator
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.describe import load_describer
from csgnn_dgl.tasks.classes.embedding import embed_shapes
from csgnn_dgl.tasks.classes.evaluate import evaluate
from csgnn_dgl.tasks.classes.similar import random_average_precision, rank
from csgnn_dgl.tasks.classes.train import train
from csgnn_dgl.tasks.classes.trained import TrainedClassifier, classifier_network
from csgnn_dgl.tasks.classes.vote import embed
from csgnn_dgl.tasks.use_config import EvaluateConfig

Floats = npt.NDArray[np.float64]

# Inverse strengths of the regularisation of the linear probe. The held-out part chooses one.
STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
# Share of the training split on which it does so.
HELD_OUT = 0.2
# Training of all fine-tunings, by shapes of each class.
EPOCHS = {1: 60, 4: 60, 16: 40}


@dataclass(frozen=True)
class Embedded:
    """Embeddings and labels of a data set."""

    train: Floats
    train_labels: npt.NDArray[np.int64]
    test: Floats
    test_labels: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.int64]

    def standardised(self) -> tuple[Floats, Floats]:
        """Features of both splits, standardised by the training split."""
        scaler = StandardScaler().fit(self.train)
        return scaler.transform(self.train), scaler.transform(self.test)


def embed_split(
    embedding: Callable[..., torch.Tensor], split: ShapeSplit, points: int, votes: int, seed: int
) -> Floats:
    """Embeddings of the shapes of a split, each in a random orientation of its own."""
    found = embedding(
        split.clouds[:, :points],
        votes=votes,
        seed=seed,
        rotation="so3",
        unrotated_first=False,
        same_for_all=False,
    )
    return np.asarray(found.numpy())


def embed_data(
    embedding: Callable[..., torch.Tensor], data: ShapeDataset, points: int, votes: int, seed: int
) -> Embedded:
    """Embed both splits; name the training shapes that are held out for choosing settings."""
    _, held_out = data.split_validation(HELD_OUT, seed)
    place = {name: index for index, name in enumerate(data.train.names)}
    return Embedded(
        embed_split(embedding, data.train, points, votes, seed),
        data.train.labels.numpy(),
        embed_split(embedding, data.test, points, votes, seed + 1),
        data.test.labels.numpy(),
        np.array([place[name] for name in held_out.names]),
    )


def _fitted(features: Floats, labels: npt.NDArray[np.int64], strength: float) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=strength, max_iter=1000).fit(features, labels)


def linear_probe(found: Embedded) -> dict[str, float]:
    """Accuracy of logistic regression on the test split, and the strength that was chosen."""
    held = np.zeros(len(found.train), dtype=bool)
    held[found.held_out] = True
    scaler = StandardScaler().fit(found.train[~held])
    inside, outside = scaler.transform(found.train[~held]), scaler.transform(found.train[held])
    labels = found.train_labels
    scores = [
        _fitted(inside, labels[~held], strength).score(outside, labels[held])
        for strength in STRENGTHS
    ]
    best = STRENGTHS[int(np.argmax(scores))]
    training, test = found.standardised()
    accuracy = _fitted(training, labels, best).score(test, found.test_labels)
    return {"accuracy": float(accuracy), "C": best, "held_out_accuracy": float(max(scores))}


def nearest_probe(found: Embedded, *, standardised: bool) -> float:
    """Share of test shapes whose most similar training shape is of their class."""
    given = found.standardised() if standardised else (found.train, found.test)
    training, test = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in given)
    nearest = (test @ training.T).argmax(axis=1)
    return float((found.train_labels[nearest] == found.test_labels).mean())


def retrieval(features: Floats, labels: npt.NDArray[np.int64]) -> dict[str, float]:
    """Mean average precision of ranking by similarity, and of a random order."""
    ranking = rank(torch.from_numpy(features), torch.from_numpy(labels))
    return {
        "mean_average_precision": float(np.nanmean(ranking.average_precision)),
        "nearest_neighbour": float(np.nanmean(ranking.nearest)),
        "random": random_average_precision(torch.from_numpy(labels)),
    }


def probes(
    embedding: Callable[..., torch.Tensor], data: ShapeDataset, points: int, votes: int, seed: int
) -> dict[str, Any]:
    """All measures of one embedding on one data set."""
    started = time.perf_counter()
    found = embed_data(embedding, data, points, votes, seed)
    seconds = time.perf_counter() - started
    together = np.concatenate([found.train, found.test])
    return {
        "features": found.train.shape[1],
        "linear": linear_probe(found),
        "nearest": nearest_probe(found, standardised=False),
        "nearest_standardised": nearest_probe(found, standardised=True),
        "retrieval_test": retrieval(found.test, found.test_labels),
        "retrieval_all": retrieval(
            together, np.concatenate([found.train_labels, found.test_labels])
        ),
        "milliseconds_per_shape": 1000 * seconds / len(together),
    }


def untrained(trained: TrainedClassifier, seed: int) -> Classifier:
    """A network of the same architecture with random weights."""
    torch.manual_seed(seed)
    model = find_class("shapes", trained.header.model["name"])
    hypers = model.Hypers(**trained.header.model["hypers"])
    classes = len(trained.header.class_names)
    return classifier_network(model, hypers, classes, trained.header.head).eval()


def fine_tuned(
    weights: str, data: Path, trained: TrainedClassifier, shots: int, votes: int, seed: int
) -> dict[str, float]:
    """Test accuracies after training with few shapes, from the weights and from scratch."""
    found = {}
    for name, start in (
        ("from_weights", {"init_from": weights}),
        ("from_scratch", {"hypers": dict(trained.header.model["hypers"])}),
    ):
        with tempfile.TemporaryDirectory() as folder:
            flags = {
                **start,
                "data": data,
                "model": trained.header.model["name"],
                "shapes_per_class": shots,
                "points": trained.points,
                "epochs": EPOCHS.get(shots, 40),
                "batch_size": 16,
                "learning_rate": 1e-3,
                "weight_decay": 1e-4,
                "label_smoothing": 0.1,
                "schedule": "one-cycle",
                "select": "last",
                "hidden": [128],
                "dropout": 0.2,
                "accelerator": "cpu",
                "seed": seed,
                "output": Path(folder) / "run",
                "progress": False,
            }
            run = train(TrainModelNetConfig.resolve(flags=flags))
            result = evaluate(run.path, EvaluateConfig(votes=votes, progress=False)).result
            found[name] = result.accuracy
    return found


def _shown(name: str, entry: dict[str, Any]) -> str:
    return (
        f"  {name:<10} linear {100 * entry['linear']['accuracy']:5.1f} %   "
        f"1-NN {100 * entry['nearest']:5.1f} % (standardised: "
        f"{100 * entry['nearest_standardised']:.1f} %)   "
        f"mAP {100 * entry['retrieval_test']['mean_average_precision']:5.1f} % (test), "
        f"{100 * entry['retrieval_all']['mean_average_precision']:5.1f} % (all)"
    )


@click.command(context_settings={"show_default": True})
@click.option("--weights", default="shapes", help="A shipped model, a run, or a file.")
@click.option("--shrec11", type=click.Path(path_type=Path), help="Folder of SHREC'11.")
@click.option("--modelnet10", type=click.Path(path_type=Path), help="Folder of ModelNet10.")
@click.option("--votes", default=4, help="Orientations to average over.")
@click.option("--seed", default=0, help="Random seed of rotations and of untrained weights.")
@click.option("--fine-tune", is_flag=True, help="Train with few shapes of each class, too.")
@click.option("--shots", default="1,4,16", help="Shapes of each class in these trainings.")
@click.option("--repeats", default=3, help="Trainings with other shapes, whose mean is taken.")
@click.option("--output", type=click.Path(path_type=Path), help="Write the figures to this JSON.")
def main(
    weights: str,
    shrec11: Path | None,
    modelnet10: Path | None,
    votes: int,
    seed: int,
    fine_tune: bool,
    shots: str,
    repeats: int,
    output: Path | None,
) -> None:
    """Measure probes of frozen embeddings, and fine-tuning, on SHREC'11 and ModelNet10."""
    allocator.keep_freed_memory()
    trained = load_describer(weights)
    embeddings = {
        "trained": partial(embed_shapes, trained),
        "untrained": partial(embed, untrained(trained, seed)),
    }
    results: dict[str, Any] = {
        "version": __version__,
        "weights": weights,
        "votes": votes,
        "seed": seed,
        "parameters": sum(p.numel() for p in trained.model.model.parameters()),
        "data": {},
    }
    for name, path in (("shrec11", shrec11), ("modelnet10", modelnet10)):
        if path is None:
            continue
        data = load_dataset(path, points=trained.points)
        entry: dict[str, Any] = {
            "fingerprint": data.fingerprint,
            "training_shapes": len(data.train),
            "test_shapes": len(data.test),
        }
        click.echo(f"{name}: {len(data.train)} training and {len(data.test)} test shapes")
        for which, embedding in embeddings.items():
            entry[which] = probes(embedding, data, trained.points, votes, seed)
            click.echo(_shown(which, entry[which]))
        if fine_tune:
            entry["fine_tuned"] = {}
            for few in map(int, shots.split(",")):
                each = [
                    fine_tuned(weights, path, trained, few, votes, seed + repeat)
                    for repeat in range(repeats)
                ]
                means = {key: float(np.mean([e[key] for e in each])) for key in each[0]}
                spread = {key: float(np.std([e[key] for e in each])) for key in each[0]}
                entry["fine_tuned"][f"{few} per class"] = {
                    **means,
                    "spread": spread,
                    "repeats": repeats,
                }
                click.echo(
                    f"  {few:>2} per class: {100 * means['from_weights']:.1f} % from the weights, "
                    f"{100 * means['from_scratch']:.1f} % from scratch"
                )
        results["data"][name] = entry
        if output is not None:
            atomic_write_json(output, results)


if __name__ == "__main__":
    main()

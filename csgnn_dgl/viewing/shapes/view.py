"""The page of a shape: its points, its sites, what the classifier says, and what that rests on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from csgnn_dgl._progress import shown, working
from csgnn_dgl.datasets.shapes.checks import cloud_notes
from csgnn_dgl.datasets.shapes.shape_files import load_cloud
from csgnn_dgl.grid import Icosphere
from csgnn_dgl.mapping import PointMapping
from csgnn_dgl.tasks.classes.clouds import reader_of
from csgnn_dgl.tasks.classes.predict import Prediction, predict
from csgnn_dgl.tasks.classes.trained import TrainedClassifier, load_classifier
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.viewing.config import ViewConfig
from csgnn_dgl.viewing.page import drawing_bytes, facts, pack, payload_bytes, write_page
from csgnn_dgl.viewing.shapes.attribution import attribute, find_mapping
from csgnn_dgl.viewing.shapes.layers import find_layers, mapped_layer, pack_layers

__all__ = ["write_view"]

# Classes for which the page shows what speaks for them.
_CLASSES = 5
_LEVEL, _SPHERES, _CHANNELS = 3, 8, 4


def write_view(
    file: Path, weights: Path | None, config: ViewConfig, path: Path
) -> tuple[list[str], int]:
    """Write the page of a shape; see :func:`~csgnn_dgl.viewing.view.view_file`.

    Returns
    -------
    tuple
        Lines to print, and the size of the page [bytes].
    """
    with shown(config.progress), working("making a page"):
        if weights is None:
            return _without_model(file, config, path)
        options = config.predicting(("votes", "seed"))
        trained = load_classifier(weights, choose_device(config.device), model=config.own_model)
        config.refuse_unused(("points",), f"{config.model} was trained on {trained.points} points")
        everything = options.model_copy(update={"top": len(trained.class_names)})
        (found,) = predict(str(config.model), [file], everything, trained=trained)
        # The same points as in the prediction, with the attributes that the model needs.
        (points,) = reader_of(trained, options.seed)(file)
        return _with_model(file, trained, found, points, config, path)


def _without_model(file: Path, config: ViewConfig, path: Path) -> tuple[list[str], int]:
    points = load_cloud(file, points=config.points, seed=config.seed)
    mapping = _own_mapping(config)
    notes = cloud_notes(points.numpy()[None], (file.name,))
    rows = [("file", file.name), ("points", len(points)), ("spheres", _describe(mapping))]
    payload = _payload(points, mapping, [mapped_layer(mapping, points)], {}, config)
    lines = [f"{file}: {len(points)} points"]
    return _write(path, file, rows, notes, payload, lines)


def _own_mapping(config: ViewConfig) -> PointMapping:
    level = _LEVEL if config.level is None else config.level
    spheres = _SPHERES if config.n_spheres is None else config.n_spheres
    return PointMapping(level, spheres, _CHANNELS)


def _describe(mapping: PointMapping) -> str:
    spheres = f"{mapping.n_spheres} of level {mapping.level} ({mapping.num_vertices} vertices each)"
    if len(set(mapping.levels)) > 1:
        levels = ", ".join(map(str, mapping.levels))
        spheres = f"{mapping.n_spheres} of the levels {levels}, from the innermost"
    return f"{spheres}; {mapping.channels} shells per sphere"


def _with_model(
    file: Path,
    trained: TrainedClassifier,
    found: Prediction,
    points: Tensor,
    config: ViewConfig,
    path: Path,
) -> tuple[list[str], int]:
    notes = list(found.warnings)
    mapping = find_mapping(trained.model)
    name = trained.header.model["name"]
    if mapping is None:
        notes.append(
            f"the model {name} does not work on concentric spheres; the sites are those of a "
            f"mapping that it does not use"
        )
        mapping = _own_mapping(config)
        layers = [mapped_layer(mapping, points[:, :3])]
    else:
        config.refuse_unused(("level", "n_spheres"), f"{config.model} has spheres of its own")
        layers = find_layers(trained.model, mapping, points)
    best, share = found.classes[0]
    index = [trained.class_names.index(entry) for entry, _ in found.classes[:_CLASSES]]
    shares = attribute(trained, points, index, votes=config.votes, seed=config.seed)
    if shares is None:
        notes.append(f"the scores of the model {name} have no gradient, so no points are marked")
    more: dict[str, Any] = {
        "classes": [entry for entry, _ in found.classes],
        "probabilities": [value for _, value in found.classes],
        "calibrated": found.calibrated,
        "outside": bool(found.outside),
        "shares": None if shares is None else pack(shares.values.astype(np.float32)),
        "method": "" if shares is None else shares.method,
    }
    doubt = "" if found.calibrated else " (not calibrated)"
    answer = f"{best}, {100 * share:.1f} %{doubt}"
    rows = [
        ("file", file.name),
        ("answer", best + " (probability unknown)" if found.outside else answer),
        ("out-of-domain score", _score(found.score)),
        ("points", len(points)),
        ("model", f"{config.model} ({name})"),
        ("trained on", f"{trained.header.data['name']}, {len(trained.class_names)} classes"),
        ("orientations", _orientations(config.votes)),
        ("spheres", _describe(mapping)),
    ]
    payload = _payload(points, mapping, layers, more, config)
    return _write(path, file, rows, notes, payload, [f"{file}: {rows[1][1]}"])


def _orientations(votes: int) -> str:
    return "1, as given" if votes == 1 else f"{votes}; features are those of the first, as given"


def _score(score: float | None) -> str:
    if score is None:
        return "unknown: the file of weights does not say what its model was trained on"
    return f"{score:.2f} ({'above 1: outside' if score > 1 else 'up to 1: inside'})"


def _payload(
    points: Tensor, mapping: PointMapping, layers: Any, more: dict[str, Any], config: ViewConfig
) -> dict[str, Any]:
    payload = {
        **more,
        "points": pack(points[:, :3].to(torch.float32).numpy()),
        "vertices": pack(Icosphere.get(mapping.level).vertices.astype(np.float32)),
        "spheres": mapping.n_spheres,
    }
    room = 1e6 * config.limit - drawing_bytes() - payload_bytes(payload)
    payload["layers"] = pack_layers(layers, room)
    return payload


def _write(
    path: Path,
    file: Path,
    rows: list[tuple[str, Any]],
    notes: Any,
    payload: dict[str, Any],
    lines: list[str],
) -> tuple[list[str], int]:
    notes = list(notes)
    left_out = sum(layer["channels"] - len(layer["kept"]) for layer in payload["layers"])
    if left_out:
        total = sum(layer["channels"] for layer in payload["layers"])
        notes.append(
            f"{left_out} of {total} channels, those that vary least, are left out to keep the page "
            f"small; --limit MB raises the limit"
        )
    warnings = facts([("warning", note) for note in notes], kind="facts warnings")
    size = write_page(
        path,
        title=file.name,
        name="shapes",
        payload=payload,
        facts=facts(rows),
        warnings=warnings,
    )
    return [*lines, *(f"  warning: {note}" for note in notes)], size

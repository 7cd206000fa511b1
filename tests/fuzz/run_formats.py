"""Files of a run: options, weights, checkpoints, results."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from csgnn_dgl.errors import CSGNNError
from csgnn_dgl.models import (
    AtomCSGNN,
    AtomCSGNNHypers,
    Classifier,
    DOSModel,
)
from csgnn_dgl.models.registry import find_class
from csgnn_dgl.tasks.checkpoint_io import AtomicCheckpointIO
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.trained import load_classifier
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.dos.trained import load_dos_model
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.use_config import PredictConfig
from csgnn_dgl.tasks.weights import Header, read_kind, save_weights
from tests.fuzz.atom_formats import diamond
from tests.fuzz.format import Format, Seed
from tests.fuzz.mutations import damage, in_safetensors, in_zip

__all__ = ["RUN_FORMATS"]


def _yaml() -> list[Seed]:
    shapes = TrainModelNetConfig.resolve(flags={"level": 1, "hidden": [16, 8]}).to_yaml()
    curves = TrainDOSConfig.resolve(flags={"cutoff": 4.0}).to_yaml()
    some = "preset: quick\nepochs: 3  # few\nhidden:\n  - 16\n  - 8\nlearning_rate: 1.0e-3\n"
    use = "votes: 3\nseed: 5\nstrict: true\ntop: 2\n"
    bomb = "a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\nd: [*c,*c,*c,*c]\n"
    texts = {"shapes": shapes, "dos": curves, "some-shapes": some, "use": use}
    seeds = [Seed.of(f"{name}.yaml", text) for name, text in texts.items()]
    return [*seeds, Seed.of("bomb-dos.yaml", bomb + "epochs: 3\n", sound=False)]


_CONFIGS = {"shapes": TrainModelNetConfig, "dos": TrainDOSConfig, "use": PredictConfig}


def _read_yaml(folder: Path, target: Path) -> None:
    kind = _CONFIGS[target.stem.split("-")[-1]]
    options: Any = kind.resolve(yaml_path=target)
    text = options.to_yaml()
    assert len(text) < 100_000, "options without end"
    again = folder / "again.yaml"
    again.write_text(text, encoding="utf-8")
    try:
        assert kind.resolve(yaml_path=again) == options, "options do not survive to_yaml"
    except CSGNNError as error:
        raise AssertionError(f"what was accepted is refused again: {error}") from error


_GRID = {"start": -10.0, "step": 0.5, "size": 11, "unit": "eV", "zero": "vacuum level"}


def _weights() -> list[Seed]:
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "model.safetensors"
        hypers = AtomCSGNNHypers(level=1, channels=2, base_width=2, features=4, cutoff=3.0)
        head: dict[str, Any] = {"bins": 11, "hidden": [4], "dropout": 0.0, "norm": "batch"}
        network = DOSModel(AtomCSGNN(hypers, (6,)), **head)
        network.head.calibrate(0.5 + 0.1 * torch.randn(64, 11))
        about = {"name": "csgnn", "elements": [6], "hypers": hypers.model_dump()}
        data = {"grid": _GRID, "quantity": "electronic", "dos_unit": "states/eV/atom"}
        data |= {"electrons_per_element": {"6": 4.0}, "fingerprint": "0" * 64}  # type: ignore[dict-item]
        save_weights(path, network.state_dict(), Header("dos", about, head, data=data))
        curves = path.read_bytes()
        found: Any = find_class("shapes", "csgnn")
        own = found.Hypers(level=1, n_spheres=2, channels=2, base_width=2)
        shapes = Classifier(found(own), 3, hidden=[4], dropout=0.0)
        about = {"name": "csgnn", "hypers": own.model_dump()}
        data = {"points": 16, "pool": 32, "up_axis": "z", "name": "x", "source": "y"}
        header = Header("classifier", about, {"hidden": [4], "dropout": 0.0}, ("a", "b", "c"), data)
        save_weights(path, shapes.state_dict(), header)
        return [Seed.of("dos.safetensors", curves), Seed.of("c.safetensors", path.read_bytes())]


def _read_weights(folder: Path, target: Path) -> None:
    kind = read_kind(target)
    trained: Any
    with torch.no_grad():
        if kind == "classifier":
            trained = load_classifier(target)
            assert min(trained.points, trained.pool) >= 1, "no points"
            points = torch.linspace(-1, 1, 48).reshape(1, 16, 3)
            scores = trained.model.eval()(points)
            assert scores.shape == (1, len(trained.class_names)), "scores of another shape"
            assert scores.isfinite().all(), "scores are not finite"
        else:
            trained = load_dos_model(target)
            assert trained.grid.size == trained.model.head.bins, "another grid"
            curves = trained.predict([diamond()])
            assert curves.shape == (1, trained.grid.size), "curves of another shape"
            assert np.isfinite(curves).all(), "curves are not finite"
    assert str(trained.fingerprint).isprintable(), "control characters"


def _checkpoint(**replaced: Any) -> dict[str, Any]:
    state = {"model.encoder.a": torch.ones(3), "model.head.weight": torch.zeros(2, 3)}
    return {
        "epoch": 3,
        "global_step": 12,
        "pytorch-lightning_version": "2.6.0",
        "state_dict": state,
        "current_model_state": dict(state),
        "averaging_state": {"n_averaged": torch.tensor(4)},
        "loops": {"fit_loop": {"epoch_progress": {"current": {"ready": 3, "completed": 3}}}},
        "callbacks": {
            "History": {"rows": [{"epoch": 0, "loss": 1.0}, {"epoch": 1, "loss": 0.5}]},
            "KeepWeights": {"best": [0.5], "epoch": 1},
            "Averaging": {"latest_update_step": 12},
        },
        "plateau": {"patience": 4, "last_epoch": 1},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": []}],
        "lr_schedulers": [{"last_epoch": 3}],
        **replaced,
    }


def _torch_saved(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _checkpoints() -> list[Seed]:
    old = {"model.encoder.a": torch.ones(3), "averaged.n_averaged": torch.tensor(2)}
    old |= {"averaged.module.encoder.a": torch.ones(3)}
    return [
        Seed.of("last.ckpt", _torch_saved(_checkpoint())),
        Seed.of("last.ckpt", _torch_saved(_checkpoint(state_dict=old))),
    ]


def _in_checkpoint(rng: Random, content: bytes) -> bytes:
    if rng.random() < 0.5:
        return in_zip(damage)(rng, content)
    whole = _checkpoint()
    node: Any = whole
    key: Any = rng.choice(list(node))
    while isinstance(node[key], dict) and node[key] and rng.random() < 0.6:
        node = node[key]
        key = rng.choice(list(node))
    odd = (None, 0, -1, 2**63 - 1, 1.5, float("nan"), "x", [], {}, [1], {"a": 1}, {1: 2})
    odd = (*odd, torch.full((3,), float("nan")), torch.zeros(0), torch.zeros(2, dtype=torch.int8))
    if rng.random() < 0.3:
        del node[key]
    else:
        node[key] = rng.choice(odd)
    return _torch_saved(whole if rng.random() < 0.95 else rng.choice(odd))


def _read_checkpoint(folder: Path, target: Path) -> None:
    content = AtomicCheckpointIO().load_checkpoint(target)
    state = content["state_dict"]
    assert isinstance(state, dict), "no weights"
    assert all(isinstance(name, str) for name in state), "names that are no text"
    for tensor in state.values():
        assert isinstance(tensor, torch.Tensor), "a weight that is no tensor"
        assert tensor.isfinite().all(), "weights are not finite"


def _runs() -> list[Seed]:
    entry = {"rotation": "so3", "votes": 3, "accuracy": 0.9, "seed": 0, "classes": {"a": 0.5}}
    summary = {"version": "0.2.0", "kind": "classifier", "epochs": 3, "evaluation": [entry]}
    files = {
        "run/config.yaml": b"epochs: 3\n",
        "run/summary.json": json.dumps(summary, indent=1).encode(),
    }
    return [Seed("run", files, ("run/summary.json",))]


def _read_summary(folder: Path, target: Path) -> None:
    run = RunDirectory.open(target)
    content = run.read_summary()
    assert isinstance(content, dict), "no object"
    run.record_evaluation({"rotation": "z", "votes": 1, "accuracy": 0.5}, ("rotation", "votes"))
    again = run.read_summary()
    assert {"rotation": "z", "votes": 1, "accuracy": 0.5} in again["evaluation"], "not recorded"


_YAML_WORDS = tuple(
    b"!!python/object/apply:os.system !!binary !!set !!timestamp !!int !!float !!omap &a *a <<: - "
    b"? | > ~ null 2001-01-01 2001-13-45 12:30:45 .inf .nan 0o17 0b1 1_000 {a: [ 'x model: a:B "
    b"preset: quick --- ... %YAML !x ? : 1e400".split(b" ")
)

#: Files of runs.
RUN_FORMATS = (
    Format("yaml", _yaml, _read_yaml, _YAML_WORDS),
    Format(
        "safetensors",
        _weights,
        _read_weights,
        text=False,
        inside=in_safetensors,
    ),
    Format("checkpoint", _checkpoints, _read_checkpoint, text=False, inside=_in_checkpoint),
    Format("summary", _runs, _read_summary, (b"{", b"NaN", b"[[", b"evaluation"), share=0.5),
)

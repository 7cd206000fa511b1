"""What presets mean: ``old/presets.json`` has the options that version 0.1 resolved.

What has changed since then is listed here, and in the changelog.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.config import TrainingConfig
from csgnn_dgl.tasks.dos.config import TrainDOSConfig

# All defaults of every training, and what each preset changes.
OLD: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "old" / "presets.json").read_text(encoding="utf-8")
)
TRAININGS: dict[str, type[TrainingConfig]] = {
    "modelnet": TrainModelNetConfig,
    "dos": TrainDOSConfig,
}
# Options that came later: their defaults do what version 0.1 did.
LATER = {
    "logger": ["tensorboard"],
    "optimizer": "adam",
    "momentum": 0.9,
    "step_epochs": 20,
    "step_factor": 0.7,
    "final_learning_rate": 0.0,
}
LATER_FOR_ONE_KIND = {
    "consistency": 0.0,
    "scale_range": None,
    "init_from": None,
    "shapes_per_class": None,
    "apart": False,
    "band_weight": 0.0,
    "closing_fit": False,
}
LATER_HYPERS = {
    "neighbourhood": "face",
    "bandwidth_face": None,
    "filter_order": 0,
    "gradients": False,
    "readout": ["pool"],
    "point_features": [],
    "feature_neighbors": 16,
    "feature_mean": "mean",
    "sphere_coarsening": "together",
    "sphere_levels": None,
    "invariants": "none",
    "append_invariants": False,
    "passes": 0,
    "pass_cutoff": 4.0,
    "block_norm": "batch",
    "members": 1,
    "center": "origin",
}
# What presets have gained in accuracy.
CHANGED: dict[str, dict[str, Any]] = {
    "modelnet quick": {"filter_order": 1},
    "modelnet compact": {"filter_order": 1},
    "dos quick": {"invariants": "all", "append_invariants": True, "closing_fit": True},
    "dos compact": {
        "invariants": "all",
        "append_invariants": True,
        "batch_size": 32,
        "weight_decay": 0.0,
        "closing_fit": True,
    },
}
# Presets that came later.
NEW = {"modelnet released", "modelnet embedding", "modelnet best", "dos best"}


def flat(config: TrainingConfig, changed: dict[str, Any]) -> dict[str, Any]:
    content = config.model_dump(mode="json")
    assert content.pop("model") == "csgnn"
    hypers = content.pop("hypers")
    # These had no option before: they follow from base_width, as now by default.
    assert {hypers.pop(name, None) for name in ("intra_widths", "radial_widths")} == {None}
    assert {name: content.pop(name) for name in LATER} == LATER
    for name, value in LATER_FOR_ONE_KIND.items():
        expected = changed.get(name, value)
        assert content.pop(name, expected) == expected
    later = {**LATER_HYPERS, **changed}
    assert all(hypers.pop(name, later[name]) == later[name] for name in LATER_HYPERS)
    return {**content, **hypers}


@pytest.mark.parametrize("name", OLD)
def test_every_option_of_every_preset(name: str) -> None:
    training, _, preset = name.partition(" ")
    changed = CHANGED.get(name, {})
    known = {**LATER_HYPERS, **LATER_FOR_ONE_KIND}
    of_before = {key: value for key, value in changed.items() if key not in known}
    expected = {**OLD[training], **OLD[name], **of_before}
    found = flat(TRAININGS[training].resolve(preset=preset or None), changed)
    assert found == expected
    # A control: all options are compared.
    assert {**found, "seed": 1} != expected


def test_no_preset_was_lost() -> None:
    known = {f"{name} {preset}" for name, t in TRAININGS.items() for preset in t.presets}
    assert known | set(TRAININGS) == set(OLD) | NEW


def test_the_released_run() -> None:
    """Against the options ``so3``: the mapping, the rotations, the points and the epochs differ."""
    found = TrainModelNetConfig.resolve(preset="released").model_dump(mode="json")
    so3 = TrainModelNetConfig.resolve(preset="so3").model_dump(mode="json")
    hypers = {name for name, value in found["hypers"].items() if so3["hypers"][name] != value}
    assert hypers == {"neighbourhood", "bandwidth_face"}
    other = {name: value for name, value in found.items() if so3[name] != value}
    other.pop("hypers")
    assert other == {"train_rotation": "euler", "resample": False, "epochs": 50}

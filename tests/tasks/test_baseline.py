"""The trivial baselines, and the warnings before a training that can learn nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ase import Atoms

from csgnn_dgl.datasets.atoms.dos import DOSRecord
from csgnn_dgl.errors import CheckpointError, ConfigError, DataError
from csgnn_dgl.physics import EnergyGrid
from csgnn_dgl.tasks.baseline import find_baseline, training_warnings
from csgnn_dgl.tasks.classes.baseline import MajorityClass
from csgnn_dgl.tasks.dos.baseline import Comparison, MeanCurves
from csgnn_dgl.tasks.dos.errors import compare_curves, summarize
from csgnn_dgl.tasks.evaluation import chosen_set, refuse_idle_votes
from csgnn_dgl.tasks.use_config import DescribeConfig, EvaluateConfig, PredictConfig

GRID = EnergyGrid(-4.0, 0.1, 81)


def curve(centre: float) -> np.ndarray:
    shape: np.ndarray = 2 * np.exp(-((GRID.energies - centre) ** 2))
    return shape


def records(*centres: float, group: str = "a") -> list[DOSRecord]:
    return [
        DOSRecord(Atoms("C"), curve(centre), f"{group}{centre}", group, electrons=2.0)
        for centre in centres
    ]


TRAINING = [*records(-1.0, -0.5), *records(0.5, 1.0, group="b")]
TEST = [*records(-0.8), *records(0.8, group="b")]


def compared(predicted: np.ndarray) -> Comparison:
    means = MeanCurves.of(TRAINING)
    tables = [
        summarize(compare_curves(TEST, curves, GRID))
        for curves in (predicted, means.predict(TEST), means.predict(TEST, by_type=False))
    ]
    return Comparison(tables[0], tables[1], tables[2].tail(1), typed=True)


def test_mean_curves_are_those_of_each_type() -> None:
    means = MeanCurves.of(TRAINING)
    expected = (curve(-1.0) + curve(-0.5)) / 2
    np.testing.assert_allclose(means.predict(TEST)[0], expected)
    np.testing.assert_allclose(means.predict(records(0.0, group="new"))[0], means.overall)
    again = MeanCurves.from_plain(json.loads(json.dumps(means.to_plain())), GRID.size)
    np.testing.assert_allclose(again.predict(TEST), means.predict(TEST), rtol=1e-5)


def test_bins_that_are_not_defined_do_not_count() -> None:
    first, second = records(0.0, 1.0)
    first.dos[:5] = np.nan
    mean = MeanCurves.of([first, second]).overall
    np.testing.assert_allclose(mean[:5], second.dos[:5])


@pytest.mark.parametrize(
    "damage",
    [
        {"overall": [1.0, 2.0]},
        {"overall": "none"},
        {"by_type": {"a": [float("nan")] * GRID.size}},
        {"by_type": {"a": ["x"] * GRID.size}},
    ],
)
def test_damaged_curves_are_refused(damage: dict[str, Any]) -> None:
    plain = {**MeanCurves.of(TRAINING).to_plain(), **damage}
    with pytest.raises(ValueError, match=r"curve|convert"):
        MeanCurves.from_plain(plain, GRID.size)


def test_a_good_model_is_better_than_the_mean() -> None:
    comparison = compared(np.array([record.dos for record in TEST]) + 1e-6)
    assert comparison.not_beaten() == []
    assert comparison.lines() == [
        "better than the mean curve of the type of the training data in every quantity"
    ]


def test_what_is_unknown_is_not_called_better() -> None:
    known = pd.DataFrame([{"type": "all", "structures": 2, "dos_mae": 1.0, "gap_mae": np.nan}])
    worse = known.assign(dos_mae=2.0)
    (line,) = Comparison(known, worse, worse, typed=False).lines()
    assert line.endswith("in every quantity but gap (unknown)")


def test_a_model_that_learned_nothing_is_named() -> None:
    comparison = compared(MeanCurves.of(TRAINING).predict(TEST, by_type=False))
    first, *others = comparison.lines()
    assert first.startswith("worse than the mean curve of the type of the training data: dos (")
    assert "against" in first
    assert any("learned" in line for line in others)
    quantities = {entry["quantity"] for entry in comparison.not_beaten()}
    assert {"dos_mae", "dos_mse", "r2", "fdos_mae", "fermi_level_mae"} <= quantities
    assert "gap_mae" not in quantities  # there is none in either
    json.dumps(comparison.plain(), allow_nan=False)


def test_a_model_that_is_the_mean_is_not_better() -> None:
    comparison = compared(MeanCurves.of(TRAINING).predict(TEST))
    assert {entry["quantity"] for entry in comparison.not_beaten()} >= {"dos_mae", "r2"}


def test_the_commonest_class() -> None:
    names = ["cone", "cube"]
    found = MajorityClass.of({"cube": 5, "cone": 2}, [1, 1, 1, 0], names)
    assert (found.name, found.accuracy) == ("cube", 0.75)
    assert found.line(0.8).endswith("(better than that)")
    assert found.line(0.75).startswith("warning: NOT better")
    with pytest.raises(ValueError, match="counts the classes"):
        MajorityClass.of({"cube": 5}, [1], names)


@dataclass
class _Weights:
    fingerprint: str = "training"
    path: Path = Path("run")
    header: Any = None

    def was_trained_on(self, data: Any) -> bool:
        return self.fingerprint == data.fingerprint


@dataclass
class _Found:
    entries: dict[str, Any]
    data: Any = field(default_factory=lambda: _Weights("other"))
    run: Any = None
    options: Any = None

    @property
    def trained(self) -> _Weights:
        return _Weights(header=_Header(self.entries))


@dataclass
class _Header:
    data: dict[str, Any]


def looked_up(found: Any, **calls: Any) -> Any:
    calls = {"read": str, "compute": lambda data: f"from {data.fingerprint}", **calls}
    return find_baseline(found, **{"load": lambda options: _Weights("training"), **calls})


def test_the_baseline_is_that_of_the_training_data() -> None:
    # That of the header, whatever data are evaluated.
    assert looked_up(_Found({"baseline": "kept"}))[0] == "kept"
    # Weights of an earlier version: only the data that the run names, unchanged, will do.
    assert looked_up(_Found({}, data=_Weights("training")))[0] == "from training"
    assert looked_up(_Found({}, run="a run"))[0] == "from training"
    missing, why = looked_up(_Found({}))
    assert missing is None
    assert "no baseline" in why
    changed = looked_up(_Found({}, run="a run"), load=lambda options: _Weights("changed"))
    assert changed[0] is None

    def gone(options: Any) -> Any:
        raise DataError("gone")

    assert looked_up(_Found({}, run="a run"), load=gone)[0] is None


def test_a_damaged_baseline_is_an_error() -> None:
    def read(content: Any) -> Any:
        raise KeyError("overall")

    with pytest.raises(CheckpointError, match="damaged baseline"):
        looked_up(_Found({"baseline": {}}), read=read)


def warned(**changes: Any) -> list[str]:
    usual: dict[str, Any] = {
        "samples": 400,
        "few": 40,
        "what": "structures",
        "batch_size": 8,
        "epochs": 60,
        "ema_decay": 0.98,
    }
    return training_warnings(**{**usual, **changes})


def test_warnings_before_a_training() -> None:
    assert warned() == []
    assert "11 training structures are few" in warned(samples=11)[0]
    (average,) = warned(ema_decay=0.9999)
    assert "untrained" in average
    (steps,) = warned(epochs=2, ema_decay=0.0)
    assert "100 steps" in steps
    # What a warning advises ends it.
    advised = int(average.split("--epochs ")[1].split(",")[0])
    assert warned(ema_decay=0.9999, epochs=advised) == []


def test_a_set_without_effect_is_refused() -> None:
    assert chosen_set(EvaluateConfig.resolve(flags={"vote_set": "random", "votes": 2})) == "random"
    assert chosen_set(PredictConfig(votes=3)) == "designed"
    assert chosen_set(EvaluateConfig(rotation="euler", votes=3)) == "random"
    for flags, what in (
        ({"vote_set": "random"}, "one vote is no set"),
        ({"vote_set": "designed", "votes": 3, "rotation": "euler"}, "euler"),
    ):
        with pytest.raises(ConfigError, match=f"{what}.*--vote-set"):
            chosen_set(EvaluateConfig.resolve(flags=flags))
    with pytest.raises(ConfigError, match=r"one vote.*--vote-set"):
        refuse_idle_votes(DescribeConfig.resolve(flags={"vote_set": "random"}))


def test_a_seed_without_effect_is_refused() -> None:
    refuse_idle_votes(EvaluateConfig(seed=3, votes=2))
    refuse_idle_votes(EvaluateConfig())
    with pytest.raises(ConfigError, match="one vote"):
        refuse_idle_votes(EvaluateConfig.resolve(flags={"seed": 3}))

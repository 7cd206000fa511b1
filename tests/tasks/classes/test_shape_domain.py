"""Classifiers know what they were trained on, and how often they are right."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from csgnn_dgl.cli.main import cli
from csgnn_dgl.errors import CheckpointError
from csgnn_dgl.shapes import ShapeClassifier
from csgnn_dgl.tasks.calibrate import calibrate
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.domain import score_shapes
from csgnn_dgl.tasks.classes.evaluate import evaluate
from csgnn_dgl.tasks.classes.train import train
from csgnn_dgl.tasks.classes.trained import load_classifier
from csgnn_dgl.tasks.learned import Learned, save_learned
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.use_config import EvaluateConfig
from csgnn_dgl.tasks.weights import load_weights, save_weights


def write_clouds(folder: Path) -> Path:
    """Rods, discs and balls, thirty of each for training and for testing."""
    rng = np.random.default_rng(0)
    for name, stretch in (("rod", (1, 0.1, 0.1)), ("disc", (1, 1, 0.1)), ("ball", (1, 1, 1))):
        for which in ("train", "test"):
            place = folder / name / which
            place.mkdir(parents=True)
            for index in range(30):
                np.save(place / f"{name}{index}.npy", rng.normal(size=(96, 3)) * stretch)
    return folder


@pytest.fixture(scope="module")
def known_run(small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run with enough held-out shapes to know its domain."""
    folder = tmp_path_factory.mktemp("many")
    data = write_clouds(folder / "clouds")
    flags = {**small, "data": data, "output": folder / "run", "batch_size": 8, "epochs": 4}
    return train(TrainModelNetConfig.resolve(flags=flags))


def ball(seed: int = 99) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(96, 3))


def ring() -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "ball.npy", tmp_path / "ring.npy"]
    for path, cloud in zip(paths, (ball(), ring()), strict=True):
        np.save(path, cloud)
    return paths


def without_domain(run: RunDirectory, tmp_path: Path) -> Path:
    copy = Path(shutil.copytree(run.path, tmp_path / "copy"))
    save_learned(copy / "model.safetensors", "classifier", Learned())
    return copy


def call(*words: Any) -> str:
    found = CliRunner().invoke(cli, [str(word) for word in words])
    assert found.exit_code == 0, found.output
    return found.output


def test_scores_in_every_output(known_run: RunDirectory, files: list[Path]) -> None:
    text = call("predict", known_run.path, *files, "--top", 2)
    near, far, warning = text.splitlines()
    assert " % " in near
    assert "not calibrated" not in near
    assert "score 0." in near
    assert "(probability unknown)" in far
    assert "%" not in far
    assert "warning: unlike what" in warning
    entries = json.loads(call("predict", known_run.path, *files, "--json"))
    assert [entry["outside_domain"] for entry in entries] == [False, True]
    assert [entry["calibrated"] for entry in entries] == [True, False]
    classifier = ShapeClassifier(known_run.path)
    assert classifier.calibrated
    scores = classifier.scores([ball(), ring()])
    assert scores[0] < 1 < scores[1]
    found = classifier.predict(files)
    assert [prediction.outside for prediction in found] == [False, True]
    assert [prediction.score for prediction in found] == [
        entry["out_of_domain_score"] for entry in entries
    ]


def test_probabilities_are_calibrated_and_their_order_is_the_networks(
    known_run: RunDirectory,
) -> None:
    classifier, trained = ShapeClassifier(known_run.path), load_classifier(known_run.path)
    given = np.stack([ball(seed)[:64] for seed in range(5)])
    found = classifier.probabilities(given)
    assert found.sum(axis=1) == pytest.approx(1)
    temperature = trained.temperature(1)
    assert temperature is not None
    assert temperature == trained.temperature(4)
    assert trained.temperature(5) == trained.temperatures[5]
    plain = ShapeClassifier(known_run.path)
    plain._trained.temperatures.clear()
    network = plain.probabilities(given)
    assert not plain.calibrated
    np.testing.assert_array_equal(network.argmax(axis=1), found.argmax(axis=1))
    expected = network ** (1 / temperature)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_scores_do_not_depend_on_orientation_or_on_other_clouds(known_run: RunDirectory) -> None:
    trained = load_classifier(known_run.path)
    clouds = torch.from_numpy(np.stack([ball(1)[:64], ring()[:64]]))
    together = score_shapes(trained, clouds)
    alone = score_shapes(trained, clouds[1:] @ torch.linalg.qr(torch.rand(3, 3).double())[0])
    assert together is not None
    assert alone is not None
    np.testing.assert_allclose(together[1], alone[0], rtol=1e-4)


def test_files_without_a_domain_say_that_it_is_unknown(
    known_run: RunDirectory, tmp_path: Path, files: list[Path]
) -> None:
    copy = without_domain(known_run, tmp_path)
    text = call("predict", copy, *files)
    assert text.count("(not calibrated)") == 2
    assert "does not say what its model was trained on" in text
    assert "score" not in text.splitlines()[0]
    entries = json.loads(call("predict", copy, *files, "--json"))
    assert [entry["out_of_domain_score"] for entry in entries] == [None, None]
    assert np.isnan(ShapeClassifier(copy).scores(ball())).all()
    lines = evaluate(copy, EvaluateConfig()).lines
    assert any("not calibrated" in line for line in lines)
    calibrate(copy)
    assert (copy / "model.safetensors").read_bytes() == known_run.model.read_bytes()


@pytest.fixture(scope="module")
def limited_run(small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run that used some of the training shapes only; one class has fewer than the others."""
    folder = tmp_path_factory.mktemp("limited")
    data = write_clouds(folder / "clouds")
    for file in sorted((data / "ball" / "train").iterdir())[20:]:
        file.unlink()
    flags = {**small, "data": data, "output": folder / "run", "pool": 64, "shapes_per_class": 10}
    return train(TrainModelNetConfig.resolve(flags={**flags, "epochs": 1}))


@pytest.mark.parametrize("alone", [False, True])
def test_what_a_run_never_saw_is_not_learned_again(
    alone: bool, limited_run: RunDirectory, tmp_path: Path
) -> None:
    assert load_classifier(limited_run.path).header.data["baseline"]["disc"] == 10
    copy = without_domain(limited_run, tmp_path) / "model.safetensors"
    if alone:
        (tmp_path / "alone").mkdir()
        copy = copy.rename(tmp_path / "alone" / "model.safetensors")
        calibrate(copy, limited_run.path.parent / "clouds")
    else:
        calibrate(copy.parent)
    assert copy.read_bytes() == limited_run.model.read_bytes()


def test_the_baseline_of_earlier_weights_counts_the_shapes_that_were_used(
    limited_run: RunDirectory, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(limited_run.path, tmp_path / "copy"))
    header, everything = load_weights(limited_run.model, "classifier")
    data = {key: value for key, value in header.data.items() if key != "baseline"}
    save_weights(
        copy / "model.safetensors", everything, type(header)(**{**vars(header), "data": data})
    )
    # As many of each class were used, so the first is named. Of all shapes, most are discs.
    baseline = evaluate(copy, EvaluateConfig()).result.baseline
    assert baseline is not None
    assert baseline["what"] == "always ball"


def test_few_held_out_shapes_are_said(
    small_run: RunDirectory, small: dict[str, Any], tmp_path: Path
) -> None:
    assert load_classifier(small_run.path).domain is None
    lines: list[str] = []
    flags = {**small, "output": tmp_path / "run"}
    train(TrainModelNetConfig.resolve(flags=flags), lines.append)
    assert any("held-out samples are too few" in line for line in lines)


def test_evaluation_reports_the_calibration(known_run: RunDirectory, tmp_path: Path) -> None:
    copy = RunDirectory(Path(shutil.copytree(known_run.path, tmp_path / "copy")))
    found = evaluate(copy.path, EvaluateConfig())
    assert any("expected calibration error" in line for line in found.lines)
    assert copy.figure("calibration-test-so3-1-votes").is_file()
    (entry,) = copy.read_summary()["evaluation"]
    assert set(entry["calibration"]) == {"ece_before", "ece", "outside"}
    # Shapes from which the calibration was learned do not test it.
    held_out = evaluate(copy.path, EvaluateConfig(split="validation"))
    said = [any("learned from this split" in line for line in e.lines) for e in (found, held_out)]
    assert said == [False, True]
    # Accuracy is that of the network, which calibration does not change.
    trained = load_classifier(copy.path)
    trained.temperatures.clear()
    plain = evaluate(copy.path, EvaluateConfig(), trained=trained)
    assert plain.result.accuracy == found.result.accuracy


@pytest.mark.parametrize("value", [0.0, float("inf"), "warm", None])
def test_damaged_temperatures_are_named(
    known_run: RunDirectory, tmp_path: Path, value: Any
) -> None:
    header, everything = load_weights(known_run.model, "classifier")
    damaged = {**header.calibration, "votes": {"1": {"temperature": value}}}
    path = tmp_path / "damaged.safetensors"
    save_weights(path, everything, type(header)(**{**vars(header), "calibration": damaged}))
    with pytest.raises(CheckpointError, match=r"is damaged.*train again"):
        load_classifier(path)

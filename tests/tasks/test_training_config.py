"""Options of trainings and of their models: every place they may stand in, and who wins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.models import AGNI, AtomCSGNNHypers, PointNet, ShapeCSGNNHypers
from csgnn_dgl.models.registry import MODELS, find_hypers
from csgnn_dgl.shapes import ShapeClassifier
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.targets import TARGETS
from csgnn_dgl.tasks.use_config import EvaluateConfig, PredictConfig

CONFIGS = {"shapes": TrainModelNetConfig, "atoms": TrainDOSConfig}
OWN = """
from csgnn_dgl.config import Preset, option
from csgnn_dgl.models import Hypers, ShapeModel

class Options(Hypers):
    presets = {
        "wide": Preset("wide", {"width": 99, "warmup": 0.3, "schedule": "one-cycle"}),
        "odd": Preset("at odds with itself", {"warmup": 0.3, "schedule": "constant"}),
        "wrong": Preset("with an option that nobody has", {"wdith": 3}),
        "quick": Preset("beside the training's recipe", {"width": 7, "epochs": 3}),
    }
    width: int = option(8, "Width.", ge=1)
    widths: list[list[int]] = option([[1]], "Widths of widths.")

class Own(ShapeModel):
    Hypers = Options
    features = 3

    def forward(self, points):
        return points.mean(dim=1)
"""
NAME = "options_of_a_user:Own"


@pytest.fixture(scope="module", autouse=True)
def _module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("own")
    (folder / "options_of_a_user.py").write_text(OWN, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


def written(folder: Path, **content: Any) -> Path:
    path = folder / "options.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def every_choice() -> list[tuple[Any, str, str | None]]:
    return [
        (config, model, preset)
        for domain, config in CONFIGS.items()
        for model in MODELS[domain]  # type: ignore[index]
        for preset in (None, *find_hypers(domain, model).presets)  # type: ignore[arg-type]
    ]


@pytest.mark.parametrize(("config", "model", "preset"), every_choice(), ids=str)
def test_what_is_printed_reads_back(
    config: Any, model: str, preset: str | None, tmp_path: Path
) -> None:
    resolved = config.resolve(preset=preset, flags={"model": model, "epochs": 3})
    path = tmp_path / "printed.yaml"
    path.write_text(resolved.to_yaml(), encoding="utf-8")
    again = config.from_yaml(path)
    assert again == resolved
    assert type(again.hypers) is type(resolved.hypers)
    assert again.to_yaml() == resolved.to_yaml()
    # The model's own options stand together, and nowhere else.
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(content["hypers"]) == set(type(resolved.hypers).model_fields)
    assert not set(content["hypers"]) & (set(content) - {"hypers"})


def test_a_printed_configuration_of_a_users_model(tmp_path: Path) -> None:
    config = TrainModelNetConfig.resolve(flags={"model": NAME, "widths": [[2, 3], [4]]})
    path = tmp_path / "printed.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    assert TrainModelNetConfig.from_yaml(path, NAME) == config
    assert TrainModelNetConfig.resolve(yaml_path=path, flags={"model": NAME}) == config


def test_options_of_the_model_may_stand_anywhere(tmp_path: Path) -> None:
    expected = TrainModelNetConfig(level=2, epochs=3)
    assert isinstance(expected.hypers, ShapeCSGNNHypers)
    assert (expected.hypers.level, expected.epochs) == (2, 3)
    flat, nested = {"level": 2, "epochs": 3}, {"hypers": {"level": 2}, "epochs": 3}
    for options in (flat, nested):
        assert TrainModelNetConfig(**options) == expected
        assert TrainModelNetConfig.resolve(flags=options) == expected
        assert TrainModelNetConfig.resolve(yaml_path=written(tmp_path, **options)) == expected
    hypers = ShapeCSGNNHypers(level=2)
    assert TrainModelNetConfig(hypers=hypers, epochs=3) == expected


def test_flags_over_yaml_over_preset(tmp_path: Path) -> None:
    def level(**places: Any) -> tuple[int, int, float]:
        config = TrainModelNetConfig.resolve(**places)
        hypers: Any = config.hypers
        return hypers.level, hypers.n_spheres, config.learning_rate

    assert level(preset="quick") == (2, 6, 4e-3)
    flat, nested = {"level": 1, "learning_rate": 0.1}, {"hypers": {"level": 1}}
    for content in (flat, {**nested, "learning_rate": 0.1}):
        path = written(tmp_path, **content)
        assert level(preset="quick", yaml_path=path) == (1, 6, 0.1)
        for flags in ({"level": 3}, {"hypers": {"level": 3}}):
            assert level(preset="quick", yaml_path=path, flags=flags) == (3, 6, 0.1)
    path = written(tmp_path, preset="quick", **flat)
    assert level(yaml_path=path) == (1, 6, 0.1)
    assert level(yaml_path=path, preset="compact") == (1, 8, 0.1)


def test_an_option_that_stands_twice_in_one_place(tmp_path: Path) -> None:
    twice = {"level": 1, "hypers": {"level": 2}}
    with pytest.raises(ConfigError, match="level is given twice in flags"):
        TrainModelNetConfig.resolve(flags=twice)
    path = written(tmp_path, **twice)
    with pytest.raises(ConfigError, match=f"level is given twice in {path}"):
        TrainModelNetConfig.resolve(yaml_path=path)


def test_models_by_name_and_by_class(tmp_path: Path) -> None:
    by_name = TrainModelNetConfig.resolve(flags={"model": "pointnet", "width_factor": 0.5})
    assert TrainModelNetConfig.resolve(flags={"model": PointNet, "width_factor": 0.5}) == by_name
    assert TrainModelNetConfig(model=PointNet, width_factor=0.5) == by_name
    assert TrainModelNetConfig.resolve(model=PointNet, flags={"width_factor": 0.5}) == by_name
    path = written(tmp_path, model="pointnet", width_factor=0.5)
    assert TrainModelNetConfig.resolve(yaml_path=path) == by_name
    assert TrainDOSConfig(model=AGNI).model == "agni"
    # A flag changes a file's model, whose options then mean nothing.
    with pytest.raises(ConfigError, match="width_factor"):
        TrainModelNetConfig.resolve(yaml_path=path, flags={"model": "csgnn"})


def test_defaults_are_the_papers() -> None:
    shapes, atoms = TrainModelNetConfig(), TrainDOSConfig()
    assert (shapes.model, atoms.model) == ("csgnn", "csgnn")
    assert shapes.hypers == ShapeCSGNNHypers()
    assert atoms.hypers == AtomCSGNNHypers()
    assert (shapes.hidden, atoms.hidden) == ([512, 256], [512, 512])
    assert (shapes.epochs, atoms.epochs) == (60, 1500)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levle": 2}, "unknown key 'levle' in --levle: did you mean 'level'"),
        ({"epcohs": 2}, "unknown key 'epcohs' in --epcohs: did you mean 'epochs'"),
        ({"hypers": {"levle": 2}}, "unknown key 'levle' in --set levle: did you mean 'level'"),
        ({"hypers": {"epochs": 2}}, "epochs .from --set epochs. is an option of the training"),
        ({"level": -1}, r"level = -1 \(from --level\)"),
        ({"hypers": {"level": -1}}, r"level = -1 \(from --set level\)"),
        ({"hypers": 3}, "hypers .from flags. must be 'key: value' lines, not 3"),
        (
            {"model": "pointnet", "level": 2},
            "level .* is an option of the model csgnn, not of poin",
        ),
        ({"model": "pointnet", "level": 2}, "whose options are: width_factor, align_points"),
        ({"model": "agni"}, "'agni' is a model of atoms, not of shapes"),
        ({"cutoff": 5.0}, "unknown key 'cutoff'"),
    ],
    ids=str,
)
def test_mistakes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainModelNetConfig.resolve(flags=options)


@pytest.mark.parametrize("model", [3, ["csgnn"], {"name": "csgnn"}, True])
def test_models_in_files_are_names(model: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a name; give the name of a model"):
        TrainModelNetConfig.resolve(yaml_path=written(tmp_path, model=model))


def test_hypers_of_another_model() -> None:
    with pytest.raises(ConfigError, match="which does not hold the options of csgnn"):
        TrainModelNetConfig(hypers=AtomCSGNNHypers())
    with pytest.raises(ConfigError, match="which does not hold the options of pointnet"):
        TrainModelNetConfig(model="pointnet", hypers=ShapeCSGNNHypers())


class TestPresets:
    """Presets are a model's, and set its options and the training's together."""

    def test_they_set_both(self) -> None:
        config = TrainModelNetConfig.resolve(preset="wide", flags={"model": NAME})
        hypers: Any = config.hypers
        assert (hypers.width, config.warmup, config.schedule) == (99, 0.3, "one-cycle")

    def test_the_trainings_recipe_of_that_name_supplies_the_rest(self) -> None:
        config = TrainModelNetConfig.resolve(preset="quick", flags={"model": NAME})
        hypers: Any = config.hypers
        recipe = TrainModelNetConfig.recipes["quick"]
        assert (hypers.width, config.epochs) == (7, 3)
        assert config.label_smoothing == recipe["label_smoothing"]
        assert recipe["epochs"] != 3

    def test_options_that_nobody_has(self) -> None:
        with pytest.raises(ConfigError, match="unknown key 'wdith' in preset wrong"):
            TrainModelNetConfig.resolve(preset="wrong", flags={"model": NAME})


class TestUnused:
    """Options that mean nothing are refused wherever they were written."""

    def test_flags(self) -> None:
        with pytest.raises(ConfigError, match="schedule is plateau, so --warmup means nothing"):
            TrainModelNetConfig.resolve(flags={"warmup": 0.1})
        TrainModelNetConfig.resolve(flags={"warmup": 0.1, "schedule": "one-cycle"})
        flags = {"schedule": "cosine", "plateau_patience": 3, "min_learning_rate": 1e-6}
        with pytest.raises(ConfigError, match="--plateau-patience, --min-learning-rate mean"):
            TrainDOSConfig.resolve(flags=flags)

    def test_files(self, tmp_path: Path) -> None:
        path = written(tmp_path, warmup=0.3)
        with pytest.raises(ConfigError, match=rf"warmup \(from {path}\) means nothing here"):
            TrainModelNetConfig.resolve(yaml_path=path)
        # The default in a file is no choice.
        TrainModelNetConfig.resolve(yaml_path=written(tmp_path, warmup=0.15))

    def test_presets(self) -> None:
        with pytest.raises(ConfigError, match=r"warmup \(from preset odd\) means nothing here"):
            TrainModelNetConfig.resolve(preset="odd", flags={"model": NAME})

    @pytest.mark.parametrize(
        ("kind", "config", "options"),
        [
            ("dos", EvaluateConfig, {"rotation": "z"}),
            ("dos", EvaluateConfig, {"batch_size": 3}),
            ("dos", EvaluateConfig, {"retrieval": True}),
            ("dos", PredictConfig, {"top": 3}),
            ("classifier", PredictConfig, {"electrons": 4.0}),
            ("classifier", PredictConfig, {"occupancy": "full"}),
            ("classifier", PredictConfig, {"plot": "picture.png"}),
            ("classifier", PredictConfig, {"plot_format": "svg"}),
        ],
        ids=str,
    )
    def test_uses(self, kind: str, config: Any, options: dict[str, Any], tmp_path: Path) -> None:
        target, (name,) = TARGETS[kind], options
        path = written(tmp_path, **options)
        places = {
            f"--{name.replace('_', '-')}": config.resolve(flags=options),
            f"{name} (from {path})": config.resolve(yaml_path=path),
            f"{name} (from the call)": config(**options),
        }

        def use(resolved: Any) -> None:
            if config is PredictConfig:
                target.predict(tmp_path, [], resolved, lambda done: None)
            else:
                target.evaluate(tmp_path, resolved)

        for place, resolved in places.items():
            with pytest.raises(ConfigError) as caught:
                use(resolved)
            assert f"{target.does}, so {place} means nothing here" in str(caught.value)

    def test_from_python(self) -> None:
        classifier = ShapeClassifier(
            Path(__file__).parent / "old" / "classifier-schema-1.safetensors"
        )
        with pytest.raises(ConfigError, match=r"classifies shapes, so electrons \(from the call\)"):
            classifier.predict(["a.off"], electrons=4.0)

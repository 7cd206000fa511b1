"""Options that all trainings have. Does not import torch, so that commands start fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import SerializeAsAny, model_validator
from typing_extensions import Self

from csgnn_dgl._foreign import excerpt, quoted
from csgnn_dgl.config import CommandConfig, Source, option, preset_of, validated
from csgnn_dgl.errors import ConfigError, nearest_name
from csgnn_dgl.models.hypers import Hypers
from csgnn_dgl.models.registry import (
    Domain,
    find_hypers,
    is_users_own,
    known_models,
    name_of,
    permitted_name,
)
from csgnn_dgl.tasks.schemas import upgrade_config

__all__ = ["DEFAULT_MODEL", "LoggerName", "Precision", "TrainingConfig", "model_option"]

Precision = Literal["32-true", "64-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true"]
LoggerName = Literal["csv", "tensorboard", "wandb", "mlflow"]
DEFAULT_MODEL = "csgnn"

# Schedules with which an option has an effect; with all others it has none.
_OF_SCHEDULES = {
    "plateau_patience": ("plateau",),
    "plateau_threshold": ("plateau",),
    "min_learning_rate": ("plateau",),
    "warmup": ("one-cycle",),
    "step_epochs": ("step",),
    "step_factor": ("step",),
    "final_learning_rate": ("cosine", "step"),
}


def model_option() -> Any:
    """The option by which a user names a model of their own beside a run or weights."""
    return option(
        None,
        "Your own model that the weights belong to: module:Class. A module of yours is imported "
        "only if you name it.",
        "Model",
    )


class TrainingConfig(CommandConfig):
    """Options of a training, for every target.

    ``model`` names the network, and ``hypers`` are its own options. These may also be given beside
    the training's options, as flags and as keys of a YAML file, unless the training has an option
    of that name.
    """

    #: The kind of models that are trained.
    domain: ClassVar[Domain]
    #: Options of the training in each preset. Models name the presets.
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    model: str = option(
        DEFAULT_MODEL,
        "The model to train: a name that csgnn-dgl models lists, or your own as module:Class.",
        "Model",
    )
    hypers: SerializeAsAny[Hypers] = option(
        None, "Set an option of the model, KEY=VALUE; may be repeated.", "Model"
    )
    data: Path | None = option(None, "Folder with the data.", "Data")
    validation_fraction: float = option(
        0.1, "Share of the training data held out for validation, by class.", "Data", gt=0, lt=1
    )
    epochs: int = option(60, "Largest number of epochs.", "Optimisation", ge=1)
    batch_size: int = option(32, "Samples per step and process.", "Optimisation", ge=2)
    learning_rate: float = option(2.2e-4, "Learning rate, or its peak.", "Optimisation", gt=0)
    optimizer: Literal["adam", "adamw", "sgd"] = option("adam", "Optimiser.", "Optimisation")
    momentum: float = option(0.9, "Momentum of SGD.", "Optimisation", ge=0, lt=1)
    weight_decay: float = option(
        0.0,
        "Weight decay, added to the gradient. With adamw, each step takes it off the weights, "
        "times the learning rate.",
        "Optimisation",
        ge=0,
    )
    schedule: Literal["plateau", "one-cycle", "cosine", "step", "constant"] = option(
        "plateau", "Course of the learning rate.", "Optimisation"
    )
    step_epochs: int = option(
        20, "Epochs between two steps of the schedule step.", "Optimisation", ge=1
    )
    step_factor: float = option(
        0.7,
        "Factor of the learning rate at each step of that schedule.",
        "Optimisation",
        gt=0,
        le=1,
    )
    final_learning_rate: float = option(
        0.0,
        "Learning rate at the end of a cosine, or below which steps do not go.",
        "Optimisation",
        ge=0,
    )
    plateau_patience: int = option(
        4, "Epochs without improvement before the rate falls to a tenth.", "Optimisation", ge=0
    )
    plateau_threshold: float = option(
        1e-3,
        "Smallest relative decrease of the validation loss that counts as improvement.",
        "Optimisation",
        ge=0,
    )
    min_learning_rate: float = option(
        1e-5, "Stop when a plateau has taken the learning rate below this.", "Optimisation", ge=0
    )
    warmup: float = option(
        0.15,
        "Share of the steps in which the one-cycle rate rises.",
        "Optimisation",
        gt=0,
        lt=1,
    )
    gradient_clip: float = option(
        0.0, "Largest norm of the gradient; 0 does not limit it.", "Optimisation", ge=0
    )
    freeze_statistics: float = option(
        1.0,
        "Share of the epochs after which batch norm fixes its statistics, so that the remaining "
        "epochs use the same ones as inference.",
        "Optimisation",
        ge=0,
        le=1,
    )
    ema_decay: float = option(
        0.0,
        "Decay per step of a running average of the weights, which is validated and kept; 0 keeps "
        "the weights themselves.",
        "Optimisation",
        ge=0,
        lt=1,
    )
    select: Literal["best", "last"] = option(
        "best",
        "Keep the weights of the epoch that is best in validation, or of the last epoch.",
        "Optimisation",
    )
    output: Path | None = option(
        None, "Run directory to make. Default: the next free one in runs/.", "Run"
    )
    seed: int = option(0, "Random seed.", "Run", ge=0, lt=2**32)
    accelerator: str = option("auto", "Lightning's accelerator: auto, cpu, gpu, …", "Run")
    devices: str = option("auto", "Lightning's devices: auto, a number, or a list.", "Run")
    num_nodes: int = option(1, "Lightning's number of machines.", "Run", ge=1, le=100_000)
    precision: Precision = option("32-true", "Lightning's precision.", "Run")
    logger: list[LoggerName] = option(
        ["tensorboard"],
        "Lightning's loggers, beside metrics.csv: one or several.",
        "Run",
        min_length=1,
    )
    progress: bool = option(True, "Show a progress bar.", "Run")

    @model_validator(mode="before")
    @classmethod
    def _gather_hypers(cls, values: Any) -> Any:
        """Collect options of the model that are given beside the others into ``hypers``."""
        if not isinstance(values, Mapping):
            return values
        given = values.get("hypers")
        if isinstance(given, Hypers):
            return values
        model = values.get("model", DEFAULT_MODEL)
        hypers = cls._hypers_class(model)
        flat = {k: v for k, v in values.items() if k not in cls.model_fields}
        own = {name: flat.pop(name) for name in list(flat) if name in hypers.model_fields}
        built = validated(hypers, {**own, **dict(given or {})}, {})
        others = {k: v for k, v in values.items() if k in cls.model_fields and k != "model"}
        return {**others, **flat, "model": name_of(model), "hypers": built}

    @model_validator(mode="after")
    def _hypers_are_the_models(self) -> Self:
        if not isinstance(self.hypers, find_hypers(self.domain, self.model)):
            raise ConfigError(
                f"hypers is a {type(self.hypers).__name__}, which does not hold the options of "
                f"{self.model}"
            )
        return self

    @property
    def place_of_data(self) -> Path | None:
        """The path of the data, from any folder; None without ``data``."""
        return None if self.data is None else self.data.expanduser().resolve()

    @classmethod
    def resolve(
        cls,
        *,
        preset: str | None = None,
        yaml_path: Path | None = None,
        flags: Mapping[str, Any] | None = None,
        model: Any = None,
    ) -> Self:
        """Like :meth:`CommandConfig.resolve`, with the model's own options among the others.

        Parameters
        ----------
        preset, yaml_path, flags
            Sources of options. The model's own are among the others, or in a mapping ``hypers``.
        model
            The model, if the YAML file names a user's own: a name in a file alone never causes an
            import from outside this package.

        Raises
        ------
        ConfigError
            Also for options of another model, and for a preset that the model does not have.
        CheckpointError
            Only the file names a user's own model.
        """
        name, sources = cls._written(preset, yaml_path, flags)
        config = cls._resolved(name, sources, model, cls._initial(sources))
        unused = [name for name, used in _OF_SCHEDULES.items() if config.schedule not in used]
        config.refuse_unused(unused, f"the schedule is {config.schedule}")
        if config.optimizer != "sgd":
            config.refuse_unused(("momentum",), f"the optimizer is {config.optimizer}")
        return config

    @classmethod
    def from_yaml(cls, path: Path, model: Any = None) -> Self:
        """The options that a run was begun with, from its ``config.yaml``.

        Parameters
        ----------
        path
            The file, of this version or of an earlier one, in which unused options were no errors.
        model
            As for :meth:`resolve`.

        Raises
        ------
        ConfigError, CheckpointError
            As :meth:`resolve`.
        """
        preset, (file, flags) = cls._written(None, path, None)
        if not file.values:
            raise ConfigError(f"{path} holds no options, so it is not known what was trained")
        file = replace(file, values=upgrade_config(dict(file.values), cls.domain))
        return cls._resolved(preset, [file, flags], model)

    @classmethod
    def _initial(cls, sources: Sequence[Source]) -> Source | None:
        """The model and its options of the weights to start from; None by default."""
        return None

    @classmethod
    def _resolved(
        cls, name: Any, sources: list[Source], model: Any, initial: Source | None = None
    ) -> Self:
        theirs = None if initial is None else initial.values["model"]
        # A user's own module is imported only if the user names it.
        by_name = theirs is None or not is_users_own(theirs)
        chosen = cls._chosen(sources, theirs if model is None and by_name else model)
        hypers = cls._hypers_class(chosen)
        if initial is not None and theirs == chosen:
            sources.insert(0, initial)
        if name is not None:
            sources.insert(0, Source(f"preset {name}", cls._preset(name, chosen, hypers)))
        values: dict[str, Any] = {}
        origin: dict[str, str] = {}
        own: dict[str, Any] = {}
        own_origin: dict[str, str] = {}
        for source in sources:
            mine, rest = _of_the_model(source, hypers, cls.model_fields)
            for key in mine:
                if key not in hypers.model_fields:
                    cls._refuse(key, _hyper_origin(source, key), chosen, hypers)
            own |= mine
            own_origin |= {key: _hyper_origin(source, key) for key in mine}
            for key in rest:
                if key not in cls.model_fields:
                    cls._refuse(key, source.origin(key), chosen, hypers)
            values |= rest
            origin |= {key: source.origin(key) for key in rest}
        values |= {"model": chosen, "hypers": validated(hypers, own, own_origin)}
        return cls._built(values, origin)

    @classmethod
    def _hypers_class(cls, model: Any) -> type[Hypers]:
        hypers = find_hypers(cls.domain, model)
        if both := sorted(hypers.model_fields.keys() & cls.model_fields.keys()):
            raise ConfigError(
                f"the model {name_of(model)} has options that the training has, too: "
                f"{', '.join(both)}. They could not be told apart: rename the model's options"
            )
        return hypers

    @classmethod
    def _chosen(cls, sources: Sequence[Source], model: Any) -> str:
        from_file, flag = (source.values.get("model") for source in sources)
        if flag is not None:
            return name_of(flag)
        if from_file is None:
            return name_of(DEFAULT_MODEL if model is None else model)
        if not isinstance(from_file, str):
            raise ConfigError(
                f"model = {quoted(from_file)} (from {sources[0].place}) is not a name; give "
                f"the name of a model"
            )
        return permitted_name(from_file, cls.domain, model, sources[0].place)

    @classmethod
    def preset_values(cls, name: str, model: Any) -> Mapping[str, Any]:
        """Options that a preset of a model sets, those of the training among them.

        Raises
        ------
        ConfigError
            There is no such model, or it has no such preset.
        """
        return cls._preset(name, name_of(model), find_hypers(cls.domain, model))

    @classmethod
    def _preset(cls, name: Any, model: str, hypers: type[Hypers]) -> Mapping[str, Any]:
        if isinstance(name, str) and name not in hypers.presets:
            owners = [
                other
                for other, entry in known_models(cls.domain).items()
                if entry.hypers is not None and name in find_hypers(cls.domain, other).presets
            ]
            if owners:
                known = ", ".join(hypers.presets) or "none"
                raise ConfigError(
                    f"{quoted(name)} is a preset of {', '.join(owners)}, not of {model}, whose "
                    f"presets are: {known}"
                )
        values = preset_of(hypers.presets, name).values
        return {**cls.recipes.get(name, {}), **values}

    @classmethod
    def _refuse(cls, key: str, place: str, model: str, hypers: type[Hypers]) -> None:
        """Raise an error that says what an unknown option may have been meant for."""
        known = {**cls.model_fields, **hypers.model_fields}
        default = find_hypers(cls.domain, DEFAULT_MODEL).model_fields
        if key in default and model != DEFAULT_MODEL:
            listed = ", ".join(hypers.model_fields) or "none"
            raise ConfigError(
                f"{key} (from {place}) is an option of the model {DEFAULT_MODEL}, not of {model}, "
                f"whose options are: {listed}"
            )
        if key in cls.model_fields:
            raise ConfigError(
                f"{key} (from {place}) is an option of the training, not of the model {model}: "
                f"write it by itself, as --{key.replace('_', '-')}"
            )
        nearest = nearest_name(key, known)
        hint = (
            f"did you mean {nearest!r}?"
            if nearest
            else f"known keys: {excerpt(', '.join(known), 120)}"
        )
        raise ConfigError(f"unknown key {quoted(key)} in {place}: {hint}")


def _hyper_origin(source: Source, key: str) -> str:
    nested = key in dict(source.values.get("hypers") or {})
    return f"--set {key}" if nested and source.place == "flags" else source.origin(key)


def _of_the_model(
    source: Source, hypers: type[Hypers], training: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a source into the options of the model and all others.

    Raises
    ------
    ConfigError
        An option is given twice in one source, or the options of the model are not a mapping.
    """
    rest = {key: value for key, value in source.values.items() if key not in ("hypers", "model")}
    nested = source.values.get("hypers") or {}
    if not isinstance(nested, Mapping):
        raise ConfigError(
            f"hypers (from {source.place}) must be 'key: value' lines, not {quoted(nested)}"
        )
    own = {str(key): value for key, value in nested.items()}
    for key in [key for key in rest if key in hypers.model_fields and key not in training]:
        if key in own:
            raise ConfigError(
                f"{key} is given twice in {source.place}: by itself and among the model's options; "
                f"remove one of them"
            )
        own[key] = rest.pop(key)
    return own, rest

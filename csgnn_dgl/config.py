"""One typed definition per command: its flags, its YAML, its defaults, and what is saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from typing_extensions import Self

from csgnn_dgl.errors import ConfigError, nearest_name, suggest

__all__ = ["CommandConfig", "Preset"]


@dataclass(frozen=True)
class Preset:
    """Defaults for a purpose.

    Parameters
    ----------
    description
        What it is for, in a line.
    values
        The options it sets.
    """

    description: str
    values: Mapping[str, Any]


class CommandConfig(BaseModel):
    """Base of the options of a command.

    A subclass lists its options as fields with a type, a default and a description; ``presets``
    names sets of other defaults.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )

    presets: ClassVar[dict[str, Preset]] = {}

    @classmethod
    def resolve(
        cls,
        *,
        preset: str | None = None,
        yaml_path: Path | None = None,
        flags: Mapping[str, Any] | None = None,
    ) -> Self:
        """Defaults, overridden by a preset, then by a YAML file, then by flags.

        The YAML file may name its preset under the key ``preset``; a preset given as an argument
        goes before that.

        Raises
        ------
        ConfigError
            Unknown preset or key (naming the nearest), or a value that is not allowed.
        """
        from_file = _read_yaml(yaml_path) if yaml_path is not None else {}
        named = from_file.pop("preset", None)
        preset = preset if preset is not None else named
        values: dict[str, Any] = {}
        origin: dict[str, str] = {}
        if preset is not None:
            if not isinstance(preset, str) or preset not in cls.presets:
                raise ConfigError(f"unknown preset {preset!r}: {suggest(str(preset), cls.presets)}")
            values |= cls.presets[preset].values
            origin |= dict.fromkeys(cls.presets[preset].values, f"preset {preset}")
        values |= from_file
        origin |= dict.fromkeys(from_file, str(yaml_path))
        for name, value in (flags or {}).items():
            values[name] = value
            origin[name] = f"--{name.replace('_', '-')}"
        return cls._validated(values, origin)

    @classmethod
    def from_yaml(cls, path: Path) -> Self:
        """The options saved in a file; see :meth:`to_yaml`.

        Raises
        ------
        ConfigError
            The file is missing or not YAML, or holds unknown keys or bad values.
        """
        return cls.resolve(yaml_path=path)

    def to_yaml(self) -> str:
        """All options, enough to repeat the run."""
        values = self.model_dump(mode="json")
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)

    @classmethod
    def _validated(cls, values: dict[str, Any], origin: Mapping[str, str]) -> Self:
        for name in values:
            if name not in cls.model_fields:
                nearest = nearest_name(name, cls.model_fields)
                hint = (
                    f"did you mean {nearest!r}?"
                    if nearest
                    else f"known keys: {', '.join(cls.model_fields)}"
                )
                raise ConfigError(f"unknown key {name!r} in {origin.get(name, 'options')}: {hint}")
        try:
            return cls(**values)
        except ValidationError as error:
            raise ConfigError(_in_words(error, values, origin)) from None


def _in_words(error: ValidationError, values: Mapping[str, Any], origin: Mapping[str, str]) -> str:
    lines = []
    for problem in error.errors():
        place = [str(part) for part in problem["loc"]]
        if not place:
            lines.append(problem["msg"].removeprefix("Value error, "))
            continue
        name = place[0]
        where = origin.get(name, "the default")
        message = problem["msg"]
        if problem["type"] == "literal_error":
            message = f"Input should be {problem['ctx']['expected']}"
            nearest = nearest_name(
                str(problem["input"]), problem["ctx"]["expected"].replace("'", "").split(", ")
            )
            message += f"; did you mean {nearest!r}?" if nearest else ""
        lines.append(f"{name} = {values.get(name)!r} (from {where}): {message}")
    return "; ".join(lines)


class _Loader(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error, not the last one's value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration file {path}: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path} must hold 'key: value' lines, but it holds a {type(content).__name__}"
        )
    return {str(key): value for key, value in content.items()}

"""One typed definition per command: its flags, its YAML, its defaults, and what is saved."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator
from typing_extensions import Self

from csgnn_dgl._foreign import check_file, excerpt, quoted, reading
from csgnn_dgl.errors import ConfigError, CSGNNError, nearest_name, suggest

__all__ = [
    "CommandConfig",
    "Options",
    "Preset",
    "Source",
    "option",
    "parse_yaml",
    "preset_of",
    "read_yaml",
    "validated",
]


# Limits of a configuration file: bytes, values, and lists within lists.
_LARGEST_FILE, _VALUES, _DEPTH = 1_000_000, 10_000, 20


def option(default: Any, description: str, group: str = "Options", **limits: Any) -> Any:
    """Make a field of :class:`Options` from its default, its description and its group in help.

    ``limits`` are pydantic's, such as ``ge=1``; ``short="-o"`` adds a short flag.
    """
    extra = {"group": group}
    if "short" in limits:
        extra["short"] = limits.pop("short")
    return Field(default=default, description=description, json_schema_extra={**extra}, **limits)


@dataclass(frozen=True)
class Preset:
    """A named set of defaults.

    Parameters
    ----------
    description
        Its purpose, in a line.
    values
        The options that it sets.
    """

    description: str
    values: Mapping[str, Any]


class Options(BaseModel):
    """Options with types, limits and descriptions.

    Raises
    ------
    ConfigError
        A name is unknown, or a value is not allowed, NaN or infinite.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(_in_words(error, values, {})) from error

    @field_validator("*")
    @classmethod
    def _fits_a_machine(cls, value: Any) -> Any:
        """Refuse numbers beyond 64 bits, and paths that no system has."""
        for part in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(part, int) and abs(part) >= 1 << 63:
                raise ValueError("the number is beyond 64 bits")
            if isinstance(part, (str, Path)) and "\0" in str(part):
                raise ValueError("a null character is not allowed")
        return value


@dataclass(frozen=True)
class Source:
    """Options that were written down in one place.

    Parameters
    ----------
    place
        ``"preset quick"``, a file's path, or ``"flags"``.
    values
        The options.
    """

    place: str
    values: Mapping[str, Any]

    def origin(self, name: str) -> str:
        """Where the option ``name`` of this source was written, for messages."""
        return f"--{name.replace('_', '-')}" if self.place == "flags" else self.place


class CommandConfig(Options):
    """Base of the options of a command.

    A subclass lists its options as fields with a type, a default and a description; ``presets``
    names sets of other defaults.
    """

    presets: ClassVar[Mapping[str, Preset]] = {}
    _origin: dict[str, str] = PrivateAttr(default_factory=dict)

    def __init__(self, /, **values: Any) -> None:
        super().__init__(**values)
        self._origin.update(dict.fromkeys(values, "the call"))

    def __eq__(self, other: object) -> bool:
        # Where options were written makes no difference.
        return type(other) is type(self) and vars(other) == vars(self)

    @classmethod
    def resolve(
        cls,
        *,
        preset: str | None = None,
        yaml_path: Path | None = None,
        flags: Mapping[str, Any] | None = None,
    ) -> Self:
        """Defaults, overridden by a preset, then by a YAML file, then by flags.

        The YAML file may name a preset under the key ``preset``; a preset given as an argument
        overrides it.

        Raises
        ------
        ConfigError
            A preset or key is unknown (the message names the nearest one), or a value is not
            allowed.
        """
        name, sources = cls._written(preset, yaml_path, flags)
        if name is not None:
            sources.insert(0, Source(f"preset {name}", preset_of(cls.presets, name).values))
        values: dict[str, Any] = {}
        origin: dict[str, str] = {}
        for source in sources:
            values |= source.values
            origin |= {key: source.origin(key) for key in source.values}
        return cls._built(values, origin)

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

    def refuse_unused(self, names: Iterable[str], reason: str) -> None:
        """Refuse options that the user set although they have no effect here.

        A default value in a file, as in a printed configuration, does not count as set.

        Parameters
        ----------
        names
            Options without effect.
        reason
            Why they have none, as a clause.

        Raises
        ------
        ConfigError
            One of them was set; the message says where.
        """
        chosen = []
        for name in names:
            place = self._origin.get(name)
            if place is None:
                continue
            if place.startswith("--"):
                chosen.append(place)
            elif getattr(self, name) != type(self).model_fields[name].default:
                chosen.append(f"{name} (from {place})")
        if chosen:
            verb = "means" if len(chosen) == 1 else "mean"
            raise ConfigError(f"{reason}, so {', '.join(chosen)} {verb} nothing here")

    @staticmethod
    def _written(
        preset: str | None, yaml_path: Path | None, flags: Mapping[str, Any] | None
    ) -> tuple[Any, list[Source]]:
        """The name of the preset, and the options of the file and the flags."""
        from_file = read_yaml(yaml_path) if yaml_path is not None else {}
        named = from_file.pop("preset", None)
        sources = [Source(str(yaml_path), from_file), Source("flags", flags or {})]
        return (preset if preset is not None else named), sources

    @classmethod
    def _built(cls, values: Mapping[str, Any], origin: Mapping[str, str]) -> Self:
        config = validated(cls, values, origin)
        config._origin.update(origin)
        return config


AnyOptions = TypeVar("AnyOptions", bound=Options)


def preset_of(presets: Mapping[str, Preset], name: Any) -> Preset:
    """Find the preset called ``name``.

    Raises
    ------
    ConfigError
        There is none; the message names the nearest one.
    """
    if not isinstance(name, str) or name not in presets:
        raise ConfigError(f"unknown preset {quoted(name)}: {suggest(excerpt(name), presets)}")
    return presets[name]


def validated(
    options: type[AnyOptions], values: Mapping[str, Any], origin: Mapping[str, str]
) -> AnyOptions:
    """Call ``options(**values)``, with error messages for users.

    Parameters
    ----------
    options
        The class.
    values
        Options by name.
    origin
        Where each was written.

    Raises
    ------
    ConfigError
        A name is unknown (the message names the nearest one), or a value is not allowed. The
        message says where it was written.
    """
    for name in values:
        if name not in options.model_fields:
            nearest = nearest_name(name, options.model_fields)
            hint = (
                f"did you mean {nearest!r}?"
                if nearest
                else f"known keys: {excerpt(', '.join(options.model_fields), 120) or 'none'}"
            )
            raise ConfigError(
                f"unknown key {quoted(name)} in {origin.get(name, 'options')}: {hint}"
            )
    try:
        return options(**values)
    except ConfigError as error:
        if not isinstance(error.__cause__, ValidationError):
            raise
        raise ConfigError(_in_words(error.__cause__, values, origin)) from error


def _in_words(error: ValidationError, values: Mapping[str, Any], origin: Mapping[str, str]) -> str:
    lines = []
    for problem in error.errors():
        place = [str(part) for part in problem["loc"]]
        if not place:
            lines.append(problem["msg"].removeprefix("Value error, "))
            continue
        name = place[0]
        where = origin.get(name, "the call" if name in values else "the default")
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "literal_error":
            message = f"Input should be {problem['ctx']['expected']}"
            allowed = re.findall("'([^']*)'", problem["ctx"]["expected"])
            nearest = nearest_name(str(problem["input"]), allowed)
            message += f"; did you mean {nearest!r}?" if nearest else ""
        value = quoted(values.get(name))
        lines.append(f"{name} = {value} (from {where}): {excerpt(message)}")
    return "; ".join(lines)


class _Loader(yaml.SafeLoader):
    """YAML loader for which a key that is given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read the mapping in a YAML file.

    Raises
    ------
    ConfigError
        The file is missing, is not YAML, or does not hold a mapping; or it is too large, too deep
        or has more values than any configuration.
    """
    if not path.exists():
        raise ConfigError(f"there is no configuration file {path}")
    if not path.is_file() or path.stat().st_size:  # an empty file is a configuration, too
        check_file(path, ConfigError)
    with reading(path, ConfigError), path.open(encoding="utf-8") as file:
        text = file.read(_LARGEST_FILE + 1)
    if len(text) > _LARGEST_FILE:
        raise ConfigError(f"{path} is no configuration file: it is larger than 1 MB")
    content = parse_yaml(text, str(path))
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path} must hold 'key: value' lines, but it holds a {type(content).__name__}"
        )
    return {str(key): value for key, value in content.items()}


def parse_yaml(text: str, place: str) -> Any:
    """Parse YAML that a user wrote.

    Parameters
    ----------
    text
        The YAML.
    place
        Where it was written, for messages.

    Raises
    ------
    ConfigError
        The text is not YAML, or is too deep, or has too many values.

    Examples
    --------
    >>> parse_yaml("[1, 2]", "--set")
    [1, 2]
    """
    try:
        # First without values, because an alias may stand for any number of them.
        _check_extent(yaml.compose(text, _Loader), place)
        return yaml.load(text, _Loader)
    except CSGNNError:
        raise
    except yaml.YAMLError as error:
        raise ConfigError(f"{place} is not YAML: {excerpt(error)}") from None
    except RecursionError:
        raise ConfigError(f"{place} is not a configuration: it is nested too deeply") from None
    # A constructor may raise any exception if a value does not fit its tag, as a wrong date.
    except Exception as error:
        raise ConfigError(f"{place} holds a value that cannot be read: {excerpt(error)}") from error


def _check_extent(node: yaml.Node | None, place: str) -> None:
    """Refuse YAML with too many values, counting those of an alias each time it is used."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node, above: tuple[int, ...]) -> int:
        if len(above) > _DEPTH or id(node) in above:
            raise ConfigError(f"{place} is not a configuration: it is nested too deeply")
        if id(node) not in sizes:
            parts: list[yaml.Node] = []
            if isinstance(node, yaml.SequenceNode):
                parts = node.value
            elif isinstance(node, yaml.MappingNode):
                parts = [part for pair in node.value for part in pair]
            sizes[id(node)] = 1 + sum(size(part, (*above, id(node))) for part in parts)
        return sizes[id(node)]

    if node is not None and size(node, ()) > _VALUES:
        raise ConfigError(f"{place} is not a configuration: it has more than {_VALUES:,} values")

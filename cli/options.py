"""Make the flags of a command from its configuration class."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import click
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from csgnn_dgl._foreign import excerpt, parse_integer, quoted
from csgnn_dgl.config import CommandConfig, parse_yaml
from csgnn_dgl.datasets.isolation import isolation
from csgnn_dgl.errors import ConfigError, nearest_name
from csgnn_dgl.models.registry import find_hypers
from csgnn_dgl.tasks.config import DEFAULT_MODEL, TrainingConfig

__all__ = ["ConfigCommand", "config_options"]

Config = TypeVar("Config", bound=CommandConfig)


class ConfigCommand(click.Command):
    """A command whose help lists the options by group, with their defaults."""

    groups: dict[str, str]

    def option_groups(self, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
        """Flags and help of all options, by group, in the order in which they are shown."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                group = self.groups.get(parameter.name or "", "General")
                sections.setdefault(group, []).append(record)
        # Groups of the command's own options come before the groups that all commands share.
        shared = ["Optimisation", "Run", "General"]
        order = sorted(sections, key=lambda name: shared.index(name) if name in shared else -1)
        return {name: sections[name] for name in order}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for name, records in self.option_groups(ctx).items():
            with formatter.section(name):
                formatter.write_dl(records)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            known = [name for p in self.params for name in (*p.opts, *p.secondary_opts)]
            nearest = nearest_name(error.option_name, known)
            hint = f"did you mean {nearest}?" if nearest else f"see {ctx.command_path} --help"
            raise click.UsageError(f"unknown option {error.option_name}: {hint}", ctx) from None


class _CommaSeparated(click.ParamType):
    """A list of whole numbers, of numbers, or of names, which the configuration checks."""

    def __init__(self, item: Any) -> None:
        item = typing.get_args(item)[0] if typing.get_origin(item) is Annotated else item
        self.item = item if item in (int, float) else str
        self.name = {int: "numbers", float: "numbers", str: "names"}[self.item]
        if typing.get_origin(item) is Literal:
            self.name = "|".join(map(str, typing.get_args(item)))

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if not isinstance(value, str):
            return value
        parts = [part.strip() for part in value.split(",") if part.strip()]
        if self.item is str:
            return parts
        numbers: list[Any]
        if self.item is int:
            what, example = "whole numbers", "512,256"
            numbers = [parse_integer(part) for part in parts]
        else:
            what, example = "numbers", "0.8,1.25"
            numbers = [_number(part) for part in parts]
        if None in numbers:
            self.fail(f"{quoted(value)} is not a list of {what} such as {example}", param, ctx)
        return numbers


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


class _Assignment(click.ParamType):
    name = "KEY=VALUE"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        key, equals, text = str(value).partition("=")
        if not equals or not key.strip():
            self.fail(f"{quoted(value)} is not KEY=VALUE, such as width=64", param, ctx)
        return key.strip(), parse_yaml(text, f"the value of --set {excerpt(key.strip())}")


def config_options(config_class: type[Config]) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a decorator that turns a function into a command with the options of ``config_class``.

    The function is called with ``config`` (the resolved options), ``given`` (the names of the flags
    on the command line) and its own click arguments. The command also gets ``--config FILE``,
    ``--preset`` if there are presets, and ``--print-config``, which prints the options and exits.
    """

    def decorate(function: Callable[..., Any]) -> click.Command:
        def call(
            config_file: Path | None,
            print_config: bool,
            preset: str | None = None,
            **values: Any,
        ) -> Any:
            own = {name: values.pop(name) for name in list(values) if name not in fields}
            context = click.get_current_context()
            given = {
                name: value
                for name, value in values.items()
                if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
            }
            if "hypers" in given:
                given["hypers"] = _assigned(given["hypers"])
            config = config_class.resolve(preset=preset, yaml_path=config_file, flags=given)
            if print_config:
                click.echo(config.to_yaml(), nl=False)
                return None
            general = {"--config": config_file, "--preset": preset}
            names = {flag for flag, value in general.items() if value is not None}
            names |= {_flag(name) for name in given}
            with isolation(getattr(config, "isolate", None)):
                return function(config=config, given=names, **own)

        fields = _fields(config_class)
        call.__doc__, call.__name__ = function.__doc__, function.__name__
        parameters = [_option(name, field) for name, field in fields.items()]
        parameters += _general_options(config_class)
        # click reads the parameters of a function from this attribute, which it does not declare.
        call.__click_params__ = [  # type: ignore[attr-defined]
            *reversed(parameters),
            *getattr(function, "__click_params__", []),
        ]
        command = click.command(
            cls=ConfigCommand, context_settings={"max_content_width": 100, "show_default": True}
        )(call)
        command.groups = {name: _group(field) for name, field in fields.items()}
        return command

    return decorate


def _assigned(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The options that ``--set`` gave, each once."""
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ConfigError(
                f"--set gives {name} twice, {quoted(values[name])} and "
                f"{quoted(value)}; give it once"
            )
        values[name] = value
    return values


def _fields(config_class: type[CommandConfig]) -> dict[str, FieldInfo]:
    """All options that have a flag: those of the command, and those of the default model."""
    fields = dict(config_class.model_fields)
    if not issubclass(config_class, TrainingConfig):
        return fields
    own = find_hypers(config_class.domain, DEFAULT_MODEL).model_fields
    # Lists of lists have no flag; they can be given in YAML and by --set.
    flat = {name: field for name, field in own.items() if _kind(field.annotation) is not None}
    return {**flat, **fields}


def _flag(name: str) -> str:
    return "--set" if name == "hypers" else f"--{name.replace('_', '-')}"


def _general_options(config_class: type[CommandConfig]) -> list[click.Option]:
    options = [
        click.Option(
            ["--config", "config_file"],
            type=click.Path(path_type=Path, dir_okay=False),
            help="YAML file with options, such as a run's config.yaml; flags override it.",
            show_default=False,
        ),
        click.Option(["--print-config"], is_flag=True, help="Print all options as YAML and exit."),
    ]
    if config_class.presets:
        described = "; ".join(f"{k}: {v.description}" for k, v in config_class.presets.items())
        if issubclass(config_class, TrainingConfig):
            described += f" (presets of {DEFAULT_MODEL}; for others see csgnn-dgl models NAME)"
        # Not a click.Choice, because the configuration's own error names the nearest preset.
        options.insert(
            0,
            click.Option(
                ["--preset"],
                metavar=f"[{'|'.join(config_class.presets)}]",
                help=f"Set of defaults. {described}.",
                show_default=False,
            ),
        )
    return options


def _group(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return str(extra["group"]) if isinstance(extra, dict) else "Options"


def _option(name: str, field: FieldInfo) -> click.Option:
    flag = _flag(name)
    if name == "hypers":
        return click.Option([flag, name], multiple=True, type=_Assignment(), help=field.description)
    kind = _without_none(field.annotation)
    default = None if field.default is PydanticUndefined else field.default
    shown: bool | str = default is not None
    settings: dict[str, Any] = {"default": None, "help": field.description}
    if kind is bool:
        return click.Option(
            [f"{flag}/--no-{flag[2:]}"],
            default=default,
            help=str(field.description)
            + ("" if default is None else f" Default: {'on' if default else 'off'}."),
            show_default=False,
        )
    if _kind(kind) is None:
        raise ConfigError(f"option {name} has the type {kind}, which has no flag")
    if typing.get_origin(kind) is Literal:
        settings["type"] = click.Choice([str(choice) for choice in typing.get_args(kind)])
    elif typing.get_origin(kind) is list:
        settings["type"] = _CommaSeparated(typing.get_args(kind)[0])
        shown = (",".join(map(str, default)) if isinstance(default, list) else "") or False
        default = None
    elif kind is Path:
        settings["type"] = click.Path(path_type=Path)
    else:
        settings["type"] = kind
    if shown is True:
        settings["default"] = default
    extra = field.json_schema_extra
    short = [str(extra["short"])] if isinstance(extra, dict) and "short" in extra else []
    return click.Option([*short, flag], show_default=shown, **settings)


def _kind(annotation: Any) -> Any:
    """The type of a flag; None if the option cannot have a flag."""
    kind = _without_none(annotation)
    if kind in (bool, int, float, str, Path) or typing.get_origin(kind) in (Literal, list):
        return kind
    return None


def _without_none(annotation: Any) -> Any:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
        return kinds[0] if len(kinds) == 1 else annotation
    return annotation

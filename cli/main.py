"""Entry point: imports a command when it is used, and prints an error as one line."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from csgnn_dgl import __version__
from csgnn_dgl._files import resource_error
from csgnn_dgl._foreign import excerpt, message_text, quoted
from csgnn_dgl._plugins import PluginWarning
from csgnn_dgl.datasets.isolation import isolation
from csgnn_dgl.errors import CSGNNError, StoppedError, suggest

__all__ = ["cli", "main"]

_STATUS_USER_ERROR = 2
_STATUS_STOPPED = 130
# Largest number of characters of an error.
_LONGEST = 4000
# Parts of PyTorch's messages: its class for this error cannot be used without importing torch.
_OUT_OF_MEMORY = ("can't allocate memory", "out of memory")


class LazyGroup(click.Group):
    """A group whose commands live in modules that are imported only when they are called.

    Parameters
    ----------
    lazy
        For each command name: ``module:attribute``, and a line of help.
    """

    def __init__(self, *args: Any, lazy: dict[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # Names are known without importing the commands.
        found = [
            CompletionItem(name, help=text)
            for name, (_, text) in self.lazy.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy:
            return None
        module, attribute = self.lazy[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.lazy.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.lazy and not args[0].startswith("-"):
            ctx.fail(f"no such command {quoted(args[0])}: {suggest(args[0], self.lazy)}")
        return super().resolve_command(ctx, args)


def _group(name: str, text: str, lazy: dict[str, tuple[str, str]]) -> LazyGroup:
    return LazyGroup(name, help=text, lazy=lazy, context_settings={"max_content_width": 100})


cli = _group(
    "csgnn-dgl",
    "Graph learning on concentric icosahedral spheres, for 3-D data of any orientation.",
    {
        "doctor": (
            "csgnn_dgl.cli.doctor:doctor",
            "Show what is installed, what is missing, and what to do.",
        ),
        "data": ("csgnn_dgl.cli.data:data", "Inspect, download, make, import or join data."),
        "train": ("csgnn_dgl.cli.train:train_group", "Train a model: train modelnet, train dos."),
        "evaluate": ("csgnn_dgl.cli.evaluate:evaluate_command", "Test a trained model."),
        "predict": (
            "csgnn_dgl.cli.predict:predict_command",
            "Predict classes of shapes, or densities of states of atoms.",
        ),
        "view": (
            "csgnn_dgl.cli.view:view_command",
            "Show a file, and what a model says about it, as a page for any browser.",
        ),
        "report": (
            "csgnn_dgl.cli.report:report_command",
            "Test a run, and write a page about it: curves, errors, worst examples.",
        ),
        "describe-atoms": (
            "csgnn_dgl.cli.describe_atoms:describe_atoms_command",
            "Compute a descriptor of every atom in structure files.",
        ),
        "describe-shapes": (
            "csgnn_dgl.cli.describe_shapes:describe_shapes_command",
            "Compute an embedding of each mesh or cloud, and find similar ones.",
        ),
        "export": (
            "csgnn_dgl.cli.export:export_command",
            "Write a model as a file that needs only torch.",
        ),
        "compare": (
            "csgnn_dgl.cli.compare:compare_command",
            "Train and test many systems under one protocol: the paper's tables.",
        ),
        "benchmark": ("csgnn_dgl.cli.benchmark:benchmark_command", "Measure speed and memory."),
        "models": (
            "csgnn_dgl.cli.models:models_command",
            "List the shipped models, and the models to train.",
        ),
    },
)
cli.params += [
    click.Option(["--debug"], is_flag=True, help="Show tracebacks."),
]
cli = click.version_option(__version__, prog_name="csgnn-dgl")(cli)


def _fail(message: str) -> int:
    # Lists in messages have lines of two blanks; any other line end is part of foreign text.
    lines = "\n  ".join(message_text(part) for part in message.split("\n  "))
    shown = lines if len(lines) <= _LONGEST else f"{lines[:_LONGEST]} …"
    click.echo(f"error: {shown}", err=True)
    return _STATUS_USER_ERROR


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 for success, 2 for a user's error, 130 if it was stopped."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Removed before click parses the arguments, so that it may be given anywhere.
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    format_others = warnings.formatwarning
    warnings.formatwarning = lambda message, category, *place: (
        f"warning: {message_text(str(message))}\n"
        if issubclass(category, PluginWarning)
        else format_others(message, category, *place)
    )
    try:
        status = _run(words, debug)
    finally:
        warnings.formatwarning = format_others
    sys.exit(status)


def _run(words: list[str], debug: bool) -> int:
    try:
        with isolation(None, automatic=True):
            status = cli.main(words, prog_name="csgnn-dgl", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return _STATUS_USER_ERROR
    except click.ClickException as error:
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(f"try: {error.ctx.command_path} --help", err=True)
        return _fail(excerpt(error.format_message(), 1000))
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return _STATUS_STOPPED
    except BrokenPipeError:
        # The reader of our output has ended (head, less), so nothing more can be printed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except CSGNNError as error:
        if debug:
            traceback.print_exc()
        _fail(str(error))
        return _STATUS_STOPPED if isinstance(error, StoppedError) else _STATUS_USER_ERROR
    except OSError as error:
        if debug:
            traceback.print_exc()
        return _fail(str(resource_error(error, error.filename or "a file", "use")))
    except (MemoryError, RuntimeError) as error:
        memory = isinstance(error, MemoryError) or any(t in str(error) for t in _OUT_OF_MEMORY)
        if not memory:
            raise
        if debug:
            traceback.print_exc()
        trains = words[:1] == ["train"]
        advice = "choose a smaller --batch-size, --level or --n-spheres" if trains else "free some"
        return _fail(f"not enough memory; {advice}")

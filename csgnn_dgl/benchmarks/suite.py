"""Run all measurements, or repeat some of them: a table, one JSON file, and plots."""

from __future__ import annotations

import contextlib
import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from csgnn_dgl import __version__
from csgnn_dgl._files import atomic_write_json
from csgnn_dgl.benchmarks.report import plot_scaling, table
from csgnn_dgl.benchmarks.sections import SECTIONS
from csgnn_dgl.benchmarks.settings import Settings
from csgnn_dgl.errors import ConfigError, DataError, suggest
from csgnn_dgl.tasks.allocator import keep_freed_memory

__all__ = ["RESULTS", "run"]

RESULTS = "results.json"


def _processor() -> str:
    """Name of the processor; on Linux, Python's own functions give only its architecture."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _origin() -> dict[str, str]:
    """Where and with what is measured now."""
    return {
        "csgnn_dgl": __version__,
        "torch": str(torch.__version__),
        "processor": _processor(),
    }


def _earlier(path: Path) -> dict[str, Any]:
    """Sections that were measured before, each with its origin in its settings."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        # Earlier versions wrote the origin once, for all sections.
        origin = {key: found[key] for key in ("csgnn_dgl", "torch", "processor")}
        return {
            name: {**section, "settings": {**origin, **section["settings"]}}
            for name, section in found["sections"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} holds no results of this suite ({error}); remove it") from error


def run(
    output: Path,
    settings: Settings,
    sections: Sequence[str] = (),
    echo: Callable[[str], object] = print,
) -> dict[str, Any]:
    """Measure, and write ``results.json`` and ``scaling.png`` after each section.

    Parameters
    ----------
    output
        Folder for the results. Its results of sections that are not measured again are kept, with
        the processor and the versions that they were measured with.
    settings
        Settings of the measurement.
    sections
        Names of sections; all by default.
    echo
        Called with lines of text.

    Raises
    ------
    ConfigError
        A section is unknown.
    """
    for name in sections:
        if name not in SECTIONS:
            raise ConfigError(f"unknown section {name!r}: {suggest(name, SECTIONS)}")
    output.mkdir(parents=True, exist_ok=True)
    path = output / RESULTS
    kept, origin = _earlier(path), _origin()
    torch.set_num_threads(settings.threads)
    keep_freed_memory()
    results: dict[str, Any] = {}
    for name in sections or list(SECTIONS):
        echo(f"— {name}")
        measured = SECTIONS[name](settings, echo)
        kept[name] = {"settings": {**asdict(settings), **origin}, **measured}
        results = {
            # The processor and the versions of this run. Sections hold those of their own runs.
            **origin,
            # In the order of the suite, not in the order of measuring.
            "sections": {key: kept[key] for key in SECTIONS if key in kept},
        }
        atomic_write_json(path, results)
    if "scaling" in kept:
        plot_scaling(kept["scaling"], output / "scaling.png")
    echo(table(results))
    echo(f"written to {path}")
    return results

"""Measure the figures of the documents, and write them into the documents.

    python benchmarks/results.py --only demo      # measure an entry: make results ONLY=demo
    python benchmarks/results.py --write          # write all figures into README.md and docs/*.md

Each entry is one JSON file in ``benchmarks/results/figures``, with its commands, date, versions and
device. An entry that was measured with this version is not measured again (``--again`` does), so an
interrupted run goes on where it stopped. An entry whose data are not at hand is passed over.

The documents have blocks between ``<!-- figures: NAME -->`` and ``<!-- /figures -->``. Their text
is that of ``benchmarks/results/tables/NAME.md``, with the figures put in. The test
``tests/test_figures.py`` fails if a document and the JSON disagree. Blocks ``compare-NAME`` are the
tables of comparisons (see ``compared.py``). Files named ``*-taken-over``
hold figures of an earlier version that were not measured again; each says of which.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).resolve().parent))
import compared

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
FIGURES, TABLES = RESULTS / "figures", RESULTS / "tables"
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
_BLOCK = re.compile(r"<!-- figures: ([\w-]+) -->\n(.*?)<!-- /figures -->", re.DOTALL)


@dataclass(frozen=True)
class Entry:
    """Some figures that are measured together.

    Parameters
    ----------
    commands
        Arguments of ``csgnn-dgl``; ``{runs}`` is the folder for runs, ``{data}`` that of the data.
    collect
        Makes the figures from the folder for runs and what each command printed.
    data
        Environment variable with the path of the data; None if they come with the package.
    """

    commands: tuple[str, ...]
    collect: Callable[[Path, list[str]], dict[str, Any]]
    data: str | None = None


def _shapes(runs: Path, printed: list[str]) -> dict[str, Any]:
    one, five = (json.loads(text) for text in printed[1:])
    (written,) = runs.glob("*/summary.json")
    summary = json.loads(written.read_text(encoding="utf-8"))
    return {
        "accuracy": 100 * one["accuracy"],
        "accuracy_5_votes": 100 * five["accuracy"],
        "majority_class": 100 * one["baseline"]["accuracy"],
        "test_shapes": one["shapes"],
        "validation_accuracy": 100 * summary["validation_accuracy"],
        "parameters": summary["parameters"],
        "seconds_of_training": summary["seconds_of_training"],
        "minutes": summary["seconds_of_training"] / 60,
    }


def _dos(runs: Path, printed: list[str]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for result in map(json.loads, printed):
        rows = {row["type"]: row for row in result["figures"]}
        means = {row["type"]: row for row in (result["baseline"] or {"figures": []})["figures"]}
        figures[f"votes_{result['votes']}"] = {"model": rows, "mean_curve": means}
    return figures


def _trained_dos(runs: Path, printed: list[str]) -> dict[str, Any]:
    (written,) = runs.glob("*/summary.json")
    seconds = json.loads(written.read_text(encoding="utf-8"))["processor_seconds_of_training"]
    return {**_dos(runs, printed[1:]), "core_minutes": seconds / 60}


ENTRIES: Mapping[str, Entry] = {
    "demo": Entry(
        (
            "train modelnet --preset quick --output {runs}/demo",
            "evaluate {runs}/demo --rotation so3 --json",
            "evaluate {runs}/demo --rotation so3 --votes 5 --vote-set random --json",
        ),
        _shapes,
    ),
    "carbon-quick": Entry(
        (
            "train dos --preset quick --output {runs}/carbon-quick",
            "evaluate {runs}/carbon-quick --json",
            "evaluate {runs}/carbon-quick --votes 8 --vote-set random --json",
        ),
        _trained_dos,
    ),
    "phonon-dos": Entry(("evaluate phonon-dos --data {data} --json",), _dos, "PHONON_DATA"),
    "phonon-dos-4": Entry(("evaluate phonon-dos-4 --data {data} --json",), _dos, "PHONON_DATA"),
    "carbon-tb": Entry(
        (
            "evaluate carbon-tb --data {data} --votes 8 --vote-set random --json",
            "evaluate carbon-tb --data {data} --json",
        ),
        _dos,
        "CARBON_DATA",
    ),
    "carbon-all": Entry(
        (
            "evaluate carbon-all --data {data} --votes 8 --vote-set random --json",
            "evaluate carbon-all --data {data} --json",
        ),
        _dos,
        "CARBON_ALL_DATA",
    ),
    "shrec11": Entry(
        (
            "train modelnet --data {data} --init-from shapes --preset compact --epochs 15 "
            "--consistency 1 --ema-decay 0.95 --hidden 256 --output {runs}/shrec11",
            "evaluate {runs}/shrec11 --rotation so3 --json",
            "evaluate {runs}/shrec11 --rotation so3 --votes 5 --json",
        ),
        _shapes,
        "SHREC11_DATA",
    ),
    "modelnet10": Entry(
        (
            "train modelnet --data {data} --preset compact --epochs 20 --output {runs}/modelnet10",
            "evaluate {runs}/modelnet10 --rotation so3 --json",
            "evaluate {runs}/modelnet10 --rotation so3 --votes 5 --vote-set random --json",
        ),
        _shapes,
        "MODELNET10_DATA",
    ),
}


def _versions() -> dict[str, str]:
    names = ("csgnn-dgl", "torch", "dgl", "lightning", "numpy")
    found = {"python": platform.python_version()}
    return found | {name: metadata.version(name) for name in names}


def _device() -> dict[str, Any]:
    import torch

    from csgnn_dgl.benchmarks.suite import _processor

    return {"processor": _processor(), "threads": torch.get_num_threads()}


def _shown_commands(entry: Entry) -> list[str]:
    # A path in a command is that of one machine; the name of its variable is everyone's.
    shown = {"runs": "runs", "data": f"${entry.data}"}
    return [f"csgnn-dgl {command.format(**shown)}" for command in entry.commands]


def measure(name: str, runs: Path) -> None:
    """Run an entry's commands, and write its file.

    Parameters
    ----------
    name
        One of :data:`ENTRIES`.
    runs
        Folder for the runs; made if absent.
    """
    entry = ENTRIES[name]
    places = {"runs": str(runs), "data": os.environ.get(entry.data or "", "")}
    runs.mkdir(parents=True, exist_ok=True)
    printed, started = [], time.perf_counter()
    for command in entry.commands:
        words = [word.format(**places) for word in command.split()]
        click.echo(f"{name}: csgnn-dgl {' '.join(words)}", err=True)
        done = subprocess.run(
            [sys.executable, "-m", "csgnn_dgl.cli", *words], stdout=subprocess.PIPE, text=True
        )
        if done.returncode:
            raise click.ClickException(f"{name}: csgnn-dgl {command} failed; see above")
        printed.append(done.stdout)
    content = {
        "entry": name,
        "origin": "measured",
        "date": date.today().isoformat(),
        "commands": _shown_commands(entry),
        "versions": _versions(),
        "device": _device(),
        "seconds": round(time.perf_counter() - started, 1),
        "figures": entry.collect(runs, printed),
    }
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    FIGURES.mkdir(parents=True, exist_ok=True)
    (FIGURES / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def is_measured(name: str) -> bool:
    """Whether an entry was measured with this version of the package and its present commands."""
    path = FIGURES / f"{name}.json"
    if not path.is_file():
        return False
    content = json.loads(path.read_text(encoding="utf-8"))
    same = content.get("versions", {}).get("csgnn-dgl") == metadata.version("csgnn-dgl")
    same = same and content["commands"] == _shown_commands(ENTRIES[name])
    return bool(content["origin"] == "measured" and same)


def load_figures() -> dict[str, Any]:
    """All committed figures: of entries by name, of domains, and of the benchmark by threads.

    Times of the benchmark are there in milliseconds, too.
    """
    listed = json.loads((ROOT / "csgnn_dgl/weights/models.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = {"shipped": {name: listed[name]["figures"] for name in listed}}
    for path in sorted(FIGURES.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        found[path.stem.replace("-", "_")] = content["figures"]
    found["domain"] = _domain()
    for path in sorted(RESULTS.glob("*/results.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        found[path.parent.name.replace("-", "_")] = _with_milliseconds(
            content.get("sections", content)
        )
    return found


def _domain() -> dict[str, Any]:
    content = json.loads((RESULTS / "domain.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = _with_percent(content)
    outside = content["carbon-tb"]["outside"].values()
    found["carbon-tb"]["least_auroc"] = min(row["auroc"] for row in outside)
    found["carbon-tb"]["least_warned_percent"] = 100 * min(row["warned"] for row in outside)
    return found


def _with_percent(content: Any) -> Any:
    """Shares in per cent too, and rows of coverage by quantity and level."""
    if isinstance(content, list):
        by_quantity: dict[str, Any] = {}
        for row in content:
            shown = {"percent": 100 * row["coverage"], "half_width": row["half_width"]}
            by_quantity.setdefault(row["quantity"], {})[str(row["level"])] = shown
        return by_quantity
    if not isinstance(content, dict):
        return content
    found = {key: _with_percent(value) for key, value in content.items()}
    shares = {key: value for key, value in found.items() if isinstance(value, float)}
    return found | {f"{key}_percent": 100 * value for key, value in shares.items()}


def _with_milliseconds(content: Any) -> Any:
    if not isinstance(content, dict):
        return content
    found = {key: _with_milliseconds(value) for key, value in content.items()}
    if "seconds" in found:
        found["milliseconds"] = _times(1000, found["seconds"])
    if "share_of_training_step" in found:
        found["percent_of_training_step"] = 100 * found["share_of_training_step"]
    if "points_per_second" in found:
        found["million_points_per_second"] = found["points_per_second"] / 1e6
    return found


def _times(factor: float, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _times(factor, part) for key, part in value.items()}
    return factor * value


def render(name: str, figures: Mapping[str, Any]) -> str:
    """The text of a block, with the figures put in; or the table of a comparison."""
    if name.startswith("compare-"):
        return compared.table(name.removeprefix("compare-"))
    return (TABLES / f"{name}.md").read_text(encoding="utf-8").format_map(figures)


def rewritten(text: str, figures: Mapping[str, Any]) -> str:
    """A document with its blocks written again."""

    def block(match: re.Match[str]) -> str:
        inside = render(match[1], figures)
        return f"<!-- figures: {match[1]} -->\n{inside}<!-- /figures -->"

    return _BLOCK.sub(block, text)


@click.command(context_settings={"show_default": True})
@click.option("--only", default="", help="Measure only these entries, separated by commas.")
@click.option("--again", is_flag=True, help="Measure entries again that were measured before.")
@click.option("--write", "only_write", is_flag=True, help="Only write the documents.")
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs/results"))
def main(only: str, again: bool, only_write: bool, runs: Path) -> None:
    """Measure figures that are missing, and write the documents."""
    wanted = [name for name in only.replace(",", " ").split() if name] or list(ENTRIES)
    for name in wanted:
        if name not in ENTRIES:
            raise click.ClickException(f"unknown entry {name!r}; known: {', '.join(ENTRIES)}")
    for name in () if only_write else wanted:
        variable = ENTRIES[name].data
        if is_measured(name) and not again:
            click.echo(f"{name}: measured with this version; --again repeats it", err=True)
        elif variable is not None and not os.environ.get(variable):
            click.echo(f"{name}: set {variable} to the folder of its data", err=True)
        else:
            # A new folder, because commands never overwrite a run.
            measure(name, runs / time.strftime("%Y%m%d-%H%M%S"))
    figures = load_figures()
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        new = rewritten(text, figures)
        if new != text:
            path.write_text(new, encoding="utf-8")
            click.echo(f"written: {path.relative_to(ROOT)}", err=True)


if __name__ == "__main__":
    main()

"""A page about a run: what was trained, how well it does, and where it fails."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from csgnn_dgl._foreign import check_file, reading
from csgnn_dgl._progress import shown, working
from csgnn_dgl.config import read_yaml
from csgnn_dgl.errors import CheckpointError, DataError
from csgnn_dgl.tasks.output_files import check_output
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.targets import target_of
from csgnn_dgl.tasks.weights import Header, load_weights
from csgnn_dgl.viewing.config import ReportConfig
from csgnn_dgl.viewing.page import facts, picture, table, text_of, write_page
from csgnn_dgl.viewing.view import ENDINGS, Viewed

__all__ = ["Example", "Findings", "Panel", "write_report"]


@dataclass(frozen=True)
class Panel:
    """Curves of a training over its epochs.

    Parameters
    ----------
    title, unit
        Heading, and label of the vertical axis.
    columns
        Name of each curve, by its column of ``metrics.csv``.
    factor
        Factor of the values.
    log
        Whether the vertical axis is logarithmic.
    """

    title: str
    unit: str
    columns: Mapping[str, str]
    factor: float = 1.0
    log: bool = False


@dataclass(frozen=True)
class Example:
    """A sample that the network does badly on.

    Parameters
    ----------
    content
        The picture, a PNG.
    caption
        What it is and what the network says, in a sentence.
    """

    content: bytes
    caption: str


@dataclass(frozen=True)
class Findings:
    """Results of a test, for the page.

    Parameters
    ----------
    headline
        The main result and the baseline, in a sentence.
    results
        Columns and rows of a table.
    protocol
        How the test was done, as names and values.
    notes
        Further results and warnings, in sentences.
    payload
        Data for the script of the page: ``confusion`` or ``parity``.
    examples
        The worst samples.
    """

    headline: str
    results: tuple[Sequence[str], Sequence[Sequence[object]]]
    protocol: Sequence[tuple[str, object]]
    notes: Sequence[str] = ()
    payload: Mapping[str, Any] = field(default_factory=dict)
    examples: Sequence[Example] = ()


def write_report(path: Path, config: ReportConfig) -> Viewed:
    """Test a run as ``csgnn-dgl evaluate`` does, and write a page about it.

    The page has the curves of the training, the results beside the baseline, the confusion matrix
    or the energies, the worst examples, the protocol, all options, and the versions of the
    libraries. As after ``evaluate``, the result is also in the run's ``summary.json``. If the data
    of the run are gone or have changed, the page says so in place of results.

    Parameters
    ----------
    path
        The run directory.
    config
        Protocol of the test, and the page.

    Raises
    ------
    CheckpointError
        There is no run, or it is damaged, or has no weights yet.
    ConfigError
        An option has no effect, or the page cannot be called so.
    ResourceError
        The page cannot be written. An older file stays unchanged.
    """
    run = RunDirectory.open(path)
    output = run.path / "report.html" if config.output is None else config.output
    check_output(output, ENDINGS)
    target = target_of(run.path)
    header, _ = load_weights(run.model, target.kind)
    module = importlib.import_module(f"csgnn_dgl.viewing.{target.domain}.report")
    problem = None
    with shown(config.progress), working("testing a run"):
        try:
            evaluation = target.evaluate(run.path, config.evaluating())
        except DataError as error:
            problem = str(error)
            found = Findings("not tested", ((), ()), ())
        else:
            found = module.findings(evaluation, header, config.worst)
    summary = run.read_summary()
    metrics = _read_metrics(run)
    panels = [*module.panels(header), Panel("Learning rate", "", {"learning_rate": "end of epoch"})]
    payload = {
        "curves": [_plain_panel(panel, metrics) for panel in panels],
        "epochs": metrics["epoch"].tolist(),
        "kept": summary.get("kept_epoch"),
        **found.payload,
    }
    notes = [*found.notes] if problem is None else [f"warning: not tested: {problem}"]
    size = write_page(
        output,
        title=f"Run {run.path.resolve().name}",
        name="report",
        payload=payload,
        headline=text_of(found.headline),
        results=table(*found.results) if found.results[1] else "",
        notes="".join(f"<li>{text_of(note)}</li>" for note in notes),
        examples=_examples(found),
        training=facts(_training(summary, header)),
        protocol=facts(found.protocol) if found.protocol else "<p>There was no test.</p>",
        evaluations=_evaluations(summary),
        options=facts(_flat(read_yaml(run.config))),
        versions=facts(_versions(header)),
    )
    lines = [f"{run.path}: {found.headline}", *(f"  {n}" for n in notes if n.startswith("warning"))]
    return Viewed(output, lines, size)


def _read_metrics(run: RunDirectory) -> pd.DataFrame:
    """The run's table of metrics; empty if there is none."""
    if not run.metrics.exists():
        return pd.DataFrame({"epoch": []})
    check_file(run.metrics, CheckpointError)
    with reading(run.metrics, CheckpointError, "move it away and run the command again"):
        metrics = pd.read_csv(run.metrics)
        if "epoch" not in metrics:
            raise CheckpointError(f"{run.metrics} has no column 'epoch'; restore it")
        return metrics.apply(pd.to_numeric)


def _plain_panel(panel: Panel, metrics: pd.DataFrame) -> dict[str, Any]:
    series = [
        {"name": name, "values": (panel.factor * metrics[column]).tolist()}
        for column, name in panel.columns.items()
        if column in metrics
    ]
    return {"title": panel.title, "unit": panel.unit, "log": panel.log, "series": series}


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    """Options as names and values; those of a model follow its name."""
    rows: list[tuple[str, object]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", yaml.safe_dump(value, width=10_000).split("\n")[0]))
    return rows


def _training(summary: Mapping[str, Any], header: Header) -> list[tuple[str, object]]:
    recorded = summary.get("data")
    data = {**header.data, **(recorded if isinstance(recorded, Mapping) else {})}
    sizes = [
        f"{data[f'{split}_{kind}']} {split}"
        for split in ("training", "validation", "test")
        for kind in ("shapes", "structures")
        if f"{split}_{kind}" in data
    ]
    seconds = summary.get("seconds_of_training")
    minutes = None if not isinstance(seconds, (int, float)) else f"{seconds / 60:.1f} min"
    kept, epochs = summary.get("kept_epoch"), summary.get("epochs")
    return [
        ("model", header.model["name"]),
        ("parameters", _count(summary.get("parameters"))),
        ("data", data.get("source")),
        ("fingerprint of the data", data.get("fingerprint")),
        ("samples", ", ".join(sizes) or None),
        ("epochs", None if epochs is None else f"{epochs}; weights of epoch {kept}"),
        ("training", minutes),
        ("seed", summary.get("seed")),
    ]


def _count(value: object) -> str | None:
    return f"{value:,}" if isinstance(value, int) else None


def _versions(header: Header) -> list[tuple[str, object]]:
    now = Header("", {}).versions
    return [
        (name, f"{header.versions.get(name, 'unknown')} in training, {now.get(name, 'none')} here")
        for name in dict.fromkeys([*header.versions, *now])
    ]


def _examples(found: Findings) -> str:
    if not found.examples:
        return "<p>None are shown.</p>"
    return "".join(
        f"<figure>{picture(example.content, example.caption)}"
        f"<figcaption>{text_of(example.caption)}</figcaption></figure>"
        for example in found.examples
    )


def _evaluations(summary: Mapping[str, Any]) -> str:
    """All tests of the run so far, as HTML."""
    entries = summary.get("evaluation", [])
    columns = ["rotation", "split", "votes", "seed", "shapes", "accuracy", "class_accuracy", "data"]
    used = [name for name in columns if any(name in entry for entry in entries)]
    rows = [[entry.get(name, "") for name in used] for entry in entries]
    return table([name.replace("_", " ") for name in used], rows) if rows else "<p>None.</p>"

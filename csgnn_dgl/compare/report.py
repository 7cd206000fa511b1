"""Show the results of a comparison: Markdown, CSV, LaTeX and a picture, from whatever is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from csgnn_dgl._files import atomic_write_json, atomic_write_text
from csgnn_dgl.compare import published
from csgnn_dgl.compare.settings import Cell
from csgnn_dgl.compare.store import Store
from csgnn_dgl.compare.tables import Row
from csgnn_dgl.errors import ConfigError
from csgnn_dgl.models.registry import find_entry

__all__ = ["collect", "summarise", "write_report"]

_RECIPE = "recipe"


def collect(store: Store) -> pd.DataFrame:
    """All results that are there, one row per cell and test.

    Returns
    -------
    pandas.DataFrame
        Columns ``row``, ``model``, ``protocol``, ``recipe``, ``seed``, ``test``, ``value``,
        ``parameters``, ``epochs``, ``seconds_per_epoch``, ``seconds_of_training``,
        ``validation_score``, ``milliseconds_per_item``, ``peak_memory_bytes``, ``device``.
    """
    rows = []
    keys = (
        *("row", "model", "protocol", "recipe", "seed", "parameters", "epochs"),
        *("seconds_per_epoch", "seconds_of_training", "validation_score"),
        *("milliseconds_per_item", "peak_memory_bytes", "device", "threads"),
    )
    for cell in store.settings.cells():
        result = store.result(cell)
        if result is not None:
            common = {key: result.get(key) for key in keys}
            tests = {**result["tests"], **result.get("by_type", {})}
            rows += [{**common, "test": test, "value": value} for test, value in tests.items()]
    return pd.DataFrame(rows)


def summarise(store: Store, found: pd.DataFrame) -> pd.DataFrame:
    """The table: a row per system, means and standard deviations over seeds.

    Of two recipes, the one with the better mean score in validation is shown, protocol by protocol.

    Parameters
    ----------
    store
        The comparison.
    found
        Result of :func:`collect`.

    Returns
    -------
    pandas.DataFrame
        Columns ``system``, ``parameters``; for every test its mean, ``… ±`` (if there are several
        seeds), and ``… published``; then costs.
    """
    table = store.settings.found
    known = [test.column for tests in table.tests.values() for test in tests]
    tests = sorted(dict.fromkeys(found["test"]), key=lambda t: known.index(t) if t in known else 99)
    rows = []
    for row in table.select(store.settings.models):
        here = found[found["row"] == row.name]
        if here.empty:
            continue
        shown: dict[str, Any] = {"system": _label(row, table.kind)}
        shown["parameters [M]"] = here["parameters"].mean() / 1e6
        kept = []
        for test in tests:
            best = _better(here[here["test"] == test])
            kept.append(best)
            shown[test] = best["value"].mean()
            if len(store.settings.seeds) > 1:
                shown[f"{test} ±"] = best["value"].std(ddof=1)
            figure = table.published.get(row.name, {}).get(re.sub(", [0-9]+ votes", "", test))
            if table.published and any(test in values for values in table.published.values()):
                shown[f"{test} published"] = figure
        costs = pd.concat(kept)
        for label, key, factor in (
            ("s per epoch", "seconds_per_epoch", 1),
            ("epochs", "epochs", 1),
            ("min of training", "seconds_of_training", 1 / 60),
            ("ms per item", "milliseconds_per_item", 1),
            ("peak memory [GiB]", "peak_memory_bytes", 2.0**-30),
        ):
            if label not in shown and costs[key].notna().any():
                shown[label] = costs[key].astype(float).mean() * factor
        if len(store.settings.recipes) > 1:
            shown[_RECIPE] = ", ".join(sorted(set(costs["recipe"])))
        rows.append(shown)
    return pd.DataFrame(rows)


def _better(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the recipe with the better mean score in validation."""
    if rows["recipe"].nunique() < 2:
        return rows
    scores = rows.groupby("recipe")["validation_score"].mean()
    return rows[rows["recipe"] == scores.idxmax()]


def _label(row: Row, kind: str) -> str:
    entry = find_entry("atoms" if kind == "atoms" else "shapes", row.model)
    mark = " (reconstructed)" if entry is not None and "reconstructed" in entry.summary else ""
    return f"{row.name}{mark}"


def write_report(store: Store) -> list[Path]:
    """Write ``report.md``, ``.csv``, ``.tex``, ``.json``, ``.png``, and ``learning.png``.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    ConfigError
        No cell is done yet.
    """
    found = collect(store)
    cells = store.settings.cells()
    if found.empty:
        raise ConfigError(_nothing_done(store, cells))
    table = summarise(store, found)
    paths = {suffix: store.path / f"report.{suffix}" for suffix in ("md", "csv", "tex", "json")}
    atomic_write_text(paths["csv"], found.to_csv(index=False))
    atomic_write_text(paths["md"], _markdown(store, table, cells))
    atomic_write_text(paths["tex"], _latex(table))
    content = {
        "settings": store.settings.to_json(),
        "cells": [r for r in (store.result(cell) for cell in cells) if r is not None],
    }
    atomic_write_json(paths["json"], content)
    listed = list(paths.values())
    from csgnn_dgl.compare.learning import draw_learning
    from csgnn_dgl.compare.pictures import draw

    pictures = (
        draw(store, found, store.path / "report.png"),
        draw_learning(store, store.path / "learning.png"),
    )
    return [*listed, *(picture for picture in pictures if picture is not None)]


def _nothing_done(store: Store, cells: list[Cell]) -> str:
    """Say why there is no table yet, and what to do."""
    command = f"csgnn-dgl compare {store.settings.table} --output {store.path}"
    none = f"none of the {len(cells)} cells in {store.path} is done"
    # To look for a claim makes the folder of a cell.
    begun = [cell for cell in cells if store.folder(cell).is_dir()]
    if claimed := [cell.name for cell in begun if store.is_claimed(cell)]:
        return (
            f"{none} yet; another process is at {', '.join(claimed)}: wait for it, and show the "
            f"table then: csgnn-dgl compare --report {store.path}"
        )
    if failed := [cell for cell in begun if store.failure(cell) is not None]:
        return (
            f"{none}, and {len(failed)} failed; why: {command} --list. When that is mended, do "
            f"them again: {command}"
        )
    return f"{none}; do them: {command}"


def _text(column: str, value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, str):
        return value
    if column == "epochs":
        return f"{value:.0f}"
    if column.startswith(("parameters", "peak memory")):
        return f"{value:.2f}"
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.1f}"


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """Values as text; standard deviations beside their means."""
    columns: dict[str, list[str]] = {}
    for name in table:
        values = [_text(str(name), value) for value in table[name]]
        if str(name).endswith(" ±"):
            mean = str(name).removesuffix(" ±")
            pairs = zip(columns[mean], values, strict=True)
            columns[mean] = [f"{a} ± {b}" if b != "–" else a for a, b in pairs]
        else:
            columns[str(name)] = values
    return pd.DataFrame(columns)


def _markdown(store: Store, table: pd.DataFrame, cells: list[Cell]) -> str:
    settings = store.settings
    shown = _shown(table)
    rows = [list(shown.columns), *shown.to_numpy().tolist()]
    lines = [" | ".join(["", *row, ""]).strip() for row in rows]
    lines.insert(1, "|" + "---|" * len(shown.columns))
    missing = [cell for cell in cells if store.result(cell) is None]
    failed = {cell.name: store.failure(cell) for cell in missing}
    devices = collect(store)[["device", "threads"]].drop_duplicates()
    about = [
        f"Data: {settings.data or 'built-in'}. Size of the networks: {settings.size}. "
        f"{_budget(store)}. Seeds: {', '.join(map(str, settings.seeds))}. Device: "
        + "; ".join(f"{row.device}, {row.threads} threads" for row in devices.itertuples())
        + ".",
        "The epoch is never chosen on the test split, which is read once per column.",
        published.PROTOCOLS[settings.table],
    ]
    about += _contradictions(store, cells)
    listed = [f"- {name}: {why}" if why else f"- {name}" for name, why in failed.items()]
    if listed:
        about.append(f"{len(missing)} of {len(cells)} cells are missing:\n\n" + "\n".join(listed))
    return "\n\n".join([f"# {settings.found.title}", "\n".join(lines), *about]) + "\n"


def _contradictions(store: Store, cells: list[Cell]) -> list[str]:
    """Warnings if cells differ in their data, versions or votes."""
    results = [r for r in (store.result(cell) for cell in cells) if r is not None]
    found = []
    # Built-in data depend on the seed, so only cells of one seed must agree.
    by_seed: dict[Any, set[Any]] = {}
    for r in results:
        by_seed.setdefault(r["seed"], set()).add((r.get("data") or {}).get("fingerprint"))
    for what, values in (
        ("data", max(by_seed.values(), key=len, default=set())),
        ("versions of csgnn-dgl", {(r.get("versions") or {}).get("csgnn-dgl") for r in results}),
        # Before there were designed ones, votes were at random, and cells did not say so.
        ("sets of votes", {r.get("vote_set", "random") for r in results}),
    ):
        if len(values) > 1:
            found.append(
                f"**Warning: the cells belong to {len(values)} different {what}, so they cannot be "
                f"compared.** Do them again in another folder."
            )
    return found


def _budget(store: Store) -> str:
    settings = store.settings
    if settings.found.kind == "speed":
        return "Median of three steps after one"
    if settings.budget is not None:
        return (
            f"Budget: as many epochs as fit into {settings.budget:g} minutes (of the processor "
            f"with one thread, else on the clock)"
        )
    if settings.epochs is not None:
        return f"Epochs: {settings.epochs}"
    return "Epochs: those of each preset"


def _latex(table: pd.DataFrame) -> str:
    shown = _shown(table)

    def line(values: list[str]) -> str:
        escaped = (re.sub(r"([%&_#$])", r"\\\1", value) for value in values)
        return " & ".join(value.replace("±", r"$\pm$").replace("–", "--") for value in escaped)

    body = [line(row) + r" \\" for row in shown.to_numpy().tolist()]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{l{'r' * (len(shown.columns) - 1)}}}",
            r"\toprule",
            line(list(shown.columns)) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )

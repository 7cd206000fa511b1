"""Show results as text and as plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from csgnn_dgl.tasks.plots import save_figure, styled

__all__ = ["plot_scaling", "table"]

Lines = list[str]

# Where and with what something was measured, in the order of the table.
_ORIGIN = {"processor": "{}", "torch": "torch {}", "csgnn_dgl": "csgnn-dgl {}"}


def _origin(found: Mapping[str, Any], but: Mapping[str, Any] | None = None) -> Lines:
    """Processor and versions, or only those that differ from others."""
    return [
        text.format(found[key])
        for key, text in _ORIGIN.items()
        if key in found and (but is None or found[key] != but.get(key))
    ]


def _settings(section: dict[str, Any], latest: Mapping[str, Any]) -> str:
    """Settings of a section, with its processor and versions where ``latest`` has others."""
    s = section["settings"]
    quick = ", QUICK SIZES: no measurement" if s["quick"] else ""
    origin = "".join(f", {part}" for part in _origin(s, latest))
    return f"{s['threads']} thread(s), median of {s['repeats']}, {s['clock']} time{origin}{quick}"


def _machine(section: dict[str, Any]) -> Lines:
    return [f"copy {section['copy_GBps']:.1f} GB/s, sgemm {section['sgemm_GFLOPs']:.0f} GFLOP/s"]


def _step(section: dict[str, Any]) -> Lines:
    lines = []
    for word, title in (("train", "training step"), ("infer", "inference")):
        for name, ratio in section["ratios"][word].items():
            lines.append(f"{title:<14} {name:<36} {ratio:6.2f}")
    for word, title in (("train", "training step"), ("infer", "inference")):
        for name, seconds in section["seconds"][word].items():
            lines.append(f"{title:<14} {name:<36} {1e3 * seconds:8.1f} ms")
    worst = max(section["largest_difference"].values(), default=0.0)
    return [*lines, f"largest difference of scores {worst:.1e}"]


def _memory(section: dict[str, Any]) -> Lines:
    lines = []
    for word, title in (("train", "training step"), ("infer", "inference")):
        for name, ratio in section["ratios"][word].items():
            lines.append(f"{title:<14} {name:<36} {ratio:6.2f}")
        for name, size in section["MiB"][word].items():
            lines.append(f"{title:<14} {name:<36} {size:8.0f} MiB")
    return lines


def _kernels(section: dict[str, Any]) -> Lines:
    lines = []
    for kernel in section:
        if kernel in ("features", "settings"):
            continue
        for way, measured in section[kernel].items():
            lines.append(f"{kernel}, {way}")
            for name, row in measured.items():
                lines.append(
                    f"  {name:<26} ×{row['ratio']:5.2f} {1e3 * row['seconds']:8.2f} ms"
                    f" {row['GBps']:7.1f} GB/s {row['GFLOPs']:7.1f} GFLOP/s"
                )
    return lines


def _mapping(section: dict[str, Any]) -> Lines:
    return [
        f"{100 * section['share_of_training_step']:.1f} % of a training step, "
        f"{section['points_per_second']:,.0f} points/s"
    ]


def _scaling(section: dict[str, Any]) -> Lines:
    lines = []
    for name in ("R", "V"):
        part = section[name]
        fitted = ", ".join(
            f"{key.replace('_', ' ')} {value:.3f}" for key, value in part["exponents"].items()
        )
        lines.append(f"exponents in {name} from {name} = {part['fitted_from']}: {fitted}")
        for row in part["points"]:
            lines.append(
                f"  {name} = {row[name]:<6} training {1e3 * row['train_seconds']:9.1f} ms "
                f"{row['train_MiB']:7.0f} MiB   inference {1e3 * row['infer_seconds']:9.1f} ms "
                f"{row['infer_MiB']:7.0f} MiB"
            )
    return lines


def _atoms(section: dict[str, Any]) -> Lines:
    rates = section["atoms_per_second"]
    return [", ".join(f"{name} {rate:,.0f} atoms/s" for name, rate in rates.items())]


_FORMATS: dict[str, Callable[[dict[str, Any]], Lines]] = {
    "machine": _machine,
    "step": _step,
    "memory": _memory,
    "kernels": _kernels,
    "mapping": _mapping,
    "scaling": _scaling,
    "atoms": _atoms,
}


def table(results: dict[str, Any]) -> str:
    """Format the results of the suite as text, with ratios before times.

    The first line has the processor and the versions of the latest run. Sections that were measured
    elsewhere or with others name their own.
    """
    lines = [", ".join(_origin(results))]
    for name, section in results["sections"].items():
        lines += ["", f"{name} ({_settings(section, results)})", *_FORMATS[name](section)]
    return "\n".join(lines)


@styled
def plot_scaling(section: dict[str, Any], path: Path) -> None:
    """Plot time and peak memory against sizes, with lines of exponent 1 through the largest."""
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots(2, 2)
    for column, (name, title) in enumerate((("R", "spheres R"), ("V", "vertices V"))):
        rows = section[name]["points"]
        sizes = [row[name] for row in rows]
        for line, (unit, label) in enumerate((("seconds", "time [s]"), ("MiB", "memory [MiB]"))):
            plot = axes[line, column]
            for word, colour in (("train", "C0"), ("infer", "C1")):
                values = [row[f"{word}_{unit}"] for row in rows]
                plot.loglog(sizes, values, "o-", color=colour, label=word)
                through = [values[-1] * size / sizes[-1] for size in sizes]
                plot.loglog(sizes, through, ":", color=colour, linewidth=1)
            plot.set(xlabel=title, ylabel=label)
            plot.legend()
    save_figure(figure, path)

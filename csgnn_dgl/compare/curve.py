"""How trained systems answer when test shapes are turned away from upright, angle by angle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd
import torch
from torch import Tensor

from csgnn_dgl._files import atomic_write_json, atomic_write_text
from csgnn_dgl._progress import working
from csgnn_dgl.compare.settings import Cell
from csgnn_dgl.compare.store import Store
from csgnn_dgl.datasets.shapes import ShapeDataset
from csgnn_dgl.errors import ConfigError, CSGNNError, DataError, suggest
from csgnn_dgl.mapping import UpAxis, axis_rotations
from csgnn_dgl.models import Classifier
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.evaluate import options_of
from csgnn_dgl.tasks.classes.train import load_run_data
from csgnn_dgl.tasks.classes.trained import check_classes, load_classifier
from csgnn_dgl.tasks.classes.vote import rotated_scores
from csgnn_dgl.tasks.evaluation import find_evaluated
from csgnn_dgl.tasks.seeds import generator
from csgnn_dgl.tasks.use_config import EvaluateConfig

__all__ = ["ANGLES", "Axes", "CurveOptions", "RotationCurve", "measure", "turned", "write"]

Axes = Literal["horizontal", "uniform"]
#: Angles by which shapes are turned [degrees].
ANGLES = tuple(range(0, 181, 15))
_TABLE = "table1"


@dataclass(frozen=True)
class CurveOptions:
    """What the curves are measured with.

    Parameters
    ----------
    shapes
        Test shapes: this many, drawn at random; all if there are fewer.
    axes
        Axes to turn about: ``"horizontal"`` (at right angles to the axis that points up, so that
        shapes tilt), ``"uniform"`` (any direction).
    rotations
        Random axes of each kind for every shape. A shape has the same axes at all angles, and for
        all systems.
    seed
        Random seed of the shapes and the axes.
    device
        Where to compute: auto, cpu, cuda, …
    batch_size
        Shapes per step.

    Raises
    ------
    ConfigError
        A number is below 1, or a kind of axes is unknown.
    """

    shapes: int = 60
    axes: tuple[Axes, ...] = get_args(Axes)
    rotations: int = 1
    seed: int = 0
    device: str = "auto"
    batch_size: int = 32

    def __post_init__(self) -> None:
        for name in ("shapes", "rotations", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, but it must be at least 1")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}, but it must not be negative")
        for kind in self.axes:
            if kind not in get_args(Axes):
                raise ConfigError(f"unknown axes {kind!r}: {suggest(str(kind), get_args(Axes))}")
        if not self.axes or len(set(self.axes)) != len(self.axes):
            raise ConfigError(f"axes is {list(self.axes)}, but it must name each once, and some")


@dataclass(frozen=True)
class RotationCurve:
    """The curves of all systems.

    Parameters
    ----------
    protocol
        How the systems were trained.
    options
        What the curves were measured with.
    table
        A row for every training, kind of axes and angle. Columns ``row``, ``model``, ``recipe``,
        ``seed``, ``axes``, ``angle`` [degrees], ``agreement`` (share of shapes whose predicted
        class is that of the upright shape), ``accuracy`` (share of shapes classified correctly),
        ``change`` and ``largest_change`` (of the scores before the softmax, relative to their size:
        mean and maximum over shapes), ``classes`` (number of classes that are predicted for upright
        shapes: with one, agreement says nothing).
    shapes
        Number of shapes.
    data, fingerprints
        The data, and the SHA-256 of their content. There are several only if the data follow from
        the seed of the training, as the built-in solids do.
    missing, failed
        Trainings that are not done; and a line for each that could not be measured.
    """

    protocol: str
    options: CurveOptions
    table: pd.DataFrame
    shapes: int
    data: str
    fingerprints: tuple[str, ...]
    missing: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()

    def systems(self) -> pd.DataFrame:
        """Means over seeds: a row for every system, kind of axes and angle."""
        values = ["agreement", "accuracy", "change", "largest_change"]
        groups = self.table.groupby(["row", "axes", "angle"], sort=False)
        return groups[values].mean().reset_index()

    def constant(self) -> list[str]:
        """Systems that give all upright shapes one class, with any seed."""
        return [str(row) for row in self.table.loc[self.table["classes"] == 1, "row"].unique()]

    def content(self) -> dict[str, Any]:
        """The curves as plain values for JSON."""
        return {
            "protocol": self.protocol,
            **asdict(self.options),
            "axes": list(self.options.axes),
            "angles": list(ANGLES),
            "shapes": self.shapes,
            "data": self.data,
            "fingerprints": list(self.fingerprints),
            "missing": list(self.missing),
            "failed": list(self.failed),
            "rows": self.table.to_dict("records"),
        }


def measure(
    store: Store, protocol: str | None = None, options: CurveOptions | None = None
) -> RotationCurve:
    """Measure the curves of the systems of a comparison whose cells are done.

    Of two recipes, a system's better one in validation is measured, as the table shows it.

    Parameters
    ----------
    store
        A comparison of Table 1.
    protocol
        How the systems were trained; None for ``"z"``, or the first that the comparison has.
    options
        What to measure with.

    Raises
    ------
    ConfigError
        It is another table, it has no such protocol, or none of its cells is done.
    CSGNNError
        No training can be measured.
    """
    options = options or CurveOptions()
    protocol = _protocol(store, protocol)
    done, missing = _done(store, protocol)
    data = _Data()
    rows: list[dict[str, Any]] = []
    failed: list[tuple[Cell, CSGNNError]] = []
    with working("trainings", len(done)) as count:
        for cell in done:
            try:
                rows += _measure_cell(store, cell, options, data)
            except CSGNNError as error:
                failed.append((cell, error))
            count(1)
    if not rows:
        raise failed[0][1]
    return RotationCurve(
        protocol=protocol,
        options=options,
        table=pd.DataFrame(rows),
        shapes=min(options.shapes, *(len(found.test) for found in data.by_seed.values())),
        data=next(iter(data.by_seed.values())).source,
        fingerprints=tuple(dict.fromkeys(f.fingerprint for f in data.by_seed.values())),
        missing=tuple(missing),
        failed=tuple(f"{cell.name}: {error}" for cell, error in failed),
    )


class _Data:
    """The data of the comparison, which are loaded once for all trainings with one seed."""

    def __init__(self) -> None:
        self.by_seed: dict[int, ShapeDataset] = {}
        self._loaded: dict[Any, ShapeDataset] = {}

    def load(self, config: TrainModelNetConfig, path: Path | None) -> ShapeDataset:
        key = (path or config.data, config.points, config.pool, config.up_axis, config.seed)
        if key not in self._loaded:
            self._loaded[key] = load_run_data(config, path)
        return self._loaded[key]

    def check(self, cell: Cell, data: ShapeDataset) -> None:
        """Refuse data that another training with the same seed did not have."""
        first = self.by_seed.setdefault(cell.seed, data)
        if data.fingerprint != first.fingerprint:
            raise DataError(
                f"{cell.name} was trained on other data than the cells before it, so it cannot be "
                f"compared with them; do it again in another folder"
            )
        if len(data.test) == 0:
            raise DataError(f"{data.source} has no test shapes")


def _protocol(store: Store, protocol: str | None) -> str:
    table = store.settings.table
    if table != _TABLE:
        raise ConfigError(
            f"{store.path} holds {table}, but rotation curves are those of the systems in {_TABLE}"
        )
    known = list(dict.fromkeys(cell.protocol for cell in store.settings.cells()))
    if protocol is None:
        return "z" if "z" in known else known[0]
    if protocol not in known:
        raise ConfigError(f"{store.path} has no protocol {protocol!r}: {suggest(protocol, known)}")
    return protocol


def _done(store: Store, protocol: str) -> tuple[list[Cell], list[str]]:
    """The cells to measure, and a line for each of the others."""
    cells = [cell for cell in store.settings.cells() if cell.protocol == protocol]
    results = [(cell, store.result(cell)) for cell in cells]
    missing = [cell.name for cell, found in results if found is None]
    if len(missing) == len(cells):
        raise ConfigError(
            f"none of the {len(cells)} cells with protocol {protocol} in {store.path} is done; do "
            f"them: csgnn-dgl compare {store.settings.table} --output {store.path}"
        )
    done = [(cell, found.get("validation_score")) for cell, found in results if found is not None]
    scores = pd.DataFrame(
        [(cell.row.name, cell.recipe, score) for cell, score in done],
        columns=["row", "recipe", "score"],
    )
    better: dict[str, str] = {}
    for row, here in scores.groupby("row", sort=False):
        means = here.groupby("recipe")["score"].mean()
        better[str(row)] = str(means.idxmax() if means.notna().any() else here["recipe"].iloc[0])
    return [cell for cell, _ in done if better[cell.row.name] == cell.recipe], missing


def _measure_cell(
    store: Store, cell: Cell, options: CurveOptions, data: _Data
) -> list[dict[str, Any]]:
    found = find_evaluated(
        store.folder(cell) / "run",
        EvaluateConfig(device=options.device, progress=False),
        load=load_classifier,
        options=options_of,
        config_class=TrainModelNetConfig,
        data=data.load,
    )
    dataset, trained = found.data, found.trained
    check_classes(trained, dataset.class_names, dataset.source)
    data.check(cell, dataset)
    order = torch.randperm(len(dataset.test), generator=generator(options.seed, "curve shapes"))
    chosen = order[: options.shapes].sort().values
    rows = turned(
        trained.model,
        dataset.test.points[chosen, : found.options.points],
        dataset.test.labels[chosen],
        up_axis=dataset.up_axis,
        options=options,
    )
    about = {"row": cell.row.name, "model": cell.row.model, "recipe": cell.recipe}
    return [{**about, "seed": cell.seed, **row} for row in rows]


def turned(
    model: Classifier,
    points: Tensor,
    labels: Tensor,
    *,
    up_axis: UpAxis,
    options: CurveOptions | None = None,
    angles: Sequence[float] = ANGLES,
) -> list[dict[str, Any]]:
    """Compare a classifier's answers for turned shapes with those for the shapes as given.

    Parameters
    ----------
    model
        The classifier in evaluation mode.
    points, labels
        Upright shapes ``(n, N, 3)`` and their classes ``(n,)``.
    up_axis
        The axis that points up.
    options, angles
        Axes and seed; and angles [degrees].

    Returns
    -------
    list of dict
        For each kind of axes and each angle: ``axes``, ``angle``, ``agreement``, ``accuracy``,
        ``change``, ``largest_change``, ``classes``; see :class:`RotationCurve`.

    Raises
    ------
    DataError
        An answer is NaN or infinite.
    """
    options = options or CurveOptions()

    def scores(rotations: Tensor) -> Tensor:
        parts = [
            rotated_scores(model, points[i : i + size], rotations[i : i + size])
            for i in range(0, len(points), size)
        ]
        found = torch.cat(parts).to("cpu", torch.float64)
        if not bool(found.isfinite().all()):
            raise DataError("the model's answer is not a finite number (NaN or infinity)")
        return found

    size = options.batch_size
    upright = scores(torch.eye(3).expand(len(points), 3, 3))
    scale = upright.norm(dim=1).clamp(min=torch.finfo(upright.dtype).tiny)
    rows: list[dict[str, Any]] = []
    for kind in options.axes:
        about = [
            _axes(kind, len(points), up_axis, options.seed, i) for i in range(options.rotations)
        ]
        for angle in angles:
            # Upright shapes are not computed again: their answer is the reference.
            answers = [
                scores(axis_rotations(axes, angle)) if angle else upright
                for axes in (about if angle else about[:1])
            ]
            found = torch.stack(answers)
            named = found.argmax(dim=2)
            change = (found - upright).norm(dim=2) / scale
            rows.append(
                {
                    "axes": kind,
                    "angle": angle,
                    "agreement": float((named == upright.argmax(dim=1)).double().mean()),
                    "accuracy": float((named == labels).double().mean()),
                    "change": float(change.mean()),
                    "largest_change": float(change.max()),
                    "classes": len(upright.argmax(dim=1).unique()),
                }
            )
    return rows


def _axes(kind: Axes, n: int, up_axis: UpAxis, seed: int, index: int) -> Tensor:
    """Random axes of rotation ``(n, 3)``."""
    axes = torch.randn(n, 3, generator=generator(seed, "curve axes", index), dtype=torch.float64)
    if kind == "horizontal":
        axes[:, get_args(UpAxis).index(up_axis)] = 0
    return axes


def write(
    curve: RotationCurve, picture: Path, draw: Callable[[RotationCurve, Path], object]
) -> list[Path]:
    """Write the picture, and beside it the curves as CSV and JSON.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    ResourceError
        A file cannot be written.
    """
    table, content = picture.with_suffix(".csv"), picture.with_suffix(".json")
    atomic_write_text(table, curve.table.to_csv(index=False))
    atomic_write_json(content, curve.content())
    draw(curve, picture)
    return [picture, table, content]

"""Labelled shapes in memory, and their splits."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from csgnn_dgl._foreign import excerpt
from csgnn_dgl.datasets.columns import Column, column_lines
from csgnn_dgl.datasets.shapes.checks import cloud_notes
from csgnn_dgl.datasets.splits import check_fraction, hold_out
from csgnn_dgl.errors import DataError
from csgnn_dgl.mapping import UpAxis

__all__ = [
    "ShapeDataset",
    "ShapeSplit",
    "as_split",
    "split_warnings",
]


_VALIDATION = 0x5611
_LONGEST_NAME = 200
# Points of each shape that a sketch looks at, and an irrational step for the weights of shapes.
_SKETCHED = 128
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, eq=False)
class ShapeSplit:
    """Shapes with their labels.

    Parameters
    ----------
    points
        A pool of ``P`` points of each shape, shape ``(n, P, 3)``, float32.
    labels
        Class of each shape, shape ``(n,)``, int64.
    names
        Origin of each shape: a file's path, or a file and an index in it.
    attributes
        Columns of attributes of the points, shape ``(n, P, A)``, float32; None if there are none.

    Raises
    ------
    DataError
        The shapes of the arrays do not fit together.
    """

    points: Tensor
    labels: Tensor
    names: tuple[str, ...]
    attributes: Tensor | None = None

    def __post_init__(self) -> None:
        n = len(self.names)
        if self.points.dim() != 3 or self.points.shape[-1] != 3 or self.labels.dim() != 1:
            raise DataError(
                f"points have shape {tuple(self.points.shape)} and labels "
                f"{tuple(self.labels.shape)}, but (n, P, 3) and (n,) are needed"
            )
        if not len(self.points) == len(self.labels) == n:
            raise DataError(
                f"there are {len(self.points)} clouds, {len(self.labels)} labels and {n} names, "
                f"but their numbers must be equal"
            )

        if self.attributes is not None and (
            self.attributes.dim() != 3 or self.attributes.shape[:2] != self.points.shape[:2]
        ):
            raise DataError(
                f"attributes of points have shape {tuple(self.attributes.shape)}, but the points "
                f"have shape {tuple(self.points.shape)}; (n, P, A) is needed"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def clouds(self) -> Tensor:
        """Points with their attributes, shape ``(n, P, 3 + A)``."""
        if self.attributes is None:
            return self.points
        return torch.cat([self.points, self.attributes], dim=-1)

    def with_clouds(self, clouds: Tensor) -> ShapeSplit:
        """The same shapes with other points and attributes ``(n, P, 3 + A)``."""
        attributes = None if self.attributes is None else clouds[..., 3:]
        return replace(self, points=clouds[..., :3], attributes=attributes)

    def select(self, indices: Sequence[int]) -> ShapeSplit:
        """Some of the shapes, in the given order."""
        chosen = list(indices)
        return ShapeSplit(
            self.points[chosen],
            self.labels[chosen],
            tuple(self.names[i] for i in chosen),
            None if self.attributes is None else self.attributes[chosen],
        )


@dataclass(frozen=True, eq=False)
class ShapeDataset:
    """A data set of shapes, with its official split.

    Parameters
    ----------
    name, source
        Its name, and its origin in a line.
    class_names
        Name of each class; labels index them.
    up_axis
        The axis that points up, for rotations ``z``.
    train, test
        The split. ``test`` may be empty.
    warnings
        Warnings for the user, in sentences.
    columns
        Columns of the files, and their uses.
    """

    name: str
    source: str
    class_names: tuple[str, ...]
    up_axis: UpAxis
    train: ShapeSplit
    test: ShapeSplit
    warnings: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()

    def __post_init__(self) -> None:
        for name in self.class_names:
            if not name.isprintable() or len(name) > _LONGEST_NAME:
                raise DataError(
                    f"{self.source}: a class is called {excerpt(name, 80)!r}; names need at most "
                    f"{_LONGEST_NAME} characters that can be printed: rename it"
                )
        twice = [name for name, count in Counter(self.class_names).items() if count > 1]
        if twice:
            raise DataError(f"{self.source}: two classes are called {twice[0]!r}; rename one")
        for which, split in (("training", self.train), ("test", self.test)):
            wrong = (split.labels < 0) | (split.labels >= len(self.class_names))
            if wrong.any():
                index = int(wrong.nonzero()[0])
                raise DataError(
                    f"{self.source}: {which} shape {split.names[index]} has label "
                    f"{int(split.labels[index])}, but there are {len(self.class_names)} class names"
                )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all points, attributes, labels and class names, in hexadecimal."""
        digest = hashlib.sha256("\n".join(self.class_names).encode())
        for split in (self.train, self.test):
            digest.update(repr(tuple(split.points.shape)).encode())
            digest.update(split.points.contiguous().numpy().tobytes())
            if split.attributes is not None:
                digest.update(split.attributes.contiguous().numpy().tobytes())
            digest.update(split.labels.contiguous().numpy().tobytes())
        return digest.hexdigest()

    @cached_property
    def sketch(self) -> dict[str, Any]:
        """What stays the same where other processors round the last digits of points differently.

        Shapes that are made, and points that are sampled on meshes, differ between machines by
        rounding, and so do fingerprints. ``exact`` is a SHA-256 of class names, sizes and labels.
        ``moments`` are of each split the logarithm of the largest coordinate, and sums over shapes
        of mean waves of their first points, each shape with a weight of its own from 1 to 2.
        """
        digest = hashlib.sha256("\n".join(self.class_names).encode())
        moments: list[float] = []
        for split in (self.train, self.test):
            clouds = split.clouds[:, :_SKETCHED]
            digest.update(repr(tuple(split.clouds.shape)).encode())
            digest.update(split.labels.contiguous().numpy().tobytes())
            largest = (float(clouds.abs().max()) if clouds.numel() else 0.0) or 1.0
            # A power of two, since rounding of the largest coordinate would change all waves.
            scale = 2.0 ** round(math.log2(largest))
            numbers = torch.arange(1, len(split) + 1, dtype=torch.float64)
            weights = 1 + (numbers * _GOLDEN) % 1
            waves = (1 + torch.arange(6 * clouds.shape[2], dtype=torch.float64)).sin()
            waves = 4 * waves.view(clouds.shape[2], 6) / scale
            means = [(part.double() @ waves + 1).sin().mean(dim=1) for part in clouds.split(256)]
            moments.extend([math.log(largest), *(weights @ torch.cat(means)).tolist()])
        return {"exact": digest.hexdigest(), "moments": moments}

    def split_validation(self, fraction: float, seed: int) -> tuple[ShapeSplit, ShapeSplit]:
        """Hold out a part of the training shapes for validation, class by class.

        Parameters
        ----------
        fraction
            Share of each class to hold out. At least one shape is held out, and never all.
        seed
            Random seed for the choice.

        Returns
        -------
        tuple
            The remaining training split, and the validation split.

        Raises
        ------
        ConfigError
            The fraction is not between 0 and 1.
        DataError
            A class has fewer than two training shapes.
        """
        check_fraction(fraction)
        counts = torch.bincount(self.train.labels, minlength=len(self.class_names)).tolist()
        if 1 in counts:
            name = self.class_names[counts.index(1)]
            raise DataError(
                f"{self.source}: class {name!r} has one training shape only; at least two are "
                f"needed, one for training and one for validation"
            )
        # hold_out processes class after class.
        order = torch.argsort(self.train.labels, stable=True).tolist()
        labels = [int(self.train.labels[i]) for i in order]
        held = hold_out(labels, fraction, (seed, _VALIDATION), at_least=1, leave=1)
        chosen = {order[i] for i in held}
        training = [i for i in range(len(self.train)) if i not in chosen]
        return self.train.select(training), self.train.select(sorted(chosen))

    def summary(self) -> str:
        """Description of the content, in lines to print."""
        pool = self.train.points.shape[1]
        lines = [
            f"{self.name}: {self.source}",
            f"  {len(self.train)} training and {len(self.test)} test shapes in "
            f"{len(self.class_names)} classes; {pool} points each; {self.up_axis} points up",
        ]
        width = max(map(len, self.class_names))
        for label, name in enumerate(self.class_names):
            counts = [int((split.labels == label).sum()) for split in (self.train, self.test)]
            lines.append(f"  {name:<{width}}  {counts[0]:>5} training {counts[1]:>5} test")
        lines += column_lines(self.columns)
        lines.append(f"  fingerprint {self.fingerprint}")
        lines += [f"  warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)


def split_warnings(train: ShapeSplit, test: ShapeSplit, class_names: Sequence[str]) -> list[str]:
    """Warn of shapes that occur twice, and of outliers.

    Parameters
    ----------
    train, test
        The splits.
    class_names
        Name of each class.

    Returns
    -------
    list of str
        Warnings, in sentences: test shapes that are also training shapes; one shape in several
        classes; clouds that outliers squeeze.
    """
    known = dict(enumerate(class_names))  # a label without a name is refused elsewhere
    first: dict[bytes, tuple[str, int]] = {}
    mixed: list[str] = []
    repeated: list[str] = []
    for split in (train, test):
        labels = split.labels.tolist()
        # Only shapes that were seen in the training split count as seen for the test split.
        seen = dict(first)
        for cloud, label, name in zip(split.points, labels, split.names, strict=True):
            digest = hashlib.sha256(cloud.numpy().tobytes()).digest()
            other, its_label = first.setdefault(digest, (name, label))
            if its_label != label:
                mixed.append(f"{other} ({known.get(its_label)}) and {name} ({known.get(label)})")
            if digest in seen:
                repeated.append(name)
    warnings = []
    if repeated:
        warnings.append(
            f"{len(repeated)} test shapes are identical to training shapes ({_listed(repeated)}), "
            f"so the test accuracy will be too high"
        )
    if mixed:
        warnings.append(
            f"{len(mixed)} shapes have the points of a shape of another class ({_listed(mixed)})"
        )
    for split in (train, test):
        warnings += cloud_notes(split.points.numpy(), split.names)
    return warnings


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def as_split(
    points: list[np.ndarray], labels: list[int], names: list[str], pool: int, columns: int = 0
) -> ShapeSplit:
    """Make a split from clouds of ``pool`` points each, with ``columns`` of attributes."""
    stacked = np.stack(points) if points else np.zeros((0, pool, 3 + columns))
    clouds = torch.from_numpy(np.ascontiguousarray(stacked, dtype=np.float32))
    return ShapeSplit(
        clouds[..., :3].contiguous(),
        torch.tensor(labels, dtype=torch.int64),
        tuple(names),
        clouds[..., 3:].contiguous() if columns else None,
    )

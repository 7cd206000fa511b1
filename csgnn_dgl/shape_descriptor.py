"""Embeddings of shapes as a call: meshes, files or arrays in, NumPy out."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from csgnn_dgl.errors import ConfigError, DataError, DataWarning
from csgnn_dgl.tasks.classes.clouds import clouds_of_arrays, squeezed
from csgnn_dgl.tasks.classes.describe import ShapeDescription, describe_shapes, load_describer
from csgnn_dgl.tasks.classes.domain import score_shapes
from csgnn_dgl.tasks.classes.embedding import embed_shapes
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.tasks.use_config import DescribeShapesConfig, VoteSet

__all__ = ["ShapeDescription", "ShapeDescriptor"]

Array = npt.NDArray[np.float32]
# Options that are chosen when a descriptor is made.
_CHOSEN = ("weights", "device", "model", "votes", "vote_set", "seed", "batch_size")


class ShapeDescriptor:
    """A learned embedding of a whole shape: similar shapes have similar rows of numbers.

    The embedding is the output of the encoder of a trained classifier, that is the input of its
    head, averaged over orientations, on scales that were learned from the training shapes. Compare
    embeddings by the cosine of their angle, or give them to any model of scikit-learn. The shipped
    weights were trained on procedurally made shapes alone
    (:mod:`csgnn_dgl.datasets.shapes.families`).

    Parameters
    ----------
    weights
        A shipped model by name (``csgnn-dgl models``), a run directory, or a ``.safetensors`` file.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, …
    model
        The model of the weights, if it is one of your own: ``module:Class``, or the class.
    votes, vote_set, seed
        Orientations to average over, the kind of their set, and the random seed for them and for
        points of surfaces. With one vote, shapes are taken as given.
    batch_size
        Clouds per step.

    Raises
    ------
    CheckpointError
        There are no such weights, or they do not describe shapes.
    ConfigError
        The device or the set of votes does not exist, or a number is out of range.

    Examples
    --------
    .. code-block:: python

        descriptor = ShapeDescriptor(votes=4)
        features = descriptor.create(["chair.off", "scan.ply"])  # (2, features)
        features = descriptor.create(clouds)  # (n, N, 3) → (n, features)
    """

    def __init__(
        self,
        weights: str | Path = "shapes",
        *,
        device: str = "auto",
        model: Any = None,
        votes: int = 1,
        vote_set: VoteSet = "designed",
        seed: int = 0,
        batch_size: int = 64,
    ) -> None:
        self.weights = str(weights)
        self._options = DescribeShapesConfig(
            weights=self.weights,
            votes=votes,
            vote_set=vote_set,
            seed=seed,
            batch_size=batch_size,
            progress=False,
        )
        self._trained = load_describer(weights, choose_device(device), model=model)

    @property
    def points(self) -> int:
        """Points per cloud in training."""
        return self._trained.points

    @property
    def attributes(self) -> tuple[str, ...]:
        """Attributes of points that the model needs in columns after the coordinates."""
        return self._trained.attributes

    def get_number_of_features(self) -> int:
        """Length of an embedding."""
        return self._trained.model.embedding_features

    def create(self, shapes: Any) -> Array:
        """Compute the embeddings of shapes.

        Parameters
        ----------
        shapes
            One cloud ``(N, 3)``, several ``(n, N, 3)``, a list of clouds of different sizes, a path
            of a mesh or a cloud, or a list of paths. A cloud may be a table of pandas. Any unit,
            orientation and position. If there are more points than in training, a random part is
            used.

        Returns
        -------
        numpy.ndarray
            Shape ``(features,)`` for one cloud or path, ``(n, features)`` for several; float32.

        Raises
        ------
        DataError
            A file or a cloud cannot be used; the message says why.

        Warns
        -----
        DataWarning
            A few points lie so far out that they squeeze the others.
        """
        if isinstance(shapes, (str, Path)):
            return self._of_files([shapes])[0]
        array = _is_array(shapes)
        if not array and isinstance(shapes, Iterable):
            shapes = list(shapes)
            named = [isinstance(shape, (str, Path)) for shape in shapes]
            if all(named) and named:
                return self._of_files(shapes)
            if any(named):
                raise DataError(
                    f"shape {named.index(True)} is a path and shape {named.index(False)} is not; "
                    f"give paths or arrays"
                )
        clouds = self._ready(shapes)
        for note in squeezed(clouds):
            warnings.warn(note, DataWarning, stacklevel=2)
        features = embed_shapes(
            self._trained,
            clouds,
            votes=self._options.votes,
            seed=self._options.seed,
            vote_set=self._options.vote_set,
            batch_size=self._options.batch_size,
        )
        found: Array = features.numpy().astype(np.float32)
        single = np.ndim(shapes) == 2 if array else len(shapes) > 0 and np.ndim(shapes[0]) == 1
        return found[0] if single else found

    def scores(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Score how far clouds lie from what the model was trained on.

        Parameters
        ----------
        points
            Clouds, as for :meth:`create`.

        Returns
        -------
        numpy.ndarray
            Shape ``(n,)``; above 1 is outside. NaN if the file of weights does not tell what its
            model was trained on.

        Raises
        ------
        DataError
            As in :meth:`create`.
        """
        clouds = self._ready(points)
        found = score_shapes(self._trained, clouds)
        return np.full(len(clouds), np.nan) if found is None else found

    def describe(self, files: Iterable[str | Path], **options: Any) -> list[ShapeDescription]:
        """Describe files and folders, as ``csgnn-dgl describe-shapes`` does.

        Parameters
        ----------
        files
            Files, and folders of files.
        options
            Options of the command: ``nearest``, ``output``, ``strict``, ``isolate``.

        Returns
        -------
        list of ShapeDescription
            One per file. If a file cannot be used, its description has an ``error``.

        Raises
        ------
        CSGNNError
            As :func:`~csgnn_dgl.tasks.classes.describe.describe_shapes`.
        """
        for name in _CHOSEN:
            if name in options:
                raise ConfigError(f"{name} is chosen when the descriptor is made, not here")
        own = {name: getattr(self._options, name) for name in _CHOSEN if name != "vote_set"}
        if self._options.votes > 1:
            own["vote_set"] = self._options.vote_set
        config = DescribeShapesConfig(**{**own, "progress": False, **options})
        paths = [Path(file) for file in files]
        return describe_shapes(paths, config, trained=self._trained)

    def _of_files(self, files: list[str | Path]) -> Array:
        found = self.describe(files, strict=True)
        for result in found:
            for note in result.warnings:
                warnings.warn(note, DataWarning, stacklevel=3)
        return np.stack([result.features for result in found if result.features is not None])

    def _ready(self, shapes: Any) -> torch.Tensor:
        """Clouds with as many points as in training; lists may hold clouds of different sizes."""
        if isinstance(shapes, list) and shapes and np.ndim(shapes[0]) == 2:
            seed = self._options.seed
            return torch.cat([clouds_of_arrays(self._trained, each, seed) for each in shapes])
        return clouds_of_arrays(self._trained, shapes, self._options.seed)


def _is_array(shapes: Any) -> bool:
    """Whether these are points in an array, a tensor or a table, and no collection of shapes."""
    # Iterating over a table of pandas gives the names of its columns. A column of paths is a
    # collection.
    return isinstance(shapes, np.ndarray) or (hasattr(shapes, "__array__") and np.ndim(shapes) > 1)

"""Classification of shapes as calls: train, load, evaluate, predict."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from csgnn_dgl.errors import ConfigError, DataWarning
from csgnn_dgl.models.registry import name_of
from csgnn_dgl.tasks.classes.clouds import clouds_of_arrays, squeezed
from csgnn_dgl.tasks.classes.config import TrainModelNetConfig
from csgnn_dgl.tasks.classes.domain import score_shapes
from csgnn_dgl.tasks.classes.evaluate import ShapeEvaluation, evaluate
from csgnn_dgl.tasks.classes.predict import Prediction, predict, predict_points
from csgnn_dgl.tasks.classes.retrieval import ShapeRetrieval
from csgnn_dgl.tasks.classes.retrieval import evaluate as evaluate_retrieval
from csgnn_dgl.tasks.classes.train import train
from csgnn_dgl.tasks.classes.trained import KIND, load_classifier
from csgnn_dgl.tasks.device import choose_device
from csgnn_dgl.tasks.targets import TARGETS
from csgnn_dgl.tasks.training import silent
from csgnn_dgl.tasks.use_config import EvaluateConfig, PredictConfig, VoteSet

__all__ = ["Prediction", "ShapeClassifier", "ShapeEvaluation", "train_classifier"]

Config = TypeVar("Config", EvaluateConfig, PredictConfig)


def train_classifier(
    data: str | Path | None = None,
    *,
    model: Any = "csgnn",
    preset: str | None = None,
    output: str | Path | None = None,
    echo: Callable[[str], object] = silent,
    **options: Any,
) -> ShapeClassifier:
    """Train a classifier, as ``csgnn-dgl train modelnet`` does.

    Parameters
    ----------
    data
        Folder with the data; the built-in solids by default.
    model
        A model that ``csgnn-dgl models`` lists, ``module:Class``, or a class of your own.
    preset
        Name of a set of defaults, such as ``"compact"``.
    output
        Run directory to make; the next free one in ``runs/`` by default.
    echo
        Called with lines of text, such as ``print``.
    options
        Any option of the command and of the model, with underscores: ``epochs=20``, ``level=2``.

    Raises
    ------
    CSGNNError
        The data, the options or the output path cannot be used. Nothing was overwritten.

    Examples
    --------
    .. code-block:: python

        classifier = train_classifier("ModelNet10", preset="compact", echo=print)
        print(classifier.evaluate(rotation="so3", votes=5).result.accuracy)
    """
    flags = {**options, "model": model}
    flags |= {
        name: Path(value)
        for name, value in (("data", data), ("output", output))
        if value is not None
    }
    run = train(TrainModelNetConfig.resolve(preset=preset, flags=flags), echo)
    return ShapeClassifier(run.path, model=model)


class ShapeClassifier:
    """A trained classifier of meshes and clouds.

    Parameters
    ----------
    weights
        A run directory, or a ``.safetensors`` file.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, …
    model
        The model of the weights, if it is one of your own: ``module:Class``, or the class.

    Raises
    ------
    CheckpointError
        There are no such weights, or they belong to another kind of model.
    ConfigError
        The device does not exist.

    Examples
    --------
    .. code-block:: python

        classifier = ShapeClassifier("runs/modelnet-001")
        classifier.predict(["chair.off", "scan.ply"], votes=5)
        classifier.probabilities(points)  # (n, N, 3) or (N, 3) → (n, classes)
    """

    def __init__(self, weights: str | Path, *, device: str = "auto", model: Any = None) -> None:
        self.weights = Path(weights)
        self._device = device
        self._name = None if model is None else name_of(model)
        self._trained = load_classifier(weights, choose_device(device), model=model)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class, in the order of the probabilities."""
        return self._trained.class_names

    @property
    def points(self) -> int:
        """Points per cloud in training."""
        return self._trained.points

    @property
    def attributes(self) -> tuple[str, ...]:
        """Attributes of points that the model needs in columns after the coordinates.

        ``"normals"`` are three columns, any other is one.
        """
        return self._trained.attributes

    @property
    def calibrated(self) -> bool:
        """Whether probabilities were calibrated on held-out shapes."""
        return bool(self._trained.temperatures)

    def evaluate(self, **options: Any) -> ShapeEvaluation:
        """Evaluate the classifier on the test split, as ``csgnn-dgl evaluate`` does.

        Parameters
        ----------
        options
            Options of the command: ``rotation``, ``votes``, ``vote_set``, ``seed``, ``data``, …

        Raises
        ------
        CSGNNError
            The data have changed or have other classes; there are no test shapes; or the weights
            belong to no run and ``data`` is not given.
        """
        config = self._config(EvaluateConfig, options)
        if config.retrieval:
            raise ConfigError("evaluate classifies; call the method retrieve for retrieval")
        return evaluate(self.weights, config, trained=self._trained)

    def retrieve(self, **options: Any) -> ShapeRetrieval:
        """Test the embedding on the test split, as ``csgnn-dgl evaluate --retrieval`` does.

        Parameters
        ----------
        options
            As for :meth:`evaluate`; the data may have any classes.

        Raises
        ------
        CSGNNError
            The data cannot be used, or no class has two shapes in the split.
        """
        config = self._config(EvaluateConfig, {**options, "retrieval": True})
        return evaluate_retrieval(self.weights, config, trained=self._trained)

    def predict(self, files: Iterable[str | Path], **options: Any) -> list[Prediction]:
        """Predict the classes of meshes and clouds in files, as ``csgnn-dgl predict`` does.

        Parameters
        ----------
        files
            The files.
        options
            Options of the command: ``votes``, ``vote_set``, ``seed``, ``top``, ``strict``, …

        Returns
        -------
        list of Prediction
            One per file. If a file cannot be used, its prediction has an ``error``.
        """
        paths = [Path(file) for file in files]
        config = self._config(PredictConfig, options)
        return predict(self.weights, paths, config, trained=self._trained)

    def probabilities(
        self,
        points: npt.ArrayLike,
        *,
        votes: int = 1,
        seed: int = 0,
        vote_set: VoteSet = "designed",
    ) -> npt.NDArray[np.float64]:
        """Predict class probabilities of clouds in memory.

        Parameters
        ----------
        points
            One cloud ``(N, 3)`` or several ``(n, N, 3)``, in any unit, orientation and position. A
            model with :attr:`attributes` needs them in further columns. If there are more points
            than in training, a random part is used.
        votes, seed
            Orientations to average over, and the random seed for them and for that part.
        vote_set
            ``"designed"`` orientations, which average better than as many ``"random"`` ones.

        Returns
        -------
        numpy.ndarray
            Shape ``(n, classes)``. They are calibrated on held-out shapes (see
            :attr:`calibrated`), but mean nothing for shapes with a score above 1.

        Raises
        ------
        DataError
            The points are no numbers, have another shape, NaN, too few rows or absurd outliers, or
            are all equal.

        Warns
        -----
        DataWarning
            A few points lie so far out that they squeeze the others.
        """
        ready = self._ready(points, seed)
        found = predict_points(self._trained, ready, votes=votes, seed=seed, vote_set=vote_set)
        return found.numpy()

    def scores(self, points: npt.ArrayLike, *, seed: int = 0) -> npt.NDArray[np.float64]:
        """Score how far clouds lie from what the classifier was trained on.

        Parameters
        ----------
        points, seed
            As for :meth:`probabilities`.

        Returns
        -------
        numpy.ndarray
            Shape ``(n,)``; above 1 is outside. NaN if the file of weights does not tell what its
            model was trained on.

        Raises
        ------
        DataError
            As in :meth:`probabilities`.
        """
        ready = self._ready(points, seed)
        found = score_shapes(self._trained, ready)
        return np.full(len(ready), np.nan) if found is None else found

    def _ready(self, points: npt.ArrayLike, seed: int) -> torch.Tensor:
        """Clouds with as many points as in training, ``(n, N, 3 + A)``."""
        ready = clouds_of_arrays(self._trained, points, seed)
        for note in squeezed(ready):
            warnings.warn(note, DataWarning, stacklevel=3)
        return ready

    def _config(self, config_class: type[Config], options: dict[str, Any]) -> Config:
        for name in ("device", "model"):
            if name in options:
                raise ConfigError(f"{name} is chosen when the classifier is loaded, not here")
        own = {"device": self._device, "model": self._name, "progress": False}
        config = config_class(**{**own, **options})
        TARGETS[KIND].refuse_others(config, str(self.weights))
        return config

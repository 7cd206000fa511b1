"""A transformer of scikit-learn whose rows are structures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols

from csgnn_dgl.datasets.atoms.given import AtomsLike, each_structure
from csgnn_dgl.descriptor import AtomDescriptor
from csgnn_dgl.errors import ConfigError, DataError, MissingDependencyError
from csgnn_dgl.tasks.dos.pooling import Pool, check_pool, pooled_names
from csgnn_dgl.tasks.use_config import VoteSet

try:
    from sklearn.base import BaseEstimator, TransformerMixin
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise MissingDependencyError(
        f"this needs scikit-learn, which cannot be imported ({error}): pip install "
        f"'csgnn-dgl[sklearn]'"
    ) from error

__all__ = ["AtomDescriptorTransformer"]


class AtomDescriptorTransformer(TransformerMixin, BaseEstimator):
    """Descriptors of structures as a step of a scikit-learn pipeline.

    The rows of ``X`` are structures, not numbers: a list, a one-dimensional array of objects, a
    Series, or a table with one column, of ASE ``Atoms``, pymatgen structures, or paths of files
    with one structure each. (NumPy takes ``Atoms`` for sequences of atoms, so
    ``numpy.array(structures)`` is no list of structures; keep the list.)

    The network is trained already; ``fit`` learns only which elements there are, for the pool
    ``"per-element"``. A fitted transformer is pickled without the network, and reads its weights
    again.

    Parameters
    ----------
    weights
        A shipped model by name, a run directory, or a ``.safetensors`` file.
    pool
        ``"mean"``, ``"sum"`` or ``"per-element"``; see
        :func:`~csgnn_dgl.tasks.dos.pooling.pool_descriptors`.
    elements
        For ``"per-element"``, symbols or atomic numbers in the order of the parts. By default those
        of the structures in ``fit``; a structure with another element is then refused.
    votes, vote_set, seed, device, dtype, check_domain, model
        As for :class:`~csgnn_dgl.descriptor.AtomDescriptor`.

    Attributes
    ----------
    elements_ : list of str
        Symbols in the order of the parts; empty for other pools.
    n_features_out_ : int
        Number of columns of the result.

    Raises
    ------
    CheckpointError, ConfigError, DataError
        In ``fit`` and ``transform``, as for :class:`~csgnn_dgl.descriptor.AtomDescriptor`.

    Examples
    --------
    .. code-block:: python

        model = make_pipeline(AtomDescriptorTransformer("phonon-dos"), StandardScaler(), Ridge())
        model.fit(structures, energies).predict(["new.cif"])
    """

    def __init__(
        self,
        weights: str | Path = "phonon-dos",
        *,
        pool: Pool = "mean",
        elements: Sequence[int | str] | None = None,
        votes: int = 1,
        vote_set: VoteSet = "designed",
        seed: int = 0,
        device: str = "auto",
        dtype: Literal["float32", "float64"] = "float32",
        check_domain: bool = True,
        model: Any = None,
    ) -> None:
        self.weights = weights
        self.pool = pool
        self.elements = elements
        self.votes = votes
        self.vote_set = vote_set
        self.seed = seed
        self.device = device
        self.dtype = dtype
        self.check_domain = check_domain
        self.model = model

    def fit(self, X: Sequence[AtomsLike], y: Any = None) -> AtomDescriptorTransformer:
        """Load the model, and find the elements of the structures if they are needed.

        Parameters
        ----------
        X
            Structures.
        y
            Ignored.
        """
        check_pool(self.pool)
        if self.elements is not None and self.pool != "per-element":
            raise ConfigError(f"elements are given, which mean nothing for the pool {self.pool!r}")
        rows = self._rows(X, fitting=True)
        numbers: Sequence[int | str] = ()
        if self.pool == "per-element":
            numbers = self.elements or sorted(
                {int(number) for atoms in each_structure(rows) for number in atoms.numbers}
            )
        self._network = self._load()
        self.elements_ = [e if isinstance(e, str) else chemical_symbols[e] for e in numbers]
        parts = len(self.elements_) if self.pool == "per-element" else 1
        self.n_features_out_ = parts * self._network.get_number_of_features()
        return self

    def transform(self, X: Sequence[AtomsLike]) -> npt.NDArray[Any]:
        """Compute one row for each structure.

        Parameters
        ----------
        X
            Structures.

        Returns
        -------
        numpy.ndarray
            Shape ``(n, n_features_out_)``.
        """
        check_is_fitted(self)
        rows = self._rows(X, fitting=False)
        try:
            return self._descriptor().create_pooled(rows, self.pool, elements=self.elements_)
        except ConfigError as error:
            if self.elements is not None or self.pool != "per-element":
                raise
            raise DataError(f"{error} (those of fit). Name all of them: elements=[…]") from error

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Names of the columns, as in the files of ``describe-atoms``.

        Parameters
        ----------
        input_features
            Ignored.
        """
        check_is_fitted(self)
        count = self._descriptor().get_number_of_features()
        numbers = [chemical_symbols.index(symbol) for symbol in self.elements_]
        return np.array(pooled_names(count, self.pool, numbers), dtype=object)

    def _rows(self, X: Any, *, fitting: bool) -> list[AtomsLike]:
        """The structures of ``X``, as a list."""
        given = X.to_numpy() if hasattr(X, "iloc") else X
        if isinstance(given, np.ndarray):
            if given.ndim == 2 and given.shape[1] == 1:
                given = given[:, 0]
            if given.ndim != 1 or given.dtype.kind not in "OUT":
                raise DataError(
                    f"X has the shape {given.shape} and the type {given.dtype}, but its rows must "
                    f"be structures: ASE Atoms, pymatgen structures, or paths"
                )
        elif isinstance(given, (str, bytes, dict)) or not hasattr(given, "__len__"):
            raise DataError(f"X is a {type(X).__name__}, but it must be a list of structures")
        rows = list(given)
        if fitting and not rows:
            raise DataError("X holds no structures")
        return rows

    def _load(self) -> AtomDescriptor:
        return AtomDescriptor(
            self.weights,
            device=self.device,
            dtype=self.dtype,
            model=self.model,
            check_domain=self.check_domain,
            votes=self.votes,
            vote_set=self.vote_set,
            seed=self.seed,
        )

    def _descriptor(self) -> AtomDescriptor:
        """The network; an unpickled transformer reads its weights again."""
        if not hasattr(self, "_network"):
            self._network = self._load()
        return self._network

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("_network", None)
        return state

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_features_out_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        # The type of the result is an option, and the input has none.
        tags.transformer_tags.preserves_dtype = []
        return tags

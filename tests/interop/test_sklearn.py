"""The transformer of scikit-learn: its own checks, and what users do with it."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk

from csgnn_dgl.descriptor import AtomDescriptor
from csgnn_dgl.errors import CheckpointError, ConfigError, DataError

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import validate_data

from csgnn_dgl.interop.sklearn import AtomDescriptorTransformer

SALT = bulk("NaCl", "rocksalt", 5.64)
DIAMOND = bulk("C", "diamond", 3.57)
BIG = SALT * (2, 1, 1)
# Without a domain, structures that are no matter give no warnings.
TINY: dict[str, Any] = {"check_domain": False}


class FromNumbers(AtomDescriptorTransformer):
    """The transformer on rows of numbers, so that scikit-learn's checks of arrays can call it.

    Each number shifts an atom in a chain; everything behind the reading of ``X`` is unchanged.
    """

    def _rows(self, X: Any, *, fitting: bool) -> list[Any]:
        numbers = validate_data(self, X, reset=fitting, dtype=np.float64)
        shifts = 0.4 * np.tanh(numbers)
        places = 2.0 * np.arange(shifts.shape[1])
        return [
            Atoms(f"C{len(row)}", np.column_stack([places + row, 0 * row, 0 * row]))
            for row in shifts
        ]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.one_d_array = False
        return tags


def _rounded(estimator: Any) -> dict[str, str]:
    """Checks that compare single-precision numbers near zero to 1e-7; see the test below."""
    if not isinstance(estimator, FromNumbers) or estimator.dtype == "float64":
        return {}
    reason = "invariants are standardised: near their mean, rounding of the sums is 2e-7"
    return {"check_methods_subset_invariance": reason}


# Structures are rows by nature: scikit-learn calls what takes no arrays of numbers with its checks
# of parameters, tags and cloning only, and warns of that. The others run on FromNumbers.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", SkipTestWarning)
    of_scikit_learn = parametrize_with_checks(
        [
            AtomDescriptorTransformer(),
            AtomDescriptorTransformer(pool="per-element", votes=2),
            FromNumbers(**TINY),
            FromNumbers(pool="per-element", dtype="float64", **TINY),
        ],
        expected_failed_checks=_rounded,
    )


@of_scikit_learn
def test_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


def test_rows_do_not_depend_on_others() -> None:
    """As scikit-learn's check of subsets, up to the rounding of sums in single precision."""
    numbers = np.random.default_rng(0).normal(size=(20, 3)) * 3
    transformer = FromNumbers(**TINY).fit(numbers)
    together = transformer.transform(numbers)
    alone = np.concatenate([transformer.transform(row[None]) for row in numbers])
    np.testing.assert_allclose(alone, together, rtol=1e-5, atol=1e-6)
    assert np.ptp(together, axis=0).max() > 0.1  # a control: rows differ


def test_rows_are_those_of_the_descriptor(phonon_weights: Path) -> None:
    transformer = AtomDescriptorTransformer(phonon_weights)
    rows = transformer.fit_transform([SALT, DIAMOND, BIG])
    np.testing.assert_array_equal(
        rows, AtomDescriptor(phonon_weights).create_pooled([SALT, DIAMOND, BIG])
    )
    assert rows.dtype == np.float32
    assert transformer.n_features_out_ == rows.shape[1] == 16
    assert transformer.get_feature_names_out().tolist()[:2] == ["f00", "f01"]
    table = transformer.set_output(transform="pandas").transform([SALT])
    assert list(table.columns)[-1] == "f15"


def test_elements_are_learned(phonon_weights: Path) -> None:
    transformer = AtomDescriptorTransformer(phonon_weights, pool="per-element")
    rows = transformer.fit_transform([SALT, DIAMOND])
    assert transformer.elements_ == ["C", "Na", "Cl"]
    assert rows.shape == (2, 48)
    assert transformer.get_feature_names_out()[16] == "Na_f00"
    some = transformer.fit([SALT])
    assert some.elements_ == ["Na", "Cl"]
    with pytest.raises(DataError, match=r"the structure has C, .*those of fit.*elements=\["):
        some.transform([DIAMOND])
    named = AtomDescriptorTransformer(phonon_weights, pool="per-element", elements=["Cl", 6, "Na"])
    np.testing.assert_allclose(
        named.fit([SALT]).transform([DIAMOND])[0, 16:32], rows[1, :16], atol=1e-6
    )
    with pytest.raises(ConfigError, match="mean nothing for the pool 'mean'"):
        AtomDescriptorTransformer(phonon_weights, elements=["C"]).fit([SALT])


def test_forms_of_rows(phonon_weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "salt.extxyz"
    ase.io.write(path, SALT)
    transformer = AtomDescriptorTransformer(phonon_weights).fit([SALT])
    wanted = transformer.transform([SALT, SALT])
    column = np.empty(2, dtype=object)
    column[:] = [str(path), path]
    for rows in (
        [SALT, path],
        (str(path), SALT),
        column,
        column[:, None],
        pd.Series([SALT, SALT]),
        pd.DataFrame({"structure": [str(path), str(path)]}),
        np.array([str(path)] * 2),
    ):
        np.testing.assert_allclose(transformer.transform(rows), wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((3, 2)), r"X has the shape \(3, 2\) and the type float64, but its rows must be"),
        (np.zeros(3), r"X has the shape \(3,\) and the type float64"),
        (pd.DataFrame({"a": [1.0], "b": [2.0]}), r"X has the shape \(1, 2\)"),
        ("salt.cif", "X is a str, but it must be a list of structures"),
        (SALT, "structure 0 is a Atom, not ASE Atoms"),
        (iter([SALT]), "X is a list_iterator, but it must be a list"),
        ([], "X holds no structures"),
        ([SALT, 7], r"structure 1 is 7 \(int\), not ASE Atoms"),
        (["gone.cif"], "structure 0 is the path 'gone.cif'"),
    ],
)
def test_what_are_no_rows(rows: Any, message: str, phonon_weights: Path) -> None:
    with pytest.raises(DataError, match=message):
        AtomDescriptorTransformer(phonon_weights).fit_transform(rows)


def test_mistakes_in_parameters(phonon_weights: Path) -> None:
    for options, error, message in (
        ({"pool": "maen"}, ConfigError, "did you mean 'mean'"),
        ({"weights": "phonon-doss"}, CheckpointError, "did you mean 'phonon-dos'"),
        ({"dtype": "int8"}, ConfigError, "unknown dtype"),
        ({"votes": 0}, ConfigError, "vote"),
    ):
        transformer = AtomDescriptorTransformer(**{"weights": phonon_weights, **options})
        with pytest.raises(error, match=message):
            transformer.fit([SALT])
    with pytest.raises(NotFittedError):
        AtomDescriptorTransformer(phonon_weights).transform([SALT])
    with pytest.raises(NotFittedError):
        AtomDescriptorTransformer(phonon_weights).get_feature_names_out()


def test_parameters_and_copies(phonon_weights: Path, tmp_path: Path) -> None:
    transformer = AtomDescriptorTransformer(phonon_weights, pool="sum", votes=2, seed=5)
    copied = clone(transformer)
    assert copied.get_params() == transformer.get_params()
    assert copied.get_params()["votes"] == 2
    wanted = transformer.fit([SALT]).transform([BIG])
    np.testing.assert_array_equal(clone(transformer).fit([SALT]).transform([BIG]), wanted)
    content = pickle.dumps(transformer)
    assert len(content) < 2000  # no network
    np.testing.assert_array_equal(pickle.loads(content).transform([BIG]), wanted)
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(Path(phonon_weights).read_bytes())
    gone = pickle.dumps(AtomDescriptorTransformer(moved).fit([SALT]))
    moved.unlink()
    with pytest.raises(CheckpointError, match=r"moved\.safetensors"):
        pickle.loads(gone).transform([SALT])


def stretched(count: int) -> tuple[list[Atoms], np.ndarray]:
    rng = np.random.default_rng(0)
    lattices = rng.uniform(3.3, 3.9, size=count)
    return [bulk("C", "diamond", lattice) for lattice in lattices], lattices


def test_pipelines_and_searches(phonon_weights: Path) -> None:
    structures, lattices = stretched(24)
    train, test, wanted, known = train_test_split(structures, lattices, random_state=0)
    steps = (AtomDescriptorTransformer("phonon-dos", **TINY), StandardScaler(), Ridge(1e-3))
    shipped = make_pipeline(*steps)
    assert shipped.fit(train, wanted).score(test, known) > 0.9
    assert shipped.fit(train, np.random.default_rng(1).permutation(wanted)).score(test, known) < 0.5
    pipeline = make_pipeline(
        AtomDescriptorTransformer(phonon_weights, votes=2), StandardScaler(), Ridge(1e-3)
    ).fit(train, wanted)
    again = pickle.loads(pickle.dumps(pipeline))
    np.testing.assert_allclose(again.predict(test), pipeline.predict(test))
    name = "atomdescriptortransformer__pool"
    search = GridSearchCV(pipeline, {name: ["mean", "sum", "per-element"]}, cv=2)
    search.fit(train, wanted)
    assert search.best_params_[name] in ("mean", "sum", "per-element")
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_column_of_a_table(phonon_weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "salt.extxyz"
    ase.io.write(path, SALT)
    table = pd.DataFrame({"file": [str(path)] * 3, "pressure": [1.0, 2.0, 3.0]})
    both = ColumnTransformer(
        [("atoms", AtomDescriptorTransformer(phonon_weights), ["file"])], remainder="passthrough"
    )
    rows = both.fit_transform(table)
    assert rows.shape == (3, 17)
    assert both.get_feature_names_out()[0] == "atoms__f00"

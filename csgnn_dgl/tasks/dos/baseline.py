"""The mean training curve, as the baseline of a model of densities of states."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from csgnn_dgl.datasets.atoms.dos import DOSRecord
from csgnn_dgl.tasks.baseline import enumerate_words

__all__ = ["Comparison", "MeanCurves", "plain_rows"]

Floats = npt.NDArray[np.float64]

# With more types than this, the curves of types are not kept: they would be nearly single curves.
_TYPES = 64
#: Columns in which a model is compared with the baseline; greater is better in the last.
_QUANTITIES = {
    "dos_mae": "dos",
    "dos_mse": "dos (squared)",
    "fdos_mae": "fdos",
    "fermi_level_mae": "Fermi level",
    "band_energy_mae": "band energy",
    "exact_band_energy_mae": "exact band energy",
    "gap_mae": "gap",
    "r2": "R²",
}


@dataclass(frozen=True, eq=False)
class MeanCurves:
    """Mean curves of training structures.

    Parameters
    ----------
    structures
        Number of training structures.
    overall
        Mean of all curves, shape ``(E,)``.
    by_type
        Mean of the curves of each type of structure; empty if there is one type only, or very many.

    Examples
    --------
    >>> from ase import Atoms
    >>> records = [DOSRecord(Atoms("C"), np.full(3, value), "c") for value in (1.0, 2.0)]
    >>> MeanCurves.of(records).predict(records)[0]
    array([1.5, 1.5, 1.5])
    """

    structures: int
    overall: Floats
    by_type: Mapping[str, Floats] = field(default_factory=dict)

    @classmethod
    def of(cls, records: Sequence[DOSRecord]) -> MeanCurves:
        """Compute the mean curves of training structures."""
        groups: dict[str, list[Floats]] = {}
        for record in records:
            groups.setdefault(record.group, []).append(record.dos)
        by_type = {name: _mean(curves) for name, curves in sorted(groups.items())}
        kept = by_type if 1 < len(by_type) <= _TYPES else {}
        return cls(len(records), _mean([record.dos for record in records]), kept)

    @classmethod
    def from_plain(cls, content: Mapping[str, Any], size: int) -> MeanCurves:
        """Read what :meth:`to_plain` made, for a grid of ``size`` energies.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is damaged.
        """
        curves = [np.asarray(content["overall"], dtype=np.float64)]
        curves += [np.asarray(curve, dtype=np.float64) for curve in content["by_type"].values()]
        for curve in curves:
            if curve.shape != (size,) or not np.isfinite(curve).all():
                raise ValueError(f"a curve has the shape {curve.shape}, not ({size},), or NaN")
        names = map(str, content["by_type"])
        return cls(int(content["structures"]), curves[0], dict(zip(names, curves[1:], strict=True)))

    def to_plain(self) -> dict[str, Any]:
        """Numbers of six digits, for the header of the weights."""
        return {
            "structures": self.structures,
            "overall": _rounded(self.overall),
            "by_type": {name: _rounded(curve) for name, curve in self.by_type.items()},
        }

    def predict(self, records: Sequence[DOSRecord], *, by_type: bool = True) -> Floats:
        """The mean curve for each structure, shape ``(n, E)``.

        Parameters
        ----------
        records
            The structures.
        by_type
            Use the mean of the structure's own type, if the training data have that type.
        """
        known = self.by_type if by_type else {}
        return np.array([known.get(record.group, self.overall) for record in records])


def _mean(curves: Sequence[Floats]) -> Floats:
    with warnings.catch_warnings():
        # A bin that is defined in no curve has the mean 0.
        warnings.filterwarnings("ignore", message="Mean of empty slice")
        found: Floats = np.nan_to_num(np.nanmean(np.array(curves), axis=0))
    return found


def _rounded(curve: Floats) -> list[float]:
    return [float(f"{value:.6g}") for value in curve]


@dataclass(frozen=True, eq=False)
class Comparison:
    """A model's errors beside those of the mean training curve.

    Parameters
    ----------
    model
        The model's errors, a row per type of structure and one for all.
    mean
        Errors of the mean curve of the type, or of all structures where the type is not known, in
        the same rows.
    overall
        Errors of the mean curve of all training structures, one row for all.
    typed
        Whether ``mean`` uses types.
    """

    model: pd.DataFrame
    mean: pd.DataFrame
    overall: pd.DataFrame
    typed: bool

    @property
    def name(self) -> str:
        """Name of the baseline."""
        return "mean curve of the type" if self.typed else "mean curve"

    def not_beaten(self) -> list[dict[str, Any]]:
        """Every type and quantity in which the model is not better than the mean curve."""
        found = []
        for (_, own), (_, mean) in zip(self.model.iterrows(), self.mean.iterrows(), strict=True):
            for column in _QUANTITIES:
                a, b = own.get(column, np.nan), mean.get(column, np.nan)
                # Where both are exact, such as the gaps of metals, neither is better.
                better = (a > b if column == "r2" else a < b) or a == b == 0
                if not (np.isnan(a) or np.isnan(b) or better):
                    entry = {"type": own["type"], "quantity": column}
                    found.append({**entry, "model": float(a), "mean_curve": float(b)})
        return found

    def table(self) -> pd.DataFrame:
        """Errors of model and mean curve in neighbouring rows."""
        rows: list[dict[str, Any]] = []
        for own, mean in zip(_rows(self.model), _rows(self.mean), strict=True):
            head = {"type": own.pop("type"), "structures": own.pop("structures")}
            rows.append({**head, "from": "model", **own})
            rows.append({"type": "", "structures": "", "from": self.name, **_numbers(mean)})
        if self.typed:
            (last,) = _rows(self.overall)
            rows.append({"type": "", "structures": "", "from": "mean of all", **_numbers(last)})
        return pd.DataFrame(rows)

    def lines(self) -> list[str]:
        """Say whether the model beats the mean curve, in lines to print."""
        worse = self.not_beaten()
        if not worse:
            unknown = self._unknown()
            but = f" but {enumerate_words(unknown)} (unknown)" if unknown else ""
            return [f"better than the {self.name} of the training data in every quantity{but}"]
        lines = []
        overall = [entry for entry in worse if entry["type"] == "all"]
        if overall:
            lines.append(f"worse than the {self.name} of the training data: {_listed(overall)}")
        if any(entry["quantity"] == "dos_mae" for entry in overall):
            lines.append(
                "warning: the model predicts curves no better than their mean, so it has learned "
                "nothing that helps; train longer, on more data, or with a smaller --ema-decay"
            )
        types = dict.fromkeys(entry["type"] for entry in worse if entry["type"] != "all")
        for name in types:
            own = [entry for entry in worse if entry["type"] == name]
            lines.append(f"worse than the {self.name} for {name}: {_listed(own)}")
        return lines

    def _unknown(self) -> list[str]:
        """Quantities that no structure of the set has in both tables."""
        own, mean = self.model.iloc[-1], self.mean.iloc[-1]
        return [
            name
            for column, name in _QUANTITIES.items()
            if column in own and np.isnan([own[column], mean.get(column, np.nan)]).any()
        ]

    def plain(self) -> dict[str, Any]:
        """The same as plain values for JSON, with None for NaN."""
        return {
            "what": f"{self.name} of the training data",
            "figures": plain_rows(self.mean),
            "of_all": plain_rows(self.overall)[0],
            "not_beaten": self.not_beaten(),
        }


def plain_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values; JSON has no NaN."""
    return [
        {key: None if value != value else value for key, value in row.items()}
        for row in _rows(table)
    ]


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _numbers(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in ("type", "structures")}


def _listed(entries: Sequence[Mapping[str, Any]]) -> str:
    return enumerate_words(
        [
            f"{_QUANTITIES[entry['quantity']]} ({entry['model']:.4g} against "
            f"{entry['mean_curve']:.4g})"
            for entry in entries
        ],
        limit=8,
    )

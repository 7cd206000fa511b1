"""Values of the rows of ASE's databases."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

__all__ = ["plain_values"]


def plain_values(row: Any, columns: Sequence[str]) -> dict[str, Any]:
    """Numbers and text of a row of a database by name; None where the row has none.

    Parameters
    ----------
    row
        ASE's ``AtomsRow``.
    columns
        Names of its key-value pairs, or of what every row has, such as ``id`` and ``energy``.
    """
    found = {column: row.get(column) for column in columns}
    return {
        column: value if isinstance(value, (numbers.Real, str)) else None
        for column, value in found.items()
    }

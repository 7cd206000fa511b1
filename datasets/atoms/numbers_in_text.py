"""Parse numbers as Fortran programs print them."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from csgnn_dgl._foreign import excerpt
from csgnn_dgl.errors import DataError

__all__ = ["parse_numbers"]

# With an exponent of three digits, Fortran omits the letter: 1.0-103 is 1.0E-103.
_LETTERLESS = re.compile(r"^([+-]?\d*\.?\d+|[+-]?\d+\.)([+-]\d{2,3})$")


def parse_numbers(words: list[str]) -> npt.NDArray[np.float64]:
    """Convert words to numbers, including Fortran's forms of exponents.

    Parameters
    ----------
    words
        The words, such as ``["0.1E+01", "1.0D-5", "0.4-103", "nan"]``.

    Raises
    ------
    DataError
        A word is not a number.

    Examples
    --------
    >>> parse_numbers(["1.5", "2.0D-1", "0.4-103"]).tolist()
    [1.5, 0.2, 4e-104]
    """
    try:
        return np.array(words, dtype=np.float64)
    except ValueError:
        return np.array([_number(word) for word in words], dtype=np.float64)


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        pass
    match = _LETTERLESS.match(word)
    text = f"{match[1]}E{match[2]}" if match else word.upper().replace("D", "E", 1)
    try:
        return float(text)
    except ValueError:
        pass
    if "*" in word:
        raise DataError(
            f"{excerpt(word, 60)!r} is not a number: Fortran prints it for one that is too large"
        )
    raise DataError(f"{excerpt(word, 60)!r} is not a number")

"""The fuzzer is a package below the repository's root, which its workers import, too."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

if TYPE_CHECKING:
    from tests.fuzz.pool import Pool

# Workers are limited, and the ends of their memory and time are known, by what only Linux has.
collect_ignore_glob = [] if sys.platform == "linux" else ["*.py"]


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    """A worker that reads damaged files."""
    from tests.fuzz.pool import Pool

    with Pool(1) as made:
        yield made

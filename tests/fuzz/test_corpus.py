"""Files that once gave a wrong answer, killed the process or left a traceback."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import pytest

if sys.platform != "linux":
    pytest.skip("workers are limited by what only Linux has", allow_module_level=True)

from tests.fuzz.corpus import CASES, Case
from tests.fuzz.pool import Input, Outcome, Pool


@pytest.fixture(scope="module")
def outcomes() -> Iterator[dict[str, Outcome]]:
    """All cases, read once: a worker reads many."""
    items = {
        str(case): Input(case.format, files=tuple(case.files.items()), target=case.target)
        for case in CASES
    }
    names = {item: name for name, item in items.items()}
    with Pool(1) as pool:
        yield {names[item]: outcome for item, outcome in pool.run(items.values())}


def test_names_differ() -> None:
    assert len({str(case) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_outcome(case: Case, outcomes: dict[str, Outcome]) -> None:
    found = outcomes[str(case)]
    assert not found.defect, f"{found.kind}: {found.key}\n{found.detail}"
    if case.expected != "either":
        assert found.kind == case.expected, found.detail or "read without an error"
    assert re.search(case.says, found.detail)

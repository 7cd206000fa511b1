"""Files that once gave a wrong answer, killed the process or left a traceback."""

from __future__ import annotations

import re

import pytest

from tests.fuzz.corpus import CASES, Case
from tests.fuzz.pool import Input, Outcome, Pool


@pytest.fixture(scope="module")
def outcomes(pool: Pool) -> dict[str, Outcome]:
    """The outcome of each case; one worker reads all of them."""
    items = {
        Input(case.format, files=tuple(case.files.items()), target=case.target): str(case)
        for case in CASES
    }
    return {items[item]: outcome for item, outcome in pool.run(items)}


def test_names_differ() -> None:
    assert len({str(case) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_outcome(case: Case, outcomes: dict[str, Outcome]) -> None:
    found = outcomes[str(case)]
    assert not found.defect, f"{found.kind}: {found.key}\n{found.detail}"
    if case.expected != "either":
        assert found.kind == case.expected, found.detail or "it was read without an error"
    assert re.search(case.says, found.detail)

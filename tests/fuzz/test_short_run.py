"""A few damaged files of each format, the same ones each time; ``make fuzz`` reads many."""

from __future__ import annotations

import pytest

from tests.fuzz.formats import FORMATS
from tests.fuzz.pool import Input, Pool

_DAMAGED = 16


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_are_refused_or_read_rightly(name: str, pool: Pool) -> None:
    sound = FORMATS[name].made
    items = [Input(name, 1, index) for index in range(len(sound) + _DAMAGED)]
    outcomes = [outcome for _, outcome in pool.run(items)]
    defects = {
        f"{outcome.kind}: {outcome.key}: {outcome.detail} (--index {index})"
        for index, outcome in enumerate(outcomes)
        if outcome.defect
    }
    assert not defects
    for seed, outcome in zip(sound, outcomes, strict=False):
        assert outcome.kind == "fine" or not seed.sound, outcome.detail
    # Otherwise nothing was damaged. A folder is read without its damaged files.
    assert sound[0].target in (".", "d", "m", "p", "c") or "refused" in {o.kind for o in outcomes}

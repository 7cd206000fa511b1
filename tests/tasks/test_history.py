"""The history of a training."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from csgnn_dgl.tasks.history import History


def test_seconds_of_the_processor_are_those_of_all_epochs(tmp_path: Path) -> None:
    history = History(tmp_path / "metrics.csv")
    history.rows = [{"epoch": 1, "processor_seconds": 2.0}, {"epoch": 2, "processor_seconds": 3.0}]
    assert history.processor_seconds == 5.0
    # The first epoch of a resumed run may be from before they were counted.
    history.load_state_dict({"rows": [{"epoch": 1}, history.rows[1]], "first_epoch": 1})
    assert history.processor_seconds is None

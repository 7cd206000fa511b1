"""What an evaluation of a classifier says about its calibration."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from csgnn_dgl.tasks.classes import calibration_report
from csgnn_dgl.tasks.classes.evaluate import evaluate
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.use_config import EvaluateConfig


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_picture_names_the_split(
    split: Any, small_run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles = {}

    def keep(figure: Figure, path: Path) -> None:
        # Long titles have several lines.
        titles[path.stem] = " ".join(figure.axes[0].get_title().split())

    monkeypatch.setattr(calibration_report, "save_figure", keep)
    copy = Path(shutil.copytree(small_run.path, tmp_path / "copy"))
    evaluate(copy, EvaluateConfig(split=split, progress=False))
    title = f"Calibration on {split} shapes; areas: numbers of shapes"
    assert titles == {f"calibration-{split}-so3-1-votes": title}

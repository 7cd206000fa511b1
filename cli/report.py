"""``csgnn-dgl report``."""

from __future__ import annotations

from pathlib import Path

import click

from csgnn_dgl.cli.options import config_options
from csgnn_dgl.cli.outcome import echo_line
from csgnn_dgl.viewing.config import ReportConfig

__all__ = ["report_command"]


@config_options(ReportConfig)
@click.argument("run", type=click.Path(path_type=Path))
def report_command(config: ReportConfig, given: set[str], run: Path) -> None:
    """Test RUN as evaluate does, and write a page about it, for any browser.

    RUN is a run directory. The page has the curves of the training, the results beside the
    baseline, the confusion matrix or the band energies, the worst examples, the protocol, all
    options and versions. It needs no network.
    """
    from csgnn_dgl.viewing.report import write_report

    written = write_report(run, config)
    for line in written.lines:
        echo_line(line)
    echo_line(f"page: {written.path} ({written.size / 1e6:.1f} MB)")

"""``csgnn-dgl evaluate``."""

from __future__ import annotations

from pathlib import Path

import click

from csgnn_dgl._progress import shown, working
from csgnn_dgl.cli.options import config_options
from csgnn_dgl.cli.outcome import echo_json, echo_line
from csgnn_dgl.tasks.targets import target_of
from csgnn_dgl.tasks.use_config import EvaluateConfig

__all__ = ["evaluate_command"]


@config_options(EvaluateConfig)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def evaluate_command(config: EvaluateConfig, given: set[str], run: Path, as_json: bool) -> None:
    """Test the model of RUN on the test split of the data that it was trained on.

    RUN is a run directory; or, with --data, a .safetensors file or a shipped model (csgnn-dgl
    models). --split validation takes what the training held out instead, for choosing settings.

    For a classifier, prints the accuracy of each class under a rotation protocol. For a model of
    densities of states, prints the errors of the curve and its integral, the Fermi level and the
    band energy, by type of structure. --votes averages over orientations. If RUN is a run
    directory, the result is written to RUN/summary.json, and plots are drawn.

    Beside every result stands what can be had without a network: the accuracy of always naming
    the commonest class, or the errors of the mean curve of the training data.
    """
    with shown(config.progress), working("evaluating"):
        from csgnn_dgl.tasks import allocator
        from csgnn_dgl.tasks.shipped import find_weights

        allocator.keep_freed_memory()
        outcome = target_of(find_weights(run)).evaluate(run, config)
    if as_json:
        echo_json(outcome.content)
        return
    for text in outcome.lines:  # a table is one text of several lines
        for line in text.splitlines():
            echo_line(line)

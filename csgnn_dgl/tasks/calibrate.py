"""Add to a file of weights its domain, its errors and its baseline, without training.

``python -m csgnn_dgl.tasks.calibrate WEIGHTS --data PATH`` does what every training does at its
end. The weights themselves stay the same, bit for bit. It is for models that were trained by
earlier versions, and for the models that the package ships.
"""

from __future__ import annotations

from pathlib import Path

import click

from csgnn_dgl.errors import CSGNNError, DataError
from csgnn_dgl.tasks.domain import FEWEST_HELD_OUT
from csgnn_dgl.tasks.learned import Relearned, drop_intervals, save_learned
from csgnn_dgl.tasks.shipped import find_weights, shipped_models
from csgnn_dgl.tasks.targets import target_of
from csgnn_dgl.tasks.use_config import EvaluateConfig

__all__ = ["calibrate"]


def calibrate(weights: str | Path, data: Path | None = None, model: str | None = None) -> Relearned:
    """Learn domain, errors and baseline of a trained model, and put them into its file.

    Parameters
    ----------
    weights
        A run directory, a file of weights, or a shipped model by name.
    data
        The data that it was trained on; by default those that the run names. They are split into
        training and validation samples as in the training.
    model
        The model, if it is one of your own: ``module:Class``.

    Raises
    ------
    CSGNNError
        The weights or the data cannot be used; or there are too few held-out samples. The file
        stays as it was.
    """
    config = EvaluateConfig(data=data, model=model, progress=False)
    found: Relearned = target_of(find_weights(weights)).relearn(weights, config)
    if found.learned.domain is None:
        raise DataError(
            f"{found.held_out} held-out samples are too few to learn what {weights} knows; at "
            f"least {FEWEST_HELD_OUT} are needed"
        )
    path, kind = found.trained.path, found.trained.header.kind
    save_learned(path, kind, found.learned)
    for shipped in shipped_models().values():
        if shipped.path == path:
            drop_intervals(path, kind, shipped.without_intervals)
    return found


@click.command()
@click.argument("weights")
@click.option("--data", type=click.Path(path_type=Path), help="The data of the training.")
@click.option("--model", help="The model, if it is one of your own: module:Class.")
def main(weights: str, data: Path | None, model: str | None) -> None:
    """Add to WEIGHTS what its model knows, from the data that it was trained on."""
    try:
        found = calibrate(weights, data, model)
    except CSGNNError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(2) from None
    if not found.trained.was_trained_on(found.data):
        click.echo(
            f"warning: {weights} was trained on data with the fingerprint "
            f"{found.trained.fingerprint}, but these have {found.data.fingerprint}: the held-out "
            f"samples, and those of the baseline, may be others than in the training"
        )
    assert found.learned.domain is not None
    click.echo(f"{found.trained.path}: {dict(found.learned.domain.facts)}")


if __name__ == "__main__":
    main()

"""The trivial baseline of every evaluation: what the training data alone predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from csgnn_dgl.errors import CheckpointError, CSGNNError

if TYPE_CHECKING:
    from csgnn_dgl.tasks.evaluation import Found

__all__ = ["BASELINE", "enumerate_words", "find_baseline", "training_warnings"]

#: Key of the baseline among the header's entries on the training data.
BASELINE = "baseline"

Baseline = TypeVar("Baseline")

# Largest share of the untrained weights in the average that goes without a warning.
_UNTRAINED = 0.05
# Fewer steps of the optimiser than this get a warning. A cautious choice, not a measured limit.
_STEPS = 200


def find_baseline(
    found: Found[Any, Any, Any],
    *,
    read: Callable[[Any], Baseline],
    compute: Callable[[Any], Baseline],
    load: Callable[[Any], Any],
) -> tuple[Baseline | None, str]:
    """Find the baseline of the data that a network was trained on.

    It is in the header of the weights. For weights of earlier versions it is computed again, if the
    training data are still there, unchanged. It never comes from other data that are evaluated.

    Parameters
    ----------
    found
        The network, its options, and the data to evaluate.
    read
        Makes the baseline from the header's entry; raises KeyError, TypeError or ValueError if it
        cannot be used.
    compute
        Makes the baseline from a data set, by splitting its validation part off as in training.
    load
        Loads the data that the options of the training name.

    Returns
    -------
    tuple
        The baseline, or None; and why there is none, as a sentence.

    Raises
    ------
    CheckpointError
        The header's entry is damaged.
    """
    trained = found.trained
    content = trained.header.data.get(BASELINE)
    if content is not None:
        try:
            return read(content), ""
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f"the header of {trained.path} holds a damaged baseline ({error!r}); restore the "
                f"file or train again"
            ) from error
    reason = (
        f"no baseline: {trained.path} is of an earlier version, which did not keep the mean of its "
        f"training data, and these are not at hand"
    )
    data = found.data
    if not trained.was_trained_on(data):
        if found.run is None:
            return None, reason
        try:
            data = load(found.options)
        except CSGNNError:
            return None, reason
    if not trained.was_trained_on(data):
        return None, reason
    return compute(data), ""


def training_warnings(
    *, samples: int, few: int, what: str, batch_size: int, epochs: int, ema_decay: float
) -> list[str]:
    """Warn, before a training, that it may learn hardly anything.

    Parameters
    ----------
    samples
        Number of training samples.
    few
        Number below which there is a warning.
    what
        What the samples are, in the plural.
    batch_size, epochs, ema_decay
        Options of the training.

    Examples
    --------
    >>> for line in training_warnings(
    ...     samples=11, few=40, what="structures", batch_size=8, epochs=60, ema_decay=0.99
    ... ):
    ...     print(line.split(":")[0])
    11 training structures are few (fewer than 40)
    the average of the weights keeps 55 % of the untrained ones after 60 steps
    >>> training_warnings(
    ...     samples=300, few=40, what="structures", batch_size=8, epochs=60, ema_decay=0.98
    ... )
    []
    """
    lines = []
    if samples < few:
        lines.append(
            f"{samples} training {what} are few (fewer than {few}): the network may be no better "
            f"than the baseline that csgnn-dgl evaluate prints beside the result; compare with it, "
            f"and use more data"
        )
    # The loader may join the last, incomplete batch to the others, so this is an estimate.
    per_epoch = max(round(samples / batch_size), 1)
    steps = per_epoch * epochs
    untrained = ema_decay**steps if ema_decay else 0.0
    if untrained > _UNTRAINED:
        needed = _steps_for(ema_decay)
        lines.append(
            f"the average of the weights keeps {100 * untrained:.0f} % of the untrained ones after "
            f"{steps} steps: give --epochs {-(-needed // per_epoch)}, a smaller --batch-size, or "
            f"a smaller --ema-decay (0 keeps the weights themselves)"
        )
    elif steps < _STEPS:
        lines.append(
            f"{steps} steps of the optimiser are few: give --epochs {-(-_STEPS // per_epoch)} or a "
            f"smaller --batch-size"
        )
    return lines


def _steps_for(decay: float) -> int:
    """Number of steps after which the average keeps at most the share that is allowed."""
    steps, share = 0, 1.0
    while share > _UNTRAINED and steps < 10**7:
        steps, share = steps + 1, share * decay
    return steps


def enumerate_words(words: Sequence[str], limit: int = 6) -> str:
    """Join words by commas, and count those beyond ``limit``.

    Examples
    --------
    >>> enumerate_words(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    more = len(words) - limit
    return ", ".join(words[:limit]) + (f" and {more} more" if more > 0 else "")

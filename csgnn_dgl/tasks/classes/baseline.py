"""The commonest class of the training data, as the baseline of a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["MajorityClass", "count_classes"]


def count_classes(labels: Sequence[int], class_names: Sequence[str]) -> dict[str, int]:
    """Count the training shapes of each class, for the header of the weights.

    Examples
    --------
    >>> count_classes([0, 1, 1], ["cone", "cube"])
    {'cone': 1, 'cube': 2}
    """
    counts = [0] * len(class_names)
    for label in labels:
        counts[label] += 1
    return dict(zip(class_names, counts, strict=True))


@dataclass(frozen=True)
class MajorityClass:
    """Always naming the class that is commonest in the training data.

    Parameters
    ----------
    name
        The class; the first of several with equal counts.
    accuracy
        Its share of the test shapes.
    class_accuracy
        Mean over the classes in the test shapes: one of them is right.
    """

    name: str
    accuracy: float
    class_accuracy: float

    @classmethod
    def of(
        cls, counts: dict[str, int], labels: Sequence[int], class_names: Sequence[str]
    ) -> MajorityClass:
        """Find the class in counts of training shapes, and its accuracy on test shapes.

        Raises
        ------
        ValueError
            The counts are not those of the classes.

        Examples
        --------
        >>> MajorityClass.of({"cone": 1, "cube": 2}, [0, 0, 0, 1], ["cone", "cube"])
        MajorityClass(name='cube', accuracy=0.25, class_accuracy=0.5)
        """
        if set(counts) != set(class_names) or not all(type(v) is int for v in counts.values()):
            raise ValueError(f"it counts the classes {', '.join(map(str, counts))[:100]}")
        # In the order of the classes: JSON may have sorted the counts.
        name = max(class_names, key=lambda known: counts[known])
        label = class_names.index(name)
        there = len(set(labels))
        return cls(name, labels.count(label) / len(labels), (label in labels) / there)

    def line(self, accuracy: float) -> str:
        """Compare a classifier's accuracy, in a line to print."""
        share = f"{100 * self.accuracy:.2f} %"
        always = f"always naming {self.name!r}, the commonest class of the training data: {share}"
        if accuracy > self.accuracy:
            return f"{always} (better than that)"
        return (
            f"warning: NOT better than {always}; the network has learned nothing that helps: train "
            f"longer, or on more data"
        )

    def plain(self, accuracy: float) -> dict[str, Any]:
        """The same as plain values for JSON."""
        return {
            "what": f"always {self.name}",
            "accuracy": self.accuracy,
            "class_accuracy": self.class_accuracy,
            "beaten": accuracy > self.accuracy,
        }

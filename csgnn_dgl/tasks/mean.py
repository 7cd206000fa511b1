"""Mean of a loss over an epoch, in which every sample counts the same."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

__all__ = ["SampleMean"]


class SampleMean(Metric):
    """Mean over samples of a value that is given as a mean for each batch.

    A NaN stays a NaN, because it means that training diverged. (TorchMetrics' own ``MeanMetric``
    ignores the sizes of batches unless it also removes NaN.) No update waits for a GPU.

    Examples
    --------
    >>> mean = SampleMean()
    >>> mean.update(torch.tensor(1.0), 9)
    >>> mean.update(torch.tensor(2.0), 1)
    >>> mean.compute()
    tensor(1.1000)
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, value: Tensor, count: int) -> None:
        """Add a batch: mean of its samples, and their number."""
        self.total += value.detach() * count
        self.count += count

    def compute(self) -> Tensor:
        """Return the mean over all samples."""
        return self.total / self.count

"""Means over samples from means of batches."""

from __future__ import annotations

import torch

from csgnn_dgl.tasks.mean import SampleMean


def test_every_sample_counts_the_same() -> None:
    values = torch.randn(10, generator=torch.Generator().manual_seed(0))
    mean = SampleMean()
    for part in values.split((7, 2, 1)):
        mean.update(part.mean(), len(part))
    torch.testing.assert_close(mean.compute(), values.mean())
    # Control: the mean over batches is another.
    assert (
        abs(torch.stack([p.mean() for p in values.split((7, 2, 1))]).mean() - values.mean()) > 0.01
    )
    mean.reset()
    mean.update(torch.tensor(3.0), 4)
    assert float(mean.compute()) == 3


def test_a_nan_is_not_hidden() -> None:
    mean = SampleMean()
    mean.update(torch.tensor(torch.nan), 4)
    mean.update(torch.tensor(1.0), 4)
    assert mean.compute().isnan()

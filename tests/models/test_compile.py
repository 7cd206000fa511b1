"""The encoder is followed by ``torch.compile`` from end to end."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from csgnn_dgl.models import CSGNN, EncoderConfig
from csgnn_dgl.models import encoder as module
from csgnn_dgl.nn import structure

# torch's own tracer uses what torch deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def gradients(model: Any, encoder: CSGNN, feat: Tensor) -> tuple[Tensor, list[Tensor]]:
    feat = feat.clone().requires_grad_()
    out = model(feat)
    upstream = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return out, list(torch.autograd.grad(out, [feat, *encoder.parameters()], upstream))


@pytest.mark.parametrize(
    "options",
    [
        {"pooling": "max", "global_pooling": "max"},
        {"pooling": "mean", "global_pooling": "mean"},
        {"filter_order": 2, "gradients": True, "readout": ("max-mean", "power")},
    ],
    ids=str,
)
def test_no_graph_break(options: dict[str, Any]) -> None:
    torch._dynamo.reset()
    torch.manual_seed(0)
    config = EncoderConfig.with_base_width(1, 3, 2, base_width=4, **options)
    encoder = CSGNN(config).double()
    # This one traces forward and backward, and needs no compiler of C++.
    compiled = torch.compile(encoder, fullgraph=True, backend="aot_eager")
    feat = torch.randn(encoder.grid.num_nodes(1), 3, 2, dtype=torch.float64)
    # Nothing of the structure has been found out before.
    module._prepared.cache_clear()
    structure._known.clear()
    for training in (True, False):
        encoder.train(training)
        out, found = gradients(compiled, encoder, feat)
        expected, wanted = gradients(encoder, encoder, feat)
        torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-10)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    with torch.no_grad():
        torch.testing.assert_close(compiled(feat), encoder(feat), rtol=1e-10, atol=1e-10)

"""Lower bound of the time of all implementations on the same libraries: only the products."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from csgnn_dgl.models import EncoderConfig

__all__ = ["Floor"]


@dataclass(frozen=True)
class _Product:
    """One convolution, or one matrix product as a 1×1 convolution, which is faster."""

    image: Tensor
    weight: Tensor
    bias: Tensor
    upstream: Tensor
    dilation: int

    @property
    def padding(self) -> list[int]:
        return [0, self.weight.shape[3] // 2 * self.dilation]

    def forward(self) -> Tensor:
        return F.conv2d(
            self.image, self.weight, self.bias, padding=self.padding, dilation=(1, self.dilation)
        )

    def backward(self, of_input: bool) -> None:
        torch.ops.aten.convolution_backward(
            self.upstream,
            self.image,
            self.weight,
            [len(self.bias)],
            [1, 1],
            self.padding,
            [1, self.dilation],
            False,
            [0, 0],
            1,
            [of_input, True, True],
        )


def _product(size: tuple[int, int, int], in_feats: int, out_feats: int, taps: int) -> _Product:
    last = torch.channels_last
    vertices, spheres, batch = size
    # The fastest known form: lines of all spheres and samples, with steps over the samples.
    width = spheres * batch
    image = torch.randn(vertices, in_feats, 1, width).contiguous(memory_format=last)
    weight = torch.randn(out_feats, in_feats, 1, taps).contiguous(memory_format=last)
    upstream = torch.randn(vertices, out_feats, 1, width).contiguous(memory_format=last)
    return _Product(image, weight, torch.randn(out_feats), upstream, batch)


class Floor:
    """The convolutions and matrix products of a classifier, on random tensors of the same sizes.

    The convolution library computes all of them, channels last. The inputs are made once. Batch
    norm, neighbour sums, pooling, mapping and activations are left out.

    Parameters
    ----------
    encoder
        Sizes of the encoder.
    head
        Widths of the head's layers, the number of classes last.
    batch
        Clouds per step.

    Examples
    --------
    >>> floor = Floor(EncoderConfig.with_base_width(1, 2, 3, base_width=4), (8, 5), 2)
    >>> floor.train(), floor.infer()
    (None, None)
    """

    def __init__(self, encoder: EncoderConfig, head: tuple[int, ...], batch: int) -> None:
        self.products: list[_Product] = []
        width, level = encoder.in_channels, encoder.level
        for intra, radial in zip(encoder.intra_widths, encoder.radial_widths, strict=True):
            size = (10 * 4**level + 2, encoder.n_spheres, batch)
            for out, taps in [
                *((w, 1) for w in intra),
                *((w, encoder.kernel_size) for w in radial),
            ]:
                self.products.append(_product(size, width, out, taps if size[1] > 1 else 1))
                width = out
            level -= 1
        width = encoder.global_features
        for out in head:
            self.products.append(_product((batch, 1, 1), width, out, 1))
            width = out

    @property
    def gigaflops(self) -> float:
        """Work of one forward pass [10⁹ operations]; padding is counted as data."""
        return sum(2e-9 * p.upstream.numel() * p.weight[0].numel() for p in self.products)

    def infer(self) -> None:
        """Compute all products forward."""
        for product in self.products:
            product.forward()

    def train(self) -> None:
        """Compute all products forward and backward; the first needs no gradient of its input."""
        self.infer()
        for product in reversed(self.products):
            product.backward(of_input=product is not self.products[0])

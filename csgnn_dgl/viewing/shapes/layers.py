"""Features on the concentric spheres: those of the mapping, and of every layer of a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.mapping import PointMapping, normalize_clouds
from csgnn_dgl.models import CSGNN
from csgnn_dgl.nn import IntraBlock, RadialBlock
from csgnn_dgl.viewing.page import pack, payload_bytes

__all__ = ["Layer", "find_layers", "mapped_layer", "pack_layers"]

_WORDS: dict[type[nn.Module], str] = {
    IntraBlock: "within spheres",
    RadialBlock: "between spheres",
}


@dataclass(frozen=True, eq=False)
class Layer:
    """Features of the sites of one level after a layer.

    Parameters
    ----------
    name
        Name for readers.
    spheres
        Icosahedral level of every sphere, innermost first.
    values
        Shape ``(V·R, C)``, row ``v·R + r``, or with a row for each site that there is.
    """

    name: str
    spheres: tuple[int, ...]
    values: npt.NDArray[np.float32]

    @property
    def level(self) -> int:
        """Level of the finest spheres."""
        return max(self.spheres)


def mapped_layer(mapping: PointMapping, points: Tensor) -> Layer:
    """Features of a cloud ``(N, 3)`` at the sites of a mapping."""
    with torch.no_grad():
        values = mapping(normalize_clouds(points[None]))[:, 0]
    return Layer("the points on the sites", mapping.levels, values.float().cpu().numpy())


def find_layers(network: nn.Module, mapping: PointMapping, points: Tensor) -> list[Layer]:
    """Features of a cloud ``(N, 3)`` after the mapping, and after every block of the network.

    Parameters
    ----------
    network
        A network that uses the mapping. Its blocks are the modules of the types
        :class:`~csgnn_dgl.nn.IntraBlock` and :class:`~csgnn_dgl.nn.RadialBlock`.
    mapping
        The mapping.
    points
        The cloud.
    """
    found: list[Layer] = []
    seen: Counter[tuple[int, str]] = Counter()
    spheres = _spheres_by_sites(network, mapping)

    def keep(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        levels = spheres.get(len(output)) if isinstance(output, Tensor) else None
        if levels is None or output.dim() != 3 or output.shape[1] != 1:
            return  # a block of the user's own, on another graph
        if module is mapping:
            name = "the points on the sites"
        else:
            word = next(word for kind, word in _WORDS.items() if isinstance(module, kind))
            seen[max(levels), word] += 1
            name = f"convolution {seen[max(levels), word]} {word}"
        found.append(Layer(name, levels, output[:, 0].detach().float().cpu().numpy()))

    kinds: tuple[type[nn.Module], ...] = (PointMapping, *_WORDS)
    handles = [m.register_forward_hook(keep) for m in network.modules() if isinstance(m, kinds)]
    weight = next(network.parameters())
    try:
        with torch.no_grad():
            network(normalize_clouds(points[None].to(weight.device, weight.dtype)))
    finally:
        for handle in handles:
            handle.remove()
    return found


def _spheres_by_sites(network: nn.Module, mapping: PointMapping) -> dict[int, tuple[int, ...]]:
    """Levels of all spheres, by the number of sites that they have together."""
    grids = [ConcentricGrid(levels=mapping.levels)]
    # An encoder may coarsen spheres of different levels in another way.
    grids += [m.grid for m in network.modules() if isinstance(m, CSGNN)]
    return {
        grid.num_nodes(level): grid.sphere_levels(level)
        for grid in grids
        if grid.levels == mapping.levels
        for level in range(grid.coarsest, grid.level + 1)
    }


def pack_layers(layers: Sequence[Layer], room: float) -> list[dict[str, Any]]:
    """Layers as values for a page, within a number of bytes.

    A channel's values are rounded to 1/255 of their range. First comes the root mean square of all
    channels. If there is no room for all channels, those that vary least are left out, in all
    layers down to the same number.

    Parameters
    ----------
    layers
        The layers.
    room
        Bytes that they may take.
    """
    most = max(layer.values.shape[1] for layer in layers)
    while True:
        packed = [_packed(layer, most) for layer in layers]
        size = payload_bytes(packed)
        if size <= room or most == 0:
            return packed
        # Sizes grow less than the number of channels, of which some layers have fewer.
        most = max(0, min(most - 1, int(most * room / size)))


def _packed(layer: Layer, most: int) -> dict[str, Any]:
    values = layer.values
    kept = np.sort(np.argsort(-values.std(axis=0), kind="stable")[:most])
    strength = np.sqrt(np.square(values, dtype=np.float64).mean(axis=1))
    rows = np.concatenate([strength[None], values[:, kept].T])
    low, high = rows.min(axis=1), rows.max(axis=1)
    span = np.where(high > low, high - low, 1)
    steps = np.rint(255 * (rows - low[:, None]) / span[:, None]).astype(np.uint8)
    return {
        "name": layer.name,
        "level": layer.level,
        "spheres": list(layer.spheres),
        "channels": values.shape[1],
        "kept": kept.tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
        "values": pack(steps),
    }

"""What a classifier's answer rests on: gradient × input of every point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from csgnn_dgl.mapping import PointMapping, normalize_clouds, rotate_clouds
from csgnn_dgl.models.contract import has_normals
from csgnn_dgl.tasks.classes.trained import TrainedClassifier
from csgnn_dgl.tasks.votes import average_over_votes, vote_rotations

__all__ = ["Attribution", "attribute", "find_mapping"]

Floats = npt.NDArray[np.float64]
# Largest number of site features that are computed at once, for some points by themselves.
_NUMBERS = 16_000_000


@dataclass(frozen=True)
class Attribution:
    """Shares of points in the scores of classes.

    Parameters
    ----------
    values
        Shape ``(classes, N)``. Positive where a point speaks for the class: without it, the score
        would be lower.
    method
        How they were computed, in a sentence.
    """

    values: Floats
    method: str


def find_mapping(network: nn.Module) -> PointMapping | None:
    """The mapping onto concentric spheres within a network; None if it has none, or several."""
    found = [module for module in network.modules() if isinstance(module, PointMapping)]
    return found[0] if len(found) == 1 else None


def attribute(
    trained: TrainedClassifier,
    points: Tensor,
    classes: Sequence[int],
    *,
    votes: int = 1,
    seed: int = 0,
) -> Attribution | None:
    r"""Divide the scores of classes among the points of a cloud, to first order.

    The score is that before the softmax. Networks with a :class:`~csgnn_dgl.mapping.PointMapping`
    see points only through features :math:`h` of sites, to which every point :math:`p` adds its own
    part :math:`h_p`. So gradient × input of the features, :math:`\sum_x h(x)\,\partial s/\partial
    h(x)`, is a sum over points of :math:`\sum_x h_p(x)\,\partial s/\partial h(x)`, and a point's
    term is the change of the score without it, to first order. For other networks it is gradient ×
    input of the coordinates, :math:`p \cdot \partial s/\partial p`: the change if the point moves
    into the centre (Zheng et al., "PointCloud Saliency Maps", ICCV 2019).

    If points carry features, :math:`h` stands for sums over points: the density :math:`\rho(x) =
    \sum_p w_p(x)`, and :math:`\sum_p w_p(x) f_p` for every feature. With ``feature_mean="mean"``
    the network sees the mean :math:`m(x)`, which is the second divided by the first. Then a point's
    part in the channel of a feature is :math:`w_p(x)\,(f_p - m(x)) / \rho(x)`. It is zero where
    the point has the mean value, because the mean is the same without it; and the parts of all
    points add up to zero. When a point is left out, the others keep their features, also those that
    are computed from neighbours.

    Parameters
    ----------
    trained
        The classifier.
    points
        One cloud ``(N, 3)``, or ``(N, 3 + A)`` with the model's attributes, centred in the same way
        as the training data.
    classes
        Indices of the classes.
    votes, seed
        Orientations, as for :func:`~csgnn_dgl.tasks.classes.predict.predict_points`; shares are
        averaged over them.

    Returns
    -------
    Attribution or None
        None if the scores have no gradient, as in a network that only counts points in cells.
    """
    weight = next(trained.model.parameters())
    cloud = points[None].to(weight.device, weight.dtype)
    mapping = find_mapping(trained.model)
    normals = has_normals(trained.model.model)
    rotations = vote_rotations(
        votes, seed, rotation="so3", up_axis=trained.header.data["up_axis"], unrotated_first=True
    )

    def answer(rotation: Tensor) -> list[Tensor]:
        turned = normalize_clouds(rotate_clouds(cloud, rotation.to(cloud), normals=normals))
        if mapping is None:
            return [_of_coordinates(trained.model, turned, classes)]
        return [_of_sites(trained.model, mapping, turned, classes)]

    (found,) = average_over_votes(answer, rotations)
    if not found.any():
        return None
    method = (
        "gradient × input of the site features, divided among the points that make them"
        if mapping is not None
        else "gradient × input of the coordinates"
    )
    return Attribution(found.double().cpu().numpy(), f"{method}, of the score before the softmax")


def _of_coordinates(network: nn.Module, cloud: Tensor, classes: Sequence[int]) -> Tensor:
    leaf = cloud.detach().requires_grad_()
    with torch.enable_grad():
        gradients = _gradients(network(leaf), leaf, classes)
    # Attributes stay as they are when a point moves into the centre.
    return (gradients * leaf.detach())[..., :3].sum(dim=-1)[:, 0]


def _of_sites(
    network: nn.Module, mapping: PointMapping, cloud: Tensor, classes: Sequence[int]
) -> Tensor:
    with _as_leaf(mapping) as caught, torch.enable_grad():
        scores = network(cloud)
        gradients = _gradients(scores, caught["output"], classes)[:, :, 0]  # (classes, V·R, C)
    # The points and their features as the mapping received them.
    own = caught["input"].detach()[0]
    carried = caught["features"].detach()[0] if "features" in caught else own[:, :0]
    mapped = caught["output"].detach()[:, 0].unflatten(1, (-1, mapping.channels))  # (V·R, 1 + F, C)
    gradients = gradients.unflatten(2, (-1, mapping.channels))
    step = max(1, _NUMBERS // gradients[0].numel())
    parts = []
    for chunk, values in zip(own.split(step), carried.split(step), strict=True):
        alone = mapping(chunk, torch.arange(len(chunk), device=chunk.device), len(chunk))
        part = torch.einsum("spc,ksc->kp", alone, gradients[:, :, 0])
        if values.shape[1]:
            part += _of_features(mapping, alone, values, mapped, gradients)
        parts.append(part)
    return torch.cat(parts, dim=1)


def _of_features(
    mapping: PointMapping, alone: Tensor, values: Tensor, mapped: Tensor, gradients: Tensor
) -> Tensor:
    """Shares ``(classes, P)`` of points in the channels of their features.

    Parameters
    ----------
    mapping
        The mapping.
    alone
        Density of each point by itself, ``(V·R, P, C)``.
    values
        Features of the points, ``(P, F)``.
    mapped, gradients
        Channels of the whole cloud, ``(V·R, 1 + F, C)``, and their gradients, ``(classes, V·R,
        1 + F, C)``; the density first.
    """
    density, features, slopes = mapped[:, None, 0], mapped[:, 1:], gradients[:, :, 1:]
    if mapping.feature_mean == "mean":
        # The weight over the density is at most 1, also where both are tiny.
        there = density > torch.finfo(density.dtype).tiny
        alone = torch.where(there, alone / torch.where(there, density, 1), 0)
    part = torch.einsum("pf,kfp->kp", values, torch.einsum("spc,ksfc->kfp", alone, slopes))
    if mapping.feature_mean == "mean":
        lost = torch.einsum("sfc,ksfc->ksc", features, slopes)
        part -= torch.einsum("spc,ksc->kp", alone, lost)
    return part


def _gradients(scores: Tensor, leaf: Tensor, classes: Sequence[int]) -> Tensor:
    """Gradients of the scores of classes, each of the leaf's shape; zero where there is none."""
    found = []
    for index in classes:
        gradient = None
        if scores.requires_grad:
            (gradient,) = torch.autograd.grad(
                scores[0, index], leaf, retain_graph=True, allow_unused=True
            )
        found.append(torch.zeros_like(leaf) if gradient is None else gradient.detach())
    return torch.stack(found)


@contextmanager
def _as_leaf(module: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Let the output of a module be a leaf of the graph, and keep it, the input and features."""
    caught: dict[str, Tensor] = {}

    def hook(
        _: nn.Module, inputs: tuple[Any, ...], others: dict[str, Any], output: Tensor
    ) -> Tensor:
        caught["input"] = inputs[0]
        if others.get("features") is not None:
            caught["features"] = others["features"]
        caught["output"] = output.detach().requires_grad_()
        return caught["output"]

    handle = module.register_forward_hook(hook, with_kwargs=True)
    try:
        yield caught
    finally:
        handle.remove()

"""Compare everything that runs on a GPU with float64 on the CPU."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from ase.build import bulk, molecule
from gpu_common import CHANNELS, IN_TRITON, Setting, classifier, inputs, kernels, tf32, triton
from torch import Tensor, nn
from torch.nn import functional as F

from csgnn_dgl.mapping.neighbors import find_neighbors
from csgnn_dgl.models import AtomCSGNN, AtomCSGNNHypers, DOSModel
from csgnn_dgl.tasks.cuda_graphs import CudaGraphs

Errors = dict[str, float]


def parts(setting: Setting) -> dict[str, Callable[[], Errors]]:
    """All checks by name."""
    found: dict[str, Callable[[], Errors]] = {}
    for name in kernels(setting, torch.float32, torch.device("cpu")):
        for way in setting.ways if name in IN_TRITON else [False]:
            found[_label(name, way)] = partial(check_kernel, setting, name, way)
    for way in setting.ways:
        found[_label("mapping", way)] = partial(check_mapping, setting, way)
        found[_label("classifier", way)] = partial(check_model, setting, way)
        found[_label("improved classifier", way)] = partial(
            check_model, setting, way, filter_order=1, readout=["pool", "max-mean"]
        )
    found["bf16"] = partial(check_bf16, setting)
    found["atoms"] = partial(check_atoms, setting)
    if setting.cuda:
        found["recorded step"] = partial(check_recorded, setting, False)
        found["recorded step, bf16"] = partial(check_recorded, setting, True)
    return found


def _label(name: str, with_triton: bool) -> str:
    return f"{name}, Triton" if with_triton else name


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found.double().cpu() - expected).norm() / expected.norm().clamp(min=1e-300))


def _require(errors: Errors, limits: dict[str, float]) -> Errors:
    for what, error in errors.items():
        if not error < limits[what]:
            raise AssertionError(f"{what} differs by {error:.1e} from the reference")
    return errors


def check_kernel(setting: Setting, name: str, with_triton: bool) -> Errors:
    """Errors of a kernel and its gradient in float32."""
    generator = torch.Generator().manual_seed(0)
    size = (setting.grid.num_nodes(), 1 if setting.quick else 2, CHANNELS)
    # Numbers that float32 can hold: otherwise both could differ about which is the largest.
    exact = torch.randn(size, generator=generator).double().requires_grad_()
    expected = kernels(setting, torch.float64, torch.device("cpu"))[name](exact)
    upstream = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    if name == "norm_relu":
        # Rounding decides whether a number next to zero has a gradient.
        upstream.masked_fill_((expected - exact).detach() < 1e-3, 0)
    (wanted,) = torch.autograd.grad(expected, exact, upstream)
    feat = exact.detach().to(setting.device, torch.float32).requires_grad_()
    with triton(with_triton), tf32(False):
        out = kernels(setting, torch.float32, setting.device)[name](feat)
        (grad,) = torch.autograd.grad(out, feat, upstream.to(setting.device, torch.float32))
    errors = {"out": relative(out.detach(), expected.detach()), "gradient": relative(grad, wanted)}
    return _require(errors, {"out": 1e-5, "gradient": 1e-5})


def check_mapping(setting: Setting, with_triton: bool) -> Errors:
    """Errors of the site features."""
    (_, model), (points, _) = classifier(setting), inputs(setting, 8)
    points[0, 0] = 0  # a point without a direction
    with triton(with_triton):
        found = model.mapping(points)
    return _require({"out": relative(found, model.mapping(points.cpu().double()))}, {"out": 1e-5})


def _scores(network: Any, sites: Tensor) -> Tensor:
    """Scores from the features of sites; those of several heads one after the other."""
    found: Tensor = network.head(network.model.encoder(sites))
    return found.flatten(0, 1) if found.dim() == 3 else found


def check_model(setting: Setting, with_triton: bool, **options: Any) -> Errors:
    """Scores and gradients of the whole classifier, and its scores in evaluation."""
    network, model = classifier(setting, **options)
    exact = copy.deepcopy(network).cpu().double()
    # With fewer clouds the head's batch norm would make very large gradients.
    points, labels = inputs(setting, 8)
    # Faces are found in float32 on both sides: a point on an edge may fall to either side.
    with triton(with_triton), tf32(False):
        sites = model.mapping(points)
        scores = _scores(network, sites)
        labels = labels.repeat_interleave(len(scores) // len(labels))
        F.cross_entropy(scores, labels).backward()
        with torch.no_grad():
            network.eval()
            evaluated = _scores(network, sites)
    expected = _scores(exact, sites.cpu().double())
    F.cross_entropy(expected, labels.cpu()).backward()
    with torch.no_grad():
        exact.eval()
        exactly = _scores(exact, sites.cpu().double())
    ours, theirs = _gradients(network, exact)
    errors = {
        "scores": relative(scores.detach(), expected.detach()),
        "gradients": relative(ours, theirs),
        "evaluation": relative(evaluated, exactly),
    }
    return _require(errors, {"scores": 1e-3, "gradients": 1e-2, "evaluation": 1e-3})


def _gradients(network: nn.Module, other: nn.Module) -> tuple[Tensor, Tensor]:
    """Gradients of two networks, each as one vector in float64 on the CPU."""
    pairs = zip(network.parameters(), other.parameters(), strict=True)
    grads = [(p.grad, q.grad) for p, q in pairs if p.grad is not None and q.grad is not None]
    first, second = (torch.cat([g[i].double().cpu().flatten() for g in grads]) for i in (0, 1))
    return first, second


def check_atoms(setting: Setting) -> Errors:
    """Curves and gradients of the atomic model with a grid and invariants."""
    torch.manual_seed(0)
    hypers = AtomCSGNNHypers(level=1, assignment="smooth", invariants="all", features=64)
    model = DOSModel(AtomCSGNN(hypers, (6, 14)), bins=30)
    exact = copy.deepcopy(model).double()
    shaken = molecule("C60"), bulk("Si", cubic=True).repeat((2, 2, 2))
    for number, atoms in enumerate(shaken):
        atoms.rattle(0.1, seed=number)
    neighbors = find_neighbors(shaken, hypers.cutoff)
    upstream = torch.randn(2, 30, generator=torch.Generator().manual_seed(1)).double()
    model = model.to(setting.device)
    with tf32(False):
        curves = model(neighbors.to(setting.device, torch.float32))
        curves.backward(upstream.to(curves))
    expected = exact(neighbors.to("cpu", torch.float64))
    expected.backward(upstream)
    ours, theirs = _gradients(model, exact)
    errors = {
        "curves": relative(curves.detach(), expected.detach()),
        "gradients": relative(ours, theirs),
    }
    return _require(errors, {"curves": 1e-3, "gradients": 1e-2})


def check_recorded(setting: Setting, bf16: bool) -> Errors:
    """Steps that are replayed from a recording, with dropout, against steps as usual."""
    usual, _ = classifier(setting, dropout=0.3)
    recorded = copy.deepcopy(usual)
    graphs = CudaGraphs()
    generator = torch.Generator().manual_seed(4)
    errors = {"scores": 0.0, "gradients": 0.0, "statistics": 0.0}
    _, labels = inputs(setting, setting.batch)
    for step in range(8):
        points = torch.rand(setting.batch, setting.points, 3, generator=generator) - 0.5
        scores = []
        for network, call in ((usual, usual), (recorded, partial(graphs, recorded))):
            torch.manual_seed(step)
            network.zero_grad()
            with tf32(False):
                with torch.autocast("cuda", torch.bfloat16, enabled=bf16, cache_enabled=False):
                    found = call(points.to(setting.device))
                F.cross_entropy(found.float(), labels).backward()
            scores.append(found.detach().clone())
        statistics = [
            torch.cat([b.double().flatten() for b in n.buffers()]) for n in (usual, recorded)
        ]
        ours, theirs = _gradients(recorded, usual)
        compared = {
            "scores": relative(scores[1], scores[0].double().cpu()),
            "gradients": relative(ours, theirs),
            "statistics": relative(statistics[1], statistics[0].cpu()),
        }
        errors = {name: max(errors[name], compared[name]) for name in errors}
    if graphs.recorded != 1:
        raise AssertionError("no step was recorded")
    limit = 1e-2 if bf16 else 1e-4
    return _require(errors, {"scores": limit, "gradients": 10 * limit, "statistics": limit})


def check_bf16(setting: Setting) -> Errors:
    """Difference between scores in bf16 and in float32, in evaluation."""
    (network, _), (points, _) = classifier(setting), inputs(setting, setting.batch)
    network.eval()
    with torch.no_grad(), triton(True):
        with tf32(False):
            expected = network(points)
        with torch.autocast(setting.device.type, torch.bfloat16):
            scores = network(points).float()
    same = (scores.argmax(1) == expected.argmax(1)).double().mean()
    error = relative(scores, expected.double().cpu())
    return {**_require({"scores": error}, {"scores": 0.1}), "same class": float(same)}


def check_compiled(setting: Setting) -> Errors:
    """Check the encoder under ``torch.compile`` without graph breaks, forward and backward."""
    (network, model), (points, _) = classifier(setting), inputs(setting, 2)
    network.eval()
    # A machine without a GPU may have no C++ compiler, which inductor needs.
    backend = "inductor" if setting.cuda else "aot_eager"
    compiled = torch.compile(model.encoder, fullgraph=True, backend=backend)
    with tf32(False):
        sites = model.mapping(points)
        expected = model.encoder(sites)
        out = compiled(sites)
        out.sum().backward()
    error = relative(out.detach(), expected.detach().double().cpu())
    return _require({"encoder": error}, {"encoder": 1e-4})

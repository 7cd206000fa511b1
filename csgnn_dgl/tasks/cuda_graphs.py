"""Training steps recorded as CUDA graphs, which one core can launch at once.

Without a graph, launching the hundreds of kernels of a step takes one CPU core longer than a GPU
needs to run them. A graph is used only where nobody can tell, except by the time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from csgnn_dgl.nn.bypass import unhooked

__all__ = ["CudaGraphs"]

Call = Callable[[Tensor], Any]

# Steps of the same kind before one is recorded. Their kernels are compiled then.
_STEPS_BEFORE = 3
# Each graph keeps the memory of a step.
_MOST_GRAPHS = 2
# Kinds of steps that are counted. There are more only where each step is another.
_MOST_KINDS = 16


class _Holder(nn.Module):
    """Has a network, so that torch's tool replaces the holder's ``forward``, not the network's."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Any:
        return self.network(inputs)


def capture(network: nn.Module, inputs: Tensor) -> Call:
    """Record forward and backward pass of a network. Its buffers and random numbers stay as is."""
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    random = torch.cuda.get_rng_state(inputs.device)
    holder = _Holder(network)
    holder.train(network.training)
    modes = [(module, module.training) for module in network.modules()]
    try:
        recorded = torch.cuda.make_graphed_callables(
            holder, (inputs.clone(),), allow_unused_input=True
        )
    finally:
        torch.cuda.synchronize(inputs.device)
        for module, training in modes:
            module.training = training
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        torch.cuda.set_rng_state(random, inputs.device)
    call: Call = recorded
    return call


def _on_cuda(inputs: Tensor) -> bool:
    return inputs.is_cuda and type(inputs) is Tensor


def _precision() -> tuple[Hashable, ...]:
    """Settings that choose other kernels for the same operations."""
    return (
        torch.is_autocast_enabled("cuda"),
        torch.get_autocast_dtype("cuda"),
        torch.is_autocast_cache_enabled(),
        torch.get_float32_matmul_precision(),
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.deterministic,
        torch.are_deterministic_algorithms_enabled(),
    )


def _same_every_time(network: nn.Module) -> bool:
    """Whether all parts are torch's and ours, are not replaced, and have no hooks."""
    if torch.is_anomaly_enabled() or is_in_torch_dispatch_mode() or torch.compiler.is_compiling():
        return False
    return all(
        type(module).__module__.partition(".")[0] in ("torch", "csgnn_dgl") and unhooked(module)
        for module in network.modules()
    )


def _settings(module: nn.Module) -> tuple[Hashable, ...]:
    """Plain values of a module, such as its mode, a rate of dropout, or the momentum of a norm."""
    return tuple(
        (name, value)
        for name, value in module.__dict__.items()
        if isinstance(value, (bool, int, float, str))
    )


class CudaGraphs:
    """Calls a network in training, from a recorded graph where that cannot be observed.

    A step is recorded when a few of the same kind have run: with inputs of one shape, the same
    modules with the same settings, the same tensors as weights, and the same precision. Hooks,
    modules of others, or ``CSGNN_CUDA_GRAPHS=0`` make it call the network as usual, and so does an
    error of the recording, such as a lack of memory. Results hold until the next call, and
    gradients until the next backward pass, so they must not be accumulated over several.

    Examples
    --------
    >>> CudaGraphs()(nn.Linear(3, 2), torch.zeros(4, 3)).shape
    torch.Size([4, 2])
    """

    def __init__(self) -> None:
        # Each beside the parts of its network, so that no other object takes over their addresses.
        self._graphs: dict[Hashable, tuple[Call, list[nn.Module]]] = {}
        self._seen: dict[Hashable, int] = {}
        self._off = False

    @property
    def recorded(self) -> int:
        """Number of recorded steps."""
        return len(self._graphs)

    def __deepcopy__(self, memo: dict[int, Any]) -> CudaGraphs:
        return CudaGraphs()  # a copy of a network has other weights

    def __reduce__(self) -> tuple[type[CudaGraphs], tuple[()]]:
        return CudaGraphs, ()

    def __call__(self, network: nn.Module, inputs: Tensor) -> Any:
        """What ``network(inputs)`` returns; its results hold until the next call."""
        kind = self._kind(network, inputs)
        if kind is None:
            return network(inputs)
        if kind not in self._graphs:
            if len(self._seen) > _MOST_KINDS:
                self._seen.clear()
            count = self._seen[kind] = self._seen.get(kind, 0) + 1
            if count <= _STEPS_BEFORE or len(self._graphs) == _MOST_GRAPHS:
                return network(inputs)
            try:
                self._graphs[kind] = capture(network, inputs), list(network.modules())
            except RuntimeError:  # a step as usual shows whether the reason matters
                self._off = True
                torch.cuda.empty_cache()
                return network(inputs)
        return self._graphs[kind][0](inputs)

    def _kind(self, network: nn.Module, inputs: Tensor) -> Hashable | None:
        """All that a recorded step depends on; None if none can be recorded."""
        if self._off or inputs.requires_grad or not _on_cuda(inputs):
            return None
        if not (network.training and torch.is_grad_enabled()):
            return None
        if os.environ.get("CSGNN_CUDA_GRAPHS") == "0" or not _same_every_time(network):
            return None
        weights = (*network.parameters(), *network.buffers())
        return (
            (inputs.shape, inputs.dtype, inputs.device),
            tuple((id(module), _settings(module)) for module in network.modules()),
            tuple((id(w), w.data_ptr(), w.dtype, w.requires_grad) for w in weights),
            _precision(),
        )

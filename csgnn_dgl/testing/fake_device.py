"""A CUDA device that is not there, on which tensors left on the CPU are found without a GPU.

``torch._subclasses.FakeTensorMode`` was made for this, but with a torch built for CPUs its CUDA
tensors cannot be differentiated (the process is aborted), and it holds no numbers, on which the
flow of a program may depend. Here every tensor holds its numbers on the CPU and says that it is on
the GPU. Operations between the two raise the error that a GPU would.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

__all__ = ["assert_runs_on_fake_device", "fake_cuda"]

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)

# Functions that make tensors from none. What a kernel makes in the same way, without any of these,
# is wherever it is used.
_MAKERS = (
    *("arange", "as_tensor", "empty", "empty_strided", "eye", "full", "linspace", "logspace"),
    *("normal", "ones", "rand", "randint", "randn", "randperm", "scalar_tensor", "tensor"),
    *("tril_indices", "triu_indices", "zeros"),
)
_LIKE = (*("empty_like", "full_like", "ones_like", "rand_like"), *("randn_like", "zeros_like"))
_NEW = ("new_empty", "new_full", "new_ones", "new_tensor", "new_zeros")

# Operations that take tensors of both devices on real GPUs, too.
_ACROSS = {torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default}
# These take indices from the CPU.
_INDEXED = {torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default}


class _OnFake(Tensor):
    """A tensor with its numbers in ``numbers``, which says to be at ``place`` (None: anywhere)."""

    numbers: Tensor
    place: torch.device | None

    @staticmethod
    def __new__(cls, inner: Tensor, place: torch.device | None) -> _OnFake:
        made: _OnFake = Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=inner.device,
        )
        made.numbers, made.place = inner, place
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return _run(func, args, kwargs or {}, made_by_kernel=True)

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self.place or CPU

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return self.place == CUDA

    def get_device(self) -> int:
        return 0 if self.place == CUDA else -1

    def tolist(self) -> Any:
        return self.numbers.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if self.place == CUDA and not force:
            raise TypeError(
                "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the "
                "tensor to host memory first."
            )
        return self.numbers.numpy(force=force)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.numpy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) not in memo:
            copied = _OnFake(self.numbers.detach().clone(), self.place)
            copied.requires_grad_(self.requires_grad)
            if getattr(self, "_is_param", False):
                copied._is_param = True
            memo[id(self)] = copied
        found: Tensor = memo[id(self)]
        return found

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"{self.numbers!r} on {self.place}"


def _tensors(arguments: Any) -> list[Tensor]:
    return [leaf for leaf in tree_flatten(arguments)[0] if isinstance(leaf, Tensor)]


def _check(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if func in _ACROSS:
        return
    if func in _INDEXED and isinstance(args[0], _OnFake):
        args = (args[0], *args[2:])
    found = {}
    for tensor in _tensors((args, kwargs)):
        # A single number may come from the CPU.
        if not isinstance(tensor, _OnFake):
            if tensor.dim():
                found[CPU] = tensor
        elif tensor.place is not None:
            found[tensor.place] = tensor
    if len(found) > 1:
        shapes = ", ".join(f"{tuple(t.shape)} on {place}" for place, t in found.items())
        raise RuntimeError(f"{func} got tensors on different devices: {shapes}")


def _run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], made_by_kernel: bool) -> Any:
    """An operation on the numbers; its results are where its tensors are."""
    given = _tensors((args, kwargs))
    fakes = [tensor for tensor in given if isinstance(tensor, _OnFake)]
    if not fakes and (given or not made_by_kernel):
        return func(*args, **kwargs)
    _check(func, args, kwargs)
    place = next((tensor.place for tensor in fakes if tensor.place is not None), None)
    known: dict[int, Tensor] = {id(tensor.numbers): tensor for tensor in fakes}
    known |= {id(tensor): tensor for tensor in given if not isinstance(tensor, _OnFake)}

    def bare(value: Any) -> Any:
        return value.numbers if isinstance(value, _OnFake) else value

    def dressed(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        # Operations in place give back what they were given.
        return known[id(value)] if id(value) in known else _OnFake(value, place)

    return tree_map(dressed, func(*tree_map(bare, args), **tree_map(bare, kwargs)))


class _Move(torch.autograd.Function):
    """A copy elsewhere; its gradient comes back."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, place: torch.device) -> Tensor:
        ctx.place = tensor.device
        return _at(tensor, place)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return _at(grads[0], ctx.place), None


def _at(tensor: Tensor, place: torch.device) -> Tensor:
    inner = tensor.numbers if isinstance(tensor, _OnFake) else tensor
    return inner.clone() if place == CPU else _OnFake(inner.clone(), place)


def _moved(tensor: Tensor, device: Any) -> Tensor:
    place = CUDA if torch.device(device).type == "cuda" else CPU
    if tensor.device == place:
        return tensor
    moved: Tensor = _Move.apply(tensor, place)
    return moved


class _Mode(TorchDispatchMode):
    """Sees the operations, and knows which of them make tensors for the program itself."""

    def __init__(self) -> None:
        super().__init__()
        self.from_python = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return _run(func, args, kwargs or {}, made_by_kernel=not self.from_python)

    def maker(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, for which ``device`` may be a fake one."""

        @functools.wraps(function)
        def call(*args: Any, device: Any = None, **kwargs: Any) -> Any:
            self.from_python += 1
            try:
                made = function(*args, **kwargs)
            finally:
                self.from_python -= 1
            if device is None:
                return made
            moved = _moved(made.detach(), device)
            return moved.requires_grad_(kwargs.get("requires_grad", False))

        return call


def _to(original: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(original)
    def to(
        self: Tensor,
        first: Any = None,
        second: Any = None,
        *_: Any,
        device: Any = None,
        dtype: torch.dtype | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> Tensor:
        if isinstance(first, Tensor):
            device, dtype = first.device, first.dtype
        elif isinstance(first, torch.dtype):
            dtype = first
        else:
            device, dtype = first or device, second or dtype
        converted = original(self, dtype or self.dtype, **kwargs)
        return converted if device is None else _moved(converted, device)

    return to


@contextmanager
def fake_cuda() -> Iterator[torch.device]:
    """Pretend that there is a GPU: ``.to("cuda")`` works, and ``device="cuda"`` does.

    Tensors there hold real numbers, gradients too, and say ``device`` and ``is_cuda`` as real ones
    do. An operation on one of them and a tensor of the CPU raises :class:`RuntimeError`. It is a
    test's tool: slow, for one thread, and not for ``torch.cuda`` itself, streams or random
    generators of a device.

    Yields
    ------
    torch.device
        The device.

    Examples
    --------
    >>> with fake_cuda() as device:
    ...     x = torch.ones(3, device=device, requires_grad=True)
    ...     (2 * x).sum().backward()
    ...     print(x.grad.device, x.grad.cpu())
    ...     x + torch.ones(3)
    Traceback (most recent call last):
    ...
    RuntimeError: aten.add.Tensor got tensors on different devices: (3,) on cuda:0, (3,) on cpu
    """
    mode = _Mode()
    with ExitStack() as stack:
        for names, owner in ((_MAKERS, torch), (_LIKE, torch), (_NEW, Tensor)):
            for name in names:
                patched = mode.maker(getattr(owner, name))
                stack.enter_context(mock.patch.object(owner, name, patched))
        methods = {
            "to": _to(Tensor.to),
            "cuda": lambda self, *_, **__: _moved(self, CUDA),
            "cpu": lambda self, *_, **__: _moved(self, CPU),
        }
        for name, method in methods.items():
            stack.enter_context(mock.patch.object(Tensor, name, method))
        # Modules that move replace their parameters: no plain tensor can become a fake one.
        before = torch.__future__.get_overwrite_module_params_on_conversion()
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, before)
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.enter_context(mode)
        yield CUDA


# Largest relative difference from the CPU, whose kernels may round otherwise.
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.05}


def _everything(value: Any, device: Any) -> Any:
    """``value`` on ``device``: tensors, containers of them, and whatever has a method ``to``."""
    if isinstance(value, (tuple, list)):
        return type(value)(_everything(one, device) for one in value)
    if isinstance(value, dict):
        return {name: _everything(one, device) for name, one in value.items()}
    return value.to(device) if hasattr(value, "to") else value


def _outputs(found: Any) -> list[Tensor]:
    return [t for t in _tensors(found) if t.is_floating_point()]


def _pass(
    make_module: Callable[[], nn.Module], inputs: tuple[Any, ...], device: Any, seed: int
) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    module = make_module().to(device)
    given = _everything(inputs, device)
    torch.manual_seed(seed)
    outputs = _outputs(module.train()(*given))
    if not outputs:
        raise AssertionError("the module gives no tensor of floating-point numbers")
    found = {f"output {index}": tensor for index, tensor in enumerate(outputs)}
    sum(tensor.square().sum() for tensor in outputs).backward()  # type: ignore[union-attr]
    for name, parameter in module.named_parameters():
        if parameter.grad is not None:
            found[f"gradient of {name}"] = parameter.grad
    with torch.no_grad():
        for index, tensor in enumerate(_outputs(module.eval()(*given))):
            found[f"output {index} in evaluation"] = tensor
    return found


def assert_runs_on_fake_device(
    make_module: Callable[[], nn.Module],
    make_inputs: Callable[[], tuple[Any, ...]],
    *,
    seed: int = 0,
    tolerance: float | None = None,
) -> float:
    """A module trains and predicts on a GPU, and finds there what it finds on the CPU.

    It is made on the CPU and moved, with its inputs; then there is a forward and a backward pass in
    training and a forward pass in evaluation. No GPU is needed, see :func:`fake_cuda`.

    Parameters
    ----------
    make_module
        Makes the module; random weights are seeded.
    make_inputs
        Makes the arguments of its ``forward``: tensors, containers of tensors, or objects with a
        method ``to(device)``.
    seed
        Random seed for weights, inputs and dropout.
    tolerance
        Largest difference between both devices, relative to the largest value of each result, or
        to a thousandth of the largest of all; by default what rounding explains.

    Returns
    -------
    float
        The largest difference that was found.

    Raises
    ------
    RuntimeError
        An operation got tensors on different devices.
    AssertionError
        A result stays on the CPU, or has other values than there.

    Examples
    --------
    >>> error = assert_runs_on_fake_device(lambda: nn.Linear(3, 2), lambda: (torch.rand(5, 3),))
    >>> error < 1e-6
    True
    >>> class Shifted(nn.Linear):
    ...     def forward(self, x):
    ...         return super().forward(x) + torch.ones(2)
    >>> assert_runs_on_fake_device(lambda: Shifted(3, 2), lambda: (torch.rand(5, 3),))
    Traceback (most recent call last):
    ...
    RuntimeError: aten.add.Tensor got tensors on different devices: (5, 2) on cuda:0, (2,) on cpu
    """
    torch.manual_seed(seed)
    inputs = make_inputs()
    expected = _pass(make_module, inputs, CPU, seed)
    with fake_cuda() as device:
        found = _pass(make_module, inputs, device, seed)
        for name, tensor in found.items():
            if tensor.device != device:
                raise AssertionError(f"{name} is on {tensor.device}, not on {device}")
        results = {name: tensor.detach().cpu() for name, tensor in found.items()}
    if results.keys() != expected.keys():
        different = sorted(results.keys() ^ expected.keys())
        raise AssertionError(f"results that only one of the devices gives: {different}")
    # A gradient that is zero but for rounding, as that of a bias before batch norm, has no digits.
    least = 1e-3 * max(float(tensor.detach().abs().max()) for tensor in expected.values())
    largest = 0.0
    for name, tensor in expected.items():
        reference = tensor.detach()
        scale = max(float(reference.abs().max()), least) or 1.0
        error = float((results[name] - reference).abs().max()) / scale
        limit = _TOLERANCE.get(tensor.dtype, 0.0) if tolerance is None else tolerance
        if not error <= limit:
            raise AssertionError(
                f"{name} differs between the devices: relative error {error:.2e}, tolerance "
                f"{limit:.0e}"
            )
        largest = max(largest, error)
    return largest

"""Kernels are launched directly only if Triton would launch the same compiled kernel."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

launch = pytest.importorskip("csgnn_dgl.ops.triton_kernels.launch")


class OnGPU(Tensor):
    """A tensor that says that it is on a GPU."""

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    def get_device(self) -> int:
        return 0


def tensor(size: int, dtype: torch.dtype = torch.float32, skip: int = 0) -> Tensor:
    made: Tensor = torch.zeros(size + skip, dtype=dtype)[skip:].as_subclass(OnGPU)
    return made


class Kernel:
    """Notes how it is launched: by way of Triton, or directly."""

    arg_names = ("x", "count", "WIDE", "BLOCK")

    def __init__(self) -> None:
        self.through, self.direct = [], []  # type: ignore[var-annotated]

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        def launched(*args: Any, **options: Any) -> Any:
            self.through.append((grid, args, options))
            outer = self

            class Compiled:
                def __getitem__(self, grid: tuple[int, ...]) -> Any:
                    return lambda *args: outer.direct.append((grid, args))

            return Compiled()

        return launched


def test_what_triton_may_specialise_for_is_compiled_by_triton() -> None:
    kernel = Kernel()
    start, x = launch.Launcher(kernel), tensor(64)
    start((3,), x, 32, WIDE=4, BLOCK=16)
    assert (len(kernel.through), len(kernel.direct)) == (1, 0)
    start((5, 2), tensor(128), 48, WIDE=4, BLOCK=16)
    assert len(kernel.through) == 1
    grid, args = kernel.direct[0]
    assert grid == (5, 2, 1)
    assert args[1:] == (48, 4, 16)
    others = [
        (tensor(64, torch.bfloat16), 32, {}),
        (tensor(64, skip=1), 32, {}),  # not aligned
        (x, 33, {}),
        (x, 1, {}),
        (x, 1 << 40, {}),
        (x, 32, {"WIDE": 5}),
        (x, 32, {"num_warps": 8}),
    ]
    for number, (given, count, changed) in enumerate(others):
        for _ in range(2):
            start((3,), given, count, **{"WIDE": 4, "BLOCK": 16, **changed})
        assert len(kernel.through) == 2 + number, (count, changed)
        assert len(kernel.direct) == 2 + number


def test_constants_in_another_order() -> None:
    with pytest.raises(TypeError, match="in the order"):
        launch.Launcher(Kernel())((3,), tensor(64), 32, BLOCK=16, WIDE=4)


def test_on_a_cpu_triton_launches() -> None:
    kernel = Kernel()
    start = launch.Launcher(kernel)
    for _ in range(3):
        start((3,), torch.zeros(64), 32, WIDE=4, BLOCK=16)
    assert (len(kernel.through), len(kernel.direct)) == (3, 0)

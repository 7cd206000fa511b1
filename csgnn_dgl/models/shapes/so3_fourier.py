"""Fourier transforms on the sphere and on the group of rotations, for PRIN."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor, nn

__all__ = ["SO3Fourier", "wigner_d", "wigner_functions"]


@cache
def _generator(degree: int) -> Tensor:
    """The real matrix whose exponential, times β, is the Wigner matrix d(β) of a degree."""
    m = torch.arange(-degree, degree, dtype=torch.float64)
    up = torch.sqrt(degree * (degree + 1) - m * (m + 1)) / 2
    return torch.diag(up, 1) - torch.diag(up, -1)


def wigner_d(bandwidth: int, beta: Tensor) -> Tensor:
    """Wigner's matrices d of all degrees below a bandwidth.

    Parameters
    ----------
    bandwidth
        Number of degrees, ``b``.
    beta
        Angles, shape ``(J,)``, float64.

    Returns
    -------
    Tensor
        ``d[l, j, m, n]``, shape ``(b, J, 2b − 1, 2b − 1)``, float64. The orders ``m`` and ``n``
        ascend from ``1 − b``; entries with ``|m| > l`` or ``|n| > l`` are 0.

    Examples
    --------
    >>> d = wigner_d(2, torch.tensor([0.5], dtype=torch.float64))
    >>> math.isclose(d[1, 0, 1, 1].item(), math.cos(0.5))
    True
    """
    size = 2 * bandwidth - 1
    found = torch.zeros(bandwidth, len(beta), size, size, dtype=torch.float64)
    for degree in range(bandwidth):
        inside = slice(bandwidth - 1 - degree, bandwidth + degree)
        matrices = torch.linalg.matrix_exp(beta[:, None, None] * _generator(degree))
        found[degree, :, inside, inside] = matrices
    return found


def wigner_functions(bandwidth: int, angles: Tensor) -> Tensor:
    """Values of ``D[l, m, n](α, β, γ) = exp(−imα) d(β) exp(−inγ)``.

    Parameters
    ----------
    bandwidth
        Number of degrees, ``b``.
    angles
        Euler angles, shape ``(K, 3)``, float64.

    Returns
    -------
    Tensor
        Shape ``(K, b, 2b − 1, 2b − 1)``, complex128.
    """
    alpha, beta, gamma = angles.unbind(dim=1)
    orders = torch.arange(1 - bandwidth, bandwidth, dtype=torch.float64)
    left = torch.polar(torch.ones(1, dtype=torch.float64), -alpha[:, None] * orders)
    right = torch.polar(torch.ones(1, dtype=torch.float64), -gamma[:, None] * orders)
    d = wigner_d(bandwidth, beta).transpose(0, 1)
    return left[:, None, :, None] * d * right[:, None, None, :]


def _quadrature(bandwidth: int, beta: Tensor) -> Tensor:
    """Weights for ½ ∫ sin β dβ, exact below the bandwidth (Driscoll and Healy 1994)."""
    k = 2 * torch.arange(bandwidth, dtype=torch.float64) + 1
    sums = (torch.sin(k * beta[:, None]) / k).sum(dim=1)
    return torch.sin(beta) * sums / bandwidth


class SO3Fourier(nn.Module):
    """Transforms between values on a grid of Euler angles and coefficients of Wigner functions.

    The grid has ``2b`` values of each angle, ``α = πi/b``, ``β = π(2j+1)/4b``, ``γ = πk/b``. A
    function below the bandwidth is ``f(R) = Σ (2l+1) y[l, m, n] D[l, m, n](R)``. A rotation of the
    function changes only the first order ``m``.

    Parameters
    ----------
    bandwidth
        Number of degrees, ``b``.

    Examples
    --------
    >>> fourier = SO3Fourier(3).double()
    >>> smooth = fourier.to_grid(fourier.from_grid(torch.rand(1, 6, 6, 6, 2).double()))
    >>> again = fourier.to_grid(fourier.from_grid(smooth))
    >>> torch.allclose(smooth, again)
    True
    """

    d: Tensor
    weighted: Tensor
    orders: Tensor

    def __init__(self, bandwidth: int) -> None:
        super().__init__()
        self.bandwidth = bandwidth
        beta = math.pi * (2 * torch.arange(2 * bandwidth, dtype=torch.float64) + 1)
        beta = beta / (4 * bandwidth)
        d = wigner_d(bandwidth, beta)
        weighted = d * _quadrature(bandwidth, beta)[:, None, None]
        degrees = 2 * torch.arange(bandwidth, dtype=torch.float64) + 1
        self.register_buffer("d", d * degrees[:, None, None, None], persistent=False)
        self.register_buffer("weighted", weighted, persistent=False)
        orders = torch.arange(1 - bandwidth, bandwidth) % (2 * bandwidth)
        self.register_buffer("orders", orders, persistent=False)

    def from_sphere(self, values: Tensor) -> Tensor:
        """Coefficients ``(B, l, m, C)`` of real values ``(B, β, α, C)`` on the sphere."""
        waves = torch.fft.fft(values, dim=2, norm="forward").index_select(2, self.orders)
        middle = self.bandwidth - 1
        return _weigh("bjmc,ljm->blmc", waves, self.weighted[..., middle], conjugate=True)

    def from_grid(self, values: Tensor) -> Tensor:
        """Coefficients ``(B, l, m, n, C)`` of real values ``(B, β, α, γ, C)``."""
        waves = torch.fft.fft2(values, dim=(2, 3), norm="forward")
        waves = waves.index_select(2, self.orders).index_select(3, self.orders)
        return _weigh("bjmnc,ljmn->blmnc", waves, self.weighted, conjugate=True)

    def to_grid(self, coefficients: Tensor) -> Tensor:
        """Real values ``(B, β, α, γ, C)`` of coefficients ``(B, l, m, n, C)``."""
        waves = _weigh("blmnc,ljmn->bjmnc", coefficients, self.d)
        size = 2 * self.bandwidth
        # Orders 0 … b − 1 come first, then a zero, then the negative ones.
        for dim in (2, 3):
            negative, others = waves.split((self.bandwidth - 1, self.bandwidth), dim=dim)
            zero = torch.zeros_like(others.narrow(dim, 0, 1))
            waves = torch.cat([others, zero, negative], dim=dim)
        assert waves.shape[2] == waves.shape[3] == size
        return torch.fft.fft2(waves, dim=(2, 3)).real


def _weigh(equation: str, values: Tensor, weights: Tensor, *, conjugate: bool = False) -> Tensor:
    """An einsum of complex values, or of their conjugates, and real weights."""
    weights = weights.to(values.real.dtype)
    real, imaginary = (torch.einsum(equation, part, weights) for part in (values.real, values.imag))
    return torch.complex(real, -imaginary if conjugate else imaginary)

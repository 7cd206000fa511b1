"""Design the sets of rotations that votes are taken over, and write them for the package.

Quaternions turn the search into one for points on the sphere in four dimensions: the angle ω of the
rotation between two unit quaternions has cos(ω/2) = ⟨p, q⟩, and the character of degree l is
U_2l(cos(ω/2)), a Chebyshev polynomial of the second kind. Averaged over the 60 rotations of the
icosahedron, it is the part of the pair in the variance that is left in degree l.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from csgnn_dgl.grid import icosahedral_rotations
from csgnn_dgl.mapping.designed import LARGEST_DESIGN

Floats = npt.NDArray[np.float64]

# Shares of the degrees in the variance over orientations of the shipped models' curves and
# descriptors, rounded; the rest lies in higher degrees.
DEGREES = (6, 10, 12, 15, 16, 18, 20, 21, 22, 24, 25, 26, 27, 28, 30)
PERCENT = (45, 9, 32, 1, 6.5, 2, 2.5, 0.5, 2, 4, 1, 1.5, 0.2, 4, 1)
SHARES = {degree: percent / 100 for degree, percent in zip(DEGREES, PERCENT, strict=True)}
# Degrees that models without the symmetry of the icosahedron have, too, lowest first.
PLAIN = {degree: 1 / degree**2 for degree in range(1, 10)}


def chebyshev(w: Floats, weights: dict[int, float]) -> tuple[Floats, Floats]:
    """Sum of ``weight · U_2l(w)``, and its derivative."""
    value, slope = np.zeros_like(w), np.zeros_like(w)
    before, now = np.ones_like(w), 2 * w
    before_slope, now_slope = np.zeros_like(w), np.full_like(w, 2.0)
    for order in range(2, 2 * max(weights) + 1):
        after = 2 * w * now - before
        after_slope = 2 * now + 2 * w * now_slope - before_slope
        before, now, before_slope, now_slope = now, after, now_slope, after_slope
        weight = weights.get(order // 2, 0.0) if order % 2 == 0 else 0.0
        value += weight * now
        slope += weight * now_slope
    return value, slope


def product_matrices(quaternions: Floats) -> Floats:
    """Matrices (n, 4, 4) of the products ``g · q``; components in the order x, y, z, w."""
    x, y, z, w = quaternions.T
    rows = [[w, -z, y, x], [z, w, -x, y], [-y, x, w, z], [-x, -y, -z, w]]
    return np.array(rows).transpose(2, 0, 1)


def left(flat: Floats, turned: Floats, weights: dict[int, float]) -> tuple[float, Floats]:
    """Weighted variance that a set leaves, and its gradient."""
    free = flat.reshape(-1, 4)
    length = np.linalg.norm(free, axis=1, keepdims=True)
    unit = free / length
    first, second = np.triu_indices(len(unit), 1)
    images = np.einsum("gij,pj->pgi", turned, unit[second])
    w = np.einsum("pi,pgi->pg", unit[first], images)
    value, slope = chebyshev(w, weights)
    n, group = len(unit), len(turned)
    alone = chebyshev(turned[:, 3, 3], weights)[0].mean()
    total = alone / n + 2 * value.sum() / (group * n**2)
    gradient = np.zeros_like(unit)
    np.add.at(gradient, first, np.einsum("pg,pgi->pi", slope, images))
    back = np.einsum("pg,pi,gij->pj", slope, unit[first], turned)
    np.add.at(gradient, second, back)
    gradient *= 2 / (group * n**2)
    gradient = (gradient - (gradient * unit).sum(1, keepdims=True) * unit) / length
    return float(total), gradient.ravel()


def search(n: int, starts: int, seed: int) -> Floats:
    """The best set of ``n`` quaternions of many starts."""
    rng = np.random.default_rng((seed, n))
    turned = product_matrices(Rotation.from_matrix(icosahedral_rotations()).as_quat())
    best, found = np.inf, np.zeros((n, 4))
    for _ in range(starts):
        start = rng.normal(size=(n, 4))
        result: Any = minimize(
            left, start.ravel(), (turned, SHARES), jac=True, method="L-BFGS-B",
            options={"maxiter": 400},
        )  # fmt: skip
        if result.fun < best:
            best, found = result.fun, result.x.reshape(n, 4)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def spread_out(quaternions: Floats, rng: np.random.Generator, starts: int = 30) -> Floats:
    """Turn each member by a rotation of the icosahedron, so that low degrees without its symmetry
    are averaged, too. Nothing changes for functions that have the symmetry."""
    group = Rotation.from_matrix(icosahedral_rotations())
    images = np.stack([(group * Rotation.from_quat(q)).as_quat() for q in quaternions])
    n, weights = len(quaternions), {key: w / (2 * key + 1) for key, w in PLAIN.items()}
    pairs = chebyshev(np.einsum("agi,bhi->agbh", images, images), weights)[0]
    best, found = np.inf, np.zeros(n, dtype=int)
    for _ in range(starts):
        chosen = rng.integers(0, 60, n)
        chosen[0] = 0
        before = np.inf
        while True:
            for a in range(1, n):
                others = [b for b in range(n) if b != a]
                chosen[a] = pairs[a][:, others, chosen[others]].sum(axis=1).argmin()
            index = np.arange(n)
            total = pairs[index[:, None], chosen[:, None], index, chosen].sum()
            if total >= before - 1e-12:
                break
            before = total
        if before < best:
            best, found = before, chosen.copy()
    return images[np.arange(n), found]


def design(n: int, starts: int, seed: int) -> list[list[float]]:
    """A set of ``n`` rotations, the identity first, as quaternions (x, y, z, w)."""
    chosen = Rotation.from_quat(search(n, starts, seed))
    chosen = chosen * chosen[0].inv()
    spread = spread_out(chosen.as_quat(), np.random.default_rng((seed, n, 1)))
    spread *= np.where(spread[:, 3:] < 0, -1.0, 1.0)
    spread[0] = (0, 0, 0, 1)
    return [[round(float(value), 12) + 0.0 for value in row] for row in spread]


@click.command()
@click.option("--starts", default=60, show_default=True, help="Starts for each number of votes.")
@click.option("--seed", default=0, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), required=True)
def main(starts: int, seed: int, output: Path) -> None:
    """Write the sets of 2 to 16 rotations to OUTPUT, in JSON."""
    sets = {}
    for n in range(2, LARGEST_DESIGN + 1):
        sets[str(n)] = design(n, starts, seed)
        click.echo(f"{n} rotations")
    rows = ",\n".join(
        f' "{n}": [\n  ' + ",\n  ".join(map(json.dumps, rows)) + "\n ]" for n, rows in sets.items()
    )
    output.write_text("{\n" + rows + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()

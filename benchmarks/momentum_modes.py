"""Claim: no eigenvalue with momentum is spurious: each that is counted, on 20 objectives, another discretisation has.

That one knows no elements and no staggering: sinc functions in x, a full matrix for the derivative, for all Hermite
orders of the velocity alike. In the plane objectives are sums of two functions of one variable each, turned, so that no
grid is aligned with them, and their eigenvalues are sums of those on lines.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from measure import table
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, eigs, splu

import witten
from witten.rates import KineticRate

Complex = NDArray[np.complex128]
# Formula, friction and temperature.
LINES = (
    ("x^2/2", 3.0, 0.1), ("x^2/2", 1.0, 0.1), ("2*x^2", 1.5, 0.3), ("x^4/4", 0.7, 0.1), ("x^4/4+x^2/2", 2.0, 0.2),
    ("(x^2-1)^2/4", 2.0, 0.1), ("(x^2-1)^2/4", 0.7, 0.1), ("(x^2-1)^2/4+x/20", 1.0, 0.08),
    ("x^6/6-x^2/2", 1.0, 0.15), ("x^2/2+cos(4*x)/3", 2.0, 0.2), ("cosh(x)", 1.0, 0.2), ("x^2*(x^2-1)^2+x/20", 2.0, 0.1),
    ("x^2/2+0.4*exp(-10*x^2)", 1.0, 0.15), ("exp(x)+x^2/4-x", 1.0, 0.2), ("x^8/8", 1.0, 0.2),
    ("x^4/4-x^3/3", 1.0, 0.1),
)  # fmt: skip
# Two functions of one variable, an angle, friction and temperature.
PLANES = (
    ("(x^2-1)^2/4", "x^2/2", 0.0, 2.0, 0.1), ("(x^2-1)^2/4", "x^2", 0.5, 2.0, 0.12), ("x^2/2", "x^2", 0.7, 3.0, 0.1),
    ("x^4/4", "x^2/2", 1.0, 2.0, 0.15),
)  # fmt: skip
# Of the other discretisation: sinc functions along x and Hermite orders, quickly and usually, and eigenvalues.
QUICKLY, USUALLY, COUNT = (60, 24), (110, 40), 40
# It ends where f is so many units of T above the highest of its saddles.
ABOVE = 28.0


@dataclass(frozen=True)
class Result:
    """What is counted on one objective, how far its gap and the farthest of its eigenvalues are from the other's."""

    name: str
    counted: int
    gap: float
    farthest: float
    quoted: float


def by_sinc(text: str, friction: float, temperature: float, size: tuple[int, int] = USUALLY) -> Complex:
    """Eigenvalues of -L with sinc functions and Hermite orders, so many, by their real parts, the zero first."""
    f, t, (nodes, orders) = witten.Objective.from_formula(text), temperature, size
    x = _nodes(f, t, nodes)
    apart = np.arange(x.size)[:, None] - np.arange(x.size)
    derivative = (-1.0) ** apart / np.where(apart == 0, np.inf, apart) / (x[1] - x[0])
    up = np.sqrt(t) * derivative + np.diag(f.gradient(x[None])[0] / (2 * np.sqrt(t)))
    root = sparse.diags(np.sqrt(np.arange(1.0, orders)), -1)
    matrix = sparse.kron(sparse.diags(friction * np.arange(orders)), sparse.eye(x.size)) - sparse.kron(root, up)
    matrix = (matrix + sparse.kron(root.T, up.T)).tocsc()
    shift = -0.05 * min(friction, 1 / friction)
    factor = splu(matrix - shift * sparse.eye(matrix.shape[0], format="csc"))
    inverse = LinearOperator(matrix.shape, matvec=factor.solve, dtype=float)
    start = np.random.default_rng(0).standard_normal(matrix.shape[0])
    values = shift + 1 / eigs(inverse, COUNT, which="LM", v0=start, return_eigenvectors=False)
    return np.asarray(values[np.argsort(values.real)])


def _nodes(f: witten.Objective, temperature: float, count: int) -> NDArray[np.float64]:
    """As far as f matters."""
    x = np.linspace(-6, 6, 20001)
    values = np.asarray(f(x[None]))
    inside = x[values <= max(values[abs(x) < 1].max(), values.min()) + ABOVE * temperature]
    return np.linspace(inside[0], inside[-1], count)


def on_line(text: str, friction: float, temperature: float, size: tuple[int, int] = USUALLY) -> Result:
    """The eigenvalues on a line beside those by sinc functions."""
    record = witten.langevin_gap(text, friction, temperature)
    return _compared(text, record, by_sinc(text, friction, temperature, size)[1:])


def in_plane(first: str, second: str, angle: float, friction: float, temperature: float) -> Result:
    """Those of a turned sum beside sums of those on lines."""
    c, s = math.cos(angle), math.sin(angle)
    turned = [f"({c!r}*x+({s!r})*y)", f"({-s!r}*x+({c!r})*y)"]
    text = "+".join(part.replace("x", where) for part, where in zip((first, second), turned, strict=True))
    one, other = (by_sinc(part, friction, temperature) for part in (first, second))
    sums = (one[:, None] + other).ravel()
    record = witten.langevin_gap(text, friction, temperature)
    return _compared(f"{first}, {second} turned by {angle:g}", record, sums[np.argsort(sums.real)][1:])


def _compared(name: str, record: KineticRate, reference: Complex) -> Result:
    counted = np.array(record.eigenvalues)
    nearest = abs(reference - counted[:, None]).min(axis=1) / abs(counted)
    gap = abs(record.log_rate - math.log(reference.real.min()))
    return Result(name, counted.size, gap, float(nearest.max()), record.log_error)


def main(quick: bool = False) -> list[Result]:
    """Each objective; quickly, two on a line."""
    if quick:
        results = [on_line(*each, size=QUICKLY) for each in LINES[3:5]]
    else:
        results = [on_line(*each) for each in LINES] + [in_plane(*each) for each in PLANES]
    rows = [(r.name, r.counted, f"{r.gap:.1e}", f"{r.quoted:.1e}", f"{r.farthest:.1e}") for r in results]
    table(("objective", "counted", "gap off by", "quoted", "farthest eigenvalue off by"), rows)
    return results


if __name__ == "__main__":
    main()

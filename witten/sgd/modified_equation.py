"""The SDE that a chain of finite step follows to second order: where the first correction to the rate comes from."""

from __future__ import annotations

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from scipy.integrate import cumulative_simpson
from scipy.linalg import eigh_tridiagonal

from witten.domains.sublevel import sublevel
from witten.errors import RequestError
from witten.objectives import Objective, resolve
from witten.objectives.topography.convexity import separate
from witten.request import positive

__all__ = ["modified_rate"]

Array = NDArray[np.float64]
# f at the rim above the saddle in units of the learning rate, and cells of the finest of three grids.
MARGIN, FINEST = 14.0, 3200


def modified_rate(objective: Objective | str, step_size: float, temperature: float | None = None) -> float:
    """The gap of a u'' + b u' with a = T (1 + h f''), b = -f' - (h/2)(f' f'' - T f'''): T = h/2 where it is left out.

    One step of x+ = x - h f'(x) + sqrt(2 h T) xi has the moments of this SDE over a time h up to O(h^3), those of
    dX = -f' dt + sqrt(2 T) dW up to O(h^2) only (backward error analysis: expand E u(x+) in h and compare with
    exp(h L)), so that at fixed T the rates of the chain and of this equation differ by O(h^2). Computed on three grids,
    extrapolated; to about nine digits while the rate is above 1e-10.

    >>> from witten.sgd.modified_equation import modified_rate
    >>> print(f"{modified_rate('x^2/2', 0.2):.4f}")  # 1 + h/2: of SGD it is -log(1 - h)/h = 1.1157
    1.1000

    Raises
    ------
    RequestError
        unless f is a formula in one variable, or a sum of such, and 1 + h f'' > 0 where it matters.
    """
    f = resolve(objective)
    t = positive("step size", step_size) / 2 if temperature is None else positive("temperature", temperature)
    parts = separate(f)
    if parts is None:
        raise RequestError(f"the modified equation is there for sums of functions of one variable; {f.name} is none")
    return min(_line_rate(part, x, step_size, t) for part, x in dict.fromkeys(parts))


def _line_rate(part: sp.Expr, x: sp.Symbol, h: float, t: float) -> float:
    f = Objective.from_sympy(part, [x])
    slope = Objective.from_sympy(part.diff(x), [x])
    found = sublevel(f, 2 * t, margin=MARGIN)
    ((low, high),) = found.box.intervals
    rates = [_on_cells(f, slope, (low, high), h, t, FINEST // m) for m in (4, 2, 1)]
    once = [b + (b - a) / 3 for a, b in zip(rates, rates[1:], strict=False)]
    return once[1] + (once[1] - once[0]) / 15


def _on_cells(f: Objective, slope: Objective, ends: tuple[float, float], h: float, t: float, n: int) -> float:
    """Cells of mass e^Phi/a, exchanging e^Phi at their faces, Phi' = b/a."""
    x = np.linspace(*ends, 4 * n + 1)
    first, second = slope(x[None]), f.hessian(x[None])[0, 0]
    a = t * (1 + h * second)
    if (a <= 0).any():
        raise RequestError(f"1 + h f'' is not positive everywhere on {f.name} at step {h:g}; take a smaller step")
    b = -first - 0.5 * h * (first * second - t * slope.hessian(x[None])[0, 0])
    phi = cumulative_simpson(b / a, x=x, initial=0.0)
    phi -= phi.max()
    size = (ends[1] - ends[0]) / n
    centres, faces = slice(2, None, 4), slice(4, -1, 4)
    log_mass = phi[centres] - np.log(a[centres])
    flow = np.exp(phi[faces] - log_mass[:-1]) / size**2, np.exp(phi[faces] - log_mass[1:]) / size**2
    diagonal = np.append(flow[0], 0.0) + np.append(0.0, flow[1])
    return float(eigh_tridiagonal(diagonal, -np.sqrt(flow[0] * flow[1]), select="i", select_range=(1, 1))[0][0])

"""Many equal steps of a law at the price of the first few hundred: what is left then is a sum of a few modes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LongRun", "long_run"]

Array = NDArray[np.float64]
# Steps between the vectors of the Krylov space, and how many of these there are at most.
STRIDE, MOST = 25, 24
# What one step of the small matrix leaves out, summed over all of them, as a part of the law at the start.
LEFT_OUT = 1e-13


@dataclass(frozen=True, eq=False)
class LongRun:
    """masses P^k = norm P^j V H^n e_1, k = n STRIDE + j, for k up to `last`: Arnoldi on P^STRIDE from the masses.

    Attributes
    ----------
    ways : P^j v, shape (r, STRIDE, n), v the orthonormal vectors of the Krylov space
    small : H, shape (r, r)
    norm : of the masses at the start
    last : the largest k
    """

    ways: Array
    small: Array
    norm: float
    last: int

    def after(self, k: int) -> Array:
        """The masses k steps later, shape (n,)."""
        cycles, rest = divmod(k, STRIDE)
        return np.asarray(self.norm * np.linalg.matrix_power(self.small, cycles)[:, 0] @ self.ways[:, rest])

    def sums(self, values: Array, count: int) -> Array:
        """values (n, m) summed over the masses k steps later, k = 0, ..., count - 1, shape (count, m)."""
        cycles = -(-count // STRIDE)
        states = np.empty((cycles, self.small.shape[0]))
        states[0] = np.eye(self.small.shape[0])[0] * self.norm
        for n in range(1, cycles):
            states[n] = self.small @ states[n - 1]
        seen = self.ways @ values
        return np.asarray(np.einsum("nr,rjm->njm", states, seen).reshape(cycles * STRIDE, -1)[:count])


def long_run(step: Callable[[Array], Array], masses: Array, most: int) -> LongRun:
    """All laws up to `most` steps later; fewer where MOST vectors do not span what is left.

    Up to r STRIDE steps from r vectors are no approximation, so that nothing costs more than the steps themselves.
    """
    norm = float(np.linalg.norm(masses))
    ways, v = [], masses / norm
    h = np.zeros((MOST + 1, MOST))
    for r in range(MOST):
        ways.append(_way(step, v))
        w = step(ways[-1][-1])
        # Twice is enough.
        for _ in range(2):
            c = np.array([way[0] @ w for way in ways])
            h[: r + 1, r] += c
            w = w - c @ np.array([way[0] for way in ways])
        h[r + 1, r] = np.linalg.norm(w)
        done = most < (r + 1) * STRIDE or _left_out(h[: r + 2, : r + 1], most // STRIDE) < LEFT_OUT
        if done:
            break
        v = w / h[r + 1, r]
    last = most if done else MOST * STRIDE - 1
    return LongRun(np.array(ways), h[: len(ways), : len(ways)], norm, last)


def _way(step: Callable[[Array], Array], v: Array) -> list[Array]:
    out = [v]
    for _ in range(STRIDE - 1):
        out.append(step(out[-1]))
    return out


def _left_out(h: Array, cycles: int) -> float:
    """beta sum_n |(H^n)_{r1}|: what leaves the space on the way."""
    c, total = np.eye(h.shape[1])[0], 0.0
    for _ in range(cycles):
        total += abs(c[-1])
        c = h[:-1] @ c
    return float(h[-1, -1] * total)

"""Many equal steps at the price of the first few hundred, by Arnoldi: only a few modes survive these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["KrylovPowers", "krylov_powers"]

Array = NDArray[np.float64]
# Steps between the vectors of the Krylov space, and how many of these there are at most.
STRIDE, MOST_VECTORS = 25, 24
# Neglected by the projection, summed over all steps, relative to the masses at the start.
TRUNCATION_TOLERANCE = 1e-13


@dataclass(frozen=True, eq=False)
class KrylovPowers:
    """masses P^k = norm P^j V H^n e_1, k = n STRIDE + j, for k up to `last`: Arnoldi on P^STRIDE from the masses.

    Attributes
    ----------
    chains : P^j v, shape (r, STRIDE, n), v the orthonormal vectors of the Krylov space
    hessenberg : H, shape (r, r)
    norm : of the masses at the start
    last : the largest k
    """

    chains: Array
    hessenberg: Array
    norm: float
    last: int

    def after(self, k: int) -> Array:
        """The masses k steps later, shape (n,)."""
        cycles, rest = divmod(k, STRIDE)
        return np.asarray(self.norm * np.linalg.matrix_power(self.hessenberg, cycles)[:, 0] @ self.chains[:, rest])

    def sums(self, values: Array, count: int) -> Array:
        """values (n, m) summed over the masses k steps later, k = 0, ..., count - 1, shape (count, m)."""
        cycles = -(-count // STRIDE)
        states = np.empty((cycles, self.hessenberg.shape[0]))
        states[0] = np.eye(self.hessenberg.shape[0])[0] * self.norm
        for n in range(1, cycles):
            states[n] = self.hessenberg @ states[n - 1]
        seen = self.chains @ values
        return np.asarray(np.einsum("nr,rjm->njm", states, seen).reshape(cycles * STRIDE, -1)[:count])


def krylov_powers(step: Callable[[Array], Array], masses: Array, most: int) -> KrylovPowers:
    """Masses up to `most` steps later; fewer where MOST_VECTORS vectors do not span what survives.

    Up to r STRIDE steps from r vectors are no approximation, so that nothing costs more than the steps themselves.
    """
    norm = float(np.linalg.norm(masses))
    chains, v = np.empty((MOST_VECTORS, STRIDE, masses.size)), masses / norm
    h = np.zeros((MOST_VECTORS + 1, MOST_VECTORS))
    for r in range(MOST_VECTORS):
        _follow(step, v, chains[r])
        w, basis = step(chains[r, -1]), chains[: r + 1, 0]
        # Twice is enough.
        for _ in range(2):
            c = basis @ w
            h[: r + 1, r] += c
            w = w - c @ basis
        h[r + 1, r] = np.linalg.norm(w)
        done = most < (r + 1) * STRIDE or _neglected(h[: r + 2, : r + 1], most // STRIDE) < TRUNCATION_TOLERANCE
        if done:
            break
        v = w / h[r + 1, r]
    last = most if done else MOST_VECTORS * STRIDE - 1
    return KrylovPowers(chains[: r + 1], h[: r + 1, : r + 1], norm, last)


def _follow(step: Callable[[Array], Array], v: Array, chain: Array) -> None:
    """Fill the rows of `chain` with v and what steps make of it."""
    chain[0] = v
    for j in range(1, len(chain)):
        chain[j] = step(chain[j - 1])


def _neglected(h: Array, cycles: int) -> float:
    """beta sum_n |(H^n)_{r1}|: what leaves the Krylov space."""
    c, total = np.eye(h.shape[1])[0], 0.0
    for _ in range(cycles):
        total += abs(c[-1])
        c = h[:-1] @ c
    return float(h[-1, -1] * total)

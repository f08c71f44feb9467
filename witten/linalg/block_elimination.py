"""Elimination of a Markov chain in blocks without a single subtraction, by products of matrices that are not negative.

Rates between a few states that are kept, and the mean times there, keep their relative accuracy however small they are
([Grassmann1985], [OCinneide1993])."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from witten.errors import ConvergenceError

__all__ = ["Censored", "censored", "mean_visits"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Censored:
    """A chain watched only in the states that are kept.

    Attributes
    ----------
    rates : k_ij of coming to j next after i, per unit of time in the state i itself, shape (m, m)
    times : mean time until the next state, per unit of time in the state itself, shape (m,): >= 1
    """

    rates: Array
    times: Array

    @property
    def generator(self) -> Array:
        """Rates per unit of time, (m, m), without the diagonal."""
        rates = self.rates / self.times[:, None]
        np.fill_diagonal(rates, 0.0)
        return rates


def mean_visits(q: Array, exits: Array) -> Array:
    """(D - q)^{-1} with D_ii = exits_i + sum_{j != i} q_ij, entrywise to full relative accuracy, (n, n).

    The time spent in j before an exit, from i. Halves: the second is eliminated, the first inverted, and all that is
    added is not negative.

    >>> from witten.linalg.block_elimination import mean_visits
    >>> mean_visits(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([1.0, 0.0])).tolist()
    [[1.0, 1.0], [1.0, 2.0]]

    Parameters
    ----------
    q : rates (n, n), the diagonal is not looked at
    exits : rates of leaving for good, (n,)
    """
    n = len(exits)
    if n == 1:
        with np.errstate(divide="ignore"):
            return np.asarray(1.0 / exits[:, None])
    a, b = slice(0, n // 2), slice(n // 2, n)
    last = mean_visits(q[b, b], exits[b] + q[b, a].sum(axis=1))
    over = q[a, b] @ last
    first = mean_visits(q[a, a] + over @ q[b, a], exits[a] + over @ exits[b])
    back = last @ q[b, a] @ first
    out = np.empty((n, n))
    out[a, a], out[a, b], out[b, a], out[b, b] = first, first @ over, back, last + back @ over
    return out


def censored(rates: csr_array, blocks: Sequence[NDArray[np.int64]], kept: NDArray[np.int64]) -> Censored:
    """All states but those kept are eliminated, the last block first; blocks are coupled to the next and to kept ones.

    Parameters
    ----------
    rates : q_ij, (n, n), without a diagonal
    blocks : the other states; block b has rates to and from b - 1 and b + 1 alone, beside those kept
    kept : the states that are kept, (m,)

    Raises
    ------
    ConvergenceError
        if rates are more than doubles hold.
    """
    m = kept.size
    to_kept = [rates[block][:, kept].toarray() for block in blocks]
    from_kept = [rates[kept][:, block].toarray() for block in blocks]
    between, times = rates[kept][:, kept].toarray(), np.ones(m)
    inner = rates[blocks[-1]][:, blocks[-1]].toarray()
    held = [np.ones(block.size) for block in blocks]
    for b in range(len(blocks) - 1, -1, -1):
        down = rates[blocks[b]][:, blocks[b - 1]] if b else None
        exits = to_kept[b].sum(axis=1) + (0.0 if down is None else down.sum(axis=1))
        with np.errstate(over="ignore", invalid="ignore"):
            visits = mean_visits(inner, exits)
        if not np.isfinite(visits).all():
            raise ConvergenceError("times of the chain overflow; ask for a larger learning rate")
        out = from_kept[b] @ visits
        between += out @ to_kept[b]
        times += out @ held[b]
        if down is None:
            break
        up = rates[blocks[b - 1]][:, blocks[b]]
        from_kept[b - 1] += out @ down
        arrived = up @ visits
        to_kept[b - 1] += arrived @ to_kept[b]
        held[b - 1] += arrived @ held[b]
        inner = rates[blocks[b - 1]][:, blocks[b - 1]].toarray() + arrived @ down
    np.fill_diagonal(between, 0.0)
    return Censored(between, times)

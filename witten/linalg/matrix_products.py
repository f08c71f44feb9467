"""The lowest eigenvalues of an operator on a chain of sites, by matrix product states.

A state is a tuple of tensors (a, n, b), an operator one of tensors (v, w, n, n): both the product over the chain of
their outer indices. Two neighbouring tensors at a time are replaced by the lowest eigenvector of the operator between
all others, and parted again by singular values [White1992] [Schollwoeck2011]."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["State", "lowest_state", "polynomial_operator"]

Array = NDArray[np.float64]
State = tuple[Array, ...]
# Steps of Lanczos for each pair of sites, sweeps at most, and the relative change of an eigenvalue that ends them.
STEPS, SWEEPS, ENOUGH = 20, 14, 3e-4
# Singular values that are left out, relative to the largest.
NOTHING = 1e-13


def polynomial_operator(
    powers: Mapping[tuple[int, ...], float], positions: Sequence[Array], kinetic: Sequence[Array]
) -> tuple[Array, ...]:
    """sum_i kinetic_i + sum of coefficients times products of powers of positions, as tensors (v, w, n, n).

    From left to right an index says what is to come: nothing yet, a tail of powers for the next sites, or no more.

    Parameters
    ----------
    powers : coefficients by the powers of each site's position
    positions : powers of the position of each site, the zeroth first, (m, n, n)
    kinetic : of each site, (n, n)
    """
    terms = [_term(key, value) for key, value in powers.items()]
    tails: list[list[tuple[int, ...]]] = [[] for _ in range(len(positions) + 1)]
    for start, key, _ in terms:
        for k in range(1, len(key)):
            if key[k:] not in tails[start + k]:
                tails[start + k].append(key[k:])
    return tuple(
        _site(k, terms, tails, x, energy) for k, (x, energy) in enumerate(zip(positions, kinetic, strict=True))
    )


def _term(powers: tuple[int, ...], value: float) -> tuple[int, tuple[int, ...], float]:
    """(first site, powers from there to the last, coefficient); a constant stands at the first site."""
    known = [k for k, power in enumerate(powers) if power] or [0]
    return known[0], powers[known[0] : known[-1] + 1], value


def _site(
    k: int,
    terms: Sequence[tuple[int, tuple[int, ...], float]],
    tails: Sequence[Sequence[tuple[int, ...]]],
    x: Array,
    kinetic: Array,
) -> Array:
    """The tensor of one site; the first index stands for nothing yet, the last for no more."""
    before, after, n = tails[k], tails[k + 1], len(kinetic)
    out = np.zeros((len(before) + 2, len(after) + 2, n, n))
    out[0, 0] = out[-1, -1] = np.eye(n)
    out[0, -1] = kinetic
    for start, key, value in terms:
        if start == k:
            to = -1 if len(key) == 1 else 1 + after.index(key[1:])
            out[0, to] += value * x[key[0]]
    for row, tail in enumerate(before):
        to = -1 if len(tail) == 1 else 1 + after.index(tail[1:])
        out[1 + row, to] += x[tail[0]]
    if k == 0:
        out = out[:1]
    return out[:, -1:] if k == len(tails) - 2 else out


def lowest_state(
    operator: Sequence[Array], start: State, bond: int, sweeps: int = SWEEPS, below: State | None = None
) -> tuple[float, float, State]:
    """The lowest eigenvalue, orthogonal to `below`, its last change, and its state with bonds of at most `bond`.

    Sweeps from a starting state until the eigenvalue changes by less than a part `ENOUGH`, no more than `sweeps`."""
    sites = _Sites(operator, start, bond, below)
    value, change = sites.sweep(), np.inf
    for _ in range(sweeps - 1):
        found = sites.sweep()
        value, change = found, abs(found - value)
        if change <= ENOUGH * abs(value):
            break
    return value, float(change), tuple(sites.state)


class _Sites:
    """A state on its way, with what lies left and right of each site: the operator, and overlaps with `below`."""

    def __init__(self, operator: Sequence[Array], start: State, bond: int, below: State | None) -> None:
        self.operator, self.bond, self.below, self.state = operator, bond, below, list(start)
        d = len(start)
        one, unit = np.ones((1, 1, 1)), np.ones((1, 1))
        self.left, self.right = [one] * (d + 1), [one] * (d + 1)
        self.left_overlap, self.right_overlap = [unit] * (d + 1), [unit] * (d + 1)
        for k in range(d - 1, 0, -1):
            a, p, b = self.state[k].shape
            q, r = np.linalg.qr(self.state[k].reshape(a, p * b).T)
            self.state[k] = q.T.reshape(-1, p, b)
            self.state[k - 1] = np.einsum("apb,cb->apc", self.state[k - 1], r)
            self._extend_right(k)

    def sweep(self) -> float:
        """All pairs from left to right and back; the eigenvalue at the last."""
        value, last = np.inf, len(self.state) - 2
        for k in range(last + 1):
            value = self._replace(k, forwards=True)
        for k in range(last, -1, -1):
            value = self._replace(k, forwards=False)
        return value

    def _replace(self, k: int, *, forwards: bool) -> float:
        pair = np.einsum("apb,bqc->apqc", self.state[k], self.state[k + 1])
        a, p, q, c = pair.shape
        left = np.einsum("avd,vwpq->wapdq", self.left[k], self.operator[k], optimize=True)
        right = np.einsum("wvrs,bvc->wscrb", self.operator[k + 1], self.right[k + 2], optimize=True)
        left, right = left.reshape(-1, a * p, a * p), right.reshape(-1, q * c, q * c)

        def times(v: Array) -> Array:
            return np.asarray(np.matmul(np.matmul(left, v.reshape(a * p, q * c)), right).sum(axis=0)).ravel()

        value, v = _lowest(times, pair.ravel(), self._known(k))
        u, s, w = np.linalg.svd(v.reshape(a * p, q * c), full_matrices=False)
        kept = min(self.bond, int(np.count_nonzero(s > NOTHING * s[0])))
        s = s[:kept] / np.linalg.norm(s[:kept])
        u, w = u[:, :kept], w[:kept]
        if forwards:
            self.state[k], self.state[k + 1] = u.reshape(a, p, kept), (s[:, None] * w).reshape(kept, q, c)
            self._extend_left(k + 1)
        else:
            self.state[k], self.state[k + 1] = (u * s).reshape(a, p, kept), w.reshape(kept, q, c)
            self._extend_right(k + 1)
        return value

    def _known(self, k: int) -> Array | None:
        """What `below` is between all other sites of the state, of length one."""
        if self.below is None:
            return None
        found = np.einsum("ad,dpx,xqc,bc->apqb", self.left_overlap[k], self.below[k], self.below[k + 1],
                          self.right_overlap[k + 2], optimize=True).ravel()  # fmt: skip
        return np.asarray(found / np.linalg.norm(found))

    def _extend_left(self, k: int) -> None:
        tensor = self.state[k - 1]
        self.left[k] = _grown(self.left[k - 1], tensor, self.operator[k - 1])
        if self.below is not None:
            self.left_overlap[k] = np.einsum("ad,apb,dpc->bc", self.left_overlap[k - 1], tensor, self.below[k - 1],
                                             optimize=True)  # fmt: skip

    def _extend_right(self, k: int) -> None:
        tensor = self.state[k]
        self.right[k] = np.einsum("bwc,apb,vwpq,dqc->avd", self.right[k + 1], tensor, self.operator[k], tensor,
                                  optimize=True)  # fmt: skip
        if self.below is not None:
            self.right_overlap[k] = np.einsum("bc,apb,dpc->ad", self.right_overlap[k + 1], tensor, self.below[k],
                                              optimize=True)  # fmt: skip


def _grown(left: Array, tensor: Array, w: Array) -> Array:
    return np.asarray(np.einsum("avd,apb,vwpq,dqc->bwc", left, tensor, w, tensor, optimize=True))


def _lowest(times: Callable[[Array], Array], start: Array, known: Array | None) -> tuple[float, Array]:
    """By Lanczos with full reorthogonalisation, beside a known vector."""
    basis = np.zeros((min(STEPS, start.size - (known is not None)) + 1, start.size))
    first = 0
    if known is not None:
        basis[0], first = known, 1
    v = start - basis[:first].T @ (basis[:first] @ start)
    images = []
    for k in range(first, len(basis) - 1 + first):
        size = float(np.linalg.norm(v))
        basis[k] = v / size
        images.append(times(basis[k]))
        v = images[-1]
        for _ in range(2):
            v = v - basis[: k + 1].T @ (basis[: k + 1] @ v)
        if np.linalg.norm(v) <= 1e-12 * np.linalg.norm(images[-1]) or k + 1 == len(basis):
            break
    kept = basis[first : first + len(images)]
    projected = kept @ np.array(images).T
    values, vectors = np.linalg.eigh((projected + projected.T) / 2)
    return float(values[0]), vectors[:, 0] @ kept

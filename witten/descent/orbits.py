"""Periodic orbits F^p(x) = x, attracting and repelling, polished by Newton's method on all points of the orbit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from witten.descent.gradient_map import DescentMap
from witten.errors import RequestError

__all__ = ["Orbit", "hull", "orbit_at", "orbits", "polish", "split_exponents", "state_hull"]

Array = NDArray[np.float64]
# A multiplier of modulus within this of 1 is neutral: along a manifold of minima, or at a bifurcation.
NEUTRAL = 1e-9
# Points closer than this, relative to how far apart points of the orbit are, or were when it was sought, are one.
SAME = 1e-7
# What |x| is known to after the few operations of a step, relative to it.
ROUNDING = 64 * 2.0**-52
# Unknowns of the equations for a whole orbit that are solved together; longer orbits from one of their points.
MOST_TOGETHER = 600
# Intervals of the grid on which F^p(x) - x is searched for changes of sign, in one dimension.
INTERVALS = 20_000


@dataclass(frozen=True, eq=False)
class Orbit:
    """x_1 -> x_2 -> ... -> x_p -> x_1 under F.

    Attributes
    ----------
    points : states, shape (m, p), in order, p the minimal period
    multipliers : eigenvalues of (F^p)'(x_1) by falling modulus, complex, shape (m,)
    residual : the largest |F(x_i) - x_{i+1}|
    """

    points: Array
    multipliers: NDArray[np.complex128]
    residual: float

    @property
    def period(self) -> int:
        """p."""
        return self.points.shape[1]

    @cached_property
    def stable(self) -> bool:
        """Whether no multiplier has modulus above 1; neutral ones count as stable."""
        return bool(abs(self.multipliers[0]) <= 1 + NEUTRAL)

    @property
    def neutral(self) -> int:
        """How many multipliers have modulus 1, as far as is known: what they do is decided by higher derivatives."""
        return int(np.count_nonzero(abs(abs(self.multipliers) - 1) <= NEUTRAL))

    @property
    def exponents(self) -> Array:
        """log |multiplier|/p, the Lyapunov exponents per step; -inf where superstable."""
        with np.errstate(divide="ignore"):
            return np.log(abs(self.multipliers)) / self.period


def polish(descent: DescentMap, points: ArrayLike, *, steps: int = 40) -> Orbit | None:
    """The orbit near states (m, p) by Newton's method on F(x_i) - x_{i+1} = 0, i = 1, ..., p, solved together.

    Solving for all points at once keeps repelling orbits within reach (multiple shooting); where orbits fill a curve
    the shortest step is taken. None if Newton's method does not converge, or on a kink."""
    x = np.array(points, dtype=float).reshape(descent.dimension, -1)
    spread, longest, previous = float(np.ptp(x, axis=1).max()), 0.0, np.inf
    for _ in range(steps):
        try:
            step = _newton_step(descent, x)
        except (ValueError, np.linalg.LinAlgError):
            return None
        length = float(abs(step).max())
        if not np.isfinite(length):
            return None
        x, longest, size = x + step, max(longest, length), float(abs(x).max())
        # The last digits wander: stop when the steps no longer shrink.
        small = length < max(1e-6 * longest, 1e-10 * spread, 1e-11 * size)
        if length <= 2.0**-50 * size or (small and length >= previous / 2):
            break
        previous = length
    else:
        return None
    known = ROUNDING * float(abs(x).max())
    scale = max(spread, longest)
    period = _minimal_period(x, SAME * scale + known)
    orbit = orbit_at(descent, x[:, :period])
    if orbit is not None and period > 1:
        # Beside a bifurcation the rounding of a step is seen many times as large.
        apart = abs(1.0 - orbit.multipliers)
        shorter = _minimal_period(orbit.points, known / float(apart[apart > NEUTRAL].min(initial=1.0)))
        if shorter < period:
            return polish(descent, orbit.points.reshape(len(x), -1, shorter).mean(axis=1), steps=steps)
    # Where Newton's equations have no solution, the shortest step that fits them best may be none at all.
    return orbit if orbit is not None and _solved(descent, orbit, 1e-9 * scale + known) else None


def _solved(descent: DescentMap, orbit: Orbit, known: float) -> bool:
    """Whether the orbit closes to what its points are known to; at a fixed point, however small s is."""
    if orbit.period > 1:
        return orbit.residual <= known
    x = descent.position(orbit.points)
    h = float(np.linalg.norm(descent.objective.hessian(x)[:, :, 0], 2))
    return bool(abs(descent.objective.gradient(x)).max() <= h * known)


def orbit_at(descent: DescentMap, points: Array) -> Orbit | None:
    """The orbit through these states (m, p) as they are; None on a kink."""
    try:
        jacobians = descent.jacobian(points)
    except ValueError:
        return None
    product = np.eye(descent.dimension)
    for i in range(points.shape[1]):
        product = jacobians[:, :, i] @ product
    symmetric = points.shape[1] == 1 and not descent.momentum
    values = (np.linalg.eigvalsh(product) if symmetric else np.linalg.eigvals(product)).astype(complex)
    residual = float(abs(descent(points) - np.roll(points, -1, axis=1)).max())
    return Orbit(points, values[np.argsort(-abs(values), kind="stable")], residual)


def _newton_step(descent: DescentMap, x: Array) -> Array:
    """dx with F'(x_i) dx_i - dx_{i+1} = x_{i+1} - F(x_i); for a fixed point Hess f dx = -grad f, which holds no s."""
    d, p = x.shape
    if p == 1:
        here = descent.position(x)
        h, g = descent.objective.hessian(here)[:, :, 0], descent.objective.gradient(here)
        step = np.linalg.lstsq(h, -g, rcond=1e-11)[0]
        return np.concatenate([step, here + step - x[len(here) :]]) if descent.momentum else step
    jacobians, wrong = descent.jacobian(x), np.roll(x, -1, axis=1) - descent(x)
    if p * d > MOST_TOGETHER:
        return _step_from_one_point(jacobians, wrong)
    system = np.zeros((p, d, p, d))
    for i in range(p):
        system[i, :, i, :] += jacobians[:, :, i]
        system[i, :, (i + 1) % p, :] -= np.eye(d)
    matrix, right = system.reshape(p * d, p * d), wrong.T.ravel()
    return np.linalg.lstsq(matrix, right, rcond=1e-11)[0].reshape(p, d).T


def _step_from_one_point(jacobians: Array, wrong: Array) -> Array:
    """The same step from dx_{i+1} = F'(x_i) dx_i - wrong_i and dx_{p+1} = dx_1: cheaper, and as good for orbits that
    attract."""
    d, p = wrong.shape
    product, shift = np.eye(d), np.zeros(d)
    for i in range(p):
        product, shift = jacobians[:, :, i] @ product, jacobians[:, :, i] @ shift - wrong[:, i]
    step = np.empty((d, p))
    step[:, 0] = np.linalg.lstsq(product - np.eye(d), -shift, rcond=1e-11)[0]
    for i in range(p - 1):
        step[:, i + 1] = jacobians[:, :, i] @ step[:, i] - wrong[:, i]
    return step


def _minimal_period(x: Array, same: float) -> int:
    p = x.shape[1]
    return next(q for q in range(1, p + 1) if p % q == 0 and abs(np.roll(x, -q, axis=1) - x).max() <= same)


def orbits(
    descent: DescentMap, period: int, box: ArrayLike, *, starts: int = 400, seed: int = 0
) -> tuple[Orbit, ...]:
    """The orbits of minimal period p that have a point in the box, repelling ones too, by their first coordinate.

    In one dimension from every change of sign of F^p(x) - x on a fine grid; else by Newton's method from `starts`
    points at random, which proves nothing about completeness.

    Parameters
    ----------
    box : (low, high) per axis of x
    """
    corners = np.asarray(box, dtype=float).reshape(-1, 2)
    if len(corners) != descent.objective.dimension or not (corners[:, 0] < corners[:, 1]).all():
        raise RequestError(f"the box must have one interval low < high for each of {descent.objective.dimension} axes")
    corners = descent.at_rest(corners)
    if descent.dimension == 1:
        guesses = _sign_changes(descent, period, corners[0])
    else:
        rng = np.random.default_rng(seed)
        guesses = rng.uniform(corners[:, :1], corners[:, 1:], (descent.dimension, starts))
    found: dict[tuple[float, ...], Orbit] = {}
    for guess in guesses.T:
        orbit = polish(descent, _images(descent, guess, period))
        if orbit is not None and orbit.period == period and _in_box(orbit.points, corners):
            inside = (orbit.points - corners[:, :1]) / np.diff(corners)
            first = inside[:, np.lexsort(np.round(inside, 8)[::-1])[0]]
            found.setdefault(tuple(np.round(first, 7) + 0.0), orbit)
    return tuple(found[key] for key in sorted(found))


def _images(descent: DescentMap, x: Array, period: int) -> Array:
    points = [x]
    for _ in range(period - 1):
        points.append(descent(points[-1]))
    return np.stack(points, axis=1)


def _in_box(points: Array, corners: Array) -> bool:
    slack = SAME * np.diff(corners)
    return bool(np.all((points >= corners[:, :1] - slack) & (points <= corners[:, 1:] + slack), axis=0).any())


def _sign_changes(descent: DescentMap, period: int, interval: Array) -> Array:
    """Points next to a zero of F^p(x) - x."""
    grid = np.linspace(interval[0], interval[1], INTERVALS + 1)
    with np.errstate(all="ignore"):
        offset = descent.iterate(grid[None], period)[0] - grid
        changes = np.flatnonzero((offset[:-1] * offset[1:] <= 0) & np.isfinite(offset[:-1] + offset[1:]))
        share = offset[changes] / (offset[changes] - offset[changes + 1])
    share = np.where(np.isfinite(share), share, 0.5)
    return (grid[changes] + share * (grid[1] - grid[0]))[None]


def hull(points: Array, tolerance: float = 1e-6) -> Array:
    """An orthonormal basis (d, l) of the directions in which points (d, n) differ, beside that in which they differ
    most; l = 0 for a single point, and for points that only rounding keeps apart."""
    centred = points - points.mean(axis=1, keepdims=True)
    u, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    known = ROUNDING * np.sqrt(points.shape[1]) * abs(points).max()
    return u[:, sizes > max(tolerance * float(sizes[0]), float(known))]


def state_hull(descent: DescentMap, states: Array) -> Array:
    """An orthonormal basis (m, l) of the states whose points differ as those of states (m, n) do: of pairs both."""
    along = hull(descent.position(states))
    return np.asarray(np.kron(np.eye(1 + bool(descent.momentum)), along), dtype=float)


def split_exponents(descent: DescentMap, points: Array, along: Array) -> tuple[Array, Array]:
    """Exponents of an orbit (d, p) inside and across the invariant subspace with basis `along` (d, m).

    The Jacobians leave the subspace invariant, so the blocks on the diagonal of their product in an adapted basis have
    them: tangential (m,) and transverse (d - m,), descending."""
    d, m = along.shape
    basis = np.linalg.qr(np.hstack([along, np.eye(d)]))[0]
    product = np.eye(d)
    for i in range(points.shape[1]):
        product = descent.jacobian(points[:, i]) @ product
    adapted = basis.T @ product @ basis
    with np.errstate(divide="ignore"):
        parts = [np.log(abs(np.linalg.eigvals(block))) for block in (adapted[:m, :m], adapted[m:, m:])]
    tangential, transverse = (-np.sort(-part) / points.shape[1] for part in parts)
    return tangential, transverse

"""The gap of a chain of more than three coordinates by matrix product states.

-L, conjugated, is -(s/2) Lap + |grad f|^2/(2s) - Lap f/2, whose ground state is e^{-f/s} with eigenvalue zero. On a
chain of polynomials it is a product of small tensors. Each coordinate has the n most likely states of its own density
matrix, with what the first slow modes of its marginal add; two choices of n and of the bond's dimension give the bar,
and what the zero came out as says whether they are enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal
from scipy.optimize import minimize

from witten import stopwatch
from witten.errors import ConvergenceError
from witten.linalg.matrix_products import State, lowest_state, polynomial_operator
from witten.objectives.neighbour_chain import NeighbourChain
from witten.objectives.objective import Objective
from witten.objectives.topography.length_scales import nonlinear_length
from witten.rates import RateRecord
from witten.spectra.spectrum import RESOLVED

__all__ = ["MATRIX_PRODUCTS", "gap_of_chain"]

Array = NDArray[np.float64]
MATRIX_PRODUCTS = "matrix products"
# (states of a coordinate, dimension of a bond) of two computations, nodes of a coordinate.
SIZES, NODES = ((12, 8), (16, 10)), 141
# What the zero may come out as, in units of the gap; rates below this part of the kinetic energy are rounding.
ZERO, FLOOR = 0.01, 1e-9
# The density of a coordinate ends where it is this part of its largest; nodes of a first look, growth of its interval.
TAIL, LOOK, GROWTH, GROWTHS = 1e-26, 301, 1.5, 120
# Descents that look for minima.
STARTS = 40
# What the position, each of the slow modes and the slope add to a density matrix.
POSITION, MODES, SLOPE = 0.1, (0.1, 0.05), 0.02
# Sweeps from the exact ground state, cut to its bonds.
FROM_EXACT = 2
# The bar is so many times the change between the two, and what the zero is off.
CHANGES = 2.0


def gap_of_chain(objective: Objective, chain: NeighbourChain, s: float) -> RateRecord:
    """lambda_s of a chain, at s with the noise in it.

    Raises
    ------
    ConvergenceError
        where the zero says that the states of each coordinate, or the bonds, are too few, or the rate is rounding.
    """
    began = stopwatch.seconds()
    centre, length = _intervals(objective, chain, s)
    scaled = chain.scaled(centre, length)
    sites = _Sites.of(scaled, length, s)
    first = sites.computed(*SIZES[0])
    last = sites.computed(*SIZES[1], first)
    rough, gap, zero = first.gap, last.gap, last.zero
    error = CHANGES * (abs(gap - rough) + last.change) + abs(zero)
    why = "use theory, or simulate with splitting"
    if not abs(zero) <= ZERO * gap:
        raise ConvergenceError(
            f"{objective.name} at s = {s:g}: by matrix products the zero comes out as {zero:.2g} beside a gap of "
            f"{gap:.2g}, so that {SIZES[-1][0]} states of a coordinate are not enough (stiff, or s too small); {why}"
        )
    if not error <= RESOLVED * gap:
        raise ConvergenceError(
            f"{objective.name} at s = {s:g}: matrix products of two sizes give {rough:.6g} and {gap:.6g}; {why}"
        )
    notes = (
        f"a chain of {chain.dimension} coordinates by matrix products: n, bond = {SIZES[0]} gave {rough:.6g}, "
        f"{SIZES[1]} {gap:.6g}; the zero came out as {zero:.1e}",
    )
    part = error / gap
    low, log, high = np.log1p(-part) + np.log(gap), np.log(gap), np.log1p(part) + np.log(gap)
    seconds = stopwatch.seconds() - began
    return RateRecord(
        s, float(log), float(low), float(high), True, MATRIX_PRODUCTS, last.numbers, seconds, (float(log),), notes=notes
    )


@dataclass(frozen=True)
class _Found:
    """A gap, what the zero came out as, what the last sweep changed, and the slow state in the states of each site."""

    gap: float
    zero: float
    change: float
    state: State

    @property
    def numbers(self) -> int:
        return sum(tensor.size for tensor in self.state)


@dataclass(frozen=True, eq=False)
class _Sites:
    """A chain on nodes y of each site: e^{-f/s} by its bonds, the states of each site, the most likely first, and its
    first slow mode."""

    chain: NeighbourChain
    length: Array
    s: float
    y: Array
    bonds: list[Array]
    states: list[Array]
    slow: list[Array]

    @classmethod
    def of(cls, chain: NeighbourChain, length: Array, s: float) -> _Sites:
        y = np.linspace(-1, 1, NODES)
        bonds = _bond_weights(chain, s, [y] * chain.dimension)
        densities = _densities(bonds)
        modes = [_slow_modes(np.diag(rho)) for rho in densities]
        states = [_states(rho, slow, y) for rho, slow in zip(densities, modes, strict=True)]
        return cls(chain, length, s, y, bonds, states, [each[0] for each in modes])

    def computed(self, states: int, bond: int, rough: _Found | None = None) -> _Found:
        """With so many states of each site, starting from a rougher result, or from e^{-f/s} times slow modes.

        Raises
        ------
        ConvergenceError
            where the gap is rounding.
        """
        bases = [u[:, :states] for u in self.states]
        second = _second_derivative(self.y.size, self.y[1] - self.y[0])
        kinetic = [u.T @ second @ u * self.s / (2 * a**2) for u, a in zip(bases, self.length, strict=True)]
        powers = self.chain.schroedinger(self.s, self.length)
        most = max(max(key) for key in powers)
        positions = [np.array([u.T @ (self.y[:, None] ** p * u) for p in range(most + 1)]) for u in bases]
        operator = polynomial_operator(powers, positions, kinetic)
        zero, _, ground = lowest_state(operator, _ground_state(self.bonds, bases, bond), bond, FROM_EXACT)
        start = self._start(ground, bases) if rough is None else _with_states(rough.state, states)
        gap, change, state = lowest_state(operator, start, bond, below=ground)
        least = FLOOR * float(np.mean([np.trace(k) / len(k) for k in kinetic]))
        if not gap - zero > least:
            raise ConvergenceError(
                f"the gap by matrix products, {gap - zero:.2g}, is below what rounding leaves, {least:.2g}; "
                "use theory, or simulate with splitting"
            )
        return _Found(gap - zero, zero, change, state)

    def _start(self, ground: State, bases: Sequence[Array]) -> State:
        """sum_i c_i mode_i e^{-f/s}, no two of the c the same, so that no symmetry shuts a mode out."""
        shares = np.random.default_rng(0).uniform(0.5, 1.5, len(bases))
        return _summed(
            ground, [c * u.T @ (mode[:, None] * u) for c, u, mode in zip(shares, bases, self.slow, strict=True)]
        )


def _with_states(state: State, states: int) -> State:
    """The same with room for more states of each site."""
    return tuple(np.pad(tensor, ((0, 0), (0, states - tensor.shape[1]), (0, 0))) for tensor in state)


def _intervals(objective: Objective, chain: NeighbourChain, s: float) -> tuple[Array, Array]:
    """Middles and half lengths, for each site, of where its marginal of e^{-2f/s} lives: around all minima that
    descents from far and near end in, and as far as it does not vanish."""
    minima = _minima(objective)
    curvature = max(float(np.linalg.norm(objective.hessian(x), 2)) for x in minima)
    ordered = np.array(minima)[:, chain.order]
    low, high = ordered.min(axis=0) - np.sqrt(s / curvature), ordered.max(axis=0) + np.sqrt(s / curvature)
    y = np.linspace(-1, 1, LOOK)
    for _ in range(GROWTHS):
        centre, half = (low + high) / 2, (high - low) / 2
        bonds = _bond_weights(chain, s, [c + a * y for c, a in zip(centre, half, strict=True)])
        found = np.array([np.diag(rho) for rho in _densities(bonds)])
        inside = found > TAIL * found.max(axis=1, keepdims=True)
        if not (inside[:, 0].any() or inside[:, -1].any()):
            first, last = inside.argmax(axis=1), LOOK - 1 - inside[:, ::-1].argmax(axis=1)
            begin, end = centre + half * y[first - 1], centre + half * y[last + 1]
            return (begin + end) / 2, (end - begin) / 2
        low = np.where(inside[:, 0], high - GROWTH * (high - low), low)
        high = np.where(inside[:, -1], low + GROWTH * (high - low), high)
    raise ConvergenceError(f"{objective.name}: e^(-2f/s) was not seen to vanish far out; use theory or simulate")


def _minima(objective: Objective) -> list[Array]:
    """Where descents from points at many distances end."""
    d, rng = objective.dimension, np.random.default_rng(0)
    middle = minimize(objective, np.zeros(d), jac=objective.gradient, method="BFGS").x
    length = nonlinear_length(objective, middle)
    if not np.isfinite(length):
        return [middle]
    starts = middle[:, None] + length * rng.normal(size=(d, STARTS)) * np.geomspace(0.5, 50, STARTS)
    found = [minimize(objective, x, jac=objective.gradient, method="BFGS").x for x in starts.T]
    return [middle, *(x for x in found if np.isfinite(x).all())]


def _bond_weights(chain: NeighbourChain, s: float, points: Sequence[Array]) -> list[Array]:
    """e^{-e_i/s} with e_i = b_i and half of a_i and a_{i+1}, whole at the ends of the chain, less its least: (n, n)."""
    values = [np.asarray(_values(chain.at(k), k, points)) for k in range(chain.dimension)]
    shares = [1.0, *[0.5] * (chain.dimension - 2), 1.0]
    out = []
    for k in range(chain.dimension - 1):
        one, other = shares[k] * values[k], shares[k + 1] * values[k + 1]
        energy = one[:, None] + other[None, :] + _values(chain.bond(k), k, points)
        out.append(np.exp(-(energy - energy.min()) / s))
    return out


def _values(terms: dict[tuple[int, int], float], k: int, points: Sequence[Array]) -> Array:
    """A polynomial in x_k, (n,), or in x_k and x_{k+1}, (n, n), by powers."""
    if all(q == 0 for _, q in terms):
        return np.asarray(sum(c * points[k] ** p for (p, _), c in terms.items()) + 0 * points[k])
    return np.asarray(sum(c * np.multiply.outer(points[k] ** p, points[k + 1] ** q) for (p, q), c in terms.items()))


def _densities(bonds: Sequence[Array]) -> list[Array]:
    """The density matrix of each site in the state e^{-f/s}, all others traced out: (n, n)."""
    ahead, behind = _traced(bonds), _traced([bond.T for bond in bonds[::-1]])[::-1]
    return [left * right for left, right in zip(ahead, behind, strict=True)]


def _traced(bonds: Sequence[Array]) -> list[Array]:
    """What the sites before each add to its density matrix."""
    found = [np.ones_like(bonds[0])]
    for bond in bonds:
        following = bond.T @ (np.diag(found[-1])[:, None] * bond)
        found.append(following / following.max())
    return found


def _slow_modes(density: Array) -> Array:
    """The first modes but the constant of the generator that has this density on equal nodes, (k, n)."""
    root = np.sqrt(np.maximum(density, TAIL**2 * density.max()))
    up = root[1:] / root[:-1]
    diagonal = np.append(up, 0.0) + np.append(0.0, 1 / up)
    modes = eigh_tridiagonal(diagonal, -np.ones(up.size), select="i", select_range=(1, len(MODES)))[1]
    turned = (modes / root[:, None]).T
    return np.asarray(turned * np.sign(turned @ (density * (np.arange(root.size) - root.size / 2)))[:, None])


def _states(density: Array, slow: Array, y: Array) -> Array:
    """States of a site, columns (n, n), the most likely first: of e^{-f/s}, and of what slow modes make of it."""
    middle = float(np.average(y, weights=np.diag(density)))
    slope = _first_derivative(y.size, y[1] - y[0])
    whole = density / np.trace(density)
    parts = [(POSITION, (y - middle)[:, None] * density * (y - middle)), (SLOPE, slope @ density @ slope.T)]
    parts += [(weight, mode[:, None] * density * mode) for weight, mode in zip(MODES, slow, strict=True)]
    for weight, part in parts:
        whole = whole + weight * part / np.trace(part)
    return np.asarray(np.linalg.eigh(whole)[1][:, ::-1])


def _differences(nodes: int) -> tuple[Array, Array]:
    """i - j, one where it is zero, and where that is."""
    off = np.subtract.outer(np.arange(nodes), np.arange(nodes))
    return np.where(off == 0, 1, off), off == 0


def _first_derivative(nodes: int, step: float) -> Array:
    """d/dy of sinc functions on equal nodes."""
    off, same = _differences(nodes)
    return np.asarray(np.where(same, 0.0, (-1.0) ** off / off) / step)


def _second_derivative(nodes: int, step: float) -> Array:
    """-d^2/dy^2 of sinc functions on equal nodes."""
    off, same = _differences(nodes)
    return np.asarray(np.where(same, np.pi**2 / 3, 2 * (-1.0) ** off / off**2) / step**2)


def _ground_state(bonds: Sequence[Array], bases: Sequence[Array], bond: int) -> State:
    """e^{-f/s} in the states of each coordinate, its bonds cut."""
    rest, out = np.eye(1), []
    for k, basis in enumerate(bases):
        ahead = bonds[k] if k < len(bonds) else np.ones((len(basis), 1))
        before = np.ones((1, len(basis))) if k == 0 else rest
        found = np.einsum("ry,yn,yz->rnz", before, basis, ahead, optimize=True)
        u, size, rest = np.linalg.svd(found.reshape(-1, found.shape[2]), full_matrices=False)
        kept = min(bond, size.size)
        rest = size[:kept, None] / size[0] * rest[:kept]
        out.append(u[:, :kept].reshape(len(before), -1, kept))
    return tuple(out)


def _summed(state: State, single: Sequence[Array]) -> State:
    """sum_i (single_i on site i) of a state."""
    out = []
    for tensor, operator in zip(state, single, strict=True):
        a, n, b = tensor.shape
        whole = np.zeros((2 * a, n, 2 * b))
        whole[:a, :, :b] = whole[a:, :, b:] = tensor
        whole[:a, :, b:] = np.einsum("pq,aqb->apb", operator, tensor)
        out.append(whole)
    a, b = len(state[0]), state[-1].shape[2]
    out[0], out[-1] = out[0][:a], out[-1][:, :, b:]
    return tuple(out)

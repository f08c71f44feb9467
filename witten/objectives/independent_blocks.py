"""f(c + A t) = f(c) + sum_b g_b(t_b): f in coordinates, turned if need be, that fall into blocks without a common term.

A symmetric X commutes with Hess f everywhere exactly if its eigenspaces are such blocks. A random combination of
Hessians commutes with all of these X, so that its eigenvectors lie in the blocks, and entries that a Hessian has
between two eigenvectors join them [Murota2010]. Blocks that are proposed in this way are believed where f is the
sum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse.csgraph import connected_components

from witten.objectives.callables import complete_unchecked
from witten.objectives.objective import CallableObjective, Objective
from witten.objectives.symbolic.grammar import variables

__all__ = ["Block", "independent_blocks", "remainder"]

Array = NDArray[np.float64]
# Hessians that are asked, and at how many units of length from the centre.
SAMPLES, NEAR, FAR = 12, 0.3, 3.0
# Dimensions up to which Hessians are asked.
MOST_TURNED = 100
# Entries of a Hessian that are rounding, beside its norm: tried one after the other.
ROUNDING = (1e-13, 1e-11, 1e-9, 1e-7)
# Points at which f is compared with the sum, their distances in units of length, how many must have finite values, and
# how well it has to agree, relative to its terms.
POINTS, INNER, OUTER, ENOUGH, AGREES = 640, 1e-2, 1e8, 128, 1e-9
# Distances at which the Hessian is compared with that at the centre, what rounding lets see of them beside |x|, and
# from what part of it on it is another one.
LENGTHS, KNOWN, CHANGED, DEGENERATE = 4.0 ** np.arange(-20, 40), 1e-8, 0.2, 1e-9
# The centre is rounded to this part of the unit of length: its digits then are few.
FINE = 2.0**-8
# Coefficients of a form that turning should have made zero, beside its length.
NOTHING = 1e-12


@dataclass(frozen=True, eq=False)
class Block:
    """One of the terms.

    Attributes
    ----------
    objective : g_b, a function of k coordinates t
    centre : c, shape (d,)
    axes : orthonormal columns A_b, shape (d, k)
    """

    objective: Objective
    centre: Array
    axes: Array


def remainder(objective: Objective, blocks: tuple[Block, ...], places: list[Array]) -> tuple[Array, Array]:
    """f(c + sum_b A_b t_b) - sum_b g_b(t_b), which is constant if the blocks are independent, and the sum of the
    magnitudes of all these terms, at points t_b (k_b, n) for each block: two arrays (n,)."""
    with np.errstate(all="ignore"):
        steps = sum(block.axes @ t for block, t in zip(blocks, places, strict=True))
        whole = np.asarray(objective(blocks[0].centre[:, None] + steps))
        parts = np.array([block.objective(t) for block, t in zip(blocks, places, strict=True)])
        return whole - parts.sum(axis=0), abs(whole) + abs(parts).sum(axis=0)


@lru_cache(maxsize=16)
def independent_blocks(objective: Objective, most: int = 3) -> tuple[Block, ...]:
    """The blocks of f, none of more than `most` coordinates; empty where there are no such blocks.

    Compared with the sum at 640 points around a minimum, at 0.01 to 10^8 units of length or as far as f is finite. Of a
    formula what joins blocks must be a polynomial, too, which points far away tell from zero; of a function the points
    are all that is known."""
    centre, unit = _place(objective)
    rng = np.random.default_rng(0)
    for groups in _proposed(objective, centre, unit, rng):
        if max(axes.shape[1] for axes in groups) > most or not _no_function_joins(objective, centre, groups):
            continue
        blocks = tuple(_block(objective, centre, axes, unit, f"block {i + 1} of {len(groups)} of {objective.name}")
                       for i, axes in enumerate(groups))  # fmt: skip
        if _is_sum(objective, blocks, unit, rng):
            return blocks
    return ()


def _place(objective: Objective) -> tuple[Array, float]:
    """Where a descent from the origin, or from the center of the search, ends, and the unit of length there."""
    start = np.zeros(objective.dimension)
    if isinstance(objective, CallableObjective) and objective.center is not None:
        start = np.array(objective.center)
    with np.errstate(all="ignore"):
        end = minimize(objective, start, jac=lambda x: _gradient(objective, x), method="BFGS").x
        flatter = np.linalg.norm(_gradient(objective, end)) < np.linalg.norm(_gradient(objective, start))
    centre = end if np.isfinite(end).all() and flatter else start
    length = float(2.0 ** np.round(np.log2(_length(objective, centre))))
    return np.round(centre / (FINE * length)) * FINE * length, length


def _length(objective: Objective, x: Array) -> float:
    """How far from x the Hessian becomes another one, within a factor of four; for a parabola any length."""
    here, largest = _hessian(objective, x), float(abs(x).max())
    for length in LENGTHS[KNOWN * largest < LENGTHS]:
        step = np.random.default_rng(0).normal(size=x.size)
        there = _hessian(objective, x + length * step / np.linalg.norm(step))
        before, after = np.linalg.norm(here), np.linalg.norm(there)
        # Where it vanishes at x any other is another one.
        if before > DEGENERATE * after and np.linalg.norm(there - here) > CHANGED * (before + after):
            return float(length)
    return largest or 1.0


def _proposed(objective: Objective, centre: Array, unit: float, rng: np.random.Generator) -> Iterator[list[Array]]:
    """Parted axes to try: the coordinates as the terms of a formula have them and as Hessians have them, then
    eigenvectors; the finest parts last."""
    d = objective.dimension
    if objective.formula is not None:
        yield _parted(np.eye(d), _in_one_term(objective))
    if d > MOST_TURNED:
        return
    x = centre[:, None] + unit * rng.normal(size=(d, SAMPLES)) * np.geomspace(NEAR, FAR, SAMPLES)
    hessians = np.array([_hessian(objective, point) for point in x.T])
    hessians = hessians[np.isfinite(hessians).all(axis=(1, 2))]
    sizes = np.linalg.norm(hessians, axis=(1, 2), keepdims=True)
    hessians = hessians / np.where(sizes > 0, sizes, 1.0)
    if not len(hessians):
        return
    mixed = np.linalg.eigh(np.einsum("n,nij->ij", rng.normal(size=len(hessians)), hessians))[1]
    for axes in (np.eye(d), mixed):
        coupling = abs(axes.T @ hessians @ axes).max(axis=0)
        for known in ROUNDING:
            yield _parted(axes, coupling > known)


def _parted(axes: Array, joined: NDArray[np.bool_]) -> list[Array]:
    """The columns, those together that are joined."""
    count, labels = connected_components(joined, directed=False)
    return [axes[:, labels == label] for label in range(count)]


def _in_one_term(objective: Objective) -> NDArray[np.bool_]:
    """Which coordinates stand together in a term of the formula."""
    joined = np.eye(objective.dimension, dtype=bool)
    for term in sp.Add.make_args(objective.formula):
        at = [objective.symbols.index(symbol) for symbol in term.free_symbols]
        joined[np.ix_(at, at)] = True
    return joined


def _gradient(objective: Objective, x: Array) -> Array:
    """grad f at a point: a formula of turned coordinates is long, and its derivatives as formulas much longer."""
    if objective.formula is None:
        return objective.gradient(x)
    return np.asarray(objective.along(x, np.eye(x.size), 1)[1])


def _hessian(objective: Objective, x: Array) -> Array:
    """Hess f at a point, of a formula from its curvatures along all e_i + e_j."""
    if objective.formula is None:
        with np.errstate(all="ignore"):
            return objective.piecewise_hessian(x)
    i, j = np.triu_indices(x.size)
    one = np.eye(x.size)
    bend = np.zeros((x.size, x.size))
    bend[i, j] = bend[j, i] = objective.along(x, one[:, i] + one[:, j], 2)[2]
    own = np.diag(bend) / 4
    return np.where(one > 0, 2 * own, bend - own[:, None] - own)


def _no_function_joins(objective: Objective, centre: Array, groups: list[Array]) -> bool:
    """Whether a formula joins blocks by polynomials at most: a narrow well is one that no sample of points sees."""
    if objective.formula is None:
        return True
    symbols = variables(objective.dimension)
    owner = dict(zip(symbols, np.repeat(np.arange(len(groups)), [axes.shape[1] for axes in groups]), strict=True))

    def apart(part: Any) -> bool:
        _, rest = part.as_coeff_Mul()
        if rest.is_Add:
            return all(map(apart, rest.args))
        return len({owner[symbol] for symbol in rest.free_symbols}) <= 1 or bool(rest.is_polynomial(*symbols))

    return apart(_Turned(objective.symbols, centre, np.hstack(groups), symbols)(objective.formula))


def _is_sum(objective: Objective, blocks: tuple[Block, ...], unit: float, rng: np.random.Generator) -> bool:
    """Whether the remainder is the same at points of many sizes, to rounding."""
    sizes = unit * np.geomspace(INNER, OUTER, POINTS)
    places = [rng.normal(size=(block.axes.shape[1], POINTS)) * sizes for block in blocks]
    rest, size = remainder(objective, blocks, places)
    origin, least = remainder(objective, blocks, [np.zeros((len(t), 1)) for t in places])
    known = np.isfinite(rest) & np.isfinite(size)
    agrees = abs(rest - origin) <= AGREES * (size + least)
    return bool(np.isfinite(origin).all() and known.sum() >= ENOUGH and agrees[known].all())


def _block(objective: Objective, centre: Array, axes: Array, unit: float, name: str) -> Block:
    symbols = variables(axes.shape[1])
    if isinstance(objective, CallableObjective):
        return Block(_restricted(objective, centre, axes, unit, name, symbols), centre, axes)
    turned = _Turned(objective.symbols, centre, axes, symbols)
    return Block(Objective(name, turned(objective.formula), symbols), centre, axes)


@dataclass(frozen=True)
class _Turned:
    """A formula in x as one in t, x = c + A t, with coefficients that are zero where rounding is all there is."""

    old: tuple[sp.Symbol, ...]
    centre: Array
    axes: Array
    new: tuple[sp.Symbol, ...]

    def __call__(self, part: Any) -> Any:
        if not part.free_symbols:
            return part
        if part.is_Add or part in self.old:
            return self._sum(sp.Add.make_args(part))
        return part.func(*map(self, part.args))

    def _sum(self, terms: tuple[Any, ...]) -> Any:
        """Terms that are linear are turned together: what cancels between them is rounding."""
        row, rest = np.zeros(len(self.old)), []
        for term in terms:
            coefficient, factor = term.as_independent(*self.old, as_Add=False)
            if factor in self.old:
                at = self.old.index(factor)
                row[at] += float(coefficient)
                rest.append(coefficient * sp.Rational(float(self.centre[at])))
            else:
                rest.append(self(term))
        along = np.where(abs(row @ self.axes) > NOTHING * np.linalg.norm(row), row @ self.axes, 0.0)
        form = [sp.Rational(float(a)) * t for a, t in zip(along, self.new, strict=True)]
        return sp.Add(*form, *rest)


def _restricted(
    f: CallableObjective, centre: Array, axes: Array, unit: float, name: str, symbols: tuple[sp.Symbol, ...]
) -> CallableObjective:
    """g(t) = f(c + A t), with those derivatives that were given."""

    def out(t: Array) -> Array:
        return np.asarray(centre[:, None] + axes @ t)

    functions = f.functions
    turned: tuple[Any, ...] = (
        lambda t: functions["value"](out(t)),
        lambda t: axes.T @ functions["gradient"](out(t)),
        lambda t: np.einsum("ia,ijn,jb->abn", axes, functions["hessian"](out(t)), axes),
    )
    given = tuple(None if own is None else new for own, new in zip(f.given, turned, strict=True))
    made = complete_unchecked(turned[0], given[1], given[2], unit)
    origin = (0.0,) * len(symbols)
    return CallableObjective(name, None, symbols, given=given, functions=made, center=origin, scale=unit)

"""Committors between two sets on one grid, and the reactive current that goes with them (transition path theory).

With the Gibbs measure mu, normalised, and L q = 0 outside A and B, q = 0 on A, q = 1 on B,

    cap(A, B) = (s/2) int |grad q|^2 dmu,   k_AB = cap / int (1 - q) dmu,   J = (s/2) mu grad q.

Edges are cut where they enter a set. Sources: [Bovier2004], [E2006]."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import logsumexp

from witten import stopwatch
from witten.display import Displayed, shortened
from witten.domains.grid import Grid
from witten.domains.sets import Predicate
from witten.errors import ConvergenceError, RequestError
from witten.number_format import with_log_error
from witten.objectives.objective import Objective
from witten.operators.differences.finite_differences import FiniteDifferences
from witten.operators.witten_laplacian import WittenLaplacian
from witten.spectra.committors.graph import absorbed, factorised
from witten.spectra.committors.grounded_laplacian import Grounded, GroundedNodes

__all__ = ["Committor", "committor_on"]

Array = NDArray[np.float64]
# Bisections of an edge that find where it enters a set, and the least part of it that stays outside.
BISECTIONS, SHORTEST = 50, 1e-9
# Committors that sum to something else than one by this much are noise.
WRONG = 1e-3


@dataclass(frozen=True, eq=False, repr=False)
class Committor(Displayed):
    """The committor from A to B on the nodes of a grid, and what follows from it.

    >>> found = witten.committor("double-well", 0.2, (-1.0,), (1.0,))
    >>> bool(np.allclose(found.q + found.complement, 1))
    True

    Attributes
    ----------
    learning_rate, noise : s and sigma; the measure is e^{-2f/(s sigma^2)}
    grid : the finest grid; its n nodes are those of all arrays
    label : 0 for nodes in A, 1 in B, -1 elsewhere, shape (n,)
    q, complement : q and 1 - q, each to its own relative accuracy, shape (n,)
    errors : of q and of 1 - q, absolute, shape (n,)
    log_capacity, log_rate, log_rate_back : natural logarithms of cap, k_AB and k_BA, extrapolated
    relative_errors : of these three, shape (3,)
    operator : the graph, its edges cut where they enter A or B
    objective, solver, seconds : as in a Spectrum
    """

    picture: ClassVar[str] = "plot_committor"

    learning_rate: float
    noise: float
    grid: Grid
    label: NDArray[np.int64]
    q: Array
    complement: Array
    errors: Array
    log_capacity: float
    log_rate: float
    log_rate_back: float
    relative_errors: Array
    operator: WittenLaplacian
    objective: str
    solver: str
    seconds: float

    @property
    def summary(self) -> str:
        """What a person wants to know, in a line."""
        errors = self.relative_errors[1:].tolist()
        there, back = map(with_log_error, (self.log_rate, self.log_rate_back), (0.0, 0.0), errors)
        return f"{shortened(self.objective)}, s = {self.learning_rate:g}: from A to B at rate {there}, back at {back}"

    @property
    def capacity(self) -> float:
        """cap(A, B), transitions per unit of time."""
        return float(np.exp(self.log_capacity))

    @property
    def rate(self) -> float:
        """k_AB."""
        return float(np.exp(self.log_rate))

    @property
    def mean_times(self) -> tuple[float, float]:
        """1/k_AB, the mean time from A (from its last exit distribution nu) to B, and 1/k_BA."""
        with np.errstate(over="ignore"):
            return float(np.exp(-self.log_rate)), float(np.exp(-self.log_rate_back))

    @cached_property
    def flows(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
        """(i, j, flow from i to j / cap) of all edges that carry some, j on the side of B; they sum to 1 over any cut
        between A and B."""
        a, log_psi0 = self.operator.matrix, self.operator.log_ground_state
        rows = np.repeat(np.arange(self.q.size), np.diff(a.indptr))
        upper = np.flatnonzero(a.indices > rows)
        i, j = rows[upper], a.indices[upper].astype(np.int64)
        near_a = np.minimum(self.q[i], self.q[j]) <= 0.5
        step = np.where(near_a, self.q[j] - self.q[i], self.complement[i] - self.complement[j])
        with np.errstate(divide="ignore"):
            log_flow = np.log(-a.data[upper]) + log_psi0[i] + log_psi0[j] - self._log_flux + np.log(abs(step))
        carries = step != 0
        flow = np.exp(np.minimum(log_flow[carries], 700.0))
        forward = step[carries] > 0
        i, j = i[carries], j[carries]
        return np.where(forward, i, j), np.where(forward, j, i), flow

    @cached_property
    def _log_flux(self) -> float:
        """The logarithm of the capacity of this very grid."""
        return _log_capacity(self.operator, self.label, self.q, self.complement)

    @cached_property
    def divergence(self) -> float:
        """The largest net flow out of a node outside A and B, as a part of the whole: rounding, which is large where
        paths dwell."""
        i, j, flow = self.flows
        n = self.q.size
        net = np.bincount(i, flow, n) - np.bincount(j, flow, n)
        return float(abs(net[self.label < 0]).max(initial=0.0))

    @cached_property
    def current(self) -> Array:
        """J / cap at the nodes, shape (d, n): its flux through any surface that parts A from B is 1."""
        i, j, flow = self.flows
        d, n, h = self.grid.dimension, self.q.size, self.grid.spacing
        step = self.grid.points[:, j] - self.grid.points[:, i]
        axis = abs(step / h[:, None]).argmax(axis=0)
        along = step[axis, np.arange(i.size)]
        sign = np.where(abs(along) > 1.5 * h[axis], -1.0, 1.0) * np.sign(along)  # over the ends of a circle
        out = np.zeros((d, n))
        for a in range(d):
            on = axis == a
            density = 0.5 * sign[on] * flow[on] * h[a] / np.prod(h)
            out[a] = np.bincount(i[on], density, n) + np.bincount(j[on], density, n)
        return out

    @cached_property
    def equilibrium_measure(self) -> Array:
        """nu, the distribution of where paths leave A for B last, on the nodes beside A, shape (n,); it sums to 1."""
        i, j, flow = self.flows
        leaves = self.label[i] == 0
        out = np.bincount(j[leaves], flow[leaves], self.q.size)
        return np.asarray(out / out.sum())


def committor_on(discretisation: FiniteDifferences, learning_rate: float, a: Predicate, b: Predicate) -> Committor:
    """The same on one grid as it is; errors are those of rounding alone.

    >>> from witten.spectra.committors.between_sets import committor_on
    >>> grid = witten.Grid(witten.Box((-2.0,), (2.0,)), (400,))
    >>> a, b = witten.Ball((-1.0,), 0.2), witten.Ball((1.0,), 0.2)
    >>> found = committor_on(witten.FiniteDifferences(witten.gallery.double_well(), grid), 0.1, a.holds, b.holds)
    >>> print(f"{found.rate:.4f}")
    0.0014

    Parameters
    ----------
    discretisation : FiniteDifferences(objective, grid)
    learning_rate : s > 0
    a, b : functions (d, n) -> bool (n,)
    """
    if not isinstance(discretisation, FiniteDifferences) or discretisation.grid.absorbing:
        raise RequestError("a committor lives on a grid whose faces reflect; give FiniteDifferences(objective, grid)")
    began = stopwatch.seconds()
    f, grid = discretisation.objective, discretisation.grid
    label = _labels(f, grid.points, (a, b))
    operator = _cut(discretisation.assemble(learning_rate), f, (a, b), label)
    grounded = Grounded(operator, _cores(operator, label))
    try:
        h, _, wrong = absorbed(grounded, factorised(grounded))
    except RuntimeError:  # a pivot is zero
        wrong = np.inf
    if not wrong < WRONG:
        raise ConvergenceError(
            f"{f.name} has a well outside A and B that is too deep at learning rate {learning_rate:g}: paths that "
            "enter it do not leave within the range of doubles; make it a part of a set, or take a larger learning rate"
        )
    complement, q = np.minimum(grounded.everywhere(h), 1.0).T
    log_flux = _log_capacity(operator, label, q, complement)
    log_mass = 2 * operator.log_ground_state
    with np.errstate(divide="ignore"):
        forth, back = (log_flux - float(logsumexp(log_mass + np.log(part))) for part in (complement, q))
    return Committor(
        learning_rate=float(learning_rate),
        noise=1.0,
        grid=grid,
        label=label,
        q=q,
        complement=complement,
        errors=wrong * np.minimum(q, complement),
        log_capacity=log_flux,
        log_rate=forth,
        log_rate_back=back,
        relative_errors=np.full(3, wrong),
        operator=operator,
        objective=f.name,
        solver="fd committor",
        seconds=stopwatch.seconds() - began,
    )


def _labels(f: Objective, points: Array, sets: tuple[Predicate, Predicate]) -> NDArray[np.int64]:
    """0 in A, 1 in B, -1 elsewhere, shape (n,)."""
    inside = [np.asarray(holds(points), dtype=bool) for holds in sets]
    if (inside[0] & inside[1]).any():
        at = points[:, int((inside[0] & inside[1]).argmax())]
        raise RequestError(f"the two sets meet, at {np.round(at, 6).tolist()}; give sets apart from each other")
    for name, nodes in zip("AB", inside, strict=True):
        if not nodes.any():
            raise RequestError(
                f"no node of the grid for {f.name} lies in the set {name}: it is too small, or lies where f is too "
                "high to matter; give a larger set, or a box that holds it"
            )
    return np.where(inside[0], 0, np.where(inside[1], 1, -1))


def _cores(operator: WittenLaplacian, label: NDArray[np.int64]) -> GroundedNodes:
    """The sets as cores, in units of the largest conductance that leads into each."""
    a, log_psi0 = operator.matrix, operator.log_ground_state
    nodes = np.flatnonzero(label >= 0)
    nodes = nodes[np.argsort(label[nodes], kind="stable")]
    rows = np.repeat(np.arange(label.size), np.diff(a.indptr))
    into = (label[rows] >= 0) & (label[a.indices] < 0)
    if ((label[rows] == 0) & (label[a.indices] == 1)).any():
        raise RequestError("the two sets are neighbours on the grid; give sets apart from each other")
    mean = 0.5 * (log_psi0[rows[into]] + log_psi0[a.indices[into]] + np.log(-a.data[into]))
    log_scale = np.array([mean[label[rows[into]] == core].max() for core in (0, 1)])
    return GroundedNodes(nodes, label[nodes], log_scale, np.inf)


def _cut(
    operator: WittenLaplacian, f: Objective, sets: tuple[Predicate, Predicate], label: NDArray[np.int64]
) -> WittenLaplacian:
    """The graph with edges into a set that end where they enter it: conductances larger by 1/t for a part t of an edge
    outside, with f at the middle of that part [Gibou2002]."""
    a, n = operator.matrix, label.size
    rows, columns = np.repeat(np.arange(n), np.diff(a.indptr)), a.indices.astype(np.int64)
    cut = np.flatnonzero((label[rows] < 0) & (label[columns] >= 0))
    i, j = rows[cut], columns[cut]
    points, h, width = operator.grid.points, operator.grid.spacing[:, None], operator.grid.box.widths[:, None]
    step = points[:, j] - points[:, i]
    step -= np.where(abs(step) > 1.5 * h, np.sign(step) * width, 0.0)  # over the ends of a circle
    out, inside = np.zeros(cut.size), np.ones(cut.size)
    for _ in range(BISECTIONS):
        middle = 0.5 * (out + inside)
        x = f.wrapped(points[:, i] + middle * step)
        entered = np.where(label[j] == 0, sets[0](x), sets[1](x))
        out, inside = np.where(entered, out, middle), np.where(entered, middle, inside)
    t = np.maximum(inside, SHORTEST)
    middle, middle_outside = (f(f.wrapped(points[:, i] + 0.5 * part * step)) for part in (1.0, t))
    factor = np.exp(2 * (middle - middle_outside) / operator.learning_rate) / t
    data = a.data.copy()
    data[cut] *= factor
    keys = rows * n + columns
    data[np.searchsorted(keys, j * n + i)] = data[cut]
    changed = np.unique(i)
    of = np.flatnonzero(np.isin(rows, changed) & (rows != columns))
    ratios = np.exp(operator.log_ground_state[columns[of]] - operator.log_ground_state[rows[of]])
    diagonal = np.bincount(rows[of], -data[of] * ratios, n)
    data[np.searchsorted(keys, changed * n + changed)] = diagonal[changed]
    return replace(operator, matrix=csr_array((data, a.indices, a.indptr), shape=a.shape))


def _log_capacity(operator: WittenLaplacian, label: NDArray[np.int64], q: Array, complement: Array) -> float:
    """log of the flow out of A, or into B, whichever set lies higher; where q is too small for doubles there, of the
    flow over q = 1/2: it is the same."""
    a, log_psi0 = operator.matrix, operator.log_ground_state
    rows, columns = np.repeat(np.arange(label.size), np.diff(a.indptr)), a.indices

    def flow(over: NDArray[np.bool_], value: Array) -> tuple[float, float]:
        """Of all edges, by what `value` is higher at their end, and of the largest conductance among them."""
        edges = np.flatnonzero(over)
        i, j = rows[edges], columns[edges]
        with np.errstate(divide="ignore"):
            logs = np.log(-a.data[edges]) + log_psi0[i] + log_psi0[j]
            return float(logsumexp(logs + np.log(value[j] - value[i]))), float(logs.max())

    outside = label[columns] < 0
    sets = flow((label[rows] == 0) & outside, q), flow((label[rows] == 1) & outside, complement)
    found = min(sets, key=lambda pair: pair[1])[0]
    return found if np.isfinite(found) else flow((q[rows] < 0.5) & (q[columns] >= 0.5), q)[0]

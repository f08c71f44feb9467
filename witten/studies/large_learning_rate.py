"""Wang, Chen, Zhao, Tao: Large Learning Rate Tames Homogeneity [Wang2022].

Gradient descent on ||A - X Y^T||^2/2 converges for steps well beyond 2/L, L the sharpness where it starts, up to about
4/L, and where it then ends the factors are balanced."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from witten.descent import thresholds
from witten.descent.attractors.attractor import FIXED, PERIODIC, SLOW, fate
from witten.descent.attractors.cycle_detection import settle
from witten.descent.basins import basins
from witten.descent.bifurcation import bifurcation_diagram
from witten.descent.gradient_map import DescentMap
from witten.objectives.losses.factorisation import MatrixFactorisation, balanced_line, scalar_factorisation
from witten.objectives.losses.matrix_loss import joined
from witten.studies.study import Check, Illustration, Study, above, at_most, close, holds, same

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["run"]

Array = NDArray[np.float64]
# |x_0|, |y_0| of the experiment, and its steps in units of h_0 = 4/(|x_0|^2 + |y_0|^2 + 8).
NORMS, SEVENTHS = ((9.0, 1.0), (19.0, 1.0), (99.0, 1.0)), np.array([2, 3, 4, 5, 6, 7]) / 7


def run(*, quick: bool = False) -> Study:
    """Every claim of the paper; with `quick` on fewer starts."""
    runs = [_experiment(mu, norms, 2 if quick else 20) for mu in (1.0, 2.0) for norms in NORMS]
    edge = _from_an_unbalanced_minimum(24 if quick else 120)
    checks = (*_identities(), *_stability(100 if quick else 1000), *_steps(100 if quick else 1000), *_line(),
              *_beyond(50 if quick else 500), *_balancing(runs, edge), *_matrices(4 if quick else 30))  # fmt: skip
    figures = (
        Illustration("norms", "Norms of the factors in the limit, 5 + 5 dimensions: the larger the step, the closer.",
                     partial(_draw_norms, runs)),
        Illustration("beyond-2-over-L", "From next to an unbalanced minimum of sharpness L: up to 2/L descent stays, "
                     "then it moves to where S is at most 2/s, and at 4/L it diverges.", partial(_draw_edge, edge)),
        Illustration("line", "What descent does on x = y: cycles, chaos, escape.", _draw_line),
        Illustration("basins", "Which starts converge for (1 - xy)^2/2 at s = 0.9, darker where it takes longer.",
                     _draw_basins),
    )  # fmt: skip
    title = "Wang, Chen, Zhao, Tao: Large Learning Rate Tames Homogeneity"
    return Study("large-learning-rate", title, checks, figures)


# --------------------------------------------------------------------------------------------------- identities
def _identities() -> list[Check]:
    rng = np.random.default_rng(0)
    mu, s = 1.3, 0.37
    x, y = rng.normal(size=(2, 500))
    after = DescentMap(scalar_factorisation(mu), s)(np.array([x, y]))
    r, p, size = mu - x * y, x * y, x**2 + y**2
    a, b = after
    model = MatrixFactorisation(rng.normal(size=(4, 3)), 2)
    w = rng.normal(size=model.dimension)
    left, right = model.factors(w)
    residual = model.target - left @ right.T
    gain = right.T @ residual.T @ residual @ right - left.T @ residual @ residual.T @ left
    moved = w - s * model.gradient(w[:, None])[:, 0]
    pairs = {
        "(x + y)' = (1 + s r)(x + y), r = mu - xy": (a + b, (1 + s * r) * (x + y)),
        "(x - y)' = (1 - s r)(x - y)": (a - b, (1 - s * r) * (x - y)),
        "(x^2 - y^2)' = (1 - s^2 r^2)(x^2 - y^2)": (a**2 - b**2, (1 - s**2 * r**2) * (x**2 - y**2)),
        "(p - mu)' = (1 - s S + s^2 p (p - mu))(p - mu), p = xy, S = x^2 + y^2": (
            a * b - mu, (1 - s * size + s**2 * p * (p - mu)) * (p - mu)),
        "matrices: (X^T X - Y^T Y)' = X^T X - Y^T Y + s^2 (Y^T R^T R Y - X^T R R^T X)": (
            model.imbalance(moved), model.imbalance(w) + s**2 * gain),
    }  # fmt: skip
    return [
        at_most(f"{what}: largest error", 1e-11, float(abs(u - v).max() / abs(v).max()))
        for what, (u, v) in pairs.items()
    ]


# ---------------------------------------------------------------------------------------------------- stability
def _stability(count: int) -> list[Check]:
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(20):
        left, right = rng.normal(size=(4, 2)), rng.normal(size=(3, 2))
        model, w = MatrixFactorisation(left @ right.T, 2), joined([left, right])
        ratios.append(abs(model.sharpness_at_fit(w) / model.sharpness(w) - 1))
    mu, direction = 1.5, np.array([0.6, 0.0, -0.8])
    rank_one = MatrixFactorisation(mu * np.eye(3), 1)
    errors = []
    for scale in (1.0, 1.7, 3.0):
        x, y = math.sqrt(mu) * scale * direction, math.sqrt(mu) / scale * direction
        expected = float(np.sum((x - y) ** 2)) + 2 * mu
        errors.append(abs(rank_one.sharpness(np.concatenate([x, y])) / expected - 1))
    checks = [
        at_most("sharpness at a fit is sigma_1(X)^2 + sigma_1(Y)^2, 20 random pairs: error", 1e-10, max(ratios)),
        at_most("rank one, A = mu I: sharpness is |x - y|^2 + 2 mu, so that |x - y|^2 <= 2/s - 2 mu: error", 1e-10,
                max(errors)),
    ]  # fmt: skip
    for factor in (0.97, 1.03):
        model = MatrixFactorisation(np.diag([2.0, 1.0]), 2)
        starts = rng.normal(size=(model.dimension, count))
        done = settle(DescentMap(model.objective(), factor / 2.0), starts, 4000, tolerance=1e-9)
        share = float(np.count_nonzero((done.period == 1) & (model.value(done.x) < 1e-8)) / count)
        what = f"A = diag(2, 1), s = {factor:g}/sigma_1(A): share of random starts that fit"
        checks.append(above(what, 0.02, share) if factor < 1 else same(what, 0.0, share))
    return checks


# -------------------------------------------------------------------------------------------------------- steps
def _steps(count: int) -> list[Check]:
    """The sufficient step size, and the exact one."""
    rng = np.random.default_rng(0)
    checks = []
    for mu in (0.5, 1.0):
        f = scalar_factorisation(mu)
        starts = rng.normal(size=(2, count)) * rng.uniform(0.5, 4.0, count)
        converged = [
            fate(f, 4 / (x**2 + y**2 + 4 * mu), [x, y], steps=20_000).kind in (FIXED, SLOW) for x, y in starts.T
        ]
        share = float(np.mean(converged))
        checks.append(same(f"mu = {mu:g}, s = 4/(|x_0|^2 + |y_0|^2 + 4 mu): share of starts that converge", 1.0, share))
    for mu, x, y in ((1.0, 3.0, 0.7), (1.0, 5.0, -0.4), (0.5, 2.0, 2.5), (1.0, 0.3, 0.2)):
        found = thresholds.measure("scalar-factorisation", mu=mu, x=x, y=y)
        expected = thresholds.predict("scalar-factorisation", mu=mu, x=x, y=y)
        what = f"mu = {mu:g}, from ({x:g}, {y:g}): critical step size min{{1/mu, 8/(S + sqrt(S^2 - 16 mu (p - mu)))}}"
        checks.append(close(what, expected, found, relative=1e-3))
    sufficient, exact = [], []
    for x, y in rng.normal(scale=2.0, size=(1000, 2)):
        sufficient.append(4 / (x**2 + y**2 + 4))
        exact.append(thresholds.predict("scalar-factorisation", mu=1.0, x=x, y=y))
    worst = float(np.max(np.array(sufficient) / np.array(exact)))
    checks.append(at_most("sufficient over exact critical step size, 1000 starts", 1.0 + 1e-12, worst))
    return checks


# ---------------------------------------------------------------------------------------------- the balanced line
def _line() -> list[Check]:
    checks = []
    for name in ("catapult", "flip", "superstable", "period-four", "chaos", "merging", "escape", "full-chaos",
                 "three-cycles"):  # fmt: skip
        entry = thresholds.THRESHOLDS[name]
        checks.append(close(entry.formula, entry.predict(), entry.measure(), relative=entry.tolerance))
    for a in (1.05, 1.15, 1.22):
        cycle = np.sort(fate(balanced_line(), a, [0.9]).x[0])
        expected = 0.5 * (math.sqrt(1 + 3 / a) + np.array([-1, 1]) * math.sqrt(1 - 1 / a))
        what = f"a = {a:g}: distance of the 2-cycle from (sqrt(1 + 3/a) -+ sqrt(1 - 1/a))/2"
        checks.append(at_most(what, 1e-9, float(abs(cycle - expected).max())))
        measured = thresholds.measure("transverse", a=a)
        checks.append(close(f"a = {a:g}: its multiplier across x = y, 3 - 2a", 3 - 2 * a, measured, absolute=1e-9))
    return checks


def _beyond(count: int) -> list[Check]:
    """Beyond 1/mu: no minimum is stable, and the limit is perfectly balanced."""
    f, checks = scalar_factorisation(1.0), []
    starts = np.random.default_rng(0).uniform(0.2, 1.5, (2, count))
    for s in (1.05, 1.2, 1.4, 1.9):
        ends = DescentMap(f, s).iterate(starts, 20_000)
        bounded = np.isfinite(ends).all(axis=0)
        gap = float(abs(abs(ends[0, bounded]) - abs(ends[1, bounded])).max())
        share = bounded.mean()
        what = f"s = {s:g}/mu: largest | |x| - |y| | in the end, over the {share:.0%} of starts that stay bounded"
        checks.append(at_most(what, 1e-8, gap))
    checks.append(same("s = 1.05/mu: what descent does there", PERIODIC, fate(f, 1.05, [0.7, 1.1]).kind))
    return checks


# ---------------------------------------------------------------------------------------------------- balancing
@dataclass(frozen=True, eq=False)
class Limits:
    """Where runs of f = (mu - x . y)^2/2 in 5 + 5 dimensions end.

    steps : h, shape (6,)
    norms : |x| and |y| in the limit, shape (2, 6, directions); nan where a run does not converge
    distances : |x - y|^2 there, shape (6, directions)
    """

    mu: float
    start: tuple[float, float]
    steps: Array
    norms: Array
    distances: Array


def _experiment(mu: float, start: tuple[float, float], directions: int) -> Limits:
    rng = np.random.default_rng(7)
    f = _five(mu)
    x, y = (
        norm * v / np.linalg.norm(v, axis=0) for norm, v in zip(start, rng.normal(size=(2, 5, directions)), strict=True)
    )
    steps = 4 / (start[0] ** 2 + start[1] ** 2 + 8) * SEVENTHS
    norms, distances = np.full((2, 6, directions), np.nan), np.full((6, directions), np.nan)
    for i, h in enumerate(steps.tolist()):
        done = settle(DescentMap(f, h), np.vstack([x, y]), 1_000_000, tolerance=1e-13)
        good = (done.period == 1) & (f(done.x) < 1e-12)
        for j, factor in enumerate((done.x[:5], done.x[5:])):
            norms[j, i, good] = np.linalg.norm(factor, axis=0)[good]
        distances[i, good] = np.sum((done.x[:5] - done.x[5:]) ** 2, axis=0)[good]
    return Limits(mu, start, steps, norms, distances)


_five = cache(partial(scalar_factorisation, dim=5))


def _balancing(runs: list[Limits], edge: tuple[float, Array, Array]) -> list[Check]:
    checks = []
    for each in runs:
        case = f"mu = {each.mu:g}, norms {each.start[0]:g} and {each.start[1]:g}"
        checks.append(holds(f"{case}: all runs converge at all six steps", bool(np.isfinite(each.norms).all())))
        excess = each.distances / (2 / each.steps[:, None] - 2 * each.mu)
        checks.append(at_most(f"{case}: |x - y|^2 over 2/h - 2 mu in the limit", 1 + 1e-9, float(np.nanmax(excess))))
        gaps = abs(each.norms[0] - each.norms[1])
        checks.append(at_most(f"{case}: mean | |x| - |y| | at the largest step over that at the smallest", 0.95,
                              float(gaps[-1].mean() / gaps[0].mean())))  # fmt: skip
    sharpness, s_l, ends = edge
    settled = np.isfinite(ends)
    slow = (s_l < 2) & settled
    kept = float(abs(ends[slow] / sharpness - 1).max())
    moved = settled & (s_l > 2.02)
    critical = thresholds.measure("scalar-factorisation", mu=1.0, x=20.0, y=0.0503)
    return [
        *checks,
        at_most("from next to an unbalanced minimum, sL < 2: change of S, relative", 1e-2, kept),
        at_most("2 < sL < 4: s S in the limit", 2.0 + 1e-9, float((s_l[moved] / sharpness * ends[moved]).max())),
        at_most("2 < sL < 4: S in the limit over L, so that factors are balanced", 0.999,
                float((ends[moved] / sharpness).max())),
        same("2 < sL < 3.95: share of runs that converge", 1.0,
             float(settled[(s_l > 2.02) & (s_l < 3.95)].mean())),
        same("sL > 4.05: share of runs that converge", 0.0, float(settled[s_l > 4.05].mean())),
        close("critical step size from there, in units of 1/L: about 4", 4.0, critical * (20.0**2 + 0.0503**2),
              relative=5e-3),
    ]  # fmt: skip


def _from_an_unbalanced_minimum(count: int) -> tuple[float, Array, Array]:
    """L, sL, and S = x^2 + y^2 in the limit (nan where there is none), from next to the minimum (20, 1/20)."""
    f, start = scalar_factorisation(1.0), np.array([20.0, 0.0503])
    sharpness = 20.0**2 + 0.05**2
    s_l = np.linspace(1.5, 4.3, count)
    ends = np.full(count, np.nan)
    for i, value in enumerate(s_l.tolist()):
        found = fate(f, value / sharpness, start, steps=200_000)
        if found.kind in (FIXED, SLOW) and float(f(found.x[:, 0])) < 1e-6:
            ends[i] = float(np.sum(found.x[:, 0] ** 2))
    return sharpness, s_l, ends


# ------------------------------------------------------------------------------------------------------ matrices
def _matrices(count: int) -> list[Check]:
    rng = np.random.default_rng(3)
    ratios, products, fits = [], [], 0
    for _ in range(count):
        # Singular values of one size, or convergence takes very long.
        u, v, frame = (np.linalg.qr(rng.normal(size=(n, 2)))[0] for n in (4, 3, 4))
        model = MatrixFactorisation(u * rng.uniform(2.0, 4.0, 2) @ v.T, 2)
        w = joined([frame * rng.uniform(4.0, 6.0, 2), 0.3 * rng.normal(size=(3, 2))])
        sharpness = model.sharpness(w)
        ends = [
            settle(DescentMap(model.objective(), factor / sharpness), w[:, None], 5000, tolerance=1e-10).x[:, 0]
            for factor in (1.0, 3.0)
        ]
        losses = [float(model.value(end[:, None])[0]) for end in ends]
        fits += losses[1] < 1e-8
        products.append(model.sharpness_at_fit(ends[1]) * 3.0 / sharpness)
        gaps = [float(np.linalg.norm(model.imbalance(end))) for end in ends]
        ratios.append(gaps[1] / gaps[0])
    return [
        same("4 x 3 matrices of rank 2, s = 3/L: share of starts that fit", 1.0, fits / count),
        at_most("s (sigma_1(X)^2 + sigma_1(Y)^2) in the limit", 2.0 + 1e-6, max(products)),
        at_most("|X^T X - Y^T Y| in the limit, s = 3/L over s = 1/L", 0.95, max(ratios)),
    ]


# -------------------------------------------------------------------------------------------------------- figures
def _draw_norms(runs: list[Limits]) -> Figure:
    from witten.plots.style import BLUE, VERMILION, finished, new_figure

    figure, panels = new_figure(2, 3, (12.0, 7.0))
    for axes, each in zip(panels, runs, strict=True):
        for j, (name, colour) in enumerate((("x", BLUE), ("y", VERMILION))):
            for k in range(each.norms.shape[2]):
                label = f"$|{name}|$" if k == 0 else None
                axes.plot(SEVENTHS, each.norms[j, :, k], "o-", color=colour, markersize=3, linewidth=0.7, label=label)
        axes.set_title(f"$\\mu = {each.mu:g}$, from norms {each.start[0]:g}, {each.start[1]:g}", fontsize=10)
        axes.set_xlabel("$h/h_0$")
        axes.set_ylabel("norm in the limit")
        axes.legend(frameon=False, fontsize=8)
        axes.grid(True, color="0.92", linewidth=0.6)
    return finished(figure, None)


def _draw_edge(edge: tuple[float, Array, Array]) -> Figure:
    from witten.plots.style import BLUE, GREY, VERMILION, finished, new_figure

    sharpness, s_l, ends = edge
    figure, panels = new_figure(1, 1, (6.6, 4.6))
    panels[0].plot(s_l, ends / sharpness, "o", color=BLUE, markersize=4, label=r"$S_\infty/L$")
    beyond = np.linspace(2, 4, 100)
    panels[0].plot(beyond, 2 / beyond, color=VERMILION, label=r"$2/(sL)$, the largest that is stable")
    for where in (2, 4):
        panels[0].axvline(where, color=GREY, linewidth=0.8, linestyle="--")
    panels[0].set_xlabel("$sL$")
    panels[0].set_ylabel("$S = x^2 + y^2$ in the limit, over $L$")
    panels[0].set_ylim(0, 1.1)
    panels[0].legend(frameon=False, fontsize=9)
    return finished(figure, None)


def _draw_line() -> Figure:
    from witten.plots import plot_bifurcation

    diagram = bifurcation_diagram(balanced_line(), np.linspace(0.7, 2.0, 1000), [[0.3, -0.3]])
    names = {"flip": "flip", "period-four": "period 4", "chaos": "chaos", "merging": "merging"}
    return plot_bifurcation(diagram, marks={text: thresholds.predict(name) for name, text in names.items()})


def _draw_basins() -> Figure:
    from witten.plots import plot_basins

    return plot_basins(basins(scalar_factorisation(1.0), 0.9, ((-4, 4), (-4, 4)), (800, 800), tolerance=1e-7))

"""Later results on gradient descent with large steps: the edge of stability, fractal borders of convergence, chaos on
rough objectives, and what decides the stability of SGD.

[Cohen2021] (edge of stability); [Zhu2023] (a minimal example of it); [Liang2025] (fractal convergence region);
[Kong2020] (multiscale objectives); [Chemnitz2024] (Lyapunov exponents of SGD)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from witten.descent import thresholds
from witten.descent.attractors.attractor import CHAOTIC, FIXED, fate
from witten.descent.basins import Basins, Dimension, basins, box_counting
from witten.descent.lyapunov import random_product
from witten.objectives.losses.factorisation import deep_scalar, scalar_factorisation
from witten.objectives.losses.networks import LeastSquares, TwoLayer
from witten.studies.study import Check, Illustration, Study, above, at_most, close, same

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["run"]

Array = NDArray[np.float64]
# Inputs and neurons of the network at the edge of stability.
SAMPLES, HIDDEN = 12, 20
# Curvatures of two samples: SGD stays where gradient descent does not, and the other way round.
MILD, UNEVEN = (0.5, 1.5), (0.1, 3.9)


def run(*, quick: bool = False) -> Study:
    """The results one after the other; with `quick` on coarser grids and fewer seeds."""
    runs = [(seed, s, _train(seed, s, 8000)) for seed in range(2 if quick else 10) for s in (0.02, 0.3)]
    picture = _picture(0.2, 1.0, 1024 if quick else 4096)
    found = box_counting(picture.labels()[0], smallest=4 if quick else 16)
    checks = (*_edge(runs), *_minimal(), *_fractal(found, quick), *_rough(), *_random(100 if quick else 1000))
    figures = (
        Illustration("edge", "Sharpness of a tanh network along gradient descent: it rises to 2/s and stays there.",
                     partial(_draw_edge, runs)),
        Illustration("fractal", "Where descent on (0.5 - xy)^2/2 + (x^2 + y^2)/10 goes at s = 1: the border between "
                     "the two minima and divergence is fractal.", partial(_draw_fractal, picture)),
        Illustration("boxes", "Boxes that the border meets, by their size.", partial(_draw_boxes, found)),
    )  # fmt: skip
    return Study("later-results", "Later results on large step sizes", checks, figures)


# ---------------------------------------------------------------------------------------------- edge of stability
def _train(seed: int, s: float, steps: int, every: int = 20) -> Array:
    """Step, loss and sharpness along gradient descent on 4 x^3 - 3 x; the small step follows the gradient flow."""
    rng = np.random.default_rng(seed)
    x = np.linspace(-1.0, 1.0, SAMPLES)
    model = TwoLayer(np.vstack([x, np.ones(SAMPLES)]), (4 * x**3 - 3 * x)[None], np.zeros(HIDDEN), "tanh",
                     scale=0.5 / SAMPLES)  # fmt: skip
    w = 0.8 * rng.normal(size=(model.dimension, 1))  # not so large that the sharpness starts above 2/s
    w[2 * HIDDEN :] /= np.sqrt(HIDDEN)
    rows = []
    for k in range(steps):
        if k % every == 0:
            rows.append((k, float(model.value(w)[0]), model.sharpness(w[:, 0])))
        w = w - s * model.gradient(w)
    return np.array(rows)


def _edge(runs: Sequence[tuple[int, float, Array]]) -> list[Check]:
    checks = []
    large = [rows for _, s, rows in runs if s == 0.3]
    starts = max(float(rows[0, 2]) for rows in large)
    checks.append(at_most("tanh network, s = 0.3: s/2 times the sharpness at the start, largest of the seeds", 1.0,
                          0.15 * starts))  # fmt: skip
    for seed, s, rows in runs:
        if s == 0.3:
            late = rows[len(rows) // 2 :, 2]
            checks.append(close(f"seed {seed}: s/2 times the mean sharpness in the second half", 1.0,
                                0.15 * float(late.mean()), absolute=0.02))  # fmt: skip
            falls = float(rows[-1, 1] / rows[len(rows) // 2, 1])
            checks.append(at_most(f"seed {seed}: loss at the end over that in the middle: it falls", 1.0, falls))
    free = max(float(rows[-1, 2]) for _, s, rows in runs if s == 0.02)
    checks.append(above("s = 0.02, where nothing stops it: largest sharpness at the end of all seeds", 2 / 0.3, free))
    growing = [float(np.diff(rows[:, 1]).max()) > 0 for _, s, rows in runs if s == 0.3]
    checks.append(same("s = 0.3: share of seeds whose loss rises now and then", 1.0, float(np.mean(growing))))
    return checks


def _minimal() -> list[Check]:
    """f = (1 - xyzw)^2/2 with z = x, w = y: the sharpness ends at 2/s - s/2 to leading order."""
    f, checks = deep_scalar(1.0, depth=4), []
    for s, tolerance in ((0.02, 0.02), (0.05, 0.04), (0.1, 0.12)):
        deficits = []
        for excess in (1.15, 1.5):
            half = excess / s  # x^2 + y^2 where xy = 1, so that the sharpness is excess times 2/s
            x = np.sqrt((half + np.sqrt(half**2 - 4)) / 2)
            found = fate(f, s, [x, 1.001 / x, x, 1.001 / x], steps=400_000)
            deficits.append((2 / s - found.sharpness) / (s / 2))
        worst = max(deficits, key=lambda value: abs(value - 1))
        what = f"(1 - xyzw)^2/2, z = x, w = y, s = {s:g}: (2/s - sharpness in the limit)/(s/2)"
        checks.append(close(what, 1.0, worst, absolute=tolerance))
    return checks


# ------------------------------------------------------------------------------------------------ fractal borders
def _picture(ridge: float, s: float, cells: int) -> Basins:
    """The square is off centre, so that no cell lies on the lines of symmetry."""
    return basins(scalar_factorisation(0.5, ridge=ridge), s, ((-4.013, 3.987), (-3.991, 4.009)), (cells, cells),
                  steps=1000)  # fmt: skip


def _fractal(found: Dimension, quick: bool) -> list[Check]:
    smooth = _picture(0.0, 1.0, 512 if quick else 2048)
    plain = box_counting((smooth.period == -1).astype(np.int8), smallest=2, largest=32)
    return [
        close("mu = 0.5, s = 1, ridge 0.2: box dimension of the borders between basins", 1.249, found.dimension,
              absolute=0.06 if quick else 0.03),
        above("it is above 1 by more than three standard errors", 3.0, (found.dimension - 1) / found.error),
        close("without a ridge: box dimension of the border of divergence", 1.0, plain.dimension, absolute=0.03),
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------ rough objectives
def _rough() -> list[Check]:
    checks = []
    for s, eps in ((0.1, 1e-3), (0.1, 1e-4), (0.02, 1e-3)):
        checks.append(close(f"x^2/2 + eps sin(x/eps), s = {s:g}, eps = {eps:g}: Lyapunov exponent log(s/(2 eps))",
                            thresholds.predict("multiscale", s=s, eps=eps),
                            thresholds.measure("multiscale", s=s, eps=eps), absolute=0.03))  # fmt: skip
    rough = thresholds.multiscale(1e-3)
    return [
        *checks,
        same("s = 0.1, eps = 0.001: fate", CHAOTIC, fate(rough, 0.1, [1.0], steps=20_000).kind),
        same("s = 0.0005, below the ripple: fate", FIXED, fate(rough, 0.0005, [1.0]).kind),
    ]


# --------------------------------------------------------------------------------------------- stability of SGD
def _random(count: int) -> list[Check]:
    """Samples of curvature h_i around a common minimum: log |1 - s h| on average decides, and not s mean(h) < 2."""
    checks = [
        close(f"curvatures {low:g} and {high:g}: critical step size 1/low + 1/high",
              thresholds.predict("random-product", low=low, high=high),
              thresholds.measure("random-product", low=low, high=high), relative=1e-7)
        for low, high in ((1.0, 3.0), MILD)
    ]  # fmt: skip
    for curvatures, q, expected in ((MILD, 2.4, "stays"), (UNEVEN, 0.8, "leaves")):
        s_mean = q * float(np.mean(curvatures))
        exponent = float(np.mean([np.log(abs(1 - q * h)) for h in curvatures]))
        by_gd = "leaves" if s_mean > 2 else "stays"
        share = _share_that_stays(curvatures, q, count)
        case = f"samples {curvatures[0]:g} and {curvatures[1]:g}, s S = {s_mean:g} on average"
        checks += [
            same(f"{case}: gradient descent", by_gd, _by_descent(s_mean)),
            same(f"{case}: sign of the exponent", -1.0 if expected == "stays" else 1.0, float(np.sign(exponent))),
            close(f"{case}: share of SGD runs that stay at the sharp minimum of (1 - xy)^2/2",
                  1.0 if expected == "stays" else 0.0, share, absolute=0.1),
        ]  # fmt: skip
    return [*checks, _regression()]


def _by_descent(s_sharpness: float) -> str:
    start = np.array([4.0, 0.25 + 1e-6])
    found = fate(scalar_factorisation(1.0), s_sharpness / (16 + 1 / 16), start, steps=20_000)
    return "stays" if abs(found.x[:, 0] - start).max() < 0.01 else "leaves"


def _share_that_stays(curvatures: Sequence[float], q: float, count: int) -> float:
    """SGD x+ = x + s h (1 - xy) y from 1e-7 next to the minimum (4, 1/4), h drawn at each step, s S = q."""
    rng = np.random.default_rng(0)
    s = q / (16 + 1 / 16)
    x, y = np.full(count, 4.0), np.full(count, 0.25 + 1e-7)
    with np.errstate(all="ignore"):
        for _ in range(3000):
            pull = s * np.asarray(curvatures)[rng.integers(2, size=count)] * (1 - x * y)
            x, y = x + pull * y, y + pull * x
    return float(np.mean((abs(x - 4.0) < 0.01) & (abs(1 - x * y) < 1e-3)))


def _regression() -> Check:
    """Regression that fits all samples: the growth of |w - w*| under SGD beside the exponent of the random product."""
    rng = np.random.default_rng(1)
    inputs, truth = rng.normal(size=(3, 6)), rng.normal(size=3)
    model = LeastSquares(inputs, inputs.T @ truth, inputs, inputs.T @ truth)
    s, steps = 0.5, 20_000
    exponent, error = random_product(np.eye(3) - s * model.sample_hessians(), 200_000)
    offset, logs = np.ones(3), np.empty(steps)
    for k in range(steps):
        i = rng.integers(6)
        offset = offset - s * inputs[:, i] * (inputs[:, i] @ offset)  # the step of sample i, seen from w*
        logs[k] = np.log(np.linalg.norm(offset))
        offset /= np.linalg.norm(offset)
    spread = float(logs.reshape(20, -1).mean(axis=1).std(ddof=1) / np.sqrt(20))
    what = "regression on 6 samples in 3 dimensions: growth per step of SGD, random product against a run"
    return close(what, exponent, float(logs.mean()), absolute=4 * float(np.hypot(error, spread)))


# -------------------------------------------------------------------------------------------------------- figures
def _draw_edge(runs: Sequence[tuple[int, float, Array]]) -> Figure:
    from witten.plots.style import BLUE, GREY, VERMILION, finished, new_figure

    figure, panels = new_figure(1, 2, (11.0, 4.4))
    for seed, s, rows in runs:
        colour, label = (VERMILION, "$s = 0.3$") if s == 0.3 else (BLUE, "$s = 0.02$")
        time = rows[:, 0] * s
        for axes, column in ((panels[0], 2), (panels[1], 1)):
            axes.plot(time, rows[:, column], color=colour, linewidth=0.8, alpha=0.8, label=label if seed == 0 else None)
    panels[0].axhline(2 / 0.3, color=GREY, linestyle="--", linewidth=1.0)
    panels[0].annotate("$2/s$", (0.97, 2 / 0.3), xycoords=("axes fraction", "data"), ha="right", va="bottom")
    panels[0].set_ylabel("sharpness")
    panels[1].set_ylabel("loss")
    panels[1].set_yscale("log")
    for axes in panels:
        axes.set_xscale("log")
        axes.set_xlabel("time $ks$")
        axes.legend(frameon=False, fontsize=9)
        axes.grid(True, color="0.92", linewidth=0.6)
    return finished(figure, None)


def _draw_fractal(picture: Basins) -> Figure:
    from witten.plots import plot_basins

    return plot_basins(picture)


def _draw_boxes(found: Dimension) -> Figure:
    from witten.plots.style import BLUE, GREY, finished, new_figure

    figure, panels = new_figure(1, 1, (5.6, 4.4))
    panels[0].loglog(found.sizes, found.counts, "o", color=BLUE, base=2)
    middle = np.exp(np.log(found.counts).mean() - found.dimension * (np.log(found.sizes) - np.log(found.sizes).mean()))
    label = f"slope $-{found.dimension:.3f} \\pm {found.error:.3f}$"
    panels[0].plot(found.sizes, middle, color=GREY, label=label)
    panels[0].set_xlabel("side of a box, cells")
    panels[0].set_ylabel("boxes that the border meets")
    panels[0].legend(frameon=False)
    return finished(figure, None)

"""Nakkiran: Learning Rate Annealing Can Provably Help Generalization, Even for Convex Problems [Nakkiran2020].

On a convex quadratic, stopped at one train loss, a large step that is decayed ends where the sample sees most, a small
one where it sees least: with three samples of two directions the test loss of the latter is twice as large, with
probability 3/4."""

from __future__ import annotations

from functools import cache, partial
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from witten.annealing import Losses, anneal, compare, follow, limit_ratio
from witten.studies.study import Check, Illustration, Study, above, agrees, at_most, close, holds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["run"]

Array = NDArray[np.float64]
ONES = np.ones(2)
EPS = 1e-6
# Ratios above this count as twice the test loss.
NEARLY_TWO = 1.99


def run(*, quick: bool = False) -> Study:
    """Every claim; with `quick` on fewer samples."""
    checks = (*_construction(), *_ratio(), *_samples(20_000), *_steps(), *_law(30 if quick else 1000),
              *_fails())  # fmt: skip
    figures = (
        Illustration("paths", "One large step and then the flow, beside the flow alone: they reach one contour of the "
                     "train loss at two of the test loss.", partial(_draw_paths, 1e-2)),
        Illustration("ratio", "The ratio of the test losses against the train loss where descent stops, the small step "
                     "size, and the weights of the sample.", _draw_ratio),
    )  # fmt: skip
    title = "Nakkiran: Learning Rate Annealing Can Provably Help Generalization, Even for Convex Problems"
    return Study("annealing", title, checks, figures)


def _mismatched() -> Losses:
    """Two samples of e1 and one of e2."""
    return Losses(np.diag([2 / 3, 1 / 3]), 0.5 * np.eye(2))


# ------------------------------------------------------------------------------------------------ the construction
def _construction() -> list[Check]:
    """All 8 samples of three inputs, from the data themselves."""
    samples = [np.eye(2)[:, list(each)] for each in product((0, 1), repeat=3)]
    weights = np.array([Losses.of_inputs(x, 0.5 * np.eye(2)).weights for x in samples])
    mismatched = np.all(abs(weights - [2 / 3, 1 / 3]) < 1e-12, axis=1)
    factors = 1 - 2 * 1.5 * weights[mismatched]
    return [
        close("share of the 8 samples with weights 2/3 and 1/3", 0.75, float(mismatched.mean()), absolute=1e-12),
        close("probability of a mismatched sample, by the binomial law", 0.75, anneal().probability, absolute=1e-15),
        at_most("they: factors of a step 3/2 off -1 and 0", 1e-12, float(abs(factors - [-1.0, 0.0]).max())),
    ]


def _ratio() -> list[Check]:
    found = compare(_mismatched(), ONES, EPS, large=1.5, large_steps=1)
    off = [2 - anneal(3, eps).ratio for eps in (1e-3, 1e-4)]
    return [
        close("train loss 1e-6: test loss of the flow over that of a step 3/2 and the flow", 2.0, found.ratio,
              absolute=1e-4),
        close("test loss of a step 3/2 and the flow, 3 eps/4", 0.75 * EPS, found.annealed.test_loss, relative=1e-9),
        close("test loss of the flow, 3 eps/2", 1.5 * EPS, found.small.test_loss, relative=1e-5),
        close("both train losses over eps: sum", 2.0, (found.annealed.train_loss + found.small.train_loss) / EPS,
              absolute=1e-12),
        close("2 - ratio at eps = 1e-3 over that at 1e-4: O(eps)", 10.0, off[0] / off[1], relative=0.02),
    ]  # fmt: skip


def _samples(count: int) -> list[Check]:
    """Drawn samples, and gradient descent on their data step by step."""
    rng = np.random.default_rng(0)
    ratios = np.array([_descended(tuple(rng.integers(0, 2, 3).tolist())) for _ in range(count)])
    doubled = int(np.count_nonzero(ratios > NEARLY_TWO))
    share = binomtest(doubled, count).proportion_ci(0.999)
    many = rng.integers(0, 2, (1_000_000, 3)).sum(axis=1)
    drawn = float(np.mean((many == 1) | (many == 2)))
    half = 3.29 * np.sqrt(0.1875 / many.size)
    return [
        agrees(f"{count} drawn samples, descent on the data step by step: share with twice the test loss", 0.75,
               doubled / count, share.low, share.high),
        agrees("a million drawn samples: share of mismatched ones", 0.75, drawn, drawn - half, drawn + half),
        at_most("the other samples: largest ratio", 1 + 1e-6, float(ratios[ratios <= NEARLY_TWO].max())),
    ]  # fmt: skip


@cache
def _descended(sample: tuple[int, ...]) -> float:
    """The ratio by plain descent on the mean of (w . x - w* . x)^2: one step 3/2 or none, then steps of 1/20."""
    x = np.eye(2)[:, list(sample)]
    y = np.array([3.0, -2.0]) @ x
    tests = []
    for steps in ((1.5,), ()):
        w = np.array([4.0, -1.0])
        for s in steps:
            w = w - s * _gradient(w, x, y)
        while np.mean((w @ x - y) ** 2) > EPS:
            before = w
            w = w - 0.05 * _gradient(w, x, y)
        # Between the last two points, where the train loss is EPS on a straight line of its root.
        now, last = (np.sqrt(np.mean((v @ x - y) ** 2)) for v in (w, before))
        w = w + (np.sqrt(EPS) - now) / (last - now) * (before - w)
        tests.append(0.5 * np.sum((w - [3.0, -2.0]) ** 2))
    return float(tests[1] / tests[0])


def _gradient(w: Array, x: Array, y: Array) -> Array:
    return np.asarray(2 * x @ (w @ x - y) / y.size)


# ------------------------------------------------------------------------------------------------ finite steps
def _steps() -> list[Check]:
    """Small steps instead of the flow: the law holds up to 1/(lambda_1 + lambda_2) = 1."""
    losses, eps = _mismatched(), 1e-9
    ratios = {s: compare(losses, ONES, eps, large=1.5, large_steps=1, small=s).ratio for s in (0.01, 0.3, 0.9)}
    alone = {s: follow(losses, ONES, f"{s}:100000 until loss<{eps!r}").test_loss for s in (0.9, 1.1, 1.3)}
    delta, way = np.array([1.0, 1.0]), follow(losses, ONES, "1.2:40")
    for _ in range(40):
        delta = delta - 1.2 * 2 * losses.train @ delta
    return [
        close("40 steps of 1.2, one after the other: distance from the closed form", 0.0,
              float(abs(way.end - delta).max()), absolute=1e-14),
        *(close(f"small steps s = {s:g} in place of the flow: ratio", 2.0, ratio, absolute=1e-3)
          for s, ratio in ratios.items()),
        *(close(f"s = {s:g} alone, {'small' if s < 1 else 'large'} beside 1/(lambda_1 + lambda_2) = 1: test loss over "
                "eps", 1.5 if s < 1 else 0.75, test / eps, absolute=0.01) for s, test in alone.items()),
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------ the general law
def _law(count: int) -> list[Check]:
    """ratio -> (mu_n/lambda_n)/(mu_1/lambda_1), for any two quadratics."""
    rng = np.random.default_rng(1)
    off, equal = [], []
    for _ in range(count):
        d = int(rng.integers(2, 6))
        frame = np.linalg.qr(rng.normal(size=(d, d)))[0]
        train = frame @ np.diag(np.linspace(1.0, 0.3, d) * rng.uniform(0.8, 1.25)) @ frame.T
        root, start = rng.normal(size=(d, d)), rng.normal(size=d)
        losses = Losses(0.5 * (train + train.T), root @ root.T)
        off.append(abs(compare(losses, start, 1e-40).ratio / limit_ratio(losses) - 1))
        equal.append(abs(compare(Losses(losses.train, losses.train), start, 1e-8).ratio - 1))
    what = f"{count} pairs of quadratics in 2 to 5 dimensions: ratio off (mu_n/lambda_n)/(mu_1/lambda_1), relative"
    return [
        at_most(what, 1e-6, max(off)),
        at_most("test weights equal to train weights: ratio off 1", 1e-6, max(equal)),
        close("five samples, three and two: ratio", 1.5, anneal(5, 1e-12).ratio, absolute=1e-3),
    ]


def _fails() -> list[Check]:
    """Where annealing does not help."""
    half = 0.5 * np.eye(2)
    unseen = compare(Losses(np.diag([1.0, 0.0]), half), ONES, EPS).ratio
    opposite = Losses(np.diag([2 / 3, 1 / 3]), np.diag([0.8, 0.2]))
    early = compare(_mismatched(), ONES, 0.7, large=1.5)
    along = compare(_mismatched(), np.array([0.0, 1.0]), EPS).ratio
    return [
        close("a direction that no sample has: ratio", 1.0, unseen, absolute=1e-5),
        close("a population that weighs the sample's strong direction more, 0.8 and 0.2: ratio, annealing does harm",
              0.5, compare(opposite, ONES, EPS).ratio, absolute=1e-4),
        holds("eps = 0.7: descent stops inside the large step", 0 < early.annealed.steps < 1),
        close("there: train loss", 0.7, early.annealed.train_loss, absolute=1e-12),
        at_most("there: ratio, nothing is gained", 1.0, early.ratio),
        close("a start with no part in the strong direction: ratio", 1.0, along, absolute=1e-6),
        above("eps = 0.1: ratio, less than in the limit but a gain", 1.5, anneal(3, 0.1).ratio),
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------------- figures
def _draw_paths(eps: float) -> Figure:
    from witten.plots import plot_annealing

    return plot_annealing(compare(_mismatched(), ONES, eps, large=1.5, large_steps=1))


def _draw_ratio() -> Figure:
    from witten.plots.style import BLUE, GREY, VERMILION, finished, new_figure

    figure, (by_eps, by_step, by_weight) = new_figure(1, 3, (12.0, 4.0), sharey=False)
    eps = np.geomspace(1e-5, 0.95, 80)
    by_eps.semilogx(eps, [anneal(3, e).ratio for e in eps.tolist()], color=BLUE)
    by_eps.set(xlabel=r"train loss $\epsilon$", ylabel="ratio of test losses")
    steps = np.append(np.linspace(0.05, 0.98, 40), np.linspace(1.02, 1.45, 20))
    ratios = [compare(_mismatched(), ONES, 1e-9, large=1.5, large_steps=1, small=s).ratio for s in steps.tolist()]
    by_step.plot(steps, ratios, ".", color=BLUE)
    by_step.axvline(1.0, color=GREY, linewidth=0.8, linestyle=":")
    by_step.set_xlabel(r"small step size; dotted: $1/(\lambda_1 + \lambda_2)$")
    weights = np.linspace(0.52, 0.9, 39)
    for mu, colour in ((0.5, BLUE), (0.7, VERMILION)):
        found = [Losses(np.diag([w, 1 - w]), np.diag([mu, 1 - mu])) for w in weights]
        label = rf"population ${mu:g}, {1 - mu:.2g}$"
        by_weight.plot(weights, [limit_ratio(each) for each in found], color=colour, linewidth=1.0)
        by_weight.plot(weights[::3], [compare(each, ONES, 1e-12).ratio for each in found[::3]], ".", color=colour,
                       label=label)  # fmt: skip
    by_weight.axhline(1.0, color=GREY, linewidth=0.8, linestyle=":")
    by_weight.set_xlabel(r"weight $\lambda_1$ in the sample; lines: the law")
    by_weight.legend(frameon=False, fontsize=9)
    for axes in (by_eps, by_step, by_weight):
        axes.grid(True, color="0.9", linewidth=0.6)
    return finished(figure, None)

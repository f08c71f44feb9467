"""What the noise of minibatches changes: which well wins, powers of the loss, and how far batch size and learning rate
may grow together.

Finite sums in one and two variables, whose rates, quasi-potentials and chains are known to more digits than the claims
need."""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import binomtest

from witten.domains.grid import Grid
from witten.errors import ConvergenceError
from witten.landscape.landscape import Landscape, describe_landscape
from witten.landscape.laws.eyring_kramers import eyring_kramers
from witten.landscape.laws.noisy_law import Exit, exits
from witten.noise import Minibatch, Noise, constant, loss, minibatch
from witten.objectives import Objective
from witten.sgd.gradient_noise import minibatch_noise
from witten.sgd.transfer_spectrum import transfer_spectrum
from witten.spectra.gap import gap, spectrum
from witten.spectra.generators.irreversible import generator_spectrum
from witten.studies.study import Check, Illustration, Study, above, agrees, at_most, close, same

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["run"]

Array = NDArray[np.float64]
# Two wells, the left one deeper; four losses, whose slopes differ more on the left.
SUM = "(x^2-1)^2/4 + x/20"
SPREADS = ("3*x/5", "-3*x/5", "x - x^2/4", "x^2/4 - x")
# As in docs/noise.md: x and y coupled, and four quadratic losses beside.
PLANE = "(x^2-1)^2/4 + y^2/2 + x/10 + 3*x*y/10"
LINEAR = ((0.9, 0.2), (-0.5, 0.6), (0.3, -0.7), (-0.7, -0.1))
BENDS = ((0.6, 0.2, -0.3), (-0.4, 0.3, 0.5), (0.1, -0.4, 0.2), (-0.3, -0.1, -0.4))
# Curvatures of quadratic losses: where the step size may not grow with the batch any more.
CURVATURES = np.array([1.0, -2.0, 4.0, 1.0])


def run(*, quick: bool = False) -> Study:
    """Every claim; with `quick` from fewer paths, and none in the plane."""
    plane = [] if quick else _plane()
    checks = (*_wells(1_000 if quick else 40_000), *plane, *_powers(), *_scaling(), *_steps())
    figures = (
        Illustration("wells", "Stationary densities of one finite sum at s = 0.1 under the noise of its minibatches, "
                     "and under noise of the same mean variance: they prefer different wells.", _draw_wells),
        Illustration("scaling", "The largest learning rate at which SGD stays, against the batch size: a line first, "
                     "and then that of descent.", _draw_scaling),
    )  # fmt: skip
    return Study("minibatch-noise", "What the noise of minibatches changes", checks, figures)


@cache
def _sum() -> tuple[Objective, tuple[Objective, ...], Minibatch]:
    losses = tuple(Objective.from_formula(f"{SUM} + {spread}") for spread in SPREADS)
    return Objective.from_formula(SUM), losses, minibatch(losses)


def _variance(x: Array) -> Array:
    """Of one gradient, from the losses themselves."""
    slopes = np.array([each.gradient(np.atleast_1d(x)[None])[0] for each in _sum()[1]])
    return np.asarray(slopes.var(axis=0))


def _density(x: Array, s: float, variance: float | None = None) -> Array:
    """e^{-int 2 f'/(s a)}/a on a fine lattice, of integral 1; a that of minibatches, or a number."""
    f = _sum()[0]
    a = _variance(x) if variance is None else np.full(x.shape, variance)
    work = 2 * f.gradient(x[None])[0] / (s * a)
    phi = np.append(0.0, np.cumsum((work[1:] + work[:-1]) / 2 * np.diff(x))) + np.log(a)
    rho = np.exp(phi.min() - phi)
    return np.asarray(rho / np.trapezoid(rho, x))


# ------------------------------------------------------------------------------------------------ which well wins
def _ways(objective: str, given: Noise) -> tuple[Landscape, tuple[Exit, ...]]:
    """Out of wells, the rightmost first."""
    found = describe_landscape(objective)
    ways = exits(found, given.bind(found.objective))
    return found, tuple(sorted(ways, key=lambda way: -found.minima[way.minimum].x[0]))


def _wells(paths: int) -> list[Check]:
    f, _, given = _sum()
    found, (right, left) = _ways(SUM, given)
    low, high = sorted(float(each.x[0]) for each in found.minima)
    top = float(found.saddles[0].x[0])
    mean = float(_variance(np.array([low, high])).mean())

    def work(x: float) -> float:
        return 2 * float(f.gradient(np.array([[x]]))[0, 0] / _variance(np.array([x]))[0])

    x = np.linspace(-3.5, 3.5, 20_001)
    share = float(np.trapezoid(np.where(x > top, _density(x, 0.2), 0.0), x))
    here, there = gap(f, 0.05, noise=given, rtol=1e-6), gap(f, 0.05, noise=mean**0.5, rtol=1e-6)
    laws = eyring_kramers(f, 0.05, noise=given), eyring_kramers(f, 0.05, noise=mean**0.5)
    factor = float(laws[1].log_rates[0] - laws[0].log_rates[0])
    bar = float(laws[0].records[0].log_error + laws[1].records[0].log_error)
    return [
        same("the deeper well of f", "left", "left" if found.minima[0].x[0] < 0 else "right"),
        close("quasi-potential from the left well up, int 2 f'/Sigma", quad(work, low, top)[0], left.action,
              relative=1e-6),
        close("quasi-potential from the right well up", quad(work, high, top)[0], right.action, relative=1e-6),
        same("the well with the larger quasi-potential", "right", "right" if right.action > left.action else "left"),
        at_most("stationary mass on the right at s = 0.2 under noise of the mean variance", 0.5,
                float(np.trapezoid(np.where(x > top, _density(x, 0.2, mean), 0.0), x))),
        above("and under the noise of minibatches", 0.5, share),
        _sampled(share, top, paths),
        agrees("s = 0.05: log of the rate under noise of the mean variance over that of minibatches, by the law",
               factor, float(there.log_rates[0] - here.log_rates[0]), factor - bar, factor + bar),
    ]  # fmt: skip


def _sampled(share: float, top: float, paths: int) -> Check:
    """SGD on the losses themselves at s = 0.2, from half on either side, until the slowest mode is e^-5."""
    rng, losses, s = np.random.default_rng(0), _sum()[1], 0.2
    x = np.repeat([-1.0, 1.0], paths // 2)
    for _ in range(int(400 / s)):
        slopes = np.array([each.gradient(x[None])[0] for each in losses])
        x = x - s * slopes[rng.integers(0, len(losses), x.size), np.arange(x.size)]
    count = int(np.count_nonzero(x > top))
    ends = binomtest(count, x.size).proportion_ci(0.999)
    return agrees("SGD on the losses themselves, batches of one: share on the right, to O(s)", share, count / x.size,
                  ends.low - s / 4, ends.high + s / 4)  # fmt: skip


@cache
def _plane_noise() -> Minibatch:
    linear, bends = (np.array(each) - np.mean(each, axis=0) for each in (LINEAR, BENDS))
    return minibatch([f"{PLANE} + ({a:.12f})*x + ({b:.12f})*y + ({p:.12f})*x^2/2 + ({q:.12f})*x*y + ({r:.12f})*y^2/2"
                      for (a, b), (p, q, r) in zip(linear, bends, strict=True)])  # fmt: skip


def _plane() -> list[Check]:
    """A sum in the plane: its minibatches spread about a third as much as unit noise, and not the same everywhere."""
    _, (right, left) = _ways(PLANE, _plane_noise())
    _, (unit, _) = _ways(PLANE, constant([[1, 0], [0, 1]]))
    rate = gap(PLANE, 0.3, noise=_plane_noise(), box=[(-2.6, 2.6)] * 2).records[0]
    return [
        close("in the plane: quasi-potential from the right well up under unit noise", 0.39926, unit.action,
              absolute=1e-5),
        close("under the noise of minibatches", 0.534032, right.action, absolute=2e-5),
        close("from the left well up", 4.7917, left.action, absolute=1e-3),
        close("rate at s = 0.3 under the noise of minibatches", 0.046798716, float(np.exp(rate.log_rate)),
              relative=1e-5),
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------ powers of the loss
def _powers() -> list[Check]:
    c, s = 1.0, 0.5
    given = loss(c, 0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # says that the spectrum is continuous further up
        tails = spectrum("x^2/2", s, 3, noise=loss(c, 0.05), rtol=1e-6)
    plane = Objective.from_formula("x^2/2 + y^2")
    found = generator_spectrum(given.bind(plane), s, 2, 0.1, [(-2.0, 2.0)] * 2)
    assert found.potential is not None and isinstance(found.grid, Grid)
    a = 0.2 + c * plane(found.grid.points)
    slope = np.polyfit(np.log(a), -2 * found.potential / s, 1)[0]
    logs = gap("double-well", [0.01, 0.02], noise=given, rtol=1e-6).log_rates
    power = (logs[0] - logs[1]) / (1 / 0.01 - 1 / 0.02)
    return [
        close("x^2/2 + y^2: power of the variance in the stationary density that is computed, -1 - 2/(c s)",
              -1 - 2 / (c * s), float(slope), relative=1e-2),
        close("x^2/2: the second rate, 2 for unit noise, is 2 - c s/2", 2 - c * s / 2, float(tails.rates[2]),
              relative=1e-5),
        close("double-well: d log(rate)/d(1/s), a power of the ratio of losses, -2 log(a(z)/a(m))/c",
              -2 * np.log(0.45 / 0.2), float(power), relative=2e-2),
        close("double-well at s = 0.2: the rate, .0335 for unit noise", 8.9865006484e-5,
              float(gap("double-well", 0.2, noise=given, rtol=1e-7).rates[0]), relative=1e-7),
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------ batch and step size
def _sgd_rate(s: float, batch: int) -> float:
    """Of SGD on the losses themselves, per unit of time k s: no Gaussian, no small step."""
    f, losses, _ = _sum()
    drawn = minibatch_noise(lambda x: np.stack([each.gradient(x) for each in losses]), len(losses), batch)
    return float(transfer_spectrum(f, s, 2, noise=drawn).rate)


def _scaling() -> list[Check]:
    f, losses, one = _sum()
    eight = minibatch(losses, 8)
    rates = {batch: _sgd_rate(0.1 * batch, batch) for batch in (1, 2, 5)}
    limit = float(gap(f, 0.1, noise=one, rtol=1e-8).rates[0])
    rare = _sgd_rate(0.05, 1) / float(gap(f, 0.05, noise=one).rates[0])
    try:
        beyond = f"{_sgd_rate(0.6, 6):.3g}"
    except ConvergenceError:
        beyond = "leaves for infinity"
    return [
        close("the SDE knows s/B alone: rate at s = 0.8, batches of 8, that at s = 0.1, batches of 1", limit,
              float(gap(f, 0.8, noise=eight, rtol=1e-8).rates[0]), relative=1e-7),
        close("SGD itself: rate at s = 0.2, batches of 2, over that at s = 0.1, batches of 1", 1.0, rates[2] / rates[1],
              absolute=0.2),
        above("at s = 0.5, batches of 5, over that at s = 0.1, batches of 1: the line has ended", 5.0,
              rates[5] / rates[1]),
        same("at s = 0.6, batches of 6", "leaves for infinity", beyond),
        at_most("rare moves at s = 0.05, batches of 1: rate of SGD over that of the SDE, whose noise has no bound", 0.5,
                rare),
    ]  # fmt: skip


def _largest(batch: int) -> float:
    """The s at which E (1 - s theta_B)^2 = 1, theta_B the mean curvature of a batch, over all batches."""
    drawn = minibatch_noise(lambda x: np.broadcast_to(CURVATURES[:, None, None], (4, 1, 1)), 4, batch)
    thetas = CURVATURES.mean() - drawn.values(np.zeros((1, 1)))[:, 0, 0]
    return float(brentq(lambda s: drawn.weights @ (1 - s * thetas) ** 2 - 1, 1e-6, 10.0))


def _expected_largest(batch: float) -> float:
    theta, variance = CURVATURES.mean(), CURVATURES.var()
    return float(2 * theta / (theta**2 + variance / batch))


def _steps() -> list[Check]:
    checks = [close(f"quadratic losses, batches of {b}: largest stable s, 2 theta/(theta^2 + var(theta)/B)",
                    _expected_largest(b), _largest(b), relative=1e-9) for b in (1, 2, 16)]  # fmt: skip
    return [
        *checks,
        above("twice the batch, from 1: the largest s grows by nearly two", 1.6, _largest(2) / _largest(1)),
        at_most("from 16: hardly, for batches beyond var(theta)/theta^2", 1.2, _largest(32) / _largest(16)),
    ]


# ------------------------------------------------------------------------------------------------ figures
def _draw_wells() -> Figure:
    from witten.plots.style import BLUE, VERMILION, finished, new_figure

    figure, (axes,) = new_figure(1, 1, (6.4, 4.0))
    x = np.linspace(-1.8, 1.8, 2001)
    mean = float(_variance(np.array([-1.0, 1.0])).mean())
    axes.plot(x, _density(x, 0.1), color=BLUE, label="noise of minibatches")
    axes.plot(x, _density(x, 0.1, mean), color=VERMILION, label="its mean variance everywhere")
    axes.set(xlabel="x", ylabel="stationary density at s = 0.1")
    axes.legend(frameon=False)
    return finished(figure, None)


def _draw_scaling() -> Figure:
    from witten.plots.style import BLUE, GREY, finished, new_figure

    figure, (axes,) = new_figure(1, 1, (6.4, 4.0))
    batches, counted = np.geomspace(1, 100, 200), [1, 2, 4, 8, 16, 32]
    axes.loglog(batches, [_expected_largest(b) for b in batches], color=BLUE, label=r"$2\theta/(\theta^2 + var/B)$")
    axes.loglog(counted, [_largest(b) for b in counted], "o", color=BLUE, label="over all batches")
    axes.loglog(batches, batches * _expected_largest(1), ":", color=GREY, label="in proportion to B")
    axes.set(xlabel="batch size B", ylabel="largest learning rate at which SGD stays", ylim=(0.2, 4))
    axes.legend(frameon=False)
    return finished(figure, None)

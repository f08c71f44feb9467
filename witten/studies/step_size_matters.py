"""Nar and Sastry, Step Size Matters in Deep Learning [Nar2018].

A minimum can be reached from random starts only if it is Lyapunov stable under x+ = x - s grad f(x), that is if its
sharpness is at most 2/s: the step size decides what can be learned."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from witten.descent import thresholds
from witten.descent.attractors.attractor import PERIODIC, fate
from witten.descent.attractors.cycle_detection import settle
from witten.descent.bifurcation import bifurcation_diagram
from witten.descent.gradient_map import DescentMap
from witten.objectives.losses.factorisation import DeepLinear, deep_scalar
from witten.objectives.losses.matrix_loss import joined
from witten.objectives.losses.networks import TwoLayer
from witten.objectives.objective import Objective
from witten.stability import measured_critical, stability
from witten.studies import relu_oscillation
from witten.studies.study import Check, Illustration, Study, above, at_most, close, holds, same

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["run"]

Array = NDArray[np.float64]
KINK = "2/3*abs(x)^1.5"


def run(*, quick: bool = False) -> Study:
    """Every claim of the paper; with `quick` on fewer seeds and starts."""
    network = relu_oscillation.trained(24 if quick else 400)
    checks = (*_kink(), *_two_minima(200 if quick else 2000), *_deep_networks(40 if quick else 1000), *_identity(),
              *_relu(), *relu_oscillation.checks(network))  # fmt: skip
    figures = (
        Illustration("two-minima", "What gradient descent does from next to either minimum: 2 is lost at s = 0.2, 1 at "
                     "s = 0.5, and cycles take their places.", _draw_two_minima),
        Illustration("depth", "The largest singular value that can be learned at step size s, by depth.", _draw_depth),
        Illustration("network", "Outputs at two steps in a row after 20001 steps, one run that oscillates and one that "
                     "has converged, and how many do, by step size.", partial(relu_oscillation.draw, network)),
    )  # fmt: skip
    title = "Nar, Sastry: Step Size Matters in Deep Learning"
    return Study("step-size-matters", title, checks, figures)


# ---------------------------------------------------------------------------------------- f = (2/3) |x|^(3/2)
def _kink() -> list[Check]:
    f = Objective.from_formula(KINK)
    starts = np.random.default_rng(0).uniform(-2.0, 2.0, (1, 300))
    checks = [same("(2/3)|x|^(3/2): largest step size at which x = 0 is stable", 0.0,
                   stability(f).minima[0].critical_learning_rate)]  # fmt: skip
    for s in (0.01, 0.3, 1.0):
        done = settle(DescentMap(f, s), starts, 200_000)
        share = np.count_nonzero(done.period == 2) / starts.size
        checks.append(same(f"s = {s:g}: share of starts that end on a 2-cycle", 1.0, share))
        amplitude = float(abs(abs(done.x) - s**2 / 4).max()) / (s**2 / 4)
        checks.append(at_most(f"s = {s:g}: distance of its points from +-s^2/4, relative", 1e-9, amplitude))
    return checks


# ------------------------------------------------------------------------- f = (x^2 + 1)(x - 1)^2 (x - 2)^2
def _two_minima(count: int) -> list[Check]:
    f = thresholds.two_minima()
    checks = [
        close(f"minimum x = {x}: critical step size", value, thresholds.measure("minimum", x=x), relative=2e-4)
        for x, value in ((1.0, 0.5), (2.0, 0.2))
    ]
    near_two = np.random.default_rng(0).uniform(1.9, 2.1, (1, count))
    for s, expected in ((0.199, 1.0), (0.205, 0.0)):
        done = settle(DescentMap(f, s), near_two, 100_000)
        at = np.count_nonzero((done.period == 1) & (abs(done.x[0] - 2) < 1e-3)) / count
        checks.append(close(f"s = {s:g}: share of starts near 2 that converge to 2", expected, at, absolute=0.01))
    cycle = fate(f, 0.205, [2.01])
    done = settle(DescentMap(f, 0.205), near_two, 100_000)
    to_one = np.count_nonzero((done.period == 1) & (abs(done.x[0] - 1) < 1e-3)) / count
    checks += [
        same("s = 0.205, from next to 2: fate", PERIODIC, cycle.kind),
        holds("this cycle surrounds x = 2", bool(cycle.x.min() < 2 < cycle.x.max())),
        close("s = 0.205: share of starts near 2 that move to x = 1", 0.0, to_one, absolute=0.01),
        same("s = 0.205: x = 1 is still stable", "fixed-point", fate(f, 0.205, [1.05]).kind),
        holds("s = 0.51: nothing is stable", not stability(f, [0.51]).stable.any()),
    ]
    return checks


# ------------------------------------------------------------------------------------------ deep linear networks
def _deep_networks(count: int) -> list[Check]:
    rng = np.random.default_rng(0)
    shortcut, bound, depth_bound = [], [], []
    for _ in range(30):
        depth = int(rng.integers(2, 5))
        widths = rng.integers(2, 5, depth - 1).tolist()
        layers = _random_layers(rng, [3, *widths, 2])
        w = joined(layers)
        product = np.linalg.multi_dot(layers[::-1])
        model = DeepLinear(product, widths)
        full = float(np.linalg.eigvalsh(model.hessian(w[:, None])[:, :, 0])[-1])
        shortcut.append(abs(model.sharpness_at_fit(w) / full - 1))
        bound.append(model.top_sharpness(w) / full)
        rho = np.linalg.norm(product, 2)
        depth_bound.append(depth * rho ** (2 * (depth - 1) / depth) / model.top_sharpness(w))
    target = np.diag([2.0, 1.0, 0.5])
    balanced = DeepLinear(target, (3, 3))
    exact = np.sort(np.linalg.eigvalsh(balanced.hessian(balanced.balanced()[:, None])[:, :, 0]))[::-1][:9]
    checks = [
        at_most("sharpness at a fit from sum (S S^T) (x) (P^T P), 30 random networks: error beside the full Hessian",
                1e-10, max(shortcut)),
        at_most("sum p^2 q^2 over the sharpness, so that s <= 2/sum p^2 q^2 is necessary", 1 + 1e-12, max(bound)),
        at_most("L rho^(2(L-1)/L) over sum p^2 q^2, so that s <= 2/(L rho^(2(L-1)/L)) is necessary", 1 + 1e-12,
                max(depth_bound)),
        at_most("balanced network: error of the closed spectrum beside the full Hessian, relative", 1e-10,
                float(abs(exact / balanced.balanced_spectrum() - 1).max())),
    ]  # fmt: skip
    for depth in (2, 3, 4):
        found = thresholds.measure("deep-linear", depth=depth, rho=1.5)
        expected = thresholds.predict("deep-linear", depth=depth, rho=1.5)
        checks.append(close(f"{depth} layers with product 1.5: critical step size", expected, found, relative=2e-4))
    measured = measured_critical(balanced.objective(), balanced.balanced(), rtol=1e-3, steps=2000)
    checks.append(close("three balanced 3 x 3 layers, rho = 2: critical step size", 2 / (3 * 2 ** (4 / 3)), measured,
                        relative=3e-3))  # fmt: skip
    for depth in (2, 3, 4):
        below, above_it = (_share_learned(depth, 1.5, factor, count) for factor in (0.9, 1.03))
        checks.append(above(f"{depth} layers, s 10 % below the bound: share of random starts that fit", 0.02, below))
        checks.append(same(f"{depth} layers, s 3 % above the bound: share of random starts that fit", 0.0, above_it))
    caps = [_largest_learned(0.05, depth) for depth in range(2, 7)]
    falls = bool((np.diff(caps) < 0).all())
    checks.append(holds("s = 0.05: the largest rho that can be learned falls with depth", falls))
    return checks


def _random_layers(rng: np.random.Generator, sizes: list[int]) -> list[Array]:
    return [rng.normal(size=(m, n)) for n, m in zip(sizes, sizes[1:], strict=False)]


def _share_learned(depth: int, rho: float, factor: float, count: int) -> float:
    """Share of starts from N(0, 1) that reach x_1 ... x_L = rho, at the critical step size times a factor."""
    f, s = deep_scalar(rho, depth=depth), factor * thresholds.predict("deep-linear", depth=depth, rho=rho)
    done = settle(DescentMap(f, s), np.random.default_rng(1).normal(size=(depth, count)), 50_000)
    return float(np.count_nonzero((done.period == 1) & (f(done.x) < 1e-8)) / count)


def _largest_learned(s: float, depth: int) -> float:
    """rho with 2/(L rho^(2(L-1)/L)) = s."""
    return float((2 / (s * depth)) ** (depth / (2 * (depth - 1))))


# ------------------------------------------------------------------------------------------ starts at the identity
def _identity() -> list[Check]:
    rng = np.random.default_rng(0)
    frame = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    checks = []
    for depth in (2, 3, 4):
        sigma = np.array([2.0, 1.0, 0.4])
        model = DeepLinear(frame @ np.diag(sigma) @ frame.T, (3,) * (depth - 1))
        s = min(1 / depth, 1 / (depth * 2.0 ** (2 * (depth - 1) / depth)))
        losses, w = _descend(model, _identities(3, depth), s, 400)
        root = frame @ np.diag(sigma ** (1 / depth)) @ frame.T
        away = max(float(abs(layer - root).max()) for layer in model.layers(w[:, 0]))
        checks.append(at_most(f"{depth} layers from the identity: distance of each layer from R^(1/L)", 1e-7, away))
        ratio = float(np.sqrt(losses[61] / losses[60]))
        slowest = max(abs(1 - s * depth * sigma ** (2 * (depth - 1) / depth)))
        checks.append(close(f"{depth} layers: factor per step of the residual, linear convergence", slowest, ratio,
                            relative=2e-3))  # fmt: skip
    checks += [_on_a_kernel(2), _on_a_kernel(3), _negative(2), _negative(3), _widest_steps(rng)]
    return checks


def _identities(size: int, depth: int) -> Array:
    return joined([np.eye(size)] * depth)[:, None]


def _descend(model: DeepLinear, w: Array, s: float, steps: int) -> tuple[Array, Array]:
    """Losses along a run, and its end."""
    losses = np.empty(steps)
    for k in range(steps):
        losses[k] = model.value(w)[0]
        w = w - s * model.gradient(w)
    return losses, w


def _on_a_kernel(depth: int) -> Check:
    """A zero eigenvalue of R: each layer's falls like ((2L - 2) s k)^(-1/(2L-2))."""
    model, s, steps = DeepLinear(np.diag([1.0, 0.0]), (2,) * (depth - 1)), 1 / depth, 3000
    _, w = _descend(model, _identities(2, depth), s, steps)
    first = model.layers(w[:, 0])[0][1, 1]
    _, w = _descend(model, w, s, steps)
    second = model.layers(w[:, 0])[0][1, 1]
    exponent = float(np.log(first / second) / np.log(2.0))
    what = f"{depth} layers, R with a kernel: exponent of the algebraic convergence"
    return close(what, 1 / (2 * depth - 2), exponent, relative=1e-2)


def _negative(depth: int) -> Check:
    """A negative eigenvalue of R is out of reach: the loss stays at half its square."""
    model = DeepLinear(np.diag([2.0, -1.0]), (2,) * (depth - 1))
    losses, _ = _descend(model, _identities(2, depth), 0.1, 4000)
    what = f"{depth} layers from the identity, R with an eigenvalue -1: loss that remains"
    return close(what, 0.5, losses[-1], absolute=1e-6)


def _widest_steps(rng: np.random.Generator) -> Check:
    """2/sharpness where descent from random starts ends, beside that from the identity."""
    depth, target = 3, np.diag([2.0, 1.0, 0.4])
    model = DeepLinear(target, (3, 3))
    starts = 0.7 * rng.normal(size=(model.dimension, 30))
    w = settle(DescentMap(model.objective(), 0.03), starts, 3000, tolerance=1e-9).x
    fits = [w[:, i] for i in range(30) if model.value(w[:, i : i + 1])[0] < 1e-6]
    largest = max(2 / model.sharpness_at_fit(fit) for fit in fits)
    what = f"largest stable step size where {len(fits)} random starts end, over that from the identity"
    return at_most(what, 1.0, largest * depth * 2.0 ** (2 * (depth - 1) / depth) / 2)


# -------------------------------------------------------------------------------------------------- ReLU networks
def _relu() -> list[Check]:
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(30):
        x, b = rng.normal(size=(3, 12)), rng.normal(size=5)
        w = rng.normal(size=5 * (3 + 2))
        targets = TwoLayer(x, np.zeros((2, 12)), b).outputs(w)
        model = TwoLayer(x, targets, b)
        most = float((np.linalg.norm(x, axis=0) * np.linalg.norm(targets, axis=0)).max())
        ratios.append(4 * most / model.sharpness(w))
    single = TwoLayer(np.array([[2.0]]), np.array([[3.0]]), np.zeros(1))
    tight = measured_critical(single.objective(), np.full(2, np.sqrt(1.5)), rtol=1e-3, steps=2000)
    return [
        at_most("two-layer ReLU at interpolation, 30 random networks: 4 max |x_i| |f(x_i)| over the sharpness, so that "
                "max |x_i| |f(x_i)| <= 1/(2s) is necessary", 1 + 1e-10, max(ratios)),
        close("one neuron, x = 2, f(x) = 3, balanced: critical step size where the bound is attained", 1 / 12, tight,
              relative=3e-3),
    ]  # fmt: skip


# -------------------------------------------------------------------------------------------------------- figures
def _draw_two_minima() -> Figure:
    from witten.plots import plot_bifurcation

    s = np.linspace(0.1, 0.56, 700)
    diagram = bifurcation_diagram(thresholds.two_minima(), s, [[1.0005, 2.0005]])
    return plot_bifurcation(diagram, marks={"2 is lost": 0.2, "1 is lost": 0.5})


def _draw_depth() -> Figure:
    from witten.plots.style import PALETTE, finished, new_figure

    figure, panels = new_figure(1, 1, (6.4, 4.6))
    s = np.geomspace(1e-3, 0.8, 200)
    for depth, colour in zip((2, 3, 4, 6, 10), PALETTE, strict=False):
        panels[0].loglog(s, [_largest_learned(value, depth) for value in s], color=colour, label=f"{depth} layers")
        for rho in (1.5, 3.0, 6.0):
            if depth <= 4:
                measured = thresholds.measure("deep-linear", depth=depth, rho=rho)
                panels[0].plot(measured, rho, "o", color=colour, markersize=5)
    panels[0].set_xlabel("learning rate $s$")
    panels[0].set_ylabel(r"largest singular value $\rho$ that can be learned")
    panels[0].legend(frameon=False, fontsize=9, title="line: $s = 2/(L\\rho^{2(L-1)/L})$; points: measured",
                     title_fontsize=9)  # fmt: skip
    panels[0].grid(True, which="both", color="0.92", linewidth=0.6)
    return finished(figure, None)

"""Nar and Sastry, Step Size Matters in Deep Learning (arXiv 1805.08890; NeurIPS 2018).

A minimum can be reached from random starts only if it is Lyapunov stable under x+ = x - s grad f(x), that is if its
sharpness is at most 2/s: the step size decides what can be learned."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.stats import fisher_exact

from witten.descent import thresholds
from witten.descent.bifurcation import bifurcation_diagram
from witten.descent.fate import PERIODIC, Share, fate
from witten.descent.map import DescentMap
from witten.descent.settling import settle
from witten.objectives.factorisation import DeepLinear, deep_scalar
from witten.objectives.models import joined
from witten.objectives.networks import TwoLayer
from witten.objectives.objective import Objective
from witten.stability import measured_critical, stability
from witten.studies.study import Check, Illustration, Study, above, at_most, close, holds, same

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["run"]

Array = NDArray[np.float64]
KINK = "2/3*abs(x)^1.5"
# Hidden units, steps and learning rates of the experiment with a network.
HIDDEN, STEPS, LARGE, SMALL = 20, 20_001, 3e-4, 1e-4


def run(*, quick: bool = False) -> Study:
    """Every claim of the paper; with `quick` on fewer seeds and starts."""
    network = _network_runs(24 if quick else 400)
    checks = (*_kink(), *_two_minima(200 if quick else 2000), *_deep_networks(100 if quick else 1000), *_identity(),
              *_relu(), *_experiment(*network))  # fmt: skip
    figures = (
        Illustration("two-minima", "What gradient descent does from next to either minimum: 2 is lost at s = 0.2, 1 at "
                     "s = 0.5, and cycles take their places.", _draw_two_minima),
        Illustration("depth", "The largest singular value that can be learned at step size s, by depth.", _draw_depth),
        Illustration("network", "Outputs at two steps in a row after 20001 steps, one run that oscillates and one that "
                     "has settled, and how many do, by step size.", partial(_draw_network, *network)),
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
    measured = measured_critical(balanced.objective(), balanced.balanced(), rtol=1e-3, steps=4000)
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
    tight = measured_critical(single.objective(), np.full(2, np.sqrt(1.5)), rtol=1e-3, steps=4000)
    return [
        at_most("two-layer ReLU at interpolation, 30 random networks: 4 max |x_i| |f(x_i)| over the sharpness, so that "
                "max |x_i| |f(x_i)| <= 1/(2s) is necessary", 1 + 1e-10, max(ratios)),
        close("one neuron, x = 2, f(x) = 3, balanced: critical step size where the bound is attained", 1 / 12, tight,
              relative=3e-3),
    ]  # fmt: skip


def _network(seed: int) -> tuple[TwoLayer, Array]:
    """1000 inputs 0, .001, ..., .999; the target is another draw of W and V with the same b; and the start."""
    rng = np.random.default_rng(seed)
    start, bias, teacher = rng.normal(size=2 * HIDDEN), rng.normal(size=HIDDEN), rng.normal(size=2 * HIDDEN)
    x = np.arange(1000)[None] / 1000
    targets = TwoLayer(x, np.zeros_like(x), bias).outputs(teacher)
    return TwoLayer(x, targets, bias), start


@numba.njit(parallel=True, cache=True, error_model="numpy")
def train(x, y, b, w, v, s, steps):  # type: ignore[no-untyped-def]
    """Full-batch descent on sum_i (sum_j v_j max(w_j x_i + b_j, 0) - y_i)^2, networks (n, hidden) in place, x sorted.

    A neuron is on for the inputs on one side of -b/w, so that outputs are a running sum of slopes that come and go,
    and gradients are differences of running sums of e_i and e_i x_i: a step costs the number of inputs, not times that
    of neurons."""
    size, hidden = x.size, w.shape[1]
    for r in numba.prange(w.shape[0]):
        slope, offset = np.zeros(size + 1), np.zeros(size + 1)
        errors, moments = np.zeros(size + 1), np.zeros(size + 1)
        first, last = np.zeros(hidden, np.int64), np.zeros(hidden, np.int64)
        for _ in range(steps):
            slope[:] = 0.0
            offset[:] = 0.0
            for j in range(hidden):
                kink = -b[r, j] / w[r, j]
                first[j], last[j] = 0, size
                if w[r, j] > 0:
                    first[j] = np.searchsorted(x, kink, side="right")
                elif w[r, j] < 0:
                    last[j] = np.searchsorted(x, kink)
                elif b[r, j] <= 0:
                    last[j] = 0
                slope[first[j]] += v[r, j] * w[r, j]
                slope[last[j]] -= v[r, j] * w[r, j]
                offset[first[j]] += v[r, j] * b[r, j]
                offset[last[j]] -= v[r, j] * b[r, j]
            rise, level = 0.0, 0.0
            for i in range(size):
                rise += slope[i]
                level += offset[i]
                e = rise * x[i] + level - y[r, i]
                errors[i + 1] = errors[i] + e
                moments[i + 1] = moments[i] + e * x[i]
            for j in range(hidden):
                total = errors[last[j]] - errors[first[j]]
                moment = moments[last[j]] - moments[first[j]]
                wj = w[r, j]
                w[r, j] = wj - 2 * s * v[r, j] * moment
                v[r, j] -= 2 * s * (wj * moment + b[r, j] * total)


def _network_runs(seeds: int) -> tuple[list[TwoLayer], dict[float, Array]]:
    """The networks, and for either step size their outputs at steps 20001, 20002 and 20003, (seeds, 3, 1000)."""
    problems = [_network(seed) for seed in range(seeds)]
    models = [model for model, _ in problems]
    x = models[0].inputs[0]
    y, b = np.array([m.targets[0] for m in models]), np.array([m.bias for m in models])
    outputs = {}
    for s in (LARGE, SMALL):
        w, v = (np.array([start[half] for _, start in problems]) for half in (slice(HIDDEN), slice(HIDDEN, None)))
        train(x, y, b, w, v, s, STEPS)
        seen = []
        for _ in range(3):
            weights = np.hstack([w, v])
            seen.append([m.outputs(each)[0] for m, each in zip(models, weights, strict=True)])
            train(x, y, b, w, v, s, 1)
        outputs[s] = np.array(seen).swapaxes(0, 1)
    return models, outputs


def _oscillates(models: list[TwoLayer], outputs: Array) -> NDArray[np.bool_]:
    """Whether the outputs move by more than a thousandth of the targets in one step, and back in the next."""
    scale = np.array([abs(m.targets).max() for m in models])
    one = abs(outputs[:, 1] - outputs[:, 0]).max(axis=1)
    two = abs(outputs[:, 2] - outputs[:, 0]).max(axis=1)
    return np.asarray((one > 1e-3 * scale) & (two < 0.5 * one))


def _experiment(models: list[TwoLayer], outputs: dict[float, Array]) -> list[Check]:
    counts = {s: int(_oscillates(models, out).sum()) for s, out in outputs.items()}
    total = len(models)
    table = [[counts[s], total - counts[s]] for s in (LARGE, SMALL)]
    large, small = (Share("periodic", counts[s], total).share for s in (LARGE, SMALL))
    p = float(fisher_exact(table, alternative="greater").pvalue)
    return [
        *(holds(f"20 ReLU neurons, s = {s:g}: of {total} seeds some oscillate with period 2, some do not",
                0 < counts[s] < total) for s in (LARGE, SMALL)),
        above("share that oscillates, at the larger step over that at the smaller", 1.0, large / max(small, 1 / total)),
        at_most("chance of such a difference if the step size made none (Fisher's exact test)", 0.05, p),
        *_where_it_fits(models, outputs),
    ]  # fmt: skip


def _where_it_fits(models: list[TwoLayer], outputs: dict[float, Array]) -> list[Check]:
    """max |x_i| |f(x_i)| times 2 s for the runs that fit to a thousandth."""
    checks = []
    for s, out in outputs.items():
        settled = ~_oscillates(models, out)
        fits = [
            2 * s * float(abs(m.inputs * f[0]).max())
            for m, f, good in zip(models, out, settled, strict=True)
            if good and abs(f[0] - m.targets[0]).max() < 0.05 * abs(m.targets).max()
        ]
        what = f"s = {s:g}: 2 s max |x_i| |f(x_i)| over the {len(fits)} runs that settled and fit to 5 %"
        checks.append(at_most(what, 1.0, max(fits, default=0.0)))
    return checks


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


def _draw_network(models: list[TwoLayer], outputs: dict[float, Array]) -> Figure:
    from witten.plots.style import BLUE, GREY, VERMILION, finished, new_figure

    figure, panels = new_figure(1, 3, (13.0, 4.2))
    for axes, s, wanted in ((panels[0], LARGE, True), (panels[1], SMALL, False)):
        which = _oscillates(models, outputs[s]) == wanted
        size = [abs(o[1] - o[0]).max() / abs(m.targets).max() for m, o in zip(models, outputs[s], strict=True)]
        seed = int(np.argmax(np.where(which, size if wanted else -np.array(size), -np.inf)))
        x = models[seed].inputs[0]
        axes.plot(x, models[seed].targets[0], color=GREY, linewidth=3, alpha=0.4, label="target")
        axes.plot(x, outputs[s][seed, 0], color=BLUE, label=f"step {STEPS}")
        axes.plot(x, outputs[s][seed, 1], color=VERMILION, linestyle="--", label=f"step {STEPS + 1}")
        axes.set_title(f"$s = {s:g}$, seed {seed}: {'oscillates' if wanted else 'has settled'}", fontsize=10)
        axes.set_xlabel("$x$")
        axes.set_ylabel("output")
        axes.legend(frameon=False, fontsize=8)
    for i, s in enumerate((LARGE, SMALL)):
        share = Share("periodic", int(_oscillates(models, outputs[s]).sum()), len(models))
        low, high = share.interval
        panels[2].errorbar(i, share.share, yerr=[[share.share - low], [high - share.share]], fmt="o", color=BLUE,
                           capsize=5)  # fmt: skip
    panels[2].set_xticks([0, 1], [f"s = {LARGE:g}", f"s = {SMALL:g}"])
    panels[2].set_xlim(-0.5, 1.5)
    panels[2].set_ylim(0, 1)
    panels[2].set_ylabel(f"share of {len(models)} seeds that oscillate, 95 %")
    panels[2].grid(True, axis="y", color="0.92")
    return finished(figure, None)

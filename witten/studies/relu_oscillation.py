"""The experiment of Nar and Sastry with a ReLU network: at which step sizes full-batch descent ends on a 2-cycle.

1000 inputs 0, .001, ..., .999, one output; 20 hidden neurons with fixed random biases; the target is another draw of
the weights. After 20001 steps an odd and the next even iterate are compared."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.stats import fisher_exact

from witten.descent.attractors.attractor import PERIODIC, Share
from witten.objectives.losses.networks import TwoLayer
from witten.studies.study import Check, above, at_most, holds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Trained", "checks", "draw", "train", "trained"]

Array = NDArray[np.float64]
# Hidden neurons, steps, and the two step sizes.
HIDDEN, STEPS, LARGE, SMALL = 20, 20_001, 3e-4, 1e-4


@dataclass(frozen=True, eq=False)
class Trained:
    """Networks, one for each seed, after training.

    Attributes
    ----------
    models : with their data
    outputs : for either step size those of steps 20001, 20002 and 20003, shape (seeds, 3, 1000)
    """

    models: list[TwoLayer]
    outputs: dict[float, Array]

    @cached_property
    def oscillates(self) -> dict[float, NDArray[np.bool_]]:
        """Whether outputs move by more than a thousandth of the targets in one step, and back in the next."""
        scale = np.array([abs(m.targets).max() for m in self.models])
        moves = {s: [abs(out[:, k] - out[:, 0]).max(axis=1) for k in (1, 2)] for s, out in self.outputs.items()}
        return {s: (one > 1e-3 * scale) & (two < 0.5 * one) for s, (one, two) in moves.items()}

    def share(self, s: float) -> Share:
        """Of the seeds that oscillate at step size s."""
        return Share(PERIODIC, int(self.oscillates[s].sum()), len(self.models))


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


def trained(seeds: int) -> Trained:
    """Train that many networks at both step sizes."""
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
    return Trained(models, outputs)


def checks(found: Trained) -> list[Check]:
    """Both outcomes at both step sizes, in different proportions; and the bound where the data are fitted."""
    large, small = found.share(LARGE), found.share(SMALL)
    table = [[share.count, share.total - share.count] for share in (large, small)]
    p = float(fisher_exact(table, alternative="greater").pvalue)
    return [
        *(holds(f"20 ReLU neurons, s = {s:g}: of {share.total} seeds some oscillate with period 2, some do not",
                0 < share.count < share.total) for s, share in ((LARGE, large), (SMALL, small))),
        above("share that oscillates, at the larger step over that at the smaller", 1.0,
              large.count / max(small.count, 1)),
        at_most("chance of such a difference if the step size made none (Fisher's exact test)", 0.05, p),
        *_where_it_fits(found),
    ]  # fmt: skip


def _where_it_fits(found: Trained) -> list[Check]:
    """max |x_i| |f(x_i)| times 2 s for the runs that have converged and fit to 5 %."""
    made = []
    for s, outputs in found.outputs.items():
        fits = [
            2 * s * float(abs(m.inputs * out[0]).max())
            for m, out, moving in zip(found.models, outputs, found.oscillates[s], strict=True)
            if not moving and abs(out[0] - m.targets[0]).max() < 0.05 * abs(m.targets).max()
        ]
        what = f"s = {s:g}: 2 s max |x_i| |f(x_i)| over the {len(fits)} runs that converged and fit to 5 %"
        made.append(at_most(what, 1.0, max(fits, default=0.0)))
    return made


def draw(found: Trained) -> Figure:
    """A run that oscillates, one that has converged, and how many do."""
    from witten.plots.style import BLUE, GREY, VERMILION, finished, new_figure

    figure, panels = new_figure(1, 3, (13.0, 4.2))
    for axes, s, wanted in ((panels[0], LARGE, True), (panels[1], SMALL, False)):
        outputs = found.outputs[s]
        seed = _typical(found, s, wanted)
        x = found.models[seed].inputs[0]
        axes.plot(x, found.models[seed].targets[0], color=GREY, linewidth=3, alpha=0.4, label="target")
        axes.plot(x, outputs[seed, 0], color=BLUE, label=f"step {STEPS}")
        axes.plot(x, outputs[seed, 1], color=VERMILION, linestyle="--", label=f"step {STEPS + 1}")
        axes.set_title(f"$s = {s:g}$, seed {seed}: {'oscillates' if wanted else 'has converged'}", fontsize=10)
        axes.set_xlabel("$x$")
        axes.set_ylabel("output")
        axes.legend(frameon=False, fontsize=8)
    for i, s in enumerate((LARGE, SMALL)):
        share = found.share(s)
        low, high = share.interval
        bars = [[share.share - low], [high - share.share]]
        panels[2].errorbar(i, share.share, yerr=bars, fmt="o", color=BLUE, capsize=5)
    panels[2].set_xticks([0, 1], [f"s = {LARGE:g}", f"s = {SMALL:g}"])
    panels[2].set_xlim(-0.5, 1.5)
    panels[2].set_ylim(0, 1)
    panels[2].set_ylabel(f"share of {len(found.models)} seeds that oscillate, 95 %")
    panels[2].grid(True, axis="y", color="0.92")
    return finished(figure, None)


def _typical(found: Trained, s: float, wanted: bool) -> int:
    """The seed in the middle of those that oscillate (or do not), by how far it moves in a step."""
    moves = np.array([abs(o[1] - o[0]).max() / abs(m.targets).max()
                      for m, o in zip(found.models, found.outputs[s], strict=True)])  # fmt: skip
    seeds = np.flatnonzero(found.oscillates[s] == wanted)
    seeds = seeds if seeds.size else np.arange(moves.size)
    return int(seeds[np.argsort(moves[seeds])[seeds.size // 2]])

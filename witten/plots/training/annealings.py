"""Two trajectories to one train loss, on the contours of train and test loss."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from witten.errors import RequestError
from witten.plots.style import BLUE, GREY, VERMILION, check_place, finished, new_figure, tex_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from witten.annealing import Comparison

__all__ = ["plot_annealing"]


def plot_annealing(found: Comparison, path: str | Path | None = None) -> Figure:
    """Both paths from the start, and where they end: on one contour of the train loss, on two of the test loss.

    Raises
    ------
    RequestError
        unless there are two directions, or if `path` cannot be written.
    """
    check_place(path)
    if found.losses.weights.size != 2:
        raise RequestError(f"contours are drawn of two directions, got {found.losses.weights.size}")
    figure, (whole, end) = new_figure(1, 2, (11.0, 5.0))
    ways = ((found.annealed, VERMILION, "large steps, then small"), (found.small, BLUE, "small steps"))
    reach = 1.15 * max(float(abs(way.path()).max()) for way, _, _ in ways)
    # Around the minimum, as far as the contour of eps.
    near = 1.3 * float(np.sqrt(found.eps / found.losses.weights[-1]))
    for axes, limit in ((whole, reach), (end, near)):
        _contours(axes, found, limit, axes is end)
        for way, colour, label in ways:
            points = way.path(2000)
            axes.plot(*points, color=colour, linewidth=1.6, label=label)
            axes.plot(*way.end, "o", color=colour, markersize=7)
        axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        axes.set_xlabel(r"$\delta_1$")
    whole.plot(*found.small.start, "s", color=GREY, markersize=6, label="start")
    steps = found.annealed.path(2000)
    jumps = steps[:, : 2 + _large(found)]
    whole.plot(*jumps, "o", color=VERMILION, markersize=4)
    whole.set_ylabel(r"$\delta_2$")
    end.set_ylabel(r"$\delta_2$")
    whole.legend(frameon=False, fontsize=9, loc="lower left")
    a, b = found.annealed.test_loss, found.small.test_loss
    whole.set_title("train loss (grey) and both trajectories", fontsize=10)
    end.set_title(f"at train loss ${tex_number(found.eps)}$: test loss ${tex_number(a)}$ and ${tex_number(b)}$",
                  fontsize=10)  # fmt: skip
    return finished(figure, path)


def _contours(axes: Axes, found: Comparison, limit: float, test_too: bool) -> None:
    line = np.linspace(-limit, limit, 301)
    grid = np.array(np.meshgrid(line, line))
    train = found.losses.train_loss(grid)
    if not test_too:
        axes.contour(line, line, train, levels=float(train.max()) * np.linspace(0.05, 0.95, 10) ** 2, colors="0.75",
                     linewidths=0.8)  # fmt: skip
        return
    axes.contour(line, line, train, levels=[found.eps], colors=GREY, linewidths=1.4)
    levels = sorted({found.annealed.test_loss, found.small.test_loss})
    axes.contour(line, line, found.losses.test_loss(grid), levels=levels, colors="0.6", linewidths=1.0,
                 linestyles="dashed")  # fmt: skip
    axes.plot([], [], color=GREY, label=r"train loss $\epsilon$")
    axes.plot([], [], color="0.6", linestyle="dashed", label="test losses there")
    axes.legend(frameon=False, fontsize=9, loc="lower left")


def _large(found: Comparison) -> int:
    """How many large steps were taken."""
    first = next(iter(found.annealed.schedule.runs()))
    return min(first.steps, 2000) - 1 if not first.flow and len(found.annealed.schedule.stages) > 1 else -1

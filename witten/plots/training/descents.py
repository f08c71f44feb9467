"""Gradient descent as a dynamical system: orbit diagrams over a strip of Lyapunov exponents, basins, single runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from witten.errors import RequestError
from witten.langevin import momentum_in_words
from witten.plots.style import (
    BLUE,
    GREY,
    ORANGE,
    PALETTE,
    PURPLE,
    VERMILION,
    Array,
    check_place,
    finished,
    log_ticks,
    new_figure,
    shortened,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from witten.descent.basins import Basins
    from witten.descent.bifurcation import Diagram
    from witten.descent.gradient_map import DescentMap

__all__ = ["plot_basins", "plot_bifurcation", "plot_descent"]

# Points of an orbit diagram that are drawn, at most: more cannot be distinguished.
MOST_POINTS = 400_000
# Learning rates up to which points of orbits are drawn one by one, and those of exponents.
FEW, MANY = 30, 200
# Heights that are told apart otherwise, and how dark a place is at least to which an orbit comes.
BINS, PALE = 240, 0.3
# Exponents below are drawn there, as arrows downwards where single points can be seen.
LOWEST = -2.5
# Steps of a run that are joined by a line.
ONE_BY_ONE = 30
# Points of a run that are drawn, of however many.
MOST_STEPS = 2000
# How white the fastest starts are.
PALEST = 0.6
# Behind labels: points of an attractor may lie there.
WHITE_GROUND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}


def plot_bifurcation(
    diagram: Diagram, path: str | Path | None = None, *, axis: int = 0, marks: dict[str, float] | None = None
) -> Figure:
    """x_axis of the attractor against s, and under it the largest Lyapunov exponent, above zero where there is chaos.

    Parameters
    ----------
    marks : learning rates to draw a line at, by their labels

    Raises
    ------
    RequestError
        if all runs diverged, or `path` cannot be written.
    """
    check_place(path)
    if np.isnan(diagram.exponents).all():
        raise RequestError("nothing to plot: all runs diverge; give smaller learning rates or other starts")
    figure, panels = new_figure(2, 1, (8.0, 6.4), sharex=True)
    s = diagram.learning_rates
    for run in range(diagram.exponents.shape[1]):
        _orbit_panel(panels[0], s, diagram.points[:, run, :, axis], PALETTE[run % len(PALETTE)])
        _exponent_panel(panels[1], s, diagram.exponents[:, run])
    for label, where in (marks or {}).items():
        for panel in panels:
            panel.axvline(where, color="0.6", linewidth=0.7, zorder=0)
        panels[0].annotate(label, (where, 0.985), xycoords=("data", "axes fraction"), rotation=90, va="top", ha="right",
                           fontsize=8, color=GREY, bbox=WHITE_GROUND)  # fmt: skip
    panels[0].set_ylabel(f"$x_{{{axis + 1}}}$ of the attractor" if diagram.dimension > 1 else "attractor $x$")
    momentum = momentum_in_words(diagram.momentum, diagram.nesterov)
    panels[0].set_title(shortened(diagram.objective) + momentum, fontsize=11)
    panels[1].set_ylabel("Lyapunov exponent")
    panels[1].set_xlabel("learning rate $s$")
    panels[1].axhline(0.0, color=GREY, linewidth=0.8)
    return finished(figure, path)


def _orbit_panel(axes: Axes, s: Array, points: Array, colour: str) -> None:
    across = np.broadcast_to(s[:, None], points.shape).ravel()
    up = points.ravel()
    good = np.flatnonzero(np.isfinite(up))
    good = good[:: max(good.size // MOST_POINTS, 1)]
    if s.size > FEW:
        _orbit_density(axes, s, points, colour)
    else:
        axes.plot(across[good], up[good], "o", color=colour, markersize=1.2 + 16 / (4 + s.size), markeredgewidth=0,
                  alpha=0.8, rasterized=True)  # fmt: skip


def _orbit_density(axes: Axes, s: Array, points: Array, colour: str) -> None:
    """A column for each learning rate, as dark as the orbit comes often to a place; a cycle is darkest."""
    from matplotlib.colors import LinearSegmentedColormap

    order = np.argsort(s)
    low, high = float(np.nanmin(points)), float(np.nanmax(points))
    margin = 0.03 * (high - low) or 1.0
    edges = np.linspace(low - margin, high + margin, BINS + 1)
    counts = np.array([np.histogram(points[i][np.isfinite(points[i])], edges)[0] for i in order], dtype=float)
    counts[:, 1:-1] += (counts[:, 2:] + counts[:, :-2]) / 2  # a cycle is a line, and few points are no speckles
    shade = np.sqrt(counts / np.maximum(counts.max(axis=1, keepdims=True), 1.0))
    shade = np.where(counts > 0, PALE + (1 - PALE) * shade, np.nan)
    colours = LinearSegmentedColormap.from_list("orbit", ["white", colour])
    middle = (edges[1:] + edges[:-1]) / 2
    axes.pcolormesh(s[order], middle, shade.T, cmap=colours, vmin=0.0, vmax=1.0, shading="nearest", rasterized=True)


def _exponent_panel(axes: Axes, s: Array, exponents: Array) -> None:
    order = np.argsort(s)
    s, given, exponents = s[order], exponents[order], np.maximum(exponents[order], LOWEST)
    axes.plot(s, exponents, color=GREY, linewidth=0.8)
    if s.size <= MANY:
        below = given < LOWEST
        axes.plot(s[~below], exponents[~below], "o", color=GREY, markersize=1.2 + 16 / (4 + s.size))
        axes.plot(s[below], exponents[below], "v", color=BLUE, markersize=5, clip_on=False)
    for sign, colour in ((1, VERMILION), (-1, BLUE)):
        axes.fill_between(s, 0.0, exponents, where=sign * exponents > 0, color=colour, alpha=0.55, linewidth=0)
    low, high = min(max(np.nanmin(exponents), LOWEST), 0.0), max(np.nanmax(exponents), 0.0)
    air = 0.06 * (high - low) or 0.1
    axes.set_ylim(low - air, high + air)


def plot_basins(found: Basins, path: str | Path | None = None) -> Figure:
    """The plane of starts, coloured by attractor (or by period, where attractors fill curves), paler where it takes
    fewer steps to get there; white where a start diverges, grey where it does not converge."""
    check_place(path)
    image, names = _coloured(found)
    figure, panels = new_figure(1, 1, (7.0, 6.4))
    axes = panels[0]
    u, v = found.u, found.v
    du, dv = u[1] - u[0], v[1] - v[0]
    extent = (u[0] - du / 2, u[-1] + du / 2, v[0] - dv / 2, v[-1] + dv / 2)
    axes.imshow(image, origin="lower", extent=extent, interpolation="antialiased", aspect="auto")
    for name, colour in names.items():
        edge = GREY if colour != "none" else "none"
        axes.plot([], [], "s", color=colour, markersize=9, markeredgecolor=edge, markeredgewidth=0.5, label=name)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", fontsize=8, frameon=False, ncols=3)
    axes.set_xlabel("$u$")
    axes.set_ylabel("$v$")
    if found.objective.dimension == 2:
        axes.set_xlabel(f"${found.objective.symbols[0]}$")
        axes.set_ylabel(f"${found.objective.symbols[1]}$")
    elif found.objective.dimension == 1:
        axes.set_xlabel("$x_0$")
        axes.set_ylabel("$x_{-1}$")
    rate = f", learning rate {found.learning_rate:g}{momentum_in_words(found.momentum, found.nesterov)}"
    axes.set_title(shortened(found.objective.name) + rate, fontsize=11)
    return finished(figure, path)


def _coloured(found: Basins) -> tuple[Array, dict[str, str]]:
    """An image (m, n, 3), and the colour of each name in its legend."""
    from matplotlib.colors import to_rgb

    from witten.descent.attractors.cycle_detection import DIVERGED

    try:
        labels, points = found.labels()
        titles = [_place(point) for point in points.T]
        labels, titles = _joined(labels, titles)
    except RequestError:
        labels = found.period.astype(np.int16)
        kinds = np.unique(labels[labels > 0])
        titles = [f"period {p}" if p > 1 else "fixed points" for p in kinds.tolist()]
        settled = labels > 0
        labels = np.where(settled, np.searchsorted(kinds, labels), np.where(labels == DIVERGED, -1, -2))
    colours = {-1: "white", -2: "#bbbbbb"} | {i: PALETTE[i % len(PALETTE)] for i in range(len(titles))}
    image = np.ones((*labels.shape, 3))
    durations = np.log(found.steps[labels >= 0]) if (labels >= 0).any() else np.zeros(1)
    fast, slow = np.quantile(durations, [0.01, 0.99])
    speed = np.clip((np.log(found.steps) - fast) / max(slow - fast, 0.2), 0.0, 1.0)
    for label, colour in colours.items():
        here = labels == label
        pale = PALEST * (1.0 - speed[here, None]) if label >= 0 else 0.0
        image[here] = pale + (1.0 - pale) * np.array(to_rgb(colour))
    names = {title: colours[i] for i, title in enumerate(titles[:8])}
    if slow - fast > 0.2:
        names[f"pale: {np.exp(fast):.0f} steps or fewer; full: {np.exp(slow):.0f} or more"] = "none"
    if (labels == -1).any():
        names["diverges"] = "white"
    if (labels == -2).any():
        names["does not converge"] = "#bbbbbb"
    return image, names


def _joined(labels: NDArray[np.int16], titles: list[str]) -> tuple[NDArray[np.int16], list[str]]:
    """Attractors of one name have one number, and one colour: `Basins.labels` may part one at the edge of a cell."""
    names = list(dict.fromkeys(titles))
    number = np.array([names.index(title) for title in titles], dtype=labels.dtype)
    return (np.where(labels >= 0, number[np.maximum(labels, 0)], labels) if titles else labels), names


def _place(point: Array) -> str:
    return "(" + ", ".join(f"{c + 0.0:.3g}" for c in np.round(point, 9)[:4]) + (", ...)" if point.size > 4 else ")")


def plot_descent(descent: DescentMap, start: Array, steps: int, path: str | Path | None = None) -> Figure:
    """A run: f against steps, and the run itself - as a cobweb in one dimension, over level lines in two."""
    check_place(path)
    points = descent.position(descent.path(descent.at_rest(start), min(steps, MOST_STEPS)))
    points = points[:, np.isfinite(points).all(axis=0) & (abs(points).max(axis=0) < 1e6)]
    f = descent.objective
    figure, panels = new_figure(1, 2, (11.0, 4.8))
    values = np.asarray(f(points))
    panels[0].plot(values[:ONE_BY_ONE], color=BLUE, linewidth=0.8, marker=".", markersize=3)
    late = np.arange(ONE_BY_ONE - 1, values.size)
    # a line would fill the panel
    panels[0].plot(late, values[late], ".", color=BLUE, markersize=2, markeredgewidth=0, alpha=0.6)
    if (values > 0).all():
        panels[0].set_yscale("log")
    panels[0].set_xlabel("step $k$")
    panels[0].set_ylabel("$f(x_k)$")
    panels[0].set_xscale("symlog", linthresh=10)
    panels[0].set_xlim(left=0)
    named = _step_ticks(points.shape[1] - 1)
    panels[0].set_xticks(named, [str(step) for step in named])
    if panels[0].get_yscale() == "log":
        log_ticks(panels[0].yaxis)
    panels[0].grid(True, color="0.9", linewidth=0.6)
    draw = {1: _return_map if descent.momentum else _cobweb, 2: _over_levels}.get(f.dimension, _coordinates)
    draw(panels[1], descent, points)
    momentum = momentum_in_words(descent.momentum, descent.nesterov)
    figure.suptitle(f"{shortened(f.name)}, learning rate {descent.learning_rate:g}{momentum}", fontsize=11)
    return finished(figure, path)


def _step_ticks(last: int) -> list[int]:
    """Steps to name on an axis that is linear up to 10: 0, 5, 10, 20, 50, ..., of many decades powers of ten alone."""
    parts = (1, 2, 5) if last < 2000 else (1,)
    beyond = [part * 10**power for power in range(1, len(str(last))) for part in parts]
    return [0, 5, *(step for step in beyond if step <= last)]


def _cobweb(axes: Axes, descent: DescentMap, points: Array) -> None:
    """x_{k+1} against x_k, between the map and the diagonal."""
    x = points[0, -400:] if points.shape[1] > 600 else points[0]
    low, high = float(points[0].min()), float(points[0].max())
    margin = 0.1 * (high - low) + 1e-3
    grid = np.linspace(low - margin, high + margin, 800)
    axes.plot(grid, descent(grid[None])[0], color=GREY, linewidth=1.4)
    axes.plot(grid, grid, color="0.7", linewidth=0.9)
    stairs = np.repeat(x, 2)
    axes.plot(stairs[:-1], stairs[1:], color=BLUE, linewidth=0.5, alpha=0.8)
    axes.set_xlabel("$x_k$")
    axes.set_ylabel("$x_{k+1}$")
    axes.set_ylim(low - margin, high + margin)


def _return_map(axes: Axes, descent: DescentMap, points: Array) -> None:
    """x_{k+1} against x_k: no function of it with momentum; fixed points lie on the diagonal."""
    before, after = points[0, :-1], points[0, 1:]
    ends = float(points[0].min()), float(points[0].max())
    axes.plot(ends, ends, color="0.7", linewidth=0.9)
    axes.plot(before, after, color=BLUE, linewidth=0.4, alpha=0.5)
    axes.plot(before, after, ".", color=PURPLE, markersize=2.5)
    axes.plot(before[0], after[0], "o", color=VERMILION, markersize=6, label="first step")
    axes.plot(before[-1], after[-1], "s", color=BLUE, markersize=6, label="last step")
    axes.legend(fontsize=8)
    axes.set_xlabel("$x_k$")
    axes.set_ylabel("$x_{k+1}$")


def _over_levels(axes: Axes, descent: DescentMap, points: Array) -> None:
    low, high = points.min(axis=1), points.max(axis=1)
    margin = 0.2 * (high - low) + 0.1 * float((high - low).max()) + 1e-3
    x, y = (np.linspace(a - m, b + m, 200) for a, b, m in zip(low, high, margin, strict=True))
    values = np.asarray(descent.objective(np.array(np.meshgrid(x, y))))
    lowest = float(values.min())
    levels = np.quantile(values, np.linspace(0.0, 1.0, 18) ** 1.5)
    axes.contour(x, y, values, levels=np.unique(levels), colors="0.75", linewidths=0.7)
    axes.plot(*points, color=ORANGE, linewidth=0.5, alpha=0.7)
    axes.plot(*points, ".", color=PURPLE, markersize=2.5)
    axes.plot(*points[:, 0], "o", color=VERMILION, markersize=6, label="start")
    axes.plot(*points[:, -1], "s", color=BLUE, markersize=6, label="last")
    axes.legend(fontsize=8, title=f"lowest level {lowest:.3g}", title_fontsize=8)
    axes.set_xlabel(f"${descent.objective.symbols[0]}$")
    axes.set_ylabel(f"${descent.objective.symbols[1]}$")


def _coordinates(axes: Axes, descent: DescentMap, points: Array) -> None:
    for i, coordinate in enumerate(points[:12]):
        axes.plot(coordinate, linewidth=0.8, color=PALETTE[i % len(PALETTE)], label=f"$x_{{{i + 1}}}$")
    axes.set_xlabel("step $k$")
    axes.set_ylabel("coordinates")
    axes.legend(fontsize=7, ncols=2)

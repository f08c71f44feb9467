"""The landscape: a curve or contours with its critical points and descent paths, and the tree of its barriers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from witten.errors import RequestError
from witten.plots.style import (
    BLUE,
    GREY,
    ORANGE,
    PALETTE,
    VERMILION,
    Array,
    check_place,
    finished,
    new_figure,
    shortened,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from witten.landscape.barriers import Pair
    from witten.landscape.critical.critical_point import CriticalPoint
    from witten.landscape.landscape import Landscape

__all__ = ["plot_barrier_tree", "plot_landscape"]

# Points that are numbered in the picture at most, saddles whose paths are drawn, leaves of a tree that are named.
MOST_NUMBERS, MOST_PATHS, MOST_NAMES = 30, 200, 40
POINTS = 300
# Paths downhill from saddles, in a legend.
SEPARATING, OTHERS = "paths over the barriers", "other paths downhill"


def plot_landscape(landscape: Landscape, path: str | Path | None = None) -> Figure:
    """The graph of f in 1-D, contours with paths in 2-D, f along the paths above that, beside the tree of barriers.

    Raises
    ------
    RequestError
        if there is no minimum to draw, or `path` cannot be written.
    """
    _check(landscape, path)
    dimension = landscape.objective.dimension
    if dimension > 2 and not landscape.saddles:
        figure, (tree,) = new_figure(1, 1, (6.4, 4.8))
    else:
        figure, (view, tree) = new_figure(1, 2, (11.0, 4.8))
        {1: _draw_graph, 2: _draw_contours}.get(dimension, _draw_paths)(view, landscape)
    _draw_tree(tree, landscape)
    figure.suptitle(shortened(landscape.objective.name), fontsize=11)
    return finished(figure, path)


def _check(landscape: Landscape, path: str | Path | None) -> None:
    check_place(path)
    if not landscape.minima:
        raise RequestError(f"nothing to plot: {landscape.objective.name} has no minimum")


def plot_barrier_tree(landscape: Landscape, path: str | Path | None = None) -> Figure:
    """The tree of barriers alone: every minimum a leaf, joined to a deeper one at the height of its saddle.

    Raises
    ------
    RequestError
        if there is no minimum to draw, or `path` cannot be written.
    """
    _check(landscape, path)
    figure, (axes,) = new_figure(1, 1, (6.4, 4.8))
    _draw_tree(axes, landscape)
    figure.suptitle(shortened(landscape.objective.name), fontsize=11)
    return finished(figure, path)


def _window(landscape: Landscape) -> tuple[Array, Array]:
    """Corners that hold all critical points, with air; the user's box where there is one."""
    if landscape.boxed and landscape.search.box is not None:
        return landscape.search.box[0], landscape.search.box[1]
    x = np.stack([p.x for p in (*landscape.minima, *landscape.saddles, *landscape.others)], axis=1)
    low, high = x.min(axis=1), x.max(axis=1)
    width = np.maximum(high - low, 0.35 * float((high - low).max(initial=0.0)))
    width = np.where(width > 0, width, 2.0)
    middle = (low + high) / 2
    return middle - 0.8 * width, middle + 0.8 * width


def _top(landscape: Landscape) -> float:
    """The height up to which f is shown: above the highest critical point by a third of their range."""
    values = [p.value for p in (*landscape.minima, *landscape.saddles, *landscape.others)]
    span = max(values) - min(values)
    return max(values) + (0.35 * span if span > 0 else 1.0)


def _draw_graph(axes: Axes, landscape: Landscape) -> None:
    (low,), (high,) = _window(landscape)
    x = np.linspace(low, high, 2000)
    axes.plot(x, landscape.objective(x[None]), color="black", linewidth=1.3, zorder=1)
    bottom, top = landscape.minima[0].value, _top(landscape)
    axes.set_ylim(bottom - 0.12 * (top - bottom), top)
    for pair in landscape.pairs:
        if pair.saddle is not None and len(landscape.minima) <= MOST_NUMBERS:
            m, z = landscape.minima[pair.minimum], landscape.saddles[pair.saddle]
            axes.plot([m.x[0], m.x[0]], [m.value, z.value], color=VERMILION, linewidth=1.0, linestyle=":")
            axes.plot([m.x[0], z.x[0]], [z.value, z.value], color=VERMILION, linewidth=1.0, linestyle=":")
    _mark(axes, landscape, lambda p: (p.x[0], p.value))
    axes.set_xlim(low, high)
    axes.set_xlabel("$x$")
    axes.set_ylabel("objective $f$")


def _draw_contours(axes: Axes, landscape: Landscape) -> None:
    from witten.landscape.critical.saddle_connections import descent_paths

    low, high = _window(landscape)
    x, y = (np.linspace(a, b, POINTS) for a, b in zip(low, high, strict=True))
    mesh = np.stack([axis.ravel() for axis in np.meshgrid(x, y, indexing="ij")])
    with np.errstate(all="ignore"):
        f = np.asarray(landscape.objective(mesh), dtype=float).reshape(POINTS, POINTS).T
    bottom, top = landscape.minima[0].value, _top(landscape)
    levels = bottom + (top - bottom) * np.linspace(0, 1, 19)[1:] ** 1.3
    shown = np.where(np.isfinite(f), f, np.inf)
    axes.contourf(x, y, np.minimum(shown, 2 * top - bottom), levels=[bottom - 1e-9, *levels], cmap="Greys", alpha=0.45)
    lines = axes.contour(
        x, y, np.minimum(shown, 2 * top - bottom), levels=levels, colors="0.55", linewidths=0.5, linestyles="solid"
    )
    axes.clabel(lines, levels[::3], fmt=lambda level: f"{level:.2g}", fontsize=6.5, colors="0.25")
    separating = {pair.saddle for pair in landscape.pairs}
    if len(landscape.saddles) <= MOST_PATHS:
        for k, sides in enumerate(descent_paths(landscape.objective, landscape.saddles)):
            color, width, name = (VERMILION, 1.4, SEPARATING) if k in separating else (ORANGE, 0.9, OTHERS)
            for side in sides:
                axes.plot(*side, color=color, linewidth=width, zorder=2)
            if name not in axes.get_legend_handles_labels()[1]:
                axes.plot([], [], color=color, linewidth=width, label=name)
    _mark(axes, landscape, lambda p: (p.x[0], p.x[1]))
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_xlabel("$x$")
    axes.set_ylabel("$y$")
    axes.set_aspect("equal" if 0.4 < (high[1] - low[1]) / (high[0] - low[0]) < 2.5 else "auto")


def _draw_paths(axes: Axes, landscape: Landscape) -> None:
    """f along the paths downhill from the saddles that separate, against the length from the saddle."""
    from witten.landscape.critical.saddle_connections import descent_paths

    separating = sorted({pair.saddle for pair in landscape.pairs if pair.saddle is not None})[: len(PALETTE)]
    chosen = tuple(landscape.saddles[k] for k in separating)
    for k, colour, sides in zip(separating, PALETTE, descent_paths(landscape.objective, chosen), strict=False):
        for sign, side in zip((-1, 1), sides, strict=True):
            length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(side, axis=1), axis=0))])
            heights = landscape.objective(side)
            axes.plot(sign * length, heights, color=colour, linewidth=1.4)
            axes.plot(sign * length[-1], heights[-1], "o", color=BLUE, markersize=5, zorder=4)
            end = int(np.argmin([np.linalg.norm(minimum.x - side[:, -1]) for minimum in landscape.minima]))
            if end in landscape.saddles[k].connects:
                axes.annotate(str(end), (sign * length[-1], heights[-1]), xytext=(-3, -13), textcoords="offset points",
                              fontsize=8, color=BLUE, fontweight="bold")  # fmt: skip
        i, j = ("?" if end is None else end for end in landscape.saddles[k].connects)
        axes.plot([0.0], [landscape.saddles[k].value], "X", color=colour, markeredgecolor="black", markersize=7,
                  label=f"saddle {k}: minima {i} and {j}")  # fmt: skip
    axes.margins(y=0.09)
    axes.set_xlabel("length along the path downhill, from the saddle")
    axes.set_ylabel("objective $f$")
    axes.legend(frameon=False, fontsize=8)


def _mark(axes: Axes, landscape: Landscape, place: Callable[[CriticalPoint], tuple[float, float]]) -> None:
    """Critical points as symbols, minima and saddles with their numbers."""
    size = 6.0 if len(landscape.minima) <= MOST_NUMBERS else 3.0
    kinds = (
        (landscape.minima, "o", BLUE, "minima"),
        (landscape.saddles, "X", VERMILION, "saddles of index 1"),
        (landscape.others, "^", "white", "other critical points"),
    )
    for points, marker, color, label in kinds:
        if points:
            x, y = zip(*(place(point) for point in points), strict=True)
            axes.plot(x, y, linestyle="none", marker=marker, color=color, markeredgecolor="black",
                      markeredgewidth=0.6, markersize=size, label=label, zorder=4)  # fmt: skip
    if len(landscape.minima) <= MOST_NUMBERS:
        graph = landscape.objective.dimension == 1  # there a number stands clear of the curve
        for points, color, shift in (
            (landscape.minima, BLUE, (-3, -15) if graph else (5, 5)),
            (landscape.saddles, VERMILION, (-3, 8) if graph else (5, 5)),
        ):
            for i, point in enumerate(points):
                axes.annotate(str(i), place(point), xytext=shift, textcoords="offset points", fontsize=8, color=color,
                              fontweight="bold", zorder=5)  # fmt: skip
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize=8, ncols=3)


def _draw_tree(axes: Axes, landscape: Landscape) -> None:
    """Each minimum hangs from the height at which it joins a deeper one; red where the barrier is H_f."""
    order = _leaves(landscape.pairs)
    place = {minimum: i for i, minimum in enumerate(order)}
    joins = [landscape.saddles[pair.saddle].value for pair in landscape.pairs if pair.saddle is not None]
    low = landscape.minima[0].value
    top = max(joins) + 0.12 * (max(joins) - low) if joins and max(joins) > low else _top(landscape)
    highest = landscape.barrier
    thin = len(order) > MOST_NAMES
    for pair in landscape.pairs:
        floor, x = landscape.minima[pair.minimum].value, place[pair.minimum]
        if pair.saddle is None or pair.into is None or pair.barrier is None:
            axes.plot([x, x], [floor, top], color=GREY, linewidth=0.7 if thin else 1.4)
            continue
        height = landscape.saddles[pair.saddle].value
        largest = highest is not None and pair.barrier >= highest * (1 - 1e-9)
        color = VERMILION if largest else GREY
        axes.plot([x, x, place[pair.into]], [floor, height, height], color=color, linewidth=0.7 if thin else 1.4,
                  zorder=3 if largest else 2)  # fmt: skip
    heights = [landscape.minima[minimum].value for minimum in order]
    axes.plot(range(len(order)), heights, "o", color=BLUE, markersize=2.5 if thin else 5, zorder=4)
    if thin:
        axes.set_xticks([])
        axes.set_xlabel(f"{len(order)} minima")
    else:
        axes.set_xticks(range(len(order)), [str(minimum) for minimum in order])
        axes.set_xlabel("minimum")
    axes.set_xlim(-0.6, len(order) - 0.4)
    bottom = min(heights)
    axes.set_ylim(bottom - 0.06 * (top - bottom), top)
    axes.set_ylabel("objective $f$")
    title = "barriers" if highest is None else rf"barriers, the largest $H_f = {highest:.6g}$"
    axes.set_title(title, fontsize=10, color="black" if highest is None else VERMILION)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _leaves(pairs: tuple[Pair, ...]) -> list[int]:
    """The minima in an order in which no branch crosses a stem: each beside the one it joins, late joins outside."""
    children: dict[int, list[tuple[float, int]]] = {pair.minimum: [] for pair in pairs}
    roots = []
    for pair in pairs:
        if pair.saddle is None or pair.into is None or pair.barrier is None:
            roots.append(pair.minimum)
        else:
            children[pair.into].append((pair.joins, pair.minimum))
    order: list[int] = []
    for root in roots:
        order += _branch(root, children)
    return order


def _branch(minimum: int, children: dict[int, list[tuple[float, int]]]) -> list[int]:
    """A minimum with all that joins it, those that join early close by, left and right in turn."""
    placed = [minimum]
    for i, (_, child) in enumerate(sorted(children[minimum])):
        branch = _branch(child, children)
        placed = placed + branch if i % 2 == 0 else branch[::-1] + placed
    return placed

"""The routes side by side: rates against 1/s, and their ratios against s."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from witten.errors import RequestError
from witten.plots.rates.curves import LOWEST_DECADE, learning_rate_axis, learning_rate_ticks
from witten.plots.style import (
    BLUE,
    GREY,
    ORANGE,
    VERMILION,
    Array,
    check_place,
    finished,
    log_ticks,
    new_figure,
    shortened,
)
from witten.rates import CurveSet, LawRate, RateCurve, RateRecord
from witten.validation import ROUTES, Validation
from witten.validation.judgement import MONTE_CARLO
from witten.validation.routes import SECOND_LOOK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_rates", "plot_ratios", "plot_routes", "plot_validation"]

# route -> learning rate -> record; None where the route says nothing
Answers = Mapping[str, Mapping[float, RateRecord | None]]


def plot_validation(found: Validation, path: str | Path | None = None) -> Figure:
    """Rates by all routes against 1/s; beside them spectral/theory and Monte Carlo/spectral against s.

    Raises
    ------
    RequestError
        if no route says anything, or `path` cannot be written.
    """
    return _side_by_side(found.objective.name, _answers(found), path)


def plot_routes(curves: CurveSet, path: str | Path | None = None) -> Figure:
    """The same from the file of `validate`; a second estimate takes the place of the first."""
    known = {name: _resolved(curve) for name, curve in curves.curves.items()}
    known[MONTE_CARLO] |= {s: r for s, r in known.pop(SECOND_LOOK, {}).items() if r is not None}
    return _side_by_side(next(iter(curves.curves.values())).objective, known, path)


def _resolved(curve: RateCurve) -> dict[float, RateRecord | None]:
    return {record.learning_rate: record if record.resolved else None for record in curve.records}


def _side_by_side(title: str, found: Answers, path: str | Path | None) -> Figure:
    check_place(path)
    _require_rates(title, found)
    figure, (rates, law, sampled) = new_figure(1, 3, (16.5, 4.8))
    _draw_rates(rates, found)
    _draw_law_ratio(law, found)
    _draw_sampled_ratio(sampled, found)
    figure.suptitle(shortened(title), fontsize=11)
    return finished(figure, path)


def _answers(found: Validation) -> Answers:
    return {name: {c.learning_rate: getattr(c, name) for c in found.records} for name in ROUTES}


def plot_rates(found: Validation, path: str | Path | None = None) -> Figure:
    """Rates by all routes against 1/s; errors as `plot_validation`."""
    check_place(path)
    answers = _answers(found)
    _require_rates(found.objective.name, answers)
    figure, (axes,) = new_figure(1, 1, (7.2, 4.8))
    _draw_rates(axes, answers)
    return finished(figure, path)


def plot_ratios(found: Validation, path: str | Path | None = None) -> Figure:
    """spectral/theory and Monte Carlo/spectral against s, one above the other; errors as `plot_validation`."""
    check_place(path)
    answers = _answers(found)
    _require_rates(found.objective.name, answers)
    figure, (law, sampled) = new_figure(2, 1, (7.2, 7.2))
    _draw_law_ratio(law, answers)
    _draw_sampled_ratio(sampled, answers)
    return finished(figure, path)


def _require_rates(title: str, found: Answers) -> None:
    if not any(record for route in found.values() for record in route.values()):
        raise RequestError(f"nothing to plot: no route says anything about {title}")


def _draw_rates(axes: Axes, found: Answers) -> None:
    """Theory as a line, spectral rates as points, Monte Carlo as intervals; log10 of rates where doubles end."""
    known = [r.log_rate for route in found.values() for r in route.values() if r is not None]
    underflow = min(known) < LOWEST_DECADE * math.log(10)

    def height(logs: Array) -> Array:
        return logs / math.log(10) if underflow else np.exp(logs)

    columns = {name: _column(found, name) for name in ("theory", "spectral", "monte_carlo")}
    s, logs, _, _ = columns["theory"]
    if s.size:
        order = np.argsort(s)
        style = "-" if s.size > 1 else "_"
        axes.plot(1 / s[order], height(logs[order]), style, color="black", linewidth=1.0, zorder=4,
                  label="theory (Eyring-Kramers)")  # fmt: skip
    s, logs, low, high = columns["monte_carlo"]
    if s.size:
        bars = np.array([height(logs) - height(np.maximum(low, logs - 50)), height(high) - height(logs)])
        axes.errorbar(1 / s, height(logs), yerr=np.maximum(bars, 0), fmt="s", color=VERMILION, mfc="white",
                      markersize=7, capsize=4, label="Monte Carlo, 95 % intervals", zorder=2)  # fmt: skip
    s, logs, low, high = columns["spectral"]
    if s.size:
        bars = np.array([height(logs) - height(np.maximum(low, logs - 50)), height(high) - height(logs)])
        axes.errorbar(1 / s, height(logs), yerr=np.maximum(bars, 0), fmt="o", color=BLUE, markersize=6, capsize=3,
                      label="spectral", zorder=3)  # fmt: skip
    if underflow:
        axes.set_ylabel(r"$\log_{10}\,\lambda_s$")
    else:
        axes.set_yscale("log")
        axes.set_ylabel(r"rate $\lambda_s$")
        if np.ptp(known) < math.log(3):
            middle = math.exp(float(np.mean(known)))
            axes.set_ylim(middle / 4, middle * 4)
    axes.set_xlabel("$1/s$")
    axes.margins(x=0.05, y=0.08)
    axes.grid(True, color="0.9", linewidth=0.6)
    learning_rate_axis(axes, 1 / np.array(list(found[ROUTES[0]])))
    if not underflow:
        log_ticks(axes.yaxis)
    axes.legend(frameon=False, fontsize=9, loc="upper right")


def _column(found: Answers, route: str) -> tuple[Array, Array, Array, Array]:
    """s, log rates and the ends of the bars, where a route has an answer."""
    rows = [(s, r.log_rate, r.lower, r.upper) for s, r in found[route].items() if r is not None]
    values = np.array(rows).reshape(-1, 4)
    return values[:, 0], values[:, 1], values[:, 2], values[:, 3]


def _draw_law_ratio(axes: Axes, found: Answers) -> None:
    """spectral/theory with the bars of both, and leading order/theory beside it."""
    rows = [(s, record, found["theory"].get(s)) for s, record in found["spectral"].items()]
    _draw_ratio(axes, rows, BLUE)
    known = [(s, law) for s, _, law in rows if isinstance(law, LawRate) and law.log_leading]
    laws = [(s, law.log_leading[0] - law.log_rate) for s, law in known]
    if laws:
        s, ratio = np.array(sorted(laws)).T
        axes.plot(s, np.exp(ratio), ".-", color=GREY, linewidth=0.8, label="leading order / theory", zorder=1)
        axes.legend(frameon=False, fontsize=9, loc="upper left")
    _finish(axes, "spectral / theory", "no learning rate where both are known", any(a and b for _, a, b in rows))
    axes.set_xscale("linear")
    axes.set_xlim(left=0)


def _draw_sampled_ratio(axes: Axes, found: Answers) -> None:
    """Monte Carlo/spectral with its intervals, on a log axis."""
    sampled, spectral = found["monte_carlo"], found["spectral"]
    other = "spectral" if any(record and spectral.get(s) for s, record in sampled.items()) else "theory"
    rows = [(s, record, found[other].get(s)) for s, record in sampled.items()]
    _draw_ratio(axes, rows, VERMILION)
    there = any(a and b for _, a, b in rows)
    _finish(axes, f"Monte Carlo / {other}", "no learning rate where both are known", there)
    axes.set_xscale("log")
    if sampled:
        learning_rate_ticks(axes, np.array(list(sampled)))
    for s, a, b in rows:
        if there and (a is None or b is None):
            axes.axvline(s, color=ORANGE, linewidth=0.8, linestyle=":", zorder=0)


def _draw_ratio(axes: Axes, rows: list[tuple[float, RateRecord | None, RateRecord | None]], color: str) -> None:
    """first/second with the bars of both."""
    both = [(s, a, b) for s, a, b in rows if a is not None and b is not None]
    if both:
        s = np.array([row[0] for row in both])
        ratio = np.exp([a.log_rate - b.log_rate for _, a, b in both])
        low = np.exp([a.lower - b.upper for _, a, b in both])
        high = np.exp([a.upper - b.lower for _, a, b in both])
        bars = np.maximum([ratio - low, high - ratio], 0)
        axes.errorbar(s, ratio, yerr=bars, fmt="o", color=color, markersize=5, capsize=3, zorder=3)
    axes.axhline(1.0, color=GREY, linewidth=1.0, linestyle="--", zorder=1)


def _finish(axes: Axes, label: str, nothing: str, there: bool) -> None:
    axes.set_xlabel("learning rate $s$")
    axes.set_ylabel(label)
    axes.grid(True, color="0.9", linewidth=0.6)
    if not there:
        axes.text(0.5, 0.5, nothing, ha="center", va="center", transform=axes.transAxes, fontsize=9, color=GREY)



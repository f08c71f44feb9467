"""The page of a validation: everything that a supplement would hold of it."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from witten.barrier_fit import BarrierFit, plus_minus
from witten.errors import ConvergenceError, RequestError
from witten.landscape.landscape import Landscape
from witten.number_format import scientific
from witten.plots.fields.landscapes import plot_landscape
from witten.plots.fields.modes import plot_spectrum
from witten.plots.rates.validation import plot_rates, plot_ratios
from witten.plots.style import method_name
from witten.rates import RateRecord
from witten.report.drawings import picture
from witten.report.pages import (
    Block,
    Facts,
    Figure,
    Row,
    Section,
    Table,
    Text,
    Verdict,
    formula,
    page,
    typeset,
    write_page,
)
from witten.spectra.gap import spectrum
from witten.validation import Comparison, Validation
from witten.validation.judgement import MONTE_CARLO, NAMES, ROUTES, SPECTRAL
from witten.validation.verdict import left_out
from witten.version import version_of

if TYPE_CHECKING:
    from witten.spectra.spectrum import Spectrum

__all__ = ["validation_page", "write_validation"]

PACKAGES = ("numpy", "scipy", "numba", "sympy", "mpmath", "matplotlib")
# Points of each kind that the tables of the landscape list, and modes that are drawn.
MOST_POINTS, MODES = 40, 4
# Modes are drawn at the learning rate nearest to this part of the barrier: wells apart, and no mode too flat to see.
TYPICAL = 0.5
AGREE = {True: "yes", False: "no", None: "nothing to compare"}


def write_validation(found: Validation, path: str | Path) -> None:
    """Write the page; errors as `write_page`."""
    write_page(path, validation_page(found))


def validation_page(found: Validation) -> str:
    """The page as text; the modes are computed for it, in up to three dimensions."""
    rates = [c.learning_rate for c in found.records]
    span = f"s = {rates[0]:g}" if len(rates) == 1 else f"{len(rates)} learning rates, {min(rates):g} to {max(rates):g}"
    title = f"{found.objective.name}: the rate of convergence by three routes"
    sections = [section for section in _sections(found) if section.blocks]
    return page(title, sections, lead=formula(found.objective, f"; {span}"))


def _sections(found: Validation) -> Iterator[Section]:
    yield Section("Verdict", list(_verdict(found)))
    yield Section("Rates", list(_rates(found)))
    yield Section("Numbers", [_numbers(found), *_reasons(found)])
    yield Section("Barrier", [_barriers(found)])
    yield Section("Objective", list(_objective(found)))
    yield Section("Modes", list(_modes(found)))
    yield Section("How it was computed", list(_how(found)))


def _verdict(found: Validation) -> Iterator[Block]:
    yield Verdict(found.agree, typeset(found.verdict))
    yield Text(
        "The rate λ is the spectral gap of the generator of dX = -∇f dt + σ√s dW: the law of X approaches the "
        "Gibbs measure e^(-2f/(s σ²)) like e^(-λt), with t = s × the number of steps. It is computed from "
        "a discretised operator (spectral), from minima and saddles alone (theory, the Eyring-Kramers law), and from "
        "simulated paths (Monte Carlo). The three share the objective and nothing else."
    )


def _rates(found: Validation) -> Iterator[Block]:
    try:
        yield Figure(
            picture(plot_rates(found)),
            "The rate against 1/s by all routes. Error bars of spectral rates are mostly smaller than the points; "
            "Monte Carlo intervals hold 95 %.",
        )
        yield Figure(
            picture(plot_ratios(found)),
            "Above: spectral rate over theory, bars those of both, and the law of leading order over theory as a line; "
            "all tend to 1 as s → 0. Below: Monte Carlo over the spectral rate; a dotted line marks a learning rate "
            "where one of them is missing.",
        )
    except RequestError:
        yield Text("No route says anything about this objective.")


# ------------------------------------------------------------------------------------------------ numbers


def _numbers(found: Validation) -> Table:
    sampled = ("Monte Carlo", "low", "high", "estimator")
    headings = ("s", "spectral", "error", "theory", "spectral/theory", *sampled, "agree")
    rows = [Row(_row(c), False if c.agree is False else None) for c in found.records]
    caption = "Rates by all routes; low and high are the ends of the 95 % interval of Monte Carlo"
    return Table(headings, rows, caption, words=("estimator", "agree"))


def _row(c: Comparison) -> tuple[str, ...]:
    ratio = ""
    if c.spectral is not None and c.theory is not None:
        ratio = f"{math.exp(c.spectral.log_rate - c.theory.log_rate):.4f}"
    sampled = c.monte_carlo
    interval = ("", "", "") if sampled is None else tuple(
        scientific(value, 3) for value in (sampled.log_rate, sampled.lower, sampled.upper)
    )  # fmt: skip
    return (
        f"{c.learning_rate:.6g}",
        "" if c.spectral is None else scientific(c.spectral.log_rate, 8),
        "" if c.spectral is None else _error(c.spectral),
        "" if c.theory is None else scientific(c.theory.log_rate, 6),
        ratio,
        *interval,
        "" if sampled is None else sampled.solver,
        AGREE[c.agree],
    )


def _error(record: RateRecord) -> str:
    """The half-width of the error bar."""
    width = record.log_error
    return scientific(record.log_rate + math.log(math.expm1(width)), 2) if 0 < width < 700 else "0" if not width else ""


def _reasons(found: Validation) -> Iterator[Block]:
    for line in left_out(found.records):
        yield Text(f"{line[0].upper()}{line[1:]}.")
    for c in found.records:
        for judgement in c.judgements:
            if not judgement.agree:
                yield Verdict(False, f"At s = {c.learning_rate:.6g}: {judgement}.")


def _barriers(found: Validation) -> Table:
    rows = [Row(("from the landscape, H_f", "" if found.barrier is None else f"{found.barrier:.10g}", "exact", ""))]
    for name in (SPECTRAL, MONTE_CARLO):
        fit = found.fit(name)
        label = f"fitted to {NAMES[name]} rates"
        wrong = False if name == SPECTRAL and found.barrier_agrees is False else None
        rows.append(Row((label, *_fit_words(fit)), wrong))
    return Table(
        ("barrier", "H", "error", "prefactor"), rows,
        "The barrier H of λ = α e^(-2H/(s σ²)) (1 + O(s))", words=("barrier",),
    )  # fmt: skip


def _fit_words(fit: BarrierFit | None) -> tuple[str, str, str]:
    if fit is None or not math.isfinite(fit.barrier_error):
        return "", "", ""
    value, _, error = plus_minus(fit.barrier, fit.barrier_error).partition(" +- ")
    known = math.isfinite(fit.prefactor) and 0 <= fit.prefactor_error < math.inf
    return value, error, typeset(plus_minus(fit.prefactor, fit.prefactor_error)) if known else ""


# ------------------------------------------------------------------------------------------------ the objective


def _objective(found: Validation) -> Iterator[Block]:
    landscape = found.landscape
    facts = {"Name": found.objective.name, "f": formula(found.objective, name=False)}
    facts |= {"Dimension": str(found.objective.dimension)}
    yield Facts(facts | ({} if landscape is None else _conditions(landscape)))
    if landscape is None:
        return
    if landscape.minima:
        caption = "Critical points of f, and the tree of its barriers."
        yield Figure(picture(plot_landscape(landscape)), caption, wide=landscape.objective.dimension <= 2)
    yield from _points(landscape)
    for note in landscape.notes:
        yield Text(f"Note: {note}.")


def _conditions(landscape: Landscape) -> dict[str, str]:
    known = landscape.conditions

    def words(name: str) -> str:
        value = getattr(known, name)
        how = " (proved)" if name in known.proved else " (estimated)"
        return "not known" if value is None else ("yes" if value else "no") + how

    mu = known.strong_convexity
    search = landscape.search
    whole = "not proved to be complete"
    if search.complete:
        whole = "proved to be complete" + ("" if search.everywhere else " in the box searched")
    return {
        "Confining": words("confining"),
        "Villani": words("villani"),
        "Strongly convex": "no" if mu is None else f"f'' ≥ {mu:.6g}",
        "Critical points": f"minima {len(landscape.minima)}, saddles of index 1 {len(landscape.saddles)}, "
        f"others {len(landscape.others)}; the list is {whole}",
    }


def _points(landscape: Landscape) -> Iterator[Block]:
    pairs = {pair.minimum: pair for pair in landscape.pairs}
    rows = []
    for i, m in enumerate(landscape.minima[:MOST_POINTS]):
        barrier = "" if pairs[i].barrier is None else f"{pairs[i].barrier:.8g}"
        rows.append((str(i), _place(m.x), f"{m.value:.8g}", _place(m.curvatures), barrier))
    yield Table(("minimum", "x", "f", "curvatures", "barrier"), rows, _first("Minima", len(landscape.minima)))
    rows = []
    for i, z in enumerate(landscape.saddles[:MOST_POINTS]):
        joins = " - ".join("?" if k is None else str(k) for k in z.connects)
        rows.append((str(i), _place(z.x), f"{z.value:.8g}", _place(z.curvatures), joins))
    if rows:
        caption = _first("Saddles of index 1", len(landscape.saddles))
        yield Table(("saddle", "x", "f", "curvatures", "joins"), rows, caption)


def _first(what: str, count: int) -> str:
    return what if count <= MOST_POINTS else f"{what}: the lowest {MOST_POINTS} of {count}"


def _place(values: Any) -> str:
    shown = ", ".join(f"{round(float(value), 12) + 0.0:.6g}" for value in values[:6])
    return shown + (", …" if len(values) > 6 else "")


# ------------------------------------------------------------------------------------------------ modes


def _modes(found: Validation) -> Iterator[Block]:
    """The slowest modes at one learning rate, where a grid can hold them."""
    computed = _typical_spectrum(found)
    if computed is None:
        return
    shown = [
        (str(k), f"{rate:.6g}" if rate else "0", f"{error:.1e}" if rate else "", "yes" if good else "no")
        for k, (rate, error, good) in enumerate(zip(computed.rates, computed.errors, computed.resolved, strict=True))
    ]
    ties = ""
    if computed.multiplets:
        ties = " Rates that cannot be distinguished fix only the span of their modes."
    yield Figure(
        picture(plot_spectrum(computed, found.objective)),
        f"The slowest modes of the generator at s = {computed.learning_rate:g}: the first is the last "
        f"to decay.{ties}",
        wide=found.objective.dimension > 1,
    )
    yield Table(("mode", "rate", "error", "resolved"), shown, f"The lowest rates at s = {computed.learning_rate:g}")


def _typical_spectrum(found: Validation) -> Spectrum | None:
    known = [c.learning_rate for c in found.records if c.spectral is not None]
    if not known:
        return None
    wanted = max(known) if found.barrier is None else TYPICAL * found.barrier / found.noise**2
    s = min(known, key=lambda each: abs(math.log(each / wanted)))
    box = found.routes[SPECTRAL].options.get("box")
    try:
        return spectrum(found.objective, s, MODES, noise=found.noise, box=box, rtol=1e-3)
    except (RequestError, ConvergenceError):
        return None


# ------------------------------------------------------------------------------------------------ how


def _how(found: Validation) -> Iterator[Block]:
    yield Table(
        ("route", "method", "options", "seconds"),
        [
            (NAMES[name], method_name(route.method), _options(route.options), f"{route.seconds:.1f}")
            for name in ROUTES
            if (route := found.routes[name]).seconds or any(route.records)
        ],
        "Methods and times",
        words=("route", "method", "options"),
    )
    yield from _sampling(found)
    yield Facts(
        {
            "Noise σ": f"{found.noise:g}",
            "Seed": str(found.seed),
            "Seconds in all": f"{found.seconds:.1f}",
            "Made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "Versions": ", ".join(f"{name} {version_of(name) or 'unknown'}" for name in ("witten", *PACKAGES)),
            "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
            "Judged by": _rules(found),
        }
    )


def _sampling(found: Validation) -> Iterator[Block]:
    """What Monte Carlo took at each learning rate."""
    names = ("solver", "n_dofs", "n_steps", "dt", "diverged", "seconds", "notes")
    rows = [
        (f"{c.learning_rate:.6g}", *(_cell(getattr(c.monte_carlo, name, None)) for name in names))
        for c in found.records
        if c.monte_carlo is not None
    ]
    if rows:
        headings = ("s", "estimator", "paths", "steps", "time step", "diverged", "seconds", "remarks")
        yield Table(headings, rows, "Monte Carlo at each learning rate", words=("estimator", "remarks"))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "; ".join(map(str, value))
    return str(value)


def _options(options: Any) -> str:
    return ", ".join(f"{name} = {_cell(value)}" for name, value in options.items() if value is not None)


def _rules(found: Validation) -> str:
    law = "spectral and theory: within both error bars" if found.barrier is not None else ""
    sampled = (
        "spectral and Monte Carlo: within both error bars, the interval widened so that chance alone fails one table "
        "in a thousand"
    )
    barrier = "" if found.barrier_agrees is None else "the barrier of the spectral rates: H_f within three errors"
    return "; ".join(each for each in (law, sampled, barrier) if each)

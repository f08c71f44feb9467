"""The page of an explanation, and the same blocks for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from witten.errors import RequestError
from witten.explanation.dataset import explanation_dataset
from witten.explanation.explanation import RELAXATION, Change, Explanation, MeanTime, Well
from witten.explanation.words import (
    FLAT,
    LINEAR,
    NOT_RESOLVED,
    WIDEST,
    in_words,
    place,
    ratio,
    with_bar,
    with_bar_of_log,
)
from witten.plots.fields.explanations import plot_passage
from witten.plots.fields.landscapes import plot_landscape
from witten.rates import LawRate, RateRecord
from witten.report.drawings import picture
from witten.report.pages import (
    Block,
    Facts,
    Figure,
    Section,
    Table,
    Text,
    Verdict,
    formula,
    page,
    typeset,
    write_page,
)

__all__ = ["explanation_page", "explanation_sections", "write_explanation"]

EXACT = "to rounding"
NAMES = {"spectral": "spectral (grid)", "law": "law, first order", "leading": "law, leading order",
         "simulated": "simulated paths"}  # fmt: skip
MISSING = {
    "spectral": "spectral rate", "law": "law", "simulated": "simulated paths", "landscape": "critical points",
    "passage": "saddle that limits", "path": "minimum-energy path", "committor": "committor and its times",
    "committor_half": "committor on the path", "law times": "mean times by the law", "law masses": "masses by the law",
    "halved spectral": "spectral rate at s/2", "doubled spectral": "spectral rate at 2 s",
    "halved law": "law at s/2", "doubled law": "law at 2 s",
}  # fmt: skip
# Wells and ways that tables list.
MOST = 20


def write_explanation(found: Explanation, path: str | Path) -> None:
    """Write the page; errors as `write_page`."""
    write_page(path, explanation_page(found))


def explanation_page(found: Explanation) -> str:
    """The page as text."""
    noise = "" if found.noise == 1 else f", noise {found.noise:g}"
    title = f"{found.objective.name} at learning rate {found.learning_rate:g}{noise}: why is it this slow?"
    first, *rest = explanation_sections(found)
    says, *more = in_words(found)
    blocks: list[Block] = [Verdict(None, typeset(says)), *(Text(typeset(each)) for each in more)]
    sections = [Section(first.title, blocks), *rest]
    sections.insert(2, Section("Picture", list(_figures(found))))
    return page(title, [s for s in sections if s.blocks], lead=formula(found.objective))


def explanation_sections(found: Explanation) -> list[Section]:
    """What there is to say, without figures; empty sections are left out."""
    sections = [
        Section("Why", [Text(each) for each in in_words(found)]),
        Section("The rate, by each route", [_routes(found)]),
        Section("Wells", list(_wells(found))),
        Section("How it relaxes", list(_relaxing(found))),
        Section("The way that limits", list(_way(found))),
        Section("Mean times", list(_times(found))),
        Section("Half and twice the learning rate", list(_changes(found))),
        Section("What is missing, and why", list(_missing(found))),
        Section("Notes", [Text(f"{note}.") for note in found.notes]),
    ]
    return [section for section in sections if section.blocks]


def _figures(found: Explanation) -> Iterator[Block]:
    if found.passage is not None and found.passage.points is not None:
        q = "" if found.passage.q is None else " The committor from A to B is one half where the dotted line is."
        drawing = picture(plot_passage(explanation_dataset(found)))
        yield Figure(drawing, f"f along the minimum-energy path over the saddle that limits.{q}")
    if found.landscape is not None and found.landscape.minima:
        wide = found.objective.dimension <= 2
        try:
            yield Figure(picture(plot_landscape(found.landscape)), "Critical points, and the tree of barriers.", wide)
        except RequestError:
            return


# ------------------------------------------------------------------------------------------------ rates


def _routes(found: Explanation) -> Table:
    """Rates, and what e^(-rate t) takes to fall to 1/e."""
    rows = [_route(found, "spectral", found.spectral), _route(found, "law", found.law)]
    if found.law is not None and found.law.log_leading:
        leading = found.law.log_leading[0]
        off = abs(leading - found.law.log_rate) + found.law.log_error
        rows.append((NAMES["leading"], *_numbers(found, leading, off), "off by a factor 1 + O(s)"))
    rows.append(_route(found, "simulated", found.simulated))
    headings = ("route", "rate", "1/rate, time", "1/rate, steps", "remark")
    return Table(headings, rows, "Rates with the errors of their last digits", words=("route", "remark"))


def _route(found: Explanation, name: str, record: RateRecord | None) -> tuple[str, ...]:
    if record is None:
        return NAMES[name], "", "", "", found.why.get(name, "")
    return NAMES[name], *_numbers(found, record.log_rate, record.log_error), _remark(found, name, record)


def _numbers(found: Explanation, log_rate: float, log_error: float) -> tuple[str, str, str]:
    if not log_error <= WIDEST:
        return NOT_RESOLVED, "", ""
    logs = (log_rate, -log_rate, -log_rate - math.log(found.learning_rate))
    first, second, third = (with_bar_of_log(log, log_error) for log in logs)
    return first, second, third


def _remark(found: Explanation, name: str, record: RateRecord) -> str:
    """Whether it agrees with the spectral rate, or why it means nothing."""
    if isinstance(record, LawRate) and not record.resolved:
        return "its error bar is wider than a factor of two"
    if record.continuous:
        return "bottom of the continuous spectrum, no eigenvalue"
    if name == "spectral" or found.spectral is None:
        return record.solver if not isinstance(record, LawRate) else ""
    off = abs(record.log_rate - found.spectral.log_rate)
    same = off <= record.log_error + found.spectral.log_error
    kind = "" if isinstance(record, LawRate) else " (95 % interval)"
    return f"{'agrees with' if same else 'differs from'} the spectral rate within both bars{kind}" if same else (
        f"differs from the spectral rate beyond both bars{kind}"
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------ wells and the way


def _wells(found: Explanation) -> Iterator[Block]:
    if not found.wells:
        return
    rows = [
        (
            str(w.number), place(w.x, found.extent), f"{_tidy(w.value):.8g}", _depth(w.depth), place(w.curvatures),
            *(_masses(w) if len(found.wells) > 1 else ("all", "all")),
        )
        for w in found.wells[:MOST]
    ]  # fmt: skip
    headings = ("well", "minimum", "f", "depth", "curvatures", "mass, grid", "mass, law")
    more = "" if len(found.wells) <= MOST else f"; the lowest {MOST} of {len(found.wells)}"
    of_all = "the only one" if found.minima == 1 else f"of {found.minima} minima in all"
    caption = (
        f"Wells deeper than s = {found.s:g}, {of_all}, with their parts of the Gibbs measure"
        f"{more}; points, heights and curvatures {_digits(found)}"
    )
    yield Table(headings, rows, caption, words=("minimum", "curvatures"))


def _digits(found: Explanation) -> str:
    if found.objective.formula is None:
        return "by numerical derivatives, to about five digits"
    return EXACT if found.landscape is not None and found.landscape.connected else "as far as f on the grid shows them"


def _depth(depth: float) -> str:
    return f"{depth:.6g}" if math.isfinite(depth) else "the lowest"


def _masses(well: Well) -> tuple[str, str]:
    return _mass(well.log_mass, well.log_mass_error), _mass(well.law_log_mass, well.law_log_mass_error)


def _mass(log: float, error: float) -> str:
    if math.isnan(log):
        return "-"
    if not error <= WIDEST:
        return NOT_RESOLVED
    return with_bar_of_log(log, max(error, 1e-15))


def _way(found: Explanation) -> Iterator[Block]:
    way = found.passage
    if way is None:
        return
    z, start, end = way.saddle, found.wells[way.start], found.wells[way.end]
    ends = (f"{found.name(k)} at {place(found.wells[k].x, found.extent)}" for k in (way.start, way.end))
    facts = {
        "From A, to B": ", ".join(ends),
        "Saddle": f"{place(z.x, found.extent)}, f = {with_bar(z.value, z.error)}",
        "Height above A": _height(z.value - start.value, z.error, found.s),
        "Height above B": _height(z.value - end.value, z.error, found.s),
        "Negative curvature": f"{z.curvatures[0]:.8g} {_digits(found)}" if np.isfinite(z.curvatures).all() else
        "none: a kink",
    }  # fmt: skip
    yield Facts(facts | _path(found))
    if len(found.limits) > 1:
        rows = [(f"{i} and {j}", f"{max(part, 0.0):.4f}") for (i, j), part in list(found.limits.items())[:MOST]]
        caption = "d log rate / d log conductance between minima, by the law: what the rate depends on; to about 1e-4"
        yield Table(("minima", "part"), [row for row in rows if row[1] != "0.0000"], caption, words=("minima",))


def _relaxing(found: Explanation) -> Iterator[Block]:
    """Of a mode that is no transition: which way it goes, and the curvature there."""
    along = found.mode.relaxation
    if along is None or found.kind != RELAXATION:
        return
    share = f"{100 * along.linear:.4g} % of the variance of the mode is linear in x, by the grid"
    curvature = "none: a kink" if math.isnan(along.curvature) else f"{along.curvature:.8g} {_digits(found)}"
    if found.best is not None and abs(along.curvature) < FLAT * math.exp(found.best.log_rate):
        curvature = f"none: below {FLAT:g} of the rate"
    facts = {
        "Direction": f"{place(along.direction)}, each to {max(along.direction_error, 1e-12):.1g}",
        "How far that is all": share,
        "Curvature along it": f"{curvature}, at the lowest minimum",
    }
    if along.linear < LINEAR:
        facts["Where it lives"] = (
            f"around {place(along.centre)}, each to {max(along.centre_error, 1e-12):.1g} (mean of x weighted with the "
            f"square of the mode), f there {along.height:.4g} = {along.height / found.s:.3g} s above the lowest"
        )
    yield Facts(facts)


def _height(value: float, error: float, s: float) -> str:
    return f"{with_bar(value, error if error > 1e-12 * value else 0.0)} = {value / s:.4g} s"


def _path(found: Explanation) -> dict[str, str]:
    """The path, and the committor on it."""
    way = found.passage
    if way is None or way.lengths is None or way.heights is None:
        return {"Minimum-energy path": f"none: {found.why.get('path', '')}"}
    top = float(way.heights.max())
    length = float(way.lengths[-1])
    facts = {
        "Length of the path": f"{with_bar(length, max(way.length_error, 1e-15 * length))}, the saddle after "
        f"{with_bar(way.saddle_at, max(way.length_error, 1e-15 * length))}",
        "Highest point of the path": f"f = {max(top, way.saddle.value):.8g}, that of the saddle"
        if top <= way.saddle.value + way.saddle.error + 1e-6 * abs(way.saddle.value - float(way.heights.min()))
        else f"f = {top:.8g}, above the saddle by {top - way.saddle.value:.2g}: the path is not at rest",
    }
    if not math.isfinite(way.half):
        why = found.why.get("committor", found.why.get("committor_half", ""))
        return facts | {"Committor one half": f"not known: {why}"} | _offset_by_law(found)
    return facts | {
        "Committor one half": f"{with_bar(way.half - way.saddle_at, way.half_error)} beyond the saddle along the path "
        "(before it, if negative)",
        **_offset_by_law(found),
        "Committor at the saddle": f"{with_bar(way.q_at_saddle, way.q_at_saddle_error)}",
    }


def _offset_by_law(found: Explanation) -> dict[str, str]:
    way = found.passage
    if way is None or not math.isfinite(way.law_offset):
        return {}
    value = f"{_tidy(way.law_offset):.4g} to first order in s; what is left out is of order s²"
    return {"By the law, of this saddle alone": value}


def _times(found: Explanation) -> Iterator[Block]:
    rows = [(found.name(t.start), found.name(t.end), t.route, *_time(found, t)) for t in found.times]
    if rows:
        caption = "Mean times from well to well: by committors of the sets within s of the minima, and by the law"
        yield Table(("from", "to", "by", "time", "steps"), rows, caption, words=("from", "to", "by"))


def _time(found: Explanation, t: MeanTime) -> tuple[str, str]:
    if not t.log_error <= WIDEST:
        return NOT_RESOLVED, "its bar is wider than a factor of two"
    steps = t.log_time - math.log(found.learning_rate)
    return with_bar_of_log(t.log_time, t.log_error), with_bar_of_log(steps, t.log_error)


# ------------------------------------------------------------------------------------------------ other learning rates


def _changes(found: Explanation) -> Iterator[Block]:
    if not any(each.spectral or each.law for each in (found.halved, found.doubled)):
        return
    rows = [_change(found, change) for change in (found.halved, found.doubled)]
    headings = ("s", "rate, spectral", "rate, law", "factor, spectral", "factor, law", "factor, e^(-2H/s) alone")
    caption = "The rate at other learning rates, and what it is multiplied by"
    yield Table(headings, rows, caption)


def _change(found: Explanation, change: Change) -> tuple[str, ...]:
    values, factors = [], []
    for now, then in ((found.spectral, change.spectral), (found.law, change.law)):
        known = then is not None and then.log_error <= WIDEST
        bottom = " (continuous)" if then is not None and then.continuous else ""
        values.append(with_bar_of_log(then.log_rate, then.log_error) + bottom if then is not None and known else "-")
        both = known and now is not None and now.log_error <= WIDEST
        factors.append(
            with_bar_of_log(then.log_rate - now.log_rate, then.log_error + now.log_error)
            if both and then is not None and now is not None else "-"
        )  # fmt: skip
    h, other = found.barrier, change.learning_rate * found.noise**2
    alone = "-" if h is None else ratio(2 * h / found.s - 2 * h / other)
    return f"{change.learning_rate:.6g}", *values, *factors, alone


def _missing(found: Explanation) -> Iterator[Block]:
    rows, seen = [], set()
    for part, why in found.why.items():
        if why not in seen and part in MISSING:
            rows.append((MISSING[part], why))
        seen.add(why)
    for change, name in ((found.halved, "law at s/2"), (found.doubled, "law at 2 s")):
        if change.law is not None and not change.law.resolved:
            rows.append((name, "not resolved: its error bar is wider than a factor of two"))
    if rows:
        yield Table(("part", "why"), rows, "What has no number here", words=("part", "why"))


def _tidy(value: float) -> float:
    return round(value, 14) + 0.0

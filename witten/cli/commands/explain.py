"""`witten explain`: why the rate is what it is, on one page."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from witten.cli import output_files
from witten.cli.options import base_command, groups, learning_rate_spec, option_numbers, option_values, options
from witten.cli.output import print_json, print_line, print_table, progress_bar

if TYPE_CHECKING:
    from witten.explanation import Change, Explanation, MeanTime, Passage, Well
    from witten.rates import RateRecord

EXAMPLES = base_command.examples(
    "witten explain double-well:tilt=0.1 --lr 0.1",
    "witten explain mueller-brown --lr 0.1 --report why.html",
    'witten explain "cos(2*x)" --lr 0.2 --periodic "x=0:2*pi" --json',
    "witten explain double-well:dim=10 --lr 0.05 -o why.nc --plot why.png",
    notes="A missing number has its reason beside it. --simulate adds the rate from simulated paths, which takes time.",
)
KIND = "explanation"
STEPS = 5
LOG_10 = math.log(10)
Report = Annotated[
    Path | None, typer.Option("--report", metavar="FILE.html", help="Write one page that holds all, with figures.")
]
Simulate = Annotated[bool, typer.Option("--simulate", help="Estimate the rate from simulated paths, too.")]


def explain(
    objective: groups.Objective,
    lr: options.LearningRate,
    files: groups.Files,
    simulate: Simulate = False,
    rtol: options.Rtol = "1e-3",
    noise: options.NoiseScale = "1",
    box: options.Box = None,
    periodic: options.Periodic = None,
    seed: options.Seed = "0",
    report: Report = None,
    as_json: options.Json = False,
) -> None:
    """Why is it this slow? The slowest mode, wells, the limiting saddle, mean times, s halved and doubled."""
    learning_rate = learning_rate_spec.parse_learning_rate(lr)
    request: dict[str, Any] = {
        "rtol": option_numbers.positive("--rtol", rtol),
        "noise": option_numbers.positive("--noise", noise),
        "box": option_values.parse_box(box),
        "periodic": option_values.parse_periodic(periodic),
        "seed": option_numbers.whole("--seed", seed, 0),
        "simulate": simulate,
    }
    files.check(KIND)
    output_files.check_report(report)
    f = objective.resolved()
    import witten

    with progress_bar(STEPS if simulate else STEPS - 1, objective.text) as advance:
        found = witten.explain(f, learning_rate, progress=advance, **request)
    _keep(found, request, report, files)
    if as_json:
        print_json(_json(objective.text, found))
    else:
        _show(found)
        files.say(report)


def _keep(found: Explanation, request: dict[str, Any], report: Path | None, files: groups.Files) -> None:
    """The page, the file and the picture, where they are wanted."""
    from witten.explanation.dataset import explanation_dataset

    if report is not None:
        from witten.report.explanation import write_explanation

        write_explanation(found, report)
    if files.output is not None:
        from witten.io import netcdf

        netcdf.write_dataset(explanation_dataset(found, request), files.output)
    if files.plot is not None:
        from witten.plots import plot_landscape, plot_passage

        if found.landscape is None or (found.passage is not None and found.passage.points is not None):
            plot_passage(explanation_dataset(found), files.plot)
        else:
            plot_landscape(found.landscape, files.plot)


def _show(found: Explanation) -> None:
    """The blocks of the page, as text."""
    from witten.report.explanation import explanation_sections
    from witten.report.pages import Facts, Table, Text

    noise = "" if found.noise == 1 else f", noise {found.noise:g}"
    print_line(f"{found.objective.name} at learning rate {found.learning_rate:g}{noise}: why is it this slow?")
    for section in explanation_sections(found):
        print_line("")
        for block in section.blocks:
            if isinstance(block, Text):
                print_line(block.text)
            elif isinstance(block, Facts):
                print_table(section.title, ("what", "value"), list(block.facts.items()), left=("what", "value"))
            elif isinstance(block, Table):
                title = f"{section.title}. {block.caption}"
                print_table(title, block.headings, [row.cells for row in block.lines], left=block.words)


# ------------------------------------------------------------------------------------------------ JSON


def _json(objective: str, found: Explanation) -> dict[str, Any]:
    """The object that CLI users are promised; null is what is not known, and what no double holds."""
    from witten.explanation.words import in_words

    best, way = found.best, found.passage
    return {
        "objective": objective,
        "learning_rate": found.learning_rate,
        "noise": found.noise,
        "kind": found.kind,
        "words": in_words(found),
        "rate": None if best is None else best.rate,
        "rate_error": None if best is None else best.rate_error,
        "log10_rate": None if best is None else best.log10_rate,
        "next_rate": _exp(found.mode.log_next),
        "next_rate_error": _exp(found.mode.log_next + math.log(found.mode.log_next_error))
        if found.mode.log_next_error > 0 else None,
        "multiplicity": found.mode.multiplicity,
        "variance_inside_wells": found.mode.within,
        "moved": found.mode.moved,
        "relaxation": _relaxation(found),
        "limiting": None if way is None else _limiting(found, way),
        "masses": [_well(well) for well in found.wells],
        "mean_times": [_time(found, t) for t in found.times],
        "path": None if way is None or way.lengths is None else _path(way),
        "committor_half": None if way is None or not math.isfinite(way.half) else _half(way),
        "limits": [{"minima": pair, "part": part} for pair, part in found.limits.items()],
        "routes": {name: _record(getattr(found, name)) for name in ("spectral", "law", "simulated")},
        "if_halved": _change(found, found.halved),
        "if_doubled": _change(found, found.doubled),
        "why": found.why,
        "notes": found.notes,
        "seconds": found.seconds,
    }  # fmt: skip


def _exp(log: float) -> float | None:
    return math.exp(log) if -700 < log < 700 else None


def _relaxation(found: Explanation) -> dict[str, Any] | None:
    along = found.mode.relaxation
    if along is None or found.kind != "relaxation":
        return None
    return {"direction": along.direction, "direction_error": along.direction_error, "linear": along.linear,
            "curvature": along.curvature, "centre": along.centre, "height": along.height}  # fmt: skip


def _limiting(found: Explanation, way: Passage) -> dict[str, Any]:
    start, end, z = found.wells[way.start], found.wells[way.end], way.saddle
    return {
        "minimum": start.x,
        "into": end.x,
        "saddle": z.x,
        "value": z.value,
        "error": z.error,
        "barrier": z.value - start.value,
        "barrier_back": z.value - end.value,
        "curvature": z.curvatures[0],
    }


def _well(well: Well) -> dict[str, Any]:
    return {
        "well": well.number,
        "x": well.x,
        "value": well.value,
        "curvatures": well.curvatures,
        "depth": well.depth,
        "mass": _exp(well.log_mass),
        "log10_mass": well.log_mass / LOG_10,
        "mass_error": math.expm1(well.log_mass_error),
        "law": _exp(well.law_log_mass),
        "log10_law": well.law_log_mass / LOG_10,
        "law_error": math.expm1(min(well.law_log_mass_error, 700.0)),
    }


def _time(found: Explanation, t: MeanTime) -> dict[str, Any]:
    steps = t.log_time - math.log(found.learning_rate)
    return {
        "from": found.wells[t.start].number,
        "to": found.wells[t.end].number,
        "by": t.route,
        "time": _exp(t.log_time),
        "steps": _exp(steps),
        "log10_time": t.log_time / LOG_10,
        "log10_steps": steps / LOG_10,
        "relative_error": math.expm1(min(t.log_error, 700.0)),
    }


def _path(way: Passage) -> dict[str, Any]:
    assert way.lengths is not None and way.heights is not None and way.points is not None
    return {
        "length": way.lengths[-1],
        "length_error": way.length_error,
        "highest": max(float(way.heights.max()), way.saddle.value),
        "saddle_at": way.saddle_at,
        "points": way.points[:, ::20].T,
    }


def _half(way: Passage) -> dict[str, Any]:
    return {
        "at": way.half,
        "error": way.half_error,
        "beyond_saddle": way.half - way.saddle_at,
        "law": way.law_offset,
        "at_saddle": way.q_at_saddle,
        "at_saddle_error": way.q_at_saddle_error,
    }


def _record(record: RateRecord | None) -> dict[str, Any] | None:
    if record is None:
        return None
    from witten.rates import LawRate

    law = {"log10_leading": record.log_leading[0] / LOG_10} if isinstance(record, LawRate) else {}
    return {
        "rate": record.rate,
        "rate_error": record.rate_error,
        "log10_rate": record.log10_rate,
        "log_error": record.log_error,
        "resolved": record.resolved,
        "continuous": record.continuous,
        **law,
    }


def _change(found: Explanation, change: Change) -> dict[str, Any]:
    """The rate there, by either route, and what it is multiplied by."""
    out: dict[str, Any] = {"learning_rate": change.learning_rate}
    for name in ("spectral", "law"):
        now, then = getattr(found, name), getattr(change, name)
        out[name] = _record(then)
        both = now is not None and then is not None
        out[f"{name}_factor"] = _exp(then.log_rate - now.log_rate) if both else None
        out[f"{name}_factor_error"] = math.expm1(min(then.log_error + now.log_error, 700.0)) if both else None
    return out

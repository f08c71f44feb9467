"""`witten bifurcate`: attractors of gradient descent against the learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from witten.cli.options import base_command, groups, learning_rate_spec, option_numbers, option_values, options
from witten.cli.output import print_json, print_line, print_table, progress_bar
from witten.errors import RequestError
from witten.langevin import momentum_in_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from witten.descent.bifurcation import Diagram
    from witten.objectives.objective import Objective

EXAMPLES = base_command.examples(
    'witten bifurcate "(1-x^2)^2/4" --lr 0.8:2:800 --x0 0.3 --plot diagram.png',
    'witten bifurcate "(x^2+1)*(x-1)^2*(x-2)^2" --lr 0.1:0.6:200 --x0 1.01 --x0 2.01 --json',
    "witten bifurcate double-well --lr 1.2:3:400 --x0 0.3 --momentum 0.5 --plot diagram.png",
    notes="Each run starts where the one at the next smaller learning rate ended.",
)
MOST_ROWS = 40

Starts = Annotated[
    list[str] | None,
    typer.Option("--x0", metavar="X", help="Where to start; may be given again (default: the flattest minimum)."),
]
Steps = Annotated[str, typer.Option("--steps", metavar="N", help="Steps at each learning rate before points are kept.")]
Points = Annotated[str, typer.Option("--points", metavar="N", help="Points kept at each learning rate.")]


def bifurcate(
    objective: groups.Objective,
    lr: options.LearningRates,
    momentum: groups.Momentum,
    files: groups.Files,
    x0: Starts = None,
    steps: Steps = "3000",
    points: Points = "256",
    as_json: options.Json = False,
) -> None:
    """The points that gradient descent visits in the long run, their period, and the Lyapunov exponent."""
    rates = learning_rate_spec.parse_learning_rates(lr)
    burn, keep = option_numbers.whole("--steps", steps, 1), option_numbers.whole("--points", points, 8)
    of_sgd = momentum.request
    from witten.descent.bifurcation import KIND, bifurcation_diagram

    files.check(KIND)
    f = objective.resolved()
    with progress_bar(1, f"{f.name}: orbits at {len(rates)} learning rates"):
        diagram = bifurcation_diagram(f, rates, _starts(f, x0, rates), burn=burn, keep=keep, **of_sgd)
    if files.output is not None:
        diagram.save(files.output)
    if files.plot is not None:
        from witten.plots import plot_bifurcation

        plot_bifurcation(diagram, files.plot)
    if as_json:
        print_json({"objective": objective.text} | momentum.said | {"records": _records(diagram)})
    else:
        _show(diagram)
        files.say()


def _starts(f: Objective, given: list[str] | None, rates: tuple[float, ...]) -> NDArray[np.float64]:
    """The points of --x0, or one a little off the minimum that stays stable longest; columns."""
    import numpy as np

    if given:
        return np.array([option_values.parse_point(text, f.dimension) for text in given]).T
    from witten.objectives.topography.length_scales import nonlinear_length
    from witten.stability import stability

    minima = stability(f).minima
    if not minima:
        raise RequestError(f"{f.name} has no minimum to start from; give a start with --x0")
    flattest = min(minima, key=lambda minimum: minimum.sharpness)
    length = nonlinear_length(f, flattest.x)
    away = 0.05 * length if np.isfinite(length) else np.abs(flattest.x).max() or 1.0
    return (flattest.x + away)[:, None]


def _records(diagram: Diagram) -> list[dict[str, Any]]:
    """One for each learning rate and start: a cycle by its points, anything else by all that were kept."""
    several = diagram.exponents.shape[1] > 1
    records = []
    for i, s in enumerate(diagram.learning_rates.tolist()):
        for run, period in enumerate(diagram.periods[i].tolist()):
            shown = diagram.points[i, run, : period if period > 0 else None]
            record = {
                "learning_rate": s,
                "points": shown if period >= 0 else [],
                "period": period if period > 0 else None,
                "lyapunov": diagram.exponents[i, run],
                "diverged": period < 0,
                "why": str(diagram.why[i, run]),
            }
            records.append({**record, "start": run} if several else record)
    return records


def _show(diagram: Diagram) -> None:
    rows = []
    for record in _records(diagram):
        first = record["points"][0] if len(record["points"]) else []
        state = "diverged" if record["diverged"] else str(record["period"] or "none")
        lyapunov = "" if record["diverged"] else f"{record['lyapunov']:.5g}"
        point = " ".join(f"{c:.6g}" for c in first[:6])
        rows.append((f"{record['learning_rate']:.6g}", state, lyapunov, point, record["why"]))
    step = -(-len(rows) // MOST_ROWS)
    columns = ("learning rate", "period", "lyapunov", "a point", "")
    name = f"{diagram.objective}: attractors of gradient descent"
    name += momentum_in_words(diagram.momentum, diagram.nesterov)
    print_table(name, columns, rows[::step], left=("a point", ""))
    if step > 1:
        print_line(f"every {step}th row is shown; --json holds all")

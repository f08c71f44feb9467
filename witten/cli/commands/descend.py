"""`witten descend`: where a run of gradient descent ends up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from witten.cli.options import base_command, groups, learning_rate_spec, option_numbers, option_values, options
from witten.cli.output import print_json, print_line, print_table, progress_bar
from witten.errors import RequestError
from witten.langevin import momentum_in_words

if TYPE_CHECKING:
    from witten.descent.attractors.attractor import Fate
    from witten.descent.gradient_map import DescentMap
    from witten.objectives.objective import Objective

EXAMPLES = base_command.examples(
    'witten descend "(1-x*y)^2/2" --lr 0.5,0.9,1.1,1.4 --x0 0.5,0.7',
    'witten descend "2/3*abs(x)^1.5" --lr 0.4 --x0 0.3 --json',
    'witten descend "(1-x^2)^2/4" --lr 1.7 --x0 0.3 --plot run.png',
    'witten descend "(0.5-x*y)^2/2+(x^2+y^2)/10" --lr 1 --x0 1,1 --basins basins.png --box "-4:4,-4:4"',
    'witten descend double-well --lr 0.1 --x0 0.3 --momentum 0.9 --basins basins.png --box "-2:2,-2:2"',
    notes="Fates: fixed-point, periodic, quasi-periodic, chaotic, diverged; slow is what --steps steps did not decide. "
    "With --momentum runs start at rest; of one variable, --basins has the plane of x_0 and x_-1.",
)
# Cells along each side of a picture of basins.
CELLS_OF_PICTURE = 1024
MOST_COORDINATES = 6

Start = Annotated[str, typer.Option("--x0", metavar="X", help="Where the run starts: -0.9,0.9.", show_default=False)]
Steps = Annotated[str, typer.Option("--steps", metavar="N", help="Number of steps before the run is judged, at most.")]
BasinPicture = Annotated[
    Path | None,
    typer.Option("--basins", metavar="FILE.png",
                 help="Draw which starts of --box go where (two variables, or one and --momentum)."),
]  # fmt: skip
BasinBox = Annotated[
    str | None, typer.Option("--box", metavar="BOX", help='The starts of --basins: "-2:2,-1:3" (default: around --x0).')
]


def descend(
    objective: groups.Objective,
    lr: options.LearningRates,
    x0: Start,
    momentum: groups.Momentum,
    steps: Steps = "100000",
    plot: options.Plot = None,
    basins: BasinPicture = None,
    box: BasinBox = None,
    as_json: options.Json = False,
) -> None:
    """Run x+ = x - s grad f(x) from one start at each learning rate, and say where it ends."""
    rates = learning_rate_spec.parse_learning_rates(lr)
    count, intervals = option_numbers.whole("--steps", steps, 100), option_values.parse_box(box)
    of_sgd = momentum.request
    _check_pictures(plot, basins, rates)
    from witten.descent.attractors.attractor import fate
    from witten.descent.gradient_map import DescentMap

    f = objective.resolved()
    start = option_values.parse_point(x0, f.dimension)
    maps = [DescentMap(f, s, **of_sgd) for s in rates]
    found = []
    with progress_bar(len(rates), f.name) as advance:
        for s in rates:
            found.append(fate(f, s, start, steps=count, **of_sgd))
            advance(f"s = {s:.4g}")
    if plot is not None:
        import numpy as np

        from witten.plots import plot_descent

        plot_descent(maps[0], np.array(start), count, plot)
    if basins is not None:
        _draw_basins(maps[0], start, intervals, basins)
    if as_json:
        records = [_record(*each) for each in zip(maps, found, strict=True)]
        print_json({"objective": objective.text, "x0": start} | momentum.said | {"records": records})
    else:
        _show(maps, found)
        for path in (plot, basins):
            if path is not None:
                print_line(f"drawn in {path}")


def _check_pictures(plot: Path | None, basins: Path | None, rates: tuple[float, ...]) -> None:
    for name, path in (("--plot", plot), ("--basins", basins)):
        if path is None:
            continue
        from witten.plots import check_plot

        check_plot(path)
        if len(rates) > 1:
            raise RequestError(f"{name} draws one learning rate, --lr has {len(rates)}; give one")


def _draw_basins(descent: DescentMap, start: tuple[float, ...], box: Any, path: Path) -> None:
    from witten.descent.basins import basins
    from witten.plots import plot_basins

    f, cells = descent.objective, (CELLS_OF_PICTURE, CELLS_OF_PICTURE)
    box = box or _around(f, start) * (2 if descent.momentum and f.dimension == 1 else 1)
    alpha, nesterov = descent.momentum, descent.nesterov
    plot_basins(basins(f, descent.learning_rate, box, cells, momentum=alpha, nesterov=nesterov), path)


def _around(f: Objective, start: tuple[float, ...]) -> list[tuple[float, float]]:
    """Ten times as far to each side of a start as f is linear there, and up to the origin where f has no length."""
    import math

    import numpy as np

    from witten.objectives.topography.length_scales import nonlinear_length

    length = 10 * nonlinear_length(f, np.array(start))
    if not math.isfinite(length):
        length = 2 * max(map(abs, start)) or 1.0
    return [(c - length, c + length) for c in start]


def _record(descent: DescentMap, found: Fate) -> dict[str, Any]:
    """What the CLI promises of each learning rate; complex numbers are [re, im]."""
    return {
        "learning_rate": found.learning_rate,
        "fate": found.kind,
        "period": found.period,
        "x": found.x[:, 0],
        "orbit": found.x.T if found.settled else None,
        "sharpness": found.sharpness,
        "sharpness_limit": descent.sharpness_limit,
        "multipliers": [[value.real, value.imag] for value in found.multipliers.tolist()],
        "lyapunov": found.lyapunov,
        "lyapunov_errors": found.lyapunov_errors,
        "tangential": found.tangential,
        "transverse": found.transverse,
        "exponent": found.exponent,
        "steps": found.steps,
        "stable": found.stable,
        "why": found.why,
    }


def _show(maps: list[DescentMap], found: list[Fate]) -> None:
    rows = []
    for descent, each in zip(maps, found, strict=True):
        x = " ".join(f"{c:.6g}" for c in each.x[:MOST_COORDINATES, 0]) if each.kind != "diverged" else ""
        largest = f"{abs(each.multipliers[0]):.6g}" if each.multipliers.size else ""
        top = f"{each.lyapunov.max():.5g}" if each.lyapunov.size else ""
        remark = each.why if each.kind in ("slow", "diverged") or not each.stable else "stable"
        sharp = f"{each.sharpness:.6g} / {descent.sharpness_limit:.6g}" if each.kind != "diverged" else ""
        period = "" if each.period is None else str(each.period)
        rows.append((f"{each.learning_rate:.6g}", each.kind, period, x, sharp, largest, top, remark))
    first = maps[0]
    name = f"{first.objective.name}: gradient descent{momentum_in_words(first.momentum, first.nesterov)}"
    sharp = "sharpness / limit" if first.momentum else "sharpness / (2/s)"
    columns = ("learning rate", "fate", "period", "x", sharp, "|multiplier|", "lyapunov", "")
    print_table(name, columns, rows, left=("fate", "x", ""))
    if first.momentum:
        print_line(f"limit: the largest sharpness of a stable minimum, {first.limit_in_words}")

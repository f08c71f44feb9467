"""`witten landscape`: critical points, the wells that saddles join, and whether the conditions hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from witten.cli import output_files
from witten.cli.exits import json_of_exits, show_exits
from witten.cli.options import base_command, groups, option_numbers, option_values, options
from witten.cli.output import print_json, print_line, print_table, progress_bar
from witten.cli.streams import say
from witten.number_format import coordinates

if TYPE_CHECKING:
    from witten.landscape.critical.critical_point import CriticalPoint
    from witten.landscape.landscape import Landscape
    from witten.landscape.laws.noisy_law import Exit

EXAMPLES = base_command.examples(
    "witten landscape himmelblau --plot landscape.png",
    'witten landscape "(x**2-1)**2/4 + x/10" --json',
    'witten landscape double-well --covariance "1 + tanh(2*x)/2"',
    "witten landscape double-well --noise-model loss:c=1,floor=0.2 --lr 0.1",
    'witten landscape rastrigin --box "-5.12:5.12,-5.12:5.12"',
)
# Rows of a table for a person, and coordinates of a point in it.
MOST_ROWS, MOST_COORDINATES = 30, 6


def landscape(
    objective: groups.Objective,
    box: options.Box = None,
    seed: options.Seed = "0",
    plot: options.Plot = None,
    covariance: options.Covariance = None,
    noise_model: options.NoiseModel = None,
    lr: options.NoiseLearningRate = None,
    as_json: options.Json = False,
) -> None:
    """Minima, saddles and what they join, the barrier H of each minimum, and the conditions on f."""
    intervals = option_values.parse_box(box)
    number = option_numbers.whole("--seed", seed, 0)
    output_files.check_plot(plot)
    import witten

    noise, s = groups.Noise("1", covariance, noise_model).parsed(), option_values.parse_noise_learning_rate(lr)
    of_potential: dict[str, Any] = {} if s is None else {"noise": noise, "learning_rate": s}
    f = objective.resolved()
    with progress_bar(2, f"{f.name}: critical points and what joins them") as advance:
        found = witten.describe_landscape(f, box=intervals, seed=number, **of_potential)
        advance("are known; ways out of wells")
        ways = _ways(found, noise) if s is None else None
    if plot is not None:
        from witten.plots import plot_landscape

        plot_landscape(found, plot)
    for note in found.cut:
        say(f"note: {note}")
    if as_json:
        said = {} if s is None else {"learning_rate": s} | option_values.about_noise(noise)
        print_json(_json(objective.text, found) | said | ({} if ways is None else {"exits": json_of_exits(ways)}))
    else:
        _show(found)
        if s is not None:
            print_line(f"of the potential F of this noise at learning rate {s:g}: its stationary density is e^(-2F/s)")
        if ways:
            show_exits(ways)
        output_files.say_where(plot=plot)


def _ways(found: Landscape, noise: Any) -> tuple[Exit, ...] | None:
    """The ways out of wells and their quasi-potentials under noise with a covariance; None where none is given."""
    if isinstance(noise, float):
        return None
    from witten.landscape.laws.noisy_law import exits

    return exits(found, noise.bind(found.objective))


def _json(objective: str, found: Landscape) -> dict[str, Any]:
    """The object that CLI users are promised, and how its points were looked for."""
    proved = found.conditions.proved
    return {
        "objective": objective,
        "minima": [_point(point) for point in found.minima],
        "saddles": [
            {**_point(z), "connects": list(z.connects), "separating": z.separating} for z in found.saddles
        ],
        "others": [{**_point(point), "index": point.index} for point in found.others],
        "pairs": [
            {"minimum": p.minimum, "saddle": p.saddle, "barrier": p.barrier, "into": p.into, "tied": p.tied}
            for p in found.pairs
        ],
        "barrier": found.barrier,
        "degenerate": found.degenerate,
        "confining": found.conditions.confining,
        "villani": found.conditions.villani,
        "strong_convexity": found.conditions.strong_convexity,
        "proved": {name: name in proved for name in ("confining", "villani", "strong_convexity")},
        "euler_sum": found.euler_sum,
        "search": {
            "method": found.search.method,
            "box": None if found.search.box is None else found.search.box.T,
            "complete": found.search.complete,
            "everywhere": found.search.everywhere,
            "nodes": found.search.nodes,
            "spacing": found.search.spacing,
        },
        "notes": found.notes,
    }  # fmt: skip


def _point(point: CriticalPoint) -> dict[str, Any]:
    return {
        "x": point.x,
        "value": point.value,
        "curvatures": point.curvatures,
        **({"degenerate": True} if point.degenerate else {}),
    }


def _show(found: Landscape) -> None:
    """Tables of minima and saddles, and the rest in words."""
    pairs = {pair.minimum: pair for pair in found.pairs}
    rows: list[tuple[str, ...]] = []
    for i, point in enumerate(found.minima[:MOST_ROWS]):
        pair = pairs[i]
        way = ("", "") if pair.saddle is None else (f"{pair.barrier:.8g}", f"{pair.saddle} into {pair.into}")
        rows.append((str(i), *_words(found, point), *way, "tied" if pair.tied else ""))
    columns = ("minimum", "x", "f", "curvatures", "barrier", "over saddle", "")
    print_table(f"{found.objective.name}: {_count(found)}", columns, rows, left=("x", "curvatures", "over saddle", ""))
    if found.saddles:
        lines = [
            (str(i), *_words(found, z), " - ".join("?" if k is None else str(k) for k in z.connects),
             "separating" if z.separating else "")
            for i, z in enumerate(found.saddles[:MOST_ROWS])
        ]  # fmt: skip
        headings = ("saddle", "x", "f", "curvatures", "joins", "")
        print_table("saddles of index 1", headings, lines, left=("x", "curvatures", "joins", ""))
    if max(len(found.minima), len(found.saddles)) > MOST_ROWS:
        print_line(f"the lowest {MOST_ROWS} of each are shown; --json holds all")
    if found.barrier is not None:
        print_line(f"barrier H = {found.barrier:.10g}" + (" (ties: labels are a choice)" if found.tied else ""))
    print_line(_conditions(found))
    print_line(_searched(found))
    for note in found.notes:
        print_line(f"note: {note}")


def _count(found: Landscape) -> str:
    """3 minima, 2 saddles, 1 other."""
    numbers = (len(found.minima), len(found.saddles), len(found.others))
    names = ("minimum", "minima"), ("saddle", "saddles"), ("other", "others")
    parts = [f"{n} {one if n == 1 else many}" for n, (one, many) in zip(numbers, names, strict=True) if n]
    return ", ".join(parts) or "no critical points"


def _words(found: Landscape, point: CriticalPoint) -> tuple[str, str, str]:
    """Place, value and curvatures as text."""
    place, curvatures = coordinates(point.x, found.extent), [f"{k:.5g}" for k in point.curvatures]
    return _cut(place), f"{found.height(point):.8g}", _cut(curvatures)


def _cut(shown: list[str]) -> str:
    return " ".join(shown[:MOST_COORDINATES] + (["..."] if len(shown) > MOST_COORDINATES else []))


def _conditions(found: Landscape) -> str:
    """Confining: yes (proved); ..."""
    known, parts = found.conditions, []
    for name in ("confining", "villani"):
        value = getattr(known, name)
        word = "not known" if value is None else "yes" if value else "no"
        parts.append(f"{name} {word}" + ("" if value is None else _how(known, name)))
    mu = known.strong_convexity
    convex = "no" if mu is None else f"mu = {mu:.8g}"
    if mu is not None or "strong_convexity" in known.proved:
        convex += _how(known, "strong_convexity")
    else:
        convex = "none seen"
    return "; ".join([*parts, f"strong convexity {convex}"])


def _how(known: Any, name: str) -> str:
    return " (proved)" if name in known.proved else " (estimated)"


def _searched(found: Landscape) -> str:
    """How far the list of critical points can be trusted."""
    search = found.search
    if not search.complete:
        return "the list of critical points is not proved to be complete"
    if search.everywhere:
        return "proved: there are no other critical points"
    box = "" if search.box is None else ", ".join(f"{a:.6g}:{b:.6g}" for a, b in search.box.T)
    return f"proved: there are no other critical points in {box}"

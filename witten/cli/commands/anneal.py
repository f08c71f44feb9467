"""`witten anneal`: a large learning rate that is decayed against a small one, at equal train loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from witten.cli import output_files
from witten.cli.options import base_command, option_numbers, options
from witten.cli.output import print_json, print_line, print_table, progress_bar

if TYPE_CHECKING:
    from witten.annealing import Annealing

EXAMPLES = base_command.examples(
    "witten anneal",
    "witten anneal --samples 5 --eps 1e-4 --json",
    "witten anneal --small 0.9 --plot paths.png",
    notes="Noiseless regression, x drawn from e1 and e2 with equal probability, from distance (1,1). Large steps are "
    "2/L; small ones the gradient flow, or --small S.",
)
# Rows of the table.
MOST_ROWS = 12

Samples = Annotated[str, typer.Option("--samples", metavar="N", help="Training points, 1 to 1000.")]
Eps = Annotated[str, typer.Option("--eps", metavar="E", help="Train loss at which both are stopped, below 1.")]
Small = Annotated[str | None, typer.Option("--small", metavar="S", help="A small step size instead of the flow.")]


def anneal(
    samples: Samples = "3",
    eps: Eps = "1e-6",
    small: Small = None,
    plot: options.Plot = None,
    as_json: options.Json = False,
) -> None:
    """Large steps, then small ones, against small ones alone in regression: test losses at equal train loss."""
    count, bound = option_numbers.whole("--samples", samples, 1), option_numbers.positive("--eps", eps)
    step = None if small is None else option_numbers.positive("--small", small)
    output_files.check_plot(plot)
    from witten.annealing import anneal as compute
    from witten.errors import RequestError

    with progress_bar(1, f"{count} samples"):
        found = compute(count, bound, small=step)
    if plot is not None:
        if found.comparison is None:
            raise RequestError(f"with {count} samples none are mismatched, and nothing is to be drawn; give 3 or more")
        from witten.plots import plot_annealing

        plot_annealing(found.comparison, plot)
    if as_json:
        print_json(_json(found))
        return
    _show(found)
    output_files.say_where(plot=plot)


def _json(found: Annealing) -> dict[str, Any]:
    """The object that CLI users are promised; of the most probable mismatched sample, null where there is none."""
    from witten.annealing import limit_ratio

    each = found.comparison
    return {
        "samples": found.samples,
        "eps": found.eps,
        "ratio": found.ratio,
        "probability": found.probability,
        "train_loss": None if each is None else each.annealed.train_loss,
        "test_large_then_small": None if each is None else each.annealed.test_loss,
        "test_small": None if each is None else each.small.test_loss,
        "limit_ratio": None if each is None else limit_ratio(each.losses),
        "outcomes": [
            {"counts": one.counts, "probability": one.probability, "mismatched": one.mismatched,
             "limit_ratio": limit_ratio(one.losses)}
            for one in found.outcomes
        ],
    }  # fmt: skip


def _show(found: Annealing) -> None:
    from witten.annealing import limit_ratio

    likely = sorted(found.outcomes, key=lambda one: -one.probability)[:MOST_ROWS]
    rows = [
        (f"{one.counts[0]} + {one.counts[1]}", f"{one.probability:.6g}", f"{limit_ratio(one.losses):.6g}",
         "mismatched" if one.mismatched else "")
        for one in likely
    ]  # fmt: skip
    print_table(f"{found.samples} samples of e1 and e2", ("e1 + e2", "probability", "ratio as eps -> 0", ""), rows,
                left=("",))  # fmt: skip
    print_line(f"a sample is mismatched with probability {found.probability:.6g}")
    if found.comparison is None:
        print_line("with so few samples none is: large steps gain nothing")
        return
    small, annealed = found.comparison.small, found.comparison.annealed
    print_line(
        f"the most probable of them, at train loss {annealed.train_loss:.6g}: test loss "
        f"{annealed.test_loss:.6g} after large steps that are decayed, {small.test_loss:.6g} after small ones"
    )
    print_line(f"ratio {found.ratio:.8g}")

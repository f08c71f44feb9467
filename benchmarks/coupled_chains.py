"""Claim: to first order the law is right where nothing is separable, in two to eight dimensions.

sum (x_i^2 - 1)^2/4 + g sum (x_{i+1} - x_i)^2/2 is no sum of functions of one variable in any axes. Two and three
dimensions by `witten.gap`; above, by splitting, which knows neither derivatives at critical points nor a grid: in four,
until its 95 % interval leaves the law of leading order out. Columns: log(rate/law) of leading and of first order, the
law's bar, half the interval of the rate, seconds of both.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from measure import table

import witten
from witten.dynamics.splitting.adaptive_multilevel_splitting import rate_by_splitting

# Dimension, coupling, barrier in units of s/2, accuracy asked for.
CASES = (
    (2, 0.3, 400, 1e-5), (2, 2.5, 8, 1e-5), (2, 2.5, 16, 1e-5), (3, 0.3, 24, 3e-3), (3, 2.5, 8, 1e-4),
    (3, 2.5, 16, 1e-4), (4, 2.5, 16, 0.12), (6, 5.0, 16, 0.2), (8, 10.0, 16, 0.2),
)  # fmt: skip
QUICK = ((2, 2.5, 16, 1e-4),)


@dataclass(frozen=True)
class Row:
    """One chain: log(rate/law) of leading and of first order, and the bars of law and rate."""

    dimension: int
    coupling: float
    learning_rate: float
    leading: float
    first: float
    law_bar: float
    rate_bar: float
    seconds: tuple[float, float]

    @property
    def held(self) -> bool:
        """Whether the first order is right within both bars."""
        return abs(self.first) <= self.law_bar + self.rate_bar


def main(quick: bool = False) -> list[Row]:
    rows = []
    for case in QUICK if quick else CASES:
        row = _measured(*case)
        rows.append(row)
        names = ("d", "g", "s", "log(rate/leading)", "log(rate/first)", "bar", "bar of rate", "held", "s law", "s rate")
        table(names, [
            (str(row.dimension), f"{row.coupling:g}", f"{row.learning_rate:.5f}", f"{row.leading:+.4f}",
             f"{row.first:+.5f}", f"{row.law_bar:.1e}", f"{row.rate_bar:.1e}", str(row.held),
             *(f"{each:.1f}" for each in row.seconds))
        ])  # fmt: skip
    return rows


def _measured(d: int, g: float, height: float, accuracy: float) -> Row:
    began = time.perf_counter()
    landscape = witten.describe_landscape(chain(d, g))
    assert landscape.barrier is not None
    s = 2 * landscape.barrier / height
    (law,) = witten.eyring_kramers(landscape, s).records
    middle = time.perf_counter()
    if d > 3:
        rate = rate_by_splitting(landscape.objective, s, width=accuracy)
    else:
        (rate,) = witten.gap(landscape.objective, s, rtol=accuracy).records
    seconds = middle - began, time.perf_counter() - middle
    leading = rate.log_rate - law.log_leading[0]
    return Row(d, g, s, leading, rate.log_rate - law.log_rate, law.log_error, rate.log_error, seconds)


def chain(d: int, g: float) -> str:
    """sum (x_i^2 - 1)^2/4 + g sum (x_{i+1} - x_i)^2/2 as a formula."""
    names = [f"x{i + 1}" for i in range(d)]
    bonds = [f"{g}*({b}-{a})^2/2" for a, b in zip(names[:-1], names[1:], strict=True)]
    return "+".join([f"({x}^2-1)^2/4" for x in names] + bonds)


if __name__ == "__main__":
    main()

"""Claim: computed rate / Eyring-Kramers law -> 1 like 1 + O(s), on every Morse objective with several wells.

The rate of `witten.gap` (nested grids, no knowledge of saddles) over the law of `witten.eyring_kramers` (minima and
saddles, no grid), at learning rates H/4, H/8, ... of each objective's own barrier H. If ratio = 1 + c s + O(s^2), then
(ratio - 1)/s settles at c; in one dimension c is known, and the law of the next order is compared too. The last columns
give the labelled formula over the computed rate, which fails where barriers tie, and the seconds of both routes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from measure import table

import witten
from witten.landscape.eyring_kramers import labelled_log_rates

OBJECTIVES = (
    "double-well",
    "double-well:tilt=0.1",
    "double-well:tilt=0.05,dim=2",
    "shi-su-jordan-1d",
    "shi-su-jordan",
    "triple-well",
    "triple-well:tilt_x=0.004",
    "mueller-brown",
    "himmelblau",
    "six-hump-camel",
    "styblinski-tang",
    "rastrigin:dim=1",
    "rugged",
)
QUICK = ("double-well:tilt=0.1", "mueller-brown")
FRACTIONS = (4, 8, 16)
RTOL = 1e-5


@dataclass(frozen=True)
class Row:
    """One objective: learning rates, computed rate / law at each with its bar, the next order where there is one, and
    the labelled formula / computed rate at the smallest."""

    name: str
    barrier: float
    learning_rates: np.ndarray
    ratios: np.ndarray
    bars: np.ndarray
    corrected: np.ndarray | None
    labelled: float
    seconds: tuple[float, float]

    @property
    def coefficients(self) -> np.ndarray:
        """(ratio - 1)/s."""
        return (self.ratios - 1) / self.learning_rates


def main(quick: bool = False) -> list[Row]:
    rows = [_measured(name, FRACTIONS[: 2 if quick else 3]) for name in (QUICK if quick else OBJECTIVES)]
    lines = []
    for row in rows:
        for s, ratio, bar, c in zip(row.learning_rates, row.ratios, row.bars, row.coefficients, strict=True):
            first = s == row.learning_rates[0]
            last = s == row.learning_rates[-1]
            next_order = "" if row.corrected is None else f"{row.corrected[row.learning_rates == s][0]:.6f}"
            lines.append((row.name if first else "", f"{s:.5f}", f"{ratio:.6f}", f"{bar:.0e}", f"{c:+.4f}", next_order,
                          f"{row.labelled:.4f}" if last else "", f"{row.seconds[0]:.1f}" if last else "",
                          f"{row.seconds[1]:.2f}" if last else ""))  # fmt: skip
    table(["", "s", "rate/law", "bar", "(rate/law - 1)/s", "rate/next order", "labelled/rate", "s gap", "s law"], lines)
    return rows


def _measured(name: str, fractions: tuple[int, ...]) -> Row:
    began = time.perf_counter()
    landscape = witten.describe_landscape(name)
    assert landscape.barrier is not None
    s = landscape.barrier / np.array(fractions)
    law = witten.eyring_kramers(landscape, s, order=0)
    middle = time.perf_counter()
    curve = witten.gap(name, s, rtol=RTOL)
    end = time.perf_counter()
    ratios = np.exp(curve.log_rates - law.log_rates)
    bars = ratios * np.expm1(curve.upper - curve.log_rates)
    corrected = None
    if landscape.objective.dimension == 1:
        corrected = np.exp(curve.log_rates - witten.eyring_kramers(landscape, s, order=1).log_rates)
    labelled = float(np.exp(labelled_log_rates(landscape, s[-1])[0] - curve.log_rates[-1]))
    return Row(name, landscape.barrier, s, ratios, bars, corrected, labelled, (end - middle, middle - began))


if __name__ == "__main__":
    main()

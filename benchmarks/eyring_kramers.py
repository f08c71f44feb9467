"""Claim: computed rate / Eyring-Kramers law -> 1 like 1 + O(s), and over the law to first order like 1 + O(s^2), with
error bars that hold, on every Morse objective of the gallery with several wells.

The rate of `witten.gap` (nested grids, no knowledge of saddles) over the law of `witten.eyring_kramers` (minima and
saddles, no grid), at learning rates H/4, H/8, ... of each objective's own barrier H: (ratio - 1)/s settles at c for the
leading order, and (ratio - 1)/s^2 at some number for the first. error/bar is the first order's, blank where the law
says that it is not resolved. The last columns give the labelled formula over the computed rate, which fails where
barriers tie, and the seconds of both routes. Then `witten.validate` without paths, from the largest rate that the law
resolves, or .3, down to 1e-15.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from measure import table
from scipy.optimize import brentq

import witten
from witten.errors import ConvergenceError
from witten.landscape.laws.eyring_kramers import labelled_log_rates
from witten.landscape.laws.reduced_generator import law_log_rates

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
    "rastrigin",
    "rugged",
)
QUICK = ("double-well:tilt=0.1", "mueller-brown")
FRACTIONS = (4, 8, 16, 32)
RTOL, COARSE = 1e-5, 1e-4
# Rates at which the routes are compared, their logarithms to base ten.
LOG10_RATES = (np.log10(0.3), -1, -2, -4, -7, -11, -15)


@dataclass(frozen=True)
class Row:
    """One objective: learning rates, computed rate / law of leading order and / law of first order, their bars, whether
    the law is resolved, the labelled formula / computed rate at the smallest, and whether `validate` agrees and where.
    """

    name: str
    learning_rates: np.ndarray
    leading: np.ndarray
    first: np.ndarray
    computed_bars: np.ndarray
    law_bars: np.ndarray
    resolved: np.ndarray
    labelled: float
    agree: tuple[bool, ...]
    seconds: tuple[float, float]

    @property
    def coefficients(self) -> np.ndarray:
        """(ratio - 1)/s of the leading order."""
        return (self.leading - 1) / self.learning_rates

    @property
    def remainders(self) -> np.ndarray:
        """(ratio - 1)/s^2 of the first order."""
        return (self.first - 1) / self.learning_rates**2

    @property
    def error_over_bar(self) -> np.ndarray:
        """Of the logarithm of the law to first order; nan where it is not resolved."""
        return np.where(self.resolved, abs(np.log(self.first)) / (self.law_bars + self.computed_bars), np.nan)


def main(quick: bool = False) -> list[Row]:
    rows = []
    for name in QUICK if quick else OBJECTIVES:
        row = _measured(name, FRACTIONS[1:3], LOG10_RATES[4:5], COARSE) if quick else _measured(name)
        rows.append(row)
        numbers = zip(
            row.learning_rates, row.leading, row.coefficients, row.first, row.remainders, row.law_bars,
            row.computed_bars, row.error_over_bar, strict=True,
        )  # fmt: skip
        lines = [
            (f"{s:.5f}", f"{zeroth:.6f}", f"{c:+.4f}", f"{first:.6f}", f"{rest:+.4f}", f"{bar:.1e}", f"{own:.0e}",
             "" if np.isnan(part) else f"{part:.2f}")
            for s, zeroth, c, first, rest, bar, own, part in numbers
        ]  # fmt: skip
        print(f"{name}: labelled/rate {row.labelled:.4f}; validate agrees at {sum(row.agree)} of {len(row.agree)}; "
              f"gap {row.seconds[0]:.1f} s, law {row.seconds[1]:.2f} s", flush=True)  # fmt: skip
        table(["s", "rate/leading", "(- 1)/s", "rate/first", "(- 1)/s^2", "bar", "bar of rate", "error/bar"], lines)
    return rows


def _measured(
    name: str, fractions: Sequence[int] = FRACTIONS, log10_rates: Sequence[float] = LOG10_RATES, rtol: float = RTOL
) -> Row:
    began = time.perf_counter()
    landscape = witten.describe_landscape(name)
    assert landscape.barrier is not None
    s = landscape.barrier / np.array(fractions)
    law = witten.eyring_kramers(landscape, s)
    middle = time.perf_counter()
    curve = witten.gap(name, s, rtol=rtol)
    end = time.perf_counter()
    leading = np.exp(curve.log_rates - [law_log_rates(landscape, each)[0] for each in s])
    bars = (np.array([record.log_error for record in each.records]) for each in (curve, law))
    labelled = float(np.exp(labelled_log_rates(landscape, s[-1])[0] - curve.log_rates[-1]))
    agree = tuple(_agrees(landscape, target) for target in log10_rates)
    return Row(
        name, s, leading, np.exp(curve.log_rates - law.log_rates), *bars, law.resolved, labelled,
        tuple(each for each in agree if each is not None), (end - middle, middle - began),
    )  # fmt: skip


def _agrees(landscape: witten.Landscape, log10_rate: float) -> bool | None:
    """The verdict of `validate` where the law of leading order has a rate of this size; None where the law is not
    resolved, or no rate is so large."""
    s = _learning_rate(landscape, log10_rate * np.log(10))
    return None if s is None else witten.validate(landscape.objective, s, landscape=landscape, monte_carlo=_none).agree


def _learning_rate(landscape: witten.Landscape, log_rate: float) -> float | None:
    low, high = landscape.barrier / 1e4, landscape.barrier
    if law_log_rates(landscape, high)[0] < log_rate:
        return None
    return float(brentq(lambda s: law_log_rates(landscape, s)[0] - log_rate, low, high))


def _none(f: witten.Objective, s: float) -> witten.RateCurve:
    raise ConvergenceError("paths are left out")


if __name__ == "__main__":
    main()

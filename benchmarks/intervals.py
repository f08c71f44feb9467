"""Claim: 95 % intervals of simulated rates hold the truth in 92 to 98 % of repetitions.

`simulate_rate` with seed after seed, against the rate of the operator (`witten.gap`, rtol 1e-5). Beside the coverage:
deviations in units of the quoted error (mean 0, deviation 1 if all is well), the bias they amount to, the mean width of
the intervals, and seconds and steps of a repetition. With 200 repetitions a true 95 % shows as 92 to 98 %, and now
and then as a percent more or less: `intervals.py 500 1000` repeats 500 times with seeds from 1000 on.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from measure import table

import witten
from witten.dynamics.simulation import simulate_rate

CASES: tuple[tuple[str, float, dict[str, Any]], ...] = (
    ("convex-quartic", 1.0, {}),
    ("convex-quartic", 0.01, {}),
    ("double-well", 0.3, {}),
    ("double-well:tilt=0.1", 0.15, {}),
    ("shi-su-jordan", 0.2, {}),
    ("triple-well", 0.3, {}),
    ("mueller-brown", 0.5, {}),
    ("double-well", 0.09, {"estimator": "hitting"}),
    ("double-well:tilt=0.1", 0.09, {"estimator": "hitting"}),
    ("triple-well", 0.08, {"estimator": "hitting"}),
    ("shi-su-jordan", 0.055, {"estimator": "hitting"}),
    ("quadratic", 0.3, {"scheme": "sgd"}),
    ("double-well", 0.03, {"estimator": "splitting"}),
    ("shi-su-jordan", 0.012, {"estimator": "splitting"}),
)
REPETITIONS = 200


@dataclass(frozen=True, eq=False)
class Row:
    """One case: how often the interval held the truth, deviations in units of the error, and what it cost."""

    name: str
    learning_rate: float
    how: str
    covered: int
    deviations: np.ndarray
    errors: np.ndarray
    widths: np.ndarray
    seconds: float
    n_steps: float

    @property
    def coverage(self) -> float:
        return self.covered / len(self.deviations)


def main(quick: bool = False, repetitions: int = REPETITIONS, first_seed: int = 0) -> list[Row]:
    cases = CASES[:1] if quick else CASES
    rows = []
    for name, s, how in cases:
        rows.append(_measured(name, s, how, range(first_seed, first_seed + (10 if quick else repetitions))))
        print(f"{name} at {s:g}: {rows[-1].coverage:.3f}", file=sys.stderr, flush=True)
    table(
        ["", "s", "by", "coverage", "mean", "deviation", "bias", "width", "s/run", "steps/run"],
        [
            (row.name, f"{row.learning_rate:g}", row.how, f"{row.coverage:.3f}", f"{row.deviations.mean():+.2f}",
             f"{row.deviations.std():.2f}", f"{np.mean(row.deviations * row.errors):+.4f}",
             f"{row.widths.mean():.3f}", f"{row.seconds:.2f}", f"{row.n_steps:.1e}")
            for row in rows
        ],
    )  # fmt: skip
    return rows


def _measured(name: str, s: float, how: dict[str, Any], seeds: range) -> Row:
    exact = _truth(name, s, how)
    began, covered, deviations, errors, widths, n_steps, label = time.perf_counter(), 0, [], [], [], 0.0, ""
    for seed in seeds:
        (record,) = simulate_rate(name, s, seed=seed, **how).records
        value, low, high = record.log_rate, record.lower, record.upper
        covered += int(low <= exact <= high)
        errors.append((high - low) / 4)
        deviations.append((value - exact) / errors[-1])
        widths.append(math.exp(high - value) - math.exp(low - value))
        n_steps += record.n_steps
        label = how.get("scheme", record.solver)
    seconds = (time.perf_counter() - began) / len(seeds)
    return Row(
        name, s, label, covered, np.array(deviations), np.array(errors), np.array(widths), seconds,
        n_steps / len(seeds),
    )  # fmt: skip


def _truth(name: str, s: float, how: dict[str, Any]) -> float:
    """log lambda; of the chain 1 - s theta where it is SGD on a quadratic."""
    if how.get("scheme") == "sgd":
        return math.log(-math.log1p(-s) / s)
    return float(witten.gap(name, s, rtol=1e-5).log_rates[0])


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(False, *(given or [REPETITIONS]))

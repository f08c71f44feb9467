"""Claim: at a rate of 1e-12 splitting knows it to 10 % in seconds, where waiting for the event would take ages.

The rate of the double well at falling learning rates by adaptive multilevel splitting, at default effort. Seconds to
an interval of +- 10 % are those measured, scaled by the square of the interval found. Direct simulation (lives in the
wells, on the same machine) is timed where it can be done, scaled in the same way, and extrapolated by 1/rate. The last
column compares with `witten.gap`, which simulates nothing.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numba
from measure import table

import witten
from witten.dynamics.simulation import simulate_rate
from witten.dynamics.splitting.adaptive_multilevel_splitting import rate_by_splitting

NAME = "double-well"
LEARNING_RATES = (0.07, 0.05, 0.035, 0.025, 0.019, 0.0147)
QUICK = (0.06, 0.03)
# Where direct simulation is timed.
DIRECT = 0.07
WANTED = 0.1


@dataclass(frozen=True)
class Row:
    """One learning rate: the rate by splitting, its 95 % half-width, seconds to 10 %, the same for direct simulation
    (extrapolated), and the operator's rate."""

    learning_rate: float
    log_rate: float
    half_width: float
    seconds: float
    direct: float
    log_truth: float

    @property
    def ratio(self) -> float:
        """Splitting over the operator's rate."""
        return math.exp(self.log_rate - self.log_truth)


def main(quick: bool = False) -> list[Row]:
    width = 0.5 if quick else 0.25
    rate_by_splitting(NAME, 0.08, width=9.0)  # compile
    simulate_rate(NAME, DIRECT, estimator="hitting", width=1.0)
    began = time.perf_counter()
    waited = simulate_rate(NAME, DIRECT, estimator="hitting", width=width)
    seconds = time.perf_counter() - began
    per_event = seconds * ((waited.upper[0] - waited.log_rates[0]) / WANTED) ** 2 * math.exp(waited.log_rates[0])
    rows = [_measured(s, width, per_event) for s in (QUICK if quick else LEARNING_RATES)]
    lines = [
        (f"{row.learning_rate:g}", f"{row.log_rate / math.log(10):.2f}", f"{100 * row.half_width:.0f} %",
         f"{row.seconds:.1f}",
         f"{row.direct:.2g}", f"{row.direct / row.seconds:.2g}", f"{row.ratio:.3f}")
        for row in rows
    ]  # fmt: skip
    print(f"{NAME}, {numba.get_num_threads()} threads; seconds to +- 10 %")
    table(["s", "log10 rate", "+-", "splitting", "direct", "direct/splitting", "splitting/operator"], lines)
    return rows


def _measured(s: float, width: float, per_event: float) -> Row:
    found = rate_by_splitting(NAME, s, width=width)
    half = found.log_error
    truth = float(witten.gap(NAME, s).log_rates[0])
    return Row(s, found.log_rate, half, found.seconds * (half / WANTED) ** 2, per_event / math.exp(truth), truth)


if __name__ == "__main__":
    main()

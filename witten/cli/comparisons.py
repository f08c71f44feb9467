"""The routes at one learning rate, with momentum or without: for programs and for people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from witten.number_format import scientific, with_log_error

if TYPE_CHECKING:
    from witten.rates import RateRecord
    from witten.validation import Comparison

__all__ = ["json_record", "row"]


def json_record(c: Comparison) -> dict[str, Any]:
    """One learning rate; what a double cannot hold is null, its log10 is not."""
    sampled = c.monte_carlo
    return {
        "learning_rate": c.learning_rate,
        "spectral": _rate(c.spectral),
        "spectral_error": None if c.spectral is None else c.spectral.rate_error,
        "theory": _rate(c.theory),
        "monte_carlo": _rate(sampled),
        "ci_low": None if sampled is None else _exp(sampled.lower),
        "ci_high": None if sampled is None else _exp(sampled.upper),
        "agree": c.agree,
        "why": dict(c.why),
        "remarks": [] if sampled is None else sampled.notes,
        "log10_spectral": None if c.spectral is None else c.spectral.log10_rate,
        "log10_theory": None if c.theory is None else c.theory.log10_rate,
        "log10_monte_carlo": None if sampled is None else sampled.log10_rate,
    }


def _rate(record: RateRecord | None) -> float | None:
    return None if record is None else record.rate


def _exp(logarithm: float) -> float | None:
    """e^x where a double holds it; 0 for the lower end of an interval without one."""
    if logarithm == -math.inf:
        return 0.0
    return math.exp(logarithm) if -700 < logarithm < 700 else None


def row(c: Comparison) -> tuple[str, ...]:
    """One learning rate in a table."""
    agree = {True: "yes", False: "NO", None: "nothing to compare"}[c.agree]
    return f"{c.learning_rate:.6g}", _spectral(c.spectral), _plain(c.theory), *_sampled(c.monte_carlo), agree


def _spectral(record: RateRecord | None) -> str:
    return "" if record is None else with_log_error(record.log_rate, record.log_error)


def _plain(record: RateRecord | None) -> str:
    return "" if record is None else scientific(record.log_rate, 4)


def _sampled(record: RateRecord | None) -> tuple[str, str]:
    """A Monte Carlo rate and its interval."""
    if record is None:
        return "", ""
    return scientific(record.log_rate, 3), f"{scientific(record.lower, 3)} to {scientific(record.upper, 3)}"

"""Routes that answer what a test wants."""

import witten
from witten.rates import RateCurve, RateRecord


def answer(log_rate, width=0.1, resolved=True, notes=()):
    """A route that always says the same."""

    def compute(f, s):
        record = RateRecord(s, log_rate, log_rate - width, log_rate + width, resolved, "test", 1, 0.0, notes=notes)
        return RateCurve([record], "monte-carlo", f.name)

    return compute


def off_by(log_factor, width=0.1):
    """Monte Carlo as the spectral route has it, but for a factor."""
    return lambda f, s: answer(float(witten.gap(f, s).log_rates[0]) + log_factor, width)(f, s)

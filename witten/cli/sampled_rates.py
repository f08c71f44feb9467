"""A rate of `simulate`, with momentum or without: for programs and for people."""

from __future__ import annotations

import math
from typing import Any

from witten.number_format import scientific

__all__ = ["cells", "json_row"]


def json_row(record: Any) -> dict[str, Any]:
    """One learning rate."""
    return {
        "learning_rate": record.learning_rate,
        "rate": record.rate if record.resolved else None,
        "ci_low": math.exp(record.lower),
        "ci_high": math.exp(record.upper),
        "log10_rate": record.log10_rate if record.resolved else None,
        "confidence": record.confidence,
        "estimator": record.solver,
        "n_paths": record.n_dofs,
        **{name: getattr(record, name) for name in ("n_steps", "dt", "seconds", "diverged")},
        "remarks": record.notes,
    }


def cells(record: Any) -> tuple[str, ...]:
    """One learning rate in a table."""
    rate = scientific(record.log_rate, 4) if record.resolved else "unresolved"
    return (
        f"{record.learning_rate:.6g}",
        rate,
        f"{scientific(record.lower, 4)} .. {scientific(record.upper, 4)}",
        record.solver,
        f"{record.n_dofs}",
        f"{record.n_steps:.2g}",
        f"{record.dt:.3g}",
        f"{record.seconds:.1f}",
    )

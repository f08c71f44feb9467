"""What a comparison came to, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from witten.barrier_fit import plus_minus

if TYPE_CHECKING:
    from witten.validation.comparison import Comparison, Validation

__all__ = [
    "MONTE_CARLO",
    "NAMES",
    "ROUTES",
    "SPECTRAL",
    "THEORY",
    "factor",
    "in_words",
    "left_out",
    "outcome",
]

SPECTRAL, THEORY, MONTE_CARLO = ROUTES = ("spectral", "theory", "monte_carlo")
NAMES = {SPECTRAL: "spectral", THEORY: "theory", MONTE_CARLO: "Monte Carlo"}
# Disagreements that are spelt out.
MOST_SPELT = 4


def in_words(found: Validation) -> str:
    """The verdict: what agrees or which route stands apart, what is left out, the barriers."""
    lines = [*outcome(found), *(f"theory is not whole: {flaw}" for flaw in found.flaws), *_barriers(found)]
    return " ".join(f"{line[0].upper()}{line[1:]}." for line in lines)


def outcome(found: Validation) -> Iterator[str]:
    """What agrees with what, or does not; and what is left out."""
    judged = [c for c in found.records if c.agree is not None]
    wrong = [c for c in judged if not c.agree]
    total = len(found.records)
    if wrong:
        yield f"the routes disagree at {len(wrong)} of {_count(total)}"
        for c in wrong[:MOST_SPELT]:
            bad = "; ".join(str(j) for j in c.judgements if not j.agree)
            yield f"at s = {c.learning_rate:.6g}: {bad}"
        if len(wrong) > MOST_SPELT:
            yield "and so on"
        odd = _odd_one_out(wrong)
        if odd:
            yield odd
    elif judged:
        share = "the" if total == 1 else "all" if len(judged) == total else f"{len(judged)} of"
        yield f"the routes agree at {share} {_count(total) if total > 1 else 'learning rate'}"
        yield _pairs(judged)
    else:
        yield "nothing could be compared"
    yield from left_out(found)


def _count(n: int) -> str:
    return f"{n} learning rate{'' if n == 1 else 's'}"


def _pairs(judged: list[Comparison]) -> str:
    """Monte Carlo with spectral at 8, spectral with theory at 5."""
    counts: dict[tuple[str, str], int] = {}
    for c in judged:
        for j in c.judgements:
            counts[j.pair] = counts.get(j.pair, 0) + 1
    return ", ".join(f"{NAMES[a]} with {NAMES[b]} at {n}" for (a, b), n in sorted(counts.items()))


def _odd_one_out(wrong: list[Comparison]) -> str | None:
    """Which route disagrees where the other two agree, if it is always the same."""
    suspects = {name for c in wrong if (name := _suspect(c)) is not None}
    if len(suspects) != 1:
        return None
    return f"{NAMES[suspects.pop()]} stands apart where the others agree"


def _suspect(c: Comparison) -> str | None:
    verdicts = {j.pair: j.agree for j in c.judgements}
    law, sampled = verdicts.get((SPECTRAL, THEORY)), verdicts.get((MONTE_CARLO, SPECTRAL))
    if law is False and sampled:
        return THEORY
    return MONTE_CARLO if sampled is False and law else None


def left_out(found: Validation) -> Iterator[str]:
    """Each route that is missing somewhere, and why; one line for each reason."""
    for name in ROUTES:
        reasons: dict[str, list[float]] = {}
        for c in found.records:
            if name in c.why:
                reasons.setdefault(c.why[name], []).append(c.learning_rate)
        everywhere = len(reasons) == 1 and sum(map(len, reasons.values())) == len(found.records)
        for reason, rates in reasons.items():
            where = "" if everywhere else f" at s = {', '.join(f'{s:.4g}' for s in rates)}"
            yield f"{NAMES[name]} is left out{where}: {reason}"


def _barriers(found: Validation) -> Iterator[str]:
    """H_f, and what the rates say of it."""
    fits = {name: found.fit(name) for name in (SPECTRAL, MONTE_CARLO)}
    told = [
        f"{plus_minus(fit.barrier, fit.barrier_error)} fitted to {NAMES[name]} rates"
        for name, fit in fits.items()
        if fit is not None and fit.is_barrier
    ]
    if found.barrier is not None:
        told.insert(0, f"H_f = {found.barrier:.8g}")
    if told:
        wrong = ", which is another one" if found.barrier_agrees is False else ""
        yield f"barrier {', '.join(told)}{wrong}"


def factor(log_ratio: float) -> str:
    """A ratio to three digits, from its logarithm, however large."""
    if abs(log_ratio) < 13:
        return f"{math.exp(log_ratio):.3g}"
    return f"10^{log_ratio / math.log(10):.1f}" if math.isfinite(log_ratio) else ("0" if log_ratio < 0 else "inf")

"""What a comparison came to, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from witten.barrier_fit import BarrierFit, plus_minus
from witten.validation.judgement import MONTE_CARLO, NAMES, ROUTES, SPECTRAL, THEORY, Comparison

__all__ = ["barriers", "left_out", "outcome"]

# Disagreements that are spelt out.
MOST_SPELT = 4


def outcome(records: Sequence[Comparison]) -> Iterator[str]:
    """What agrees with what, or does not; and what is left out."""
    judged = [c for c in records if c.agree is not None]
    wrong = [c for c in judged if not c.agree]
    total = len(records)
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
    yield from left_out(records)


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


def left_out(records: Sequence[Comparison]) -> Iterator[str]:
    """Each route that is missing somewhere, and why; one line for each reason."""
    for name in ROUTES:
        reasons: dict[str, list[float]] = {}
        for c in records:
            if name in c.why:
                reasons.setdefault(c.why[name], []).append(c.learning_rate)
        everywhere = len(reasons) == 1 and sum(map(len, reasons.values())) == len(records)
        for reason, rates in reasons.items():
            where = "" if everywhere else f" at s = {', '.join(f'{s:.4g}' for s in rates)}"
            yield f"{NAMES[name]} is left out{where}: {reason}"


def barriers(fits: Mapping[str, BarrierFit | None], barrier: float | None, agrees: bool | None) -> Iterator[str]:
    """H_f, and what the rates of the routes say of it."""
    told = [
        f"{plus_minus(fit.barrier, fit.barrier_error)} fitted to {NAMES[name]} rates"
        for name, fit in fits.items()
        if fit is not None and fit.is_barrier
    ]
    if barrier is not None:
        told.insert(0, f"H_f = {barrier:.8g}")
    if told:
        wrong = ", which is another one" if agrees is False else ""
        yield f"barrier {', '.join(told)}{wrong}"

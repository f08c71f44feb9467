"""Rates against the learning rate, the one value in which every route answers: `record` holds one learning rate,
`curve` several of them, `curve_set` several curves, `ratio` one of them over another; `rate_dataset` says what they
look like in a file. Start with `RateRecord`."""

from witten.barrier_fit import BarrierFit
from witten.rates.curve import KIND, RateCurve, sensible_fit
from witten.rates.curve_set import CurveSet
from witten.rates.record import ChainRate, KineticRate, LawRate, NoisyRate, RateRecord, SampledRate

__all__ = [
    "KIND",
    "BarrierFit",
    "ChainRate",
    "CurveSet",
    "KineticRate",
    "LawRate",
    "NoisyRate",
    "RateCurve",
    "RateRecord",
    "SampledRate",
    "sensible_fit",
]

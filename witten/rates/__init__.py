"""Rates against the learning rate, the one value in which every route answers: `record` holds one learning rate,
`curve` several of them, `rate_dataset` says what they look like in a file. Start with `RateRecord`."""

from witten.barrier_fit import BarrierFit
from witten.rates.curve import KIND, RateCurve
from witten.rates.record import LawRate, RateRecord, SampledRate

__all__ = ["KIND", "BarrierFit", "LawRate", "RateCurve", "RateRecord", "SampledRate"]

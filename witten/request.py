"""What a computation is asked with: learning rates, the strength of the noise, a seed; refused here, in one place."""

from __future__ import annotations

import math
from collections.abc import Iterable
from hashlib import blake2b

import numpy as np

from witten.errors import RequestError

__all__ = ["checked_learning_rates", "checked_seed", "effective_learning_rate", "positive", "seed_of"]

SMALLEST = float(np.finfo(float).tiny)


def positive(name: str, value: float) -> float:
    """The value as a float; RequestError unless it is positive and finite, and for noise with a covariance, where only
    its strength is known."""
    if hasattr(value, "bind"):
        knows = "gap, spectrum, chain, simulate, theory and validate alone know a covariance"
        raise RequestError(f"{name} is a number here; {knows}: give its strength")
    if not (math.isfinite(value) and value > 0):
        raise RequestError(f"{name} must be positive, got {value}")
    return float(value)


def checked_learning_rates(given: float | Iterable[float], noise: float = 1.0) -> list[float]:
    """The learning rates s, one or many, as a list; RequestError if there is none, or as `effective_learning_rate`."""
    asked = [float(s) for s in np.atleast_1d(np.asarray(given, dtype=float))]
    if not asked:
        raise RequestError("no learning rates were given")
    for s in asked:
        effective_learning_rate(s, noise)
    return asked


def effective_learning_rate(learning_rate: float, noise: float = 1.0) -> float:
    """s sigma^2, the learning rate that gives the SDE of unit noise the same rates; RequestError if s or sigma is not
    positive and finite, or s sigma^2 is more or less than a double holds."""
    sigma = positive("noise", noise)
    product = positive("learning rate", learning_rate) * sigma * sigma
    if not (math.isfinite(product) and product >= SMALLEST):
        size, remedy = ("large", "smaller") if product > 1 else ("small", "larger")
        raise RequestError(
            f"learning rate {learning_rate:g} times the square of noise {noise:g} is too {size} for a double; give "
            f"{remedy} ones"
        )
    return product


def checked_seed(seed: int) -> int:
    """The seed; RequestError unless it is from 0 to 2^64 - 1."""
    if not 0 <= seed < 2**64:
        raise RequestError(f"the seed must be from 0 to 2^64 - 1, got {seed}")
    return seed


def seed_of(seed: int, learning_rate: float, noise: float) -> int:
    """A seed for each learning rate, so that the errors along a curve are independent."""
    text = f"{seed} {float(learning_rate).hex()} {float(noise).hex()}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())

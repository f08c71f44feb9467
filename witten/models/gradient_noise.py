"""The noise of a gradient, from those of the samples: its covariance Sigma has a trace and a scale tr Sigma/|g|^2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from witten.errors import RequestError
from witten.models.derivatives import derivative_along, difference, unit
from witten.models.model_loss import ModelLoss

__all__ = ["GradientNoise", "gradient_noise", "noise_of_gradients"]

Array = NDArray[np.float64]
Interval = tuple[float, float]

# Directions along which losses of samples are differentiated: all of so few parameters, else so many random ones.
ALL, RANDOM = 400, 200
# 97.5 % of each of the two that a quotient is made of, 95 % of the quotient.
QUANTILE = 2.2414
# Fewer samples have no interval.
FEWEST = 8
# Eigenvalues of Sigma that are told.
LEADING = 5
# The samples' mean is the gradient where they differ by less, relative to either.
SAME = 1e-6


@dataclass(frozen=True)
class GradientNoise:
    """Of the gradients g_i of N samples, whose mean is g: what one sample has, a batch of B has 1/B of.

    Attributes
    ----------
    trace : of Sigma = (1/N) sum (g_i - g)(g_i - g)^T
    trace_interval : 95 %, where the samples are themselves drawn
    along : q^T Sigma q for each of the directions asked for, the first that of the sharpness
    leading : the largest eigenvalues of Sigma, of these samples; empty where random directions stand for all
    scale : trace/|g|^2, the batch at which noise and gradient are alike [McCandlish2018]; inf where g = 0
    scale_interval : 95 %, where the samples are drawn; inf where |g|^2 may be zero
    samples : N
    difference : |g - grad f|, relative; not small where samples are a part of the data, or f has more terms
    """

    trace: float
    trace_interval: Interval
    along: tuple[float, ...]
    leading: tuple[float, ...]
    scale: float
    scale_interval: Interval
    samples: int
    difference: float


def gradient_noise(loss: ModelLoss, x: Array, gradient: Array, along: Array, seed: int = 0) -> GradientNoise | None:
    """From `sample_gradients`, or else from differences of `sample_losses`: of more parameters than ALL along random
    directions, whose own error is in the intervals; and along unit directions (k, n). None where the loss has neither.

    Raises
    ------
    RequestError
        as `ModelLoss.called`, and of fewer than FEWEST samples.
    """
    if loss.sample_gradients is not None:
        gradients = loss.called("sample_gradients", x, None, x.size)
        return noise_of_gradients(gradients, gradient, gradients @ along.T)
    if loss.sample_losses is None:
        return None

    def samples(y: Array) -> Array:
        return loss.called("sample_losses", y, None)

    found = [derivative_along(samples, x, q) for q in along]
    directions = _directions(x.size, seed)
    columns = [difference(samples, x, unit(z), found[0].step) for z in directions]
    sketch = np.stack(columns, axis=1) * np.linalg.norm(directions, axis=1)
    known = np.stack([each.value for each in found], axis=1)
    return noise_of_gradients(sketch, directions @ gradient, known, exact=x.size <= ALL)


def _directions(n: int, seed: int) -> Array:
    """Z (m, n) with |Z v|^2 = |v|^2, in the mean where it is random."""
    if n <= ALL:
        return np.eye(n)
    return np.random.default_rng(seed).normal(size=(RANDOM, n)) / np.sqrt(RANDOM)


def noise_of_gradients(gradients: Array, gradient: Array, along: Array, *, exact: bool = True) -> GradientNoise:
    """tr Sigma +- 2.24 (sd(|g_i - g|^2)/sqrt(N) + sketch), |g|^2 - tr Sigma/N +- 2.24 sd, and their quotients.

    |g|^2 has the variance 4 g^T Sigma g/N + 2 tr(Sigma^2)/N^2, at most that with (tr Sigma)^2; g^T Sigma g is measured.

    Parameters
    ----------
    gradients : (N, m), or along m random directions where not `exact`
    gradient : grad f (m,), with which their mean is compared
    along : of each sample along unit directions, (N, k)
    """
    count = len(gradients)
    if count < FEWEST:
        raise RequestError(f"the gradient noise of {count} samples is not known; give at least {FEWEST}")
    mean = gradients.mean(axis=0)
    centred = gradients - mean
    squares, size = np.sum(centred**2, axis=1), float(mean @ mean)
    trace = float(squares.mean())
    sketch = 0.0 if exact else float(np.sqrt(2 / gradients.shape[1]))
    low, high = _around(trace * count / (count - 1), float(np.std(squares, ddof=1) / np.sqrt(count)), sketch)
    spread = np.sqrt(4 * float(np.mean((centred @ mean) ** 2)) / count + 2 * (trace / count) ** 2)
    least, most = _around(size - trace / (count - 1), float(spread), sketch)
    return GradientNoise(
        trace,
        (low, high),
        tuple(np.var(along, axis=0).tolist()),
        _leading(centred) if exact else (),
        _ratio(trace, size),
        (_ratio(low, most), _ratio(high, least)),
        count,
        float(np.linalg.norm(mean - gradient)) / max(float(np.linalg.norm(gradient)), np.sqrt(trace / count), TINY),
    )


def _leading(centred: Array) -> tuple[float, ...]:
    """The largest eigenvalues of (1/N) sum c_i c_i^T, from the smaller of its two Gram matrices."""
    gram = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    return tuple((np.maximum(np.linalg.eigvalsh(gram)[::-1][:LEADING], 0.0) / len(centred)).tolist())


TINY = float(np.finfo(float).tiny)


def _around(value: float, deviation: float, sketch: float) -> Interval:
    """Of a square, which is not negative."""
    width = QUANTILE * (deviation + sketch * abs(value))
    return max(value - width, 0.0), max(value + width, 0.0)


def _ratio(numerator: float, denominator: float) -> float:
    if denominator > 0:
        return numerator / denominator
    return np.inf if numerator > 0 else np.nan

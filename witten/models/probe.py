"""A loss with many parameters at one point: sharpness against 2/s, noise of the gradient, a path to another point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from witten.display import Displayed
from witten.errors import RequestError
from witten.models.gradient_noise import SAME, GradientNoise, gradient_noise
from witten.models.hessian_products import hessian_product
from witten.models.hessian_spectrum import HessianSpectrum, hessian_spectrum
from witten.models.model_loss import Function, ModelLoss
from witten.request import checked_seed, positive

if TYPE_CHECKING:
    from witten.models.transitions.passage import Passage

__all__ = ["Probe", "probe"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Probe(Displayed):
    """What `probe` found at a point.

    >>> found = witten.probe(lambda x: x[0]**2 + 3*x[1]**2, [1.0, 1.0], 0.5, gradient=lambda x: np.array([2, 6]) * x)
    >>> [round(each.value, 6) for each in found.spectrum.largest], found.stable
    ([6.0, 2.0], False)

    Attributes
    ----------
    learning_rate : s
    parameters : n
    loss, gradient_norm : f(x), |grad f(x)|
    spectrum : the largest eigenvalues of Hess f(x), each with its bound
    products : "hessian", or "differences" of gradients: of what H v is made
    noise : of the gradient, None where nothing is known of samples
    notes : what should be known, in words
    path : to the minimum below another point, None where none was asked for
    """

    picture: ClassVar[str] = "plot_probe"

    learning_rate: float
    parameters: int
    loss: float
    gradient_norm: float
    spectrum: HessianSpectrum
    products: str
    noise: GradientNoise | None
    notes: tuple[str, ...]
    path: Passage | None = None

    @property
    def summary(self) -> str:
        """What a person wants to know, in a line."""
        verdict = {True: "stable", False: "not stable", None: "not decided"}[self.stable]
        return f"{self.parameters} parameters: sharpness {self.sharpness:.6g}, 2/s = {self.threshold:.6g}, {verdict}"

    @property
    def sharpness(self) -> float:
        """The largest eigenvalue of Hess f(x), as Lanczos has it: an eigenvalue is within `sharpness_error`."""
        return self.spectrum.largest[0].value

    @property
    def sharpness_error(self) -> float:
        """|H q - sharpness q| of the Ritz vector q, and what is not known of H q."""
        return self.spectrum.largest[0].error

    @property
    def threshold(self) -> float:
        """2/s."""
        return 2 / self.learning_rate

    @property
    def stable(self) -> bool | None:
        """Whether the sharpness is at most 2/s: True if its upper bound is, False if sharpness - error is above, None
        where 2/s lies between."""
        if self.spectrum.upper <= self.threshold:
            return True
        return False if self.sharpness - self.sharpness_error > self.threshold else None


def probe(
    loss: Function,
    x: ArrayLike,
    learning_rate: float,
    *,
    gradient: Function | None = None,
    hessian: Function | None = None,
    product: Callable[[Array, Array], ArrayLike] | None = None,
    sample_losses: Function | None = None,
    sample_gradients: Function | None = None,
    end: ArrayLike | None = None,
    batch: int = 1,
    count: int = 5,
    seed: int = 0,
    name: str = "the loss",
) -> Probe:
    """Sharpness lambda_1(Hess f(x)) against 2/s, and tr Sigma/|grad f|^2, from gradients alone; with `end` a path to
    the minimum below it, over a saddle.

    The eigenvalues come from Lanczos with Hessian-vector products: (grad f(x + h v) - grad f(x - h v))/(2h), or those
    that are given, or those of a Hessian that is given, up to 400 parameters; never is there an n x n matrix of more.

    >>> found = witten.probe(lambda x: x @ x, np.ones(30), 0.5, gradient=lambda x: 2 * x)
    >>> round(found.sharpness, 6), found.threshold, found.stable
    (2.0, 4.0, True)

    Parameters
    ----------
    loss : f, a function of one point (n,); an Objective brings its derivatives
    x : the point, (n,)
    learning_rate : s
    gradient, hessian : of one point, (n,) and (n, n)
    product : (x, v) -> Hess f(x) v, (n,)
    sample_losses, sample_gradients : (N,) and (N, n), of N samples each by itself
    end : another point, (n,): the path is from the minimum below x to that below it
    batch : samples of a step, of which the noise is 1/batch of that of one; of the escape rate alone
    count : eigenvalues that are wanted
    seed : of random directions

    Raises
    ------
    RequestError
        where the loss is not finite, not in float64, has no gradient or the wrong one, or changes from call to call.
    """
    point, s = _point(x, "the point"), positive("learning rate", learning_rate)
    for what, number in (("number of eigenvalues", count), ("batch", batch)):
        if number < 1:
            raise RequestError(f"the {what} must be positive, got {number}")
    f = ModelLoss(loss, gradient, hessian, product, sample_losses, sample_gradients, name)
    f.check(point)
    slope = f.slope(point)
    times, made_of = hessian_product(f, point, checked_seed(seed))
    spectrum = hessian_spectrum(times, point.size, count=count, seed=seed)
    noise = gradient_noise(f, point, slope, np.array([each.vector for each in spectrum.largest]), seed)
    size, value = float(np.linalg.norm(slope)), float(f.called("value", point))
    notes = tuple(_notes(spectrum, noise))
    path = None if end is None else _passage(f, point, _point(end, "the other point"), s, batch)
    return Probe(s, point.size, value, size, spectrum, made_of, noise, notes, path)


def _passage(f: ModelLoss, x: Array, end: Array, s: float, batch: int) -> Passage:
    if end.size != x.size:
        raise RequestError(f"the points have {x.size} and {end.size} numbers: they are not of one model")
    from witten.models.transitions.passage import passage

    return passage(f, x, end, s, batch)


def _point(x: ArrayLike, what: str) -> Array:
    try:
        point = np.atleast_1d(np.array(x, dtype=float))
    except (TypeError, ValueError):
        raise RequestError(f"{what} must be a vector of numbers") from None
    if point.ndim != 1 or not point.size or not np.isfinite(point).all():
        raise RequestError(f"{what} must be a vector of finite numbers, got one of shape {point.shape}")
    return point


def _notes(spectrum: HessianSpectrum, noise: GradientNoise | None) -> list[str]:
    notes: list[Any] = []
    if spectrum.negative:
        notes.append("the Hessian has negative eigenvalues: the point is no minimum, and descent leaves it anyway")
    if noise is None:
        notes.append("the noise of the gradient is not known: losses or gradients of the samples are not given")
    elif noise.difference > SAME:
        notes.append(
            f"the mean of the samples' gradients is off the gradient by {noise.difference:.2g} of it: the samples are "
            "a part of the data, or a sum, or the loss has terms that they have not"
        )
    return notes

"""How a computation ends early: the request is wrong, it cannot be computed as asked, or the time is over."""

from typing import Any

__all__ = ["AccuracyWarning", "ConvergenceError", "GridError", "RequestError", "Stopped"]


class RequestError(ValueError):
    """The request is wrong: what was given, what is wrong with it, what to do instead, in one line.

    >>> witten.gap("double-well", -0.1)
    Traceback (most recent call last):
        ...
    witten.errors.RequestError: learning rate must be positive, got -0.1
    """


class GridError(RequestError):
    """No grid that is taken serves the learning rate; who has chosen both for a user says it in the user's terms."""


class ConvergenceError(RuntimeError):
    """The computation failed: the reason, and a remedy to try.

    >>> from witten.spectra import Lanczos
    >>> f, grid = witten.gallery.quadratic(), witten.Grid(witten.Box((-4.0,), (4.0,)), (256,))
    >>> witten.sweep(witten.FiniteDifferences(f, grid), (0.5,), solver=Lanczos(most=1))
    Traceback (most recent call last):
        ...
    witten.errors.ConvergenceError: Lanczos for 4 eigenvalues on 256 nodes did not converge in 1 products; ...
    """


class Stopped(Exception):
    """A sweep has ended before its last learning rate, as it was asked to.

    Attributes
    ----------
    reason : in words
    curve : the RateCurve of what is done, or None
    """

    def __init__(self, reason: str, curve: Any = None) -> None:
        super().__init__(reason, curve)
        self.reason = reason
        self.curve = curve

    def __str__(self) -> str:
        return self.reason


class AccuracyWarning(UserWarning):
    """A number is less certain than was asked for; its error bar says by how much."""

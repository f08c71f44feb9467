"""The two ways a computation ends early: the request is wrong, or it cannot be computed as asked."""

__all__ = ["AccuracyWarning", "ConvergenceError", "RequestError"]


class RequestError(ValueError):
    """The request is wrong: what was given, what is wrong with it, what to do instead, in one line."""


class ConvergenceError(RuntimeError):
    """The computation failed: the reason, and a remedy to try."""


class AccuracyWarning(UserWarning):
    """A number is less certain than was asked for; its error bar says by how much."""

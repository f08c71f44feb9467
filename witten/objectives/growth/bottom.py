"""Where a continuous spectrum starts, as a value."""

from dataclasses import dataclass

__all__ = ["Bottom"]


@dataclass(frozen=True)
class Bottom:
    """Where the continuous spectrum of -L starts.

    Attributes
    ----------
    rate : inf where there is none
    error : of the rate
    note : what is not decided, in words; "" where all is
    """

    rate: float
    error: float = 0.0
    note: str = ""

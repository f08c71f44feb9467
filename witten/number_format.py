"""Positive numbers of any size in print, from logarithms: 1e-2171 is no double; and numbers as users write them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal

__all__ = ["as_number", "coordinates", "listed", "readable", "scientific", "with_log_error"]

# Decimals of a coordinate in plain notation.
MOST_DECIMALS = 12


def as_number[Number: (int, float)](text: str, kind: type[Number]) -> Number:
    """A number as scripts and papers write it: no 1_0, which is a slip, and none in digits of other alphabets;
    ValueError for anything else."""
    if not text.isascii() or "_" in text:
        raise ValueError(f"{text!r} is not a number")
    return kind(text)


def coordinates(x: Iterable[float], extent: float, digits: int = 7) -> list[str]:
    """Coordinates with as many decimals as give a length `extent` so many digits; what rounding leaves of 0 is 0.

    >>> coordinates([3.25, -1e-17], 2.0), coordinates([3e-12], 2e-9)
    (['3.250000', '0.000000'], ['3e-12'])
    """
    decimals = digits - 1 - math.floor(math.log10(extent))
    if 0 <= decimals <= MOST_DECIMALS:
        return [f"{round(value, decimals) + 0.0:.{decimals}f}" for value in x]
    return [f"{value:.{digits}g}" if abs(value) > 1e-12 * extent else "0" for value in x]


def listed(x: Iterable[float], digits: int = 6) -> str:
    """A point in messages: `1.5, -2`."""
    return ", ".join(f"{value:.{digits}g}" for value in x)


def scientific(logarithm: float, digits: int) -> str:
    """e^logarithm with some digits, however small or large: 1.958927e-05, 3.1e-2171.

    >>> scientific(-5000.0, 3)
    '3.37e-2172'
    """
    if not math.isfinite(logarithm):
        return {-math.inf: "0", math.inf: "inf"}.get(logarithm, "unknown")
    value, exponent = _mantissa(logarithm)
    mantissa = f"{value:.{digits - 1}f}"
    if mantissa.startswith("10"):  # rounding went over the edge
        mantissa, exponent = f"{1:.{digits - 1}f}", exponent + 1
    return f"{mantissa}e{exponent:+03d}"


def with_log_error(log_value: float, log_error: float, relative: float | None = None) -> str:
    """A number with the error of its last digits in brackets: 1.9589273(3)e-05.

    From its logarithm, and the error of that or a relative error.
    """
    relative = math.expm1(min(log_error, 700.0)) if relative is None else relative
    mantissa, exponent = _mantissa(log_value)
    if not relative < 1:
        return f"{mantissa:.1f}e{exponent:+03d} (error {'above 100 %' if relative > 1 else '100 %'})"
    text, last = _bracketed(mantissa, mantissa * relative)
    if text.startswith("10."):  # rounding went over the edge
        text, last = _bracketed(mantissa / 10, mantissa * relative / 10)
        exponent += 1
    return f"{text}({last})e{exponent:+03d}"


def readable(text: str) -> str:
    """A number that the functions here have written, without its exponent where that is small: 129.098(5).

    >>> readable("1.29098(5)e+02"), readable("4(3)e-02"), readable("5.7(3)e+09")
    ('129.098(5)', '0.04(3)', '5.7(3)e+09')
    """
    number, mark, exponent = text.partition("e")
    digits, bracket, error = number.partition("(")
    try:
        value = Decimal(digits).scaleb(int(exponent))
    except (ArithmeticError, ValueError):
        return text
    if not (mark and -4 <= int(exponent) <= 5 and int(exponent) <= len(digits.partition(".")[2])):
        return text
    return f"{value:f}{bracket}{error}"


def _mantissa(logarithm: float) -> tuple[float, int]:
    """m in [1, 10) and n with m 10^n = e^logarithm."""
    exponent = math.floor(logarithm / math.log(10))
    mantissa = math.exp(logarithm - exponent * math.log(10))
    return (mantissa / 10, exponent + 1) if mantissa >= 10 else (mantissa, exponent)


def _bracketed(mantissa: float, error: float) -> tuple[str, int]:
    """One digit of the error, two where it starts with a one; thirteen digits at most."""
    digits = 13
    if error > 0:
        leading = math.floor(math.log10(error))
        digits = min(max(-leading + (1 if error / 10.0**leading < 1.95 else 0), 0), 13)
    return f"{mantissa:.{digits}f}", max(math.ceil(error * 10**digits - 1e-9), 1)

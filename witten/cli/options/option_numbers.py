"""Numbers as people write them behind options, refused in one line where they are none."""

from __future__ import annotations

import math

from witten.errors import RequestError
from witten.number_format import as_number

__all__ = ["from_zero_to_one", "positive", "quoted", "whole"]


def from_zero_to_one(name: str, text: str) -> float:
    """A number from 0 to below 1; RequestError for anything else."""
    try:
        value = as_number(text, float)
    except ValueError:
        raise RequestError(f"{name}: {quoted(text)} is not a number; give one from 0 to below 1") from None
    if not 0 <= value < 1:
        raise RequestError(f"{name} must be from 0 to below 1, got {text.strip()}")
    return value


def positive(name: str, text: str) -> float:
    """A number that must be positive and finite; RequestError if it is not."""
    try:
        value = as_number(text, float)
    except ValueError:
        raise RequestError(f"{name}: {quoted(text)} is not a number; give a positive number") from None
    if not (math.isfinite(value) and value > 0):
        raise RequestError(f"{name} must be positive and finite, got {text.strip()}")
    return value


def whole(name: str, text: str, least: int) -> int:
    """A whole number, `least` or more; RequestError if it is not."""
    try:
        value = as_number(text, int)
    except ValueError:
        raise RequestError(f"{name}: {quoted(text)} is not a whole number; give {least} or more") from None
    if value < least:
        raise RequestError(f"{name} must be at least {least}, got {value}")
    return value


def quoted(text: str) -> str:
    """A piece of the user's text, short enough for one line."""
    text = text.strip()
    return repr(text if len(text) <= 60 else text[:57] + "...")

"""The texts behind --lr: a number, a list, or a geometric range."""

from __future__ import annotations

import math

from witten.cli.options.option_numbers import quoted
from witten.errors import RequestError
from witten.number_format import as_number

__all__ = ["parse_learning_rate", "parse_learning_rates", "required_learning_rates"]

# More learning rates than this in one sweep are a slip of the keyboard.
MOST_LEARNING_RATES = 10_000


def parse_learning_rates(text: str) -> tuple[float, ...]:
    """`0.1`, `0.05,0.1,0.2` or `0.02:0.5:12` (geometric, ends included), in the order given; RequestError for anything
    else, and for what is not positive and finite."""
    if ":" in text:
        return _geometric_range(text)
    words = text.split(",")
    if len(words) > MOST_LEARNING_RATES:
        raise RequestError(f"--lr: {len(words)} learning rates are too many; ask for at most {MOST_LEARNING_RATES}")
    return tuple(_learning_rate(word, text) for word in words)


def required_learning_rates(text: str | None) -> str:
    """The text of --lr; RequestError where there is none."""
    if text is None:
        raise RequestError("Missing option '--lr'; see witten gap --help")
    return text


def parse_learning_rate(text: str) -> float:
    """A single learning rate; RequestError for a list or a range."""
    rates = parse_learning_rates(text)
    if len(rates) != 1:
        raise RequestError(
            f"--lr: this command takes one learning rate, got {quoted(text)}; give one number, as in 0.1"
        )
    return rates[0]


def _geometric_range(text: str) -> tuple[float, ...]:
    words = text.split(":")
    if len(words) != 3 or "," in text:
        raise RequestError(f"--lr: cannot read the range {quoted(text)}; write start:stop:count, as in 0.02:0.5:12")
    start, stop = (_learning_rate(word, text) for word in words[:2])
    try:
        count = as_number(words[2], int)
    except ValueError:
        raise RequestError(
            f"--lr: {quoted(words[2])} in {quoted(text)} is not a whole number; write start:stop:count"
        ) from None
    if not 2 <= count <= MOST_LEARNING_RATES:
        raise RequestError(
            f"--lr: the range {quoted(text)} asks for {words[2]} learning rates; ask for 2 to {MOST_LEARNING_RATES}"
        )
    if start == stop:
        raise RequestError(f"--lr: the range {quoted(text)} is empty; start and stop must differ")
    if start > stop:
        ordered = f"{words[1]}:{words[0]}:{words[2]}"
        raise RequestError(f"--lr: the range {quoted(text)} is reversed; the smaller end comes first: {ordered}")
    import numpy as np

    return tuple(np.geomspace(start, stop, count).tolist())


def _learning_rate(word: str, text: str) -> float:
    """One positive number of a specification."""
    if not word.strip():
        raise RequestError(f"--lr: a number is missing in {quoted(text)}; give a number, a list or start:stop:count")
    try:
        value = as_number(word, float)
    except ValueError:
        raise RequestError(
            f"--lr: {quoted(word)} is not a number; give a number (0.1), a list (0.05,0.1) or a range (0.02:0.5:12)"
        ) from None
    if not (math.isfinite(value) and value > 0):
        raise RequestError(f"--lr: learning rate must be positive and finite, got {word.strip()}")
    return value

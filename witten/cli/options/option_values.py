"""What the texts behind options mean: points, boxes, circles, noise, walltimes; refused in one line."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping
from typing import Any

from witten.cli.options.option_numbers import positive, quoted, whole
from witten.cli.streams import keep_output, say
from witten.errors import RequestError
from witten.number_format import as_number

__all__ = [
    "METHODS",
    "SGD_ITSELF",
    "about_noise",
    "parse_boundary",
    "parse_box",
    "parse_degree",
    "parse_method",
    "parse_noise_learning_rate",
    "parse_periodic",
    "parse_petsc",
    "parse_point",
    "parse_walltime",
    "require_known_with_momentum",
    "resolved",
]

# --method on the command line -> `method` of the results
METHODS = {"fd": "finite-differences", "fe": "finite-elements"}
# The name of the options for large runs, in `witten.spectra.solvers.distributed.petsc_options`.
PETSC_PRESET = "large"
# A minus and a letter: -0.1 is the value of an option.
PETSC_OPTION = re.compile(r"--?[A-Za-z][A-Za-z0-9_.:-]*", re.ASCII)


def resolved(objective: str, center: str | None, scale: str | None) -> Any:
    """The objective that is meant, to be searched from a center where one is given.

    Raises
    ------
    RequestError
        for what is no objective, point or length, and for a center of a formula.
    """
    from witten.objectives import resolve
    from witten.objectives.resolve import is_file

    if is_file(objective):
        keep_output()
    f = resolve(objective)
    if words := getattr(f, "taken", ""):
        say(f"note: {words}")
    if center is None and scale is None:
        return f
    if f.formula is not None:
        given = " and ".join(name for name, text in (("--center", center), ("--scale", scale)) if text is not None)
        raise RequestError(f"{given}: {f.name} is a formula, searched in all of space: leave out {given}")
    if center is None:
        raise RequestError(f"--scale {scale}: it goes with a --center; give that, too: about where the wells are")
    length = 1.0 if scale is None else positive("--scale", scale)
    return f.searched_from(parse_point(center, f.dimension, "--center"), length)


def parse_noise_learning_rate(text: str | None) -> float | None:
    """The learning rate of a potential; None where there is none."""
    return None if text is None else positive("--lr", text)


def about_noise(noise: Any) -> dict[str, Any]:
    """What a curve says of its noise: a number, or one of `witten.noise`."""
    return {"noise": noise} if isinstance(noise, float) else {"noise": 1.0, "covariance": noise.text}


def parse_box(text: str | None) -> tuple[tuple[float, float], ...] | None:
    """`-2:2,-1:3` as one (low, high) per axis; RequestError for anything else, and for an interval that is empty or
    reversed."""
    return None if text is None else tuple(_interval(piece, text) for piece in text.split(","))


def parse_boundary(text: str) -> str:
    """`reflecting` or `absorbing`."""
    if text not in ("reflecting", "absorbing"):
        raise RequestError(f"--boundary: {quoted(text)} is not known; use reflecting or absorbing")
    return text


def parse_periodic(texts: list[str] | None) -> dict[str, tuple[float, float]] | None:
    """`x=0:2*pi,y=-1:1`, or several such texts, as {"x": (0, 2 pi), "y": (-1, 1)}; RequestError for anything else, an
    interval that is empty or reversed, and an axis that is named twice."""
    found: dict[str, tuple[float, float]] = {}
    for piece in ",".join(texts or []).split(",") if texts else []:
        name, _, interval = (part.strip() for part in piece.partition("="))
        ends = interval.split(":")
        if not name or len(ends) != 2:
            raise RequestError(f'--periodic: cannot read {quoted(piece)}; write name=low:high, as in "x=0:2*pi"')
        if name in found:
            raise RequestError(f"--periodic: {name} is named twice; give one interval for each axis")
        low, high = (_constant("--periodic", end) for end in ends)
        if not low < high:
            raise RequestError(f"--periodic: {quoted(piece)} is empty or reversed; the smaller end comes first")
        found[name] = low, high
    return found or None


def _constant(name: str, text: str) -> float:
    """A number that may be written as a formula: 2*pi."""
    from witten.objectives.symbolic.formula import parse

    formula, _ = parse(text)
    if formula.free_symbols:
        raise RequestError(f"{name}: {quoted(text)} is not a number; write one, as in 2*pi")
    return float(formula)


def parse_point(text: str, dimension: int, name: str = "--x0") -> tuple[float, ...]:
    """`-0.9,0.9` as coordinates; RequestError for anything else, and for another number of coordinates than
    `dimension`."""
    try:
        point = tuple(as_number(word, float) for word in text.split(","))
    except ValueError:
        raise RequestError(f"{name}: cannot read {quoted(text)}; give one number per axis, as in -0.9,0.9") from None
    if not all(map(math.isfinite, point)):
        raise RequestError(f"{name}: the coordinates must be finite, got {quoted(text)}")
    if len(point) != dimension:
        raise RequestError(
            f"{name}: {quoted(text)} has {len(point)} coordinate{'s' * (len(point) != 1)}, "
            f"the objective has {dimension} variable{'s' * (dimension != 1)}"
        )
    return point


def _interval(piece: str, text: str) -> tuple[float, float]:
    how = 'write low:high for each axis, as in "-2:2,-1:3"'
    ends = piece.split(":")
    if len(ends) != 2:
        raise RequestError(f"--box: cannot read {quoted(piece)} in {quoted(text)}; {how}")
    try:
        low, high = (as_number(end, float) for end in ends)
    except ValueError:
        raise RequestError(f"--box: {quoted(piece)} is not an interval; {how}") from None
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RequestError(f"--box: the ends must be finite, got {quoted(piece)}; {how}")
    if low >= high:
        raise RequestError(f"--box: {quoted(piece)} is empty or reversed; the smaller end comes first")
    return low, high


def parse_method(text: str | None) -> str | None:
    """The name that `--method` means in Python, None for the default; RequestError for a method that is not known."""
    if text is None:
        return None
    if text not in METHODS:
        raise RequestError(f"--method: {quoted(text)} is not known; use fd or fe")
    return METHODS[text]


def parse_degree(text: str | None) -> int | None:
    """1, 2 or 3, None for the default."""
    if text is None:
        return None
    degree = whole("--degree", text, 1)
    if degree > 3:
        raise RequestError(f"--degree: finite elements have degree 1, 2 or 3, got {degree}")
    return degree


def parse_walltime(text: str | None) -> float | None:
    """`HH:MM:SS`, or `D-HH:MM:SS` as batch systems write it, in seconds; RequestError for anything else: 10:00 might be
    minutes or hours."""
    if text is None:
        return None
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)", text.strip(), re.ASCII)
    if found is None:
        raise RequestError(f"--walltime: cannot read {quoted(text)}; write HH:MM:SS, as in 00:50:00 (or D-HH:MM:SS)")
    days, hours, minutes, seconds = (float(each or 0) for each in found.groups())
    total = ((24 * days + hours) * 60 + minutes) * 60 + seconds
    if not (total > 0 and math.isfinite(total)):
        raise RequestError(f"--walltime must be positive, got {text.strip()}")
    return total


def parse_petsc(text: str | None) -> dict[str, str | None]:
    """`-eps_ncv 40 -log_view` as {'eps_ncv': '40', 'log_view': None}; quotes hold a value with spaces together.

    A first word `large` stands for the options of large runs, and is handed on as it is.

    Raises
    ------
    RequestError
        for a word that is neither an option (a minus and a letter) nor the value of the one before it.
    """
    try:
        words = shlex.split(text or "")
    except ValueError as error:
        raise RequestError(f"--petsc: cannot read {quoted(text or '')}: {str(error).lower()}") from None
    found: dict[str, str | None] = {}
    last = None
    if words[:1] == [PETSC_PRESET]:
        found[words.pop(0)] = None
    for word in words:
        if PETSC_OPTION.fullmatch(word):
            last = word.lstrip("-")
            found[last] = None
        elif last is not None and not word.startswith("--"):
            found[last], last = word, None
        else:
            raise RequestError(
                f'--petsc: {quoted(word)} is not an option; options start with a minus: "-eps_ncv 40 -eps_view"'
            )
    return found


# --scheme of `simulate`: SGD as it is, with and without momentum.
SGD_ITSELF = "sgd"


def require_known_with_momentum(given: Mapping[str, Any], noise: Any = 1.0) -> None:
    """RequestError for options that are given, none of which is known with momentum, and for a covariance."""
    named = {**given, "a covariance": not isinstance(noise, float)}
    for name, value in named.items():
        if value:
            raise RequestError(f"{name} is not known with momentum or friction yet; leave it out")

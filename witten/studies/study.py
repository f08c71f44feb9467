"""What a study is: checks, expected against observed, and figures; and the list of all studies."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from witten.errors import RequestError
from witten.objectives.symbolic.grammar import nearest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDIES", "Check", "Illustration", "Study", "above", "agrees", "at_most", "close", "holds", "run", "same"]

# name -> the module whose run(quick) -> Study makes it
STUDIES = {
    "learning-rates-and-schroedinger": "witten.studies.learning_rates_and_schroedinger",
    "step-size-matters": "witten.studies.step_size_matters",
    "large-learning-rate": "witten.studies.large_learning_rate",
    "annealing": "witten.studies.annealing",
    "later-results": "witten.studies.later_results",
    "minibatch-noise": "witten.studies.minibatch_noise",
    "momentum": "witten.studies.momentum",
}


@dataclass(frozen=True)
class Check:
    """One sentence of a paper against what was computed.

    Attributes
    ----------
    what : the claim, in a sentence
    expected, observed : numbers, or words, or yes and no as booleans
    tolerance : the largest difference that still counts as agreement, absolute; None where nothing is compared so
    ok : whether they agree
    """

    what: str
    expected: float | str | bool
    observed: float | str | bool
    tolerance: float | None
    ok: bool


def close(what: str, expected: float, observed: float, *, relative: float = 0.0, absolute: float = 0.0) -> Check:
    """|observed - expected| <= relative |expected| + absolute."""
    tolerance = relative * abs(expected) + absolute
    return Check(what, float(expected), float(observed), tolerance, bool(abs(observed - expected) <= tolerance))


def agrees(what: str, expected: float, observed: float, low: float, high: float) -> Check:
    """low <= expected <= high, an interval around what was observed, such as a confidence interval."""
    tolerance = max(high - observed, observed - low)
    return Check(what, float(expected), float(observed), float(tolerance), bool(low <= expected <= high))


def at_most(what: str, bound: float, observed: float) -> Check:
    """observed <= bound."""
    return Check(what, f"at most {bound:.10g}", float(observed), None, bool(observed <= bound))


def above(what: str, bound: float, observed: float) -> Check:
    """observed > bound."""
    return Check(what, f"above {bound:.10g}", float(observed), None, bool(observed > bound))


def same(what: str, expected: str | float, observed: str | float) -> Check:
    """The same word or number."""
    return Check(what, expected, observed, None, bool(expected == observed))


def holds(what: str, observed: bool) -> Check:
    """Yes."""
    return Check(what, True, bool(observed), None, bool(observed))


@dataclass(frozen=True)
class Illustration:
    """A figure of a study, drawn when asked for.

    Attributes
    ----------
    name : a word for file names
    caption : what is to be seen, in a sentence or two
    draw : makes the matplotlib figure
    """

    name: str
    caption: str
    draw: Callable[[], Figure]


@dataclass(frozen=True)
class Study:
    """The experiments of one paper.

    Attributes
    ----------
    name : as on the command line
    title : the paper
    checks : in the order of its claims
    figures : in the paper's spirit
    """

    name: str
    title: str
    checks: tuple[Check, ...]
    figures: tuple[Illustration, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all checks agree."""
        return all(check.ok for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """name and checks, as `witten study --json` prints them."""
        keys = ("what", "expected", "observed", "tolerance", "ok")
        return {"name": self.name, "checks": [{key: getattr(check, key) for key in keys} for check in self.checks]}


def run(name: str, *, quick: bool = False) -> Study:
    """The study of this name: all its experiments, or smaller ones of the same kind in seconds; RequestError for an
    unknown name; the nearest is suggested."""
    if name not in STUDIES:
        raise RequestError(f"unknown study {name[:60]!r}{nearest(name, STUDIES)}; known: all, {', '.join(STUDIES)}")
    study: Study = import_module(STUDIES[name]).run(quick=quick)
    return study


def words(value: float | str | bool | None) -> str:
    """A value of a check for a person."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    return f"{value:.8g}" if math.isfinite(value) else str(value)

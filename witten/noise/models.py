"""What the noise of a gradient can be like: values that say Sigma, and know no objective until bound to one.

Made by the functions of `makers`, which check what they are given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import sympy as sp

from witten.errors import RequestError
from witten.noise.diffusion import Diffusion
from witten.objectives import Objective
from witten.objectives.fingerprint import fingerprint
from witten.objectives.symbolic.formula import parse as parse_formula
from witten.objectives.topography.critical_set import reach

__all__ = ["Constant", "Driven", "Formula", "Isotropic", "Loss", "Minibatch", "Noise", "formula_of"]

# How far the mean of losses may be off f, relative to the largest of its terms, at places where both are compared.
SAME = 1e-9
PLACES = 50


@runtime_checkable
class Noise(Protocol):
    """A covariance matrix Sigma(x) of the noise of one gradient."""

    @property
    def text(self) -> str:
        """What it is, in a line that a file keeps: two that differ have different texts."""

    def bind(self, objective: Objective) -> Diffusion:
        """Sigma as formulas in the coordinates of an objective; RequestError where it does not fit."""


@dataclass(frozen=True)
class Isotropic:
    """Sigma = sigma^2 I."""

    sigma: float

    @property
    def text(self) -> str:
        return f"isotropic:{self.sigma!r}"

    def bind(self, objective: Objective) -> Diffusion:
        return _multiple(objective, sp.Rational(repr(self.sigma)) ** 2)


@dataclass(frozen=True)
class Constant:
    """Sigma is a constant symmetric positive matrix, given by its rows."""

    rows: tuple[tuple[float, ...], ...]

    @property
    def text(self) -> str:
        return ";".join(",".join(map(repr, row)) for row in self.rows)

    def bind(self, objective: Objective) -> Diffusion:
        return Diffusion.of(objective, [[sp.Rational(repr(entry)) for entry in row] for row in self.rows])


@dataclass(frozen=True)
class Loss:
    """Sigma = (floor + c (f - min f)) I: noise in proportion to the loss."""

    c: float
    floor: float

    @property
    def text(self) -> str:
        return f"loss:c={self.c!r},floor={self.floor!r}"

    def bind(self, objective: Objective) -> Diffusion:
        f = formula_of(objective)
        known = reach(objective)
        if not (known.complete and known.points.size):
            raise RequestError(
                f"noise in proportion to the loss needs min f, and that of {objective.name} is not proved "
                f"({known.examined}); give the covariance as a formula"
            )
        least = sp.Rational(float(known.values[0]))
        return _multiple(objective, sp.Rational(repr(self.floor)) + sp.Rational(repr(self.c)) * (f - least))


@dataclass(frozen=True)
class Formula:
    """Sigma by a formula for each entry, or by a single one, a(x), for a(x) I."""

    rows: tuple[tuple[str, ...], ...]

    @property
    def text(self) -> str:
        return ";".join(",".join(row) for row in self.rows)

    def bind(self, objective: Objective) -> Diffusion:
        entries = [[_entry(text, objective) for text in row] for row in self.rows]
        if len(entries) == len(entries[0]) == 1:
            return _multiple(objective, entries[0][0])
        return Diffusion.of(objective, entries)


@dataclass(frozen=True)
class Minibatch:
    """Sigma = Cov_i(grad l_i)/batch of the losses l_i of a finite sum, f their mean, drawn with replacement."""

    losses: tuple[Objective, ...]
    batch: int

    @property
    def text(self) -> str:
        return f"minibatch:batch={self.batch},losses={','.join(str(fingerprint(each)) for each in self.losses)}"

    def bind(self, objective: Objective) -> Diffusion:
        symbols = objective.symbols
        losses = [formula_of(each).xreplace(dict(zip(each.symbols, symbols, strict=True)))
                  for each in self.losses if _has_dimension(each, objective)]  # fmt: skip
        _require_mean(objective, self.losses)
        slopes = [sp.Matrix([loss.diff(x) for x in symbols]) for loss in losses]
        mean = sum(slopes, sp.zeros(len(symbols), 1)) / len(losses)
        spread = [slope - mean for slope in slopes]
        total = sum((each * each.T for each in spread), sp.zeros(len(symbols))) / (len(losses) * self.batch)
        return Diffusion.of(objective, total.applyfunc(_tidy).tolist())


@dataclass(frozen=True)
class Driven:
    """A noise, and a drift c(x) beside -grad f."""

    current: tuple[str, ...]
    noise: Noise

    @property
    def text(self) -> str:
        return f"{self.noise.text} with drift {','.join(self.current)}"

    def bind(self, objective: Objective) -> Diffusion:
        if len(self.current) != objective.dimension:
            raise RequestError(
                f"the drift has {len(self.current)} components, {objective.name} has dimension {objective.dimension}"
            )
        current = tuple(_entry(each, objective) for each in self.current)
        return replace(self.noise.bind(objective), current=current)


def _entry(text: str, objective: Objective) -> sp.Expr:
    """A formula in the coordinates of an objective, not all of which it needs to have."""
    names = " + ".join(f"0*{symbol.name}" for symbol in objective.symbols)
    found, symbols = parse_formula(f"({text}) + {names}")
    if set(symbols) != set(objective.symbols):
        raise RequestError(f"the covariance {text!r} has other variables than {objective.name}")
    return found


def _multiple(objective: Objective, a: sp.Expr) -> Diffusion:
    d = objective.dimension
    return Diffusion.of(objective, [[a if i == j else sp.Integer(0) for j in range(d)] for i in range(d)])


def formula_of(objective: Objective) -> sp.Expr:
    """f as a formula; RequestError where it has none."""
    if objective.formula is None:
        raise RequestError(f"{objective.name} is a callable: this noise needs its formula; state it as one")
    return objective.formula


def _has_dimension(loss: Objective, objective: Objective) -> bool:
    if loss.dimension != objective.dimension:
        raise RequestError(f"the loss {loss.name} has dimension {loss.dimension}, {objective.name} another")
    return True


def _require_mean(objective: Objective, losses: tuple[Objective, ...]) -> None:
    """RequestError unless f is the mean of the losses, at places of all scales; constants do not count."""
    x = np.random.default_rng(0).normal(size=(objective.dimension, PLACES)) * np.geomspace(0.1, 10.0, PLACES)
    slopes = np.array([each.gradient(x) for each in losses])
    off = abs(objective.gradient(x) - slopes.mean(axis=0))
    sizes = abs(slopes).max(axis=0)
    if not (off <= SAME * (sizes + sizes.max() * 1e-6)).all():
        raise RequestError(f"{objective.name} is not the mean of the {len(losses)} losses: give that as the objective")


def _tidy(entry: sp.Expr) -> sp.Expr:
    """Sums of products multiplied out where that is a polynomial: fewer terms cancel."""
    return sp.expand(entry) if entry.is_polynomial() else entry

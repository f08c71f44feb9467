"""What the noise of a gradient can be like: values that say Sigma, and know no objective until bound to one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike

from witten.errors import RequestError
from witten.noise.diffusion import Diffusion
from witten.objectives import Objective, resolve
from witten.objectives.fingerprint import fingerprint
from witten.objectives.symbolic.formula import parse as parse_formula
from witten.objectives.topography.critical_set import reach
from witten.request import positive

__all__ = ["Constant", "Driven", "Formula", "Isotropic", "Loss", "Minibatch", "Noise"]
__all__ += ["constant", "formula", "isotropic", "loss", "minibatch", "parse", "with_drift"]

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
        f = _formula_of(objective)
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
        losses = [_formula_of(each).xreplace(dict(zip(each.symbols, symbols, strict=True)))
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


def with_drift(current: str | Sequence[str], noise: float | Noise = 1.0) -> Driven:
    """dX = (c - grad f) dt + sqrt(s) Sigma^{1/2} dW: a drift by formulas, beside the gradient.

    >>> noise = witten.noise.with_drift(("-3*y", "3*x"))
    >>> found = witten.spectrum("(x^2 + y^2)/2", 0.5, 3, noise=noise, box=[(-4, 4), (-4, 4)], rtol=1e-3)
    >>> print(f"{found.rates[1]:.2f} {abs(found.imaginary[1]):.2f}")
    1.00 3.00

    Parameters
    ----------
    current : c, one formula for each coordinate, or all in one text, "-3*y,3*x"
    noise : sigma, or a noise

    Raises
    ------
    RequestError
        when bound, for another number of components than the dimension, and for what is no formula.
    """
    texts = _split(current)[0] if isinstance(current, str) else tuple(map(str, current))
    return Driven(texts, isotropic(noise) if isinstance(noise, int | float) else noise)


def isotropic(sigma: float = 1.0) -> Isotropic:
    """Sigma = sigma^2 I, the same as `noise=sigma`.

    >>> witten.noise.isotropic(2.0).sigma
    2.0

    Raises
    ------
    RequestError
        unless sigma is positive and finite.
    """
    return Isotropic(positive("noise", sigma))


def constant(matrix: ArrayLike) -> Constant:
    """A constant covariance matrix, (d, d).

    >>> witten.noise.constant([[1, 0.8], [0.8, 1]]).text
    '1.0,0.8;0.8,1.0'

    Raises
    ------
    RequestError
        unless the matrix is square, finite, symmetric and positive definite.
    """
    try:
        entries = np.asarray(matrix, dtype=float)
    except (TypeError, ValueError):
        raise RequestError(f"the covariance must be a matrix of numbers, got {matrix!r}; see noise.formula") from None
    if entries.ndim != 2 or entries.shape[0] != entries.shape[1] or not entries.size:
        raise RequestError(f"the covariance must be a square matrix, got shape {entries.shape}")
    if not np.isfinite(entries).all():
        raise RequestError("the covariance has entries that are not finite numbers")
    if (abs(entries - entries.T) > 1e-14 * abs(entries).max()).any():
        raise RequestError(f"the covariance is not symmetric: {entries.tolist()}")
    least = float(np.linalg.eigvalsh(entries)[0])
    if not least > 1e-14 * abs(entries).max():
        raise RequestError(f"the covariance is not positive definite: its smallest eigenvalue is {least:.3g}")
    entries = (entries + entries.T) / 2
    return Constant(tuple(tuple(row) for row in entries.tolist()))


def loss(c: float, floor: float) -> Loss:
    """Sigma = (floor + c (f - min f)) I.

    The stationary density is then a power, (floor + c (f - min f))^{-1-2/(c s)}.

    >>> print(f"{witten.gap('double-well', 0.2, noise=witten.noise.loss(1, 0.2), rtol=1e-6).rates[0]:.6e}")
    8.986501e-05

    Parameters
    ----------
    c : variance per loss, positive
    floor : variance at the minimum, positive: without any there is no stationary law, since nothing leaves it

    Raises
    ------
    RequestError
        unless both are positive and finite.
    """
    if floor == 0:
        raise RequestError(
            "noise in proportion to the loss vanishes at the global minimum, which is then never left: there is no "
            "other stationary law; give a floor above 0"
        )
    return Loss(positive("c", c), positive("floor", floor))


def formula(entries: str | Sequence[Sequence[str]]) -> Formula:
    """Sigma by formulas in the coordinates of the objective: rows of texts, or "a,b;b,c"; one alone, a, is a(x) I.

    >>> witten.noise.formula("1 + x^2, 0; 0, 1").rows
    (('1 + x^2', '0'), ('0', '1'))

    Raises
    ------
    RequestError
        unless there are as many columns as rows; for what is no formula when it meets its objective.
    """
    rows = _split(entries) if isinstance(entries, str) else tuple(tuple(map(str, row)) for row in entries)
    if not rows or any(len(row) != len(rows) for row in rows):
        raise RequestError(f"the covariance must have as many columns as rows, got rows of {[len(r) for r in rows]}")
    return Formula(rows)


def minibatch(losses: Iterable[Objective | str], batch: int = 1) -> Minibatch:
    """Sigma = Cov_i(grad l_i)/batch, exactly, for the losses of a finite sum of which f is the mean.

    >>> noise = witten.noise.minibatch(["(x-1)^2/2", "(x+1)^2/2"])
    >>> noise.bind(witten.Objective.from_formula("x^2/2 + 1/2")).matrix
    Matrix([[1]])

    Raises
    ------
    RequestError
        for fewer than two losses or a batch below one; when bound, where f is not their mean.
    """
    found = tuple(resolve(each) for each in losses)
    if len(found) < 2:
        raise RequestError(f"minibatch noise needs two losses or more, got {len(found)}")
    if int(batch) != batch or batch < 1:
        raise RequestError(f"the batch must be a whole number, 1 or more, got {batch}")
    return Minibatch(found, int(batch))


def parse(text: str) -> Loss | Isotropic:
    """`loss:c=1,floor=0.2` or `isotropic:sigma=0.5`.

    Raises
    ------
    RequestError
        for anything else.
    """
    kind, _, rest = text.strip().partition(":")
    names = {"loss": ["c", "floor"], "isotropic": ["sigma"]}.get(kind)
    if names is None:
        raise RequestError(f"noise model {text!r} is not known; write loss:c=1,floor=0.2 or file.py:name")
    given = dict(part.partition("=")[::2] for part in rest.split(","))
    try:
        values = {name.strip(): float(value) for name, value in given.items()}
    except ValueError:
        values = {}
    if sorted(values) != names:
        raise RequestError(f"noise model {text!r}: {kind} takes {' and '.join(names)}, each as name=number")
    return loss(**values) if kind == "loss" else isotropic(**values)


def _split(text: str) -> tuple[tuple[str, ...], ...]:
    """Rows at semicolons, entries at commas that stand in no parentheses."""
    rows, depth, word = [[]], 0, ""  # type: ignore[var-annotated]
    for letter in text + ";":
        depth += (letter == "(") - (letter == ")")
        if letter in ",;" and depth == 0:
            rows[-1].append(word.strip())
            word = ""
            if letter == ";":
                rows.append([])
        else:
            word += letter
    return tuple(map(tuple, rows[:-1]))


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


def _formula_of(objective: Objective) -> sp.Expr:
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

"""Noises from what people give: numbers, matrices, formulas, losses, or a text of the command line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from witten.errors import RequestError
from witten.noise.models import Constant, Driven, Formula, Isotropic, Loss, Minibatch, Noise
from witten.objectives import Objective, resolve
from witten.request import positive

__all__ = ["constant", "formula", "isotropic", "loss", "minibatch", "parse", "with_drift"]


def with_drift(current: str | Sequence[str], noise: float | Noise = 1.0) -> Driven:
    """dX = (c - grad f) dt + sqrt(s) Sigma^{1/2} dW: a drift by formulas, beside the gradient.

    >>> noise = witten.noise.with_drift(("-3*y", "3*x"))
    >>> found = witten.spectrum("(x^2 + y^2)/2", 0.5, 3, noise=noise, box=[(-3, 3), (-3, 3)], rtol=1e-2)
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
    rows: list[list[str]] = [[]]
    depth, word = 0, ""
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

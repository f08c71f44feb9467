"""Eigenvalues of the Kramers-Fokker-Planck operator with the smallest real parts, be their imaginary parts large."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, SuperLU, eigs, splu

from witten.errors import ConvergenceError
from witten.kinetic.kramers_fokker_planck import KramersFokkerPlanck

__all__ = ["FEWEST", "Factored", "Leading", "factored_here", "leading"]

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
EPS = float(np.finfo(float).eps)
# Of a problem and a shift: within its context, how many eigenvalues -> so many nearest to the shift and their vectors.
Factored = Callable[[KramersFokkerPlanck, float], AbstractContextManager[Callable[[int], tuple[Complex, Complex]]]]
# The shift, as a part of the slower of oscillation and drift in the wells; eigenvalues computed first, and at most.
SHIFT, FEWEST, MOST = 0.1, 8, 128
# Eigenvalues oscillate at most so much faster than those of the wells that are damped as little.
FASTER = 1.25
# What is below this part of that rate is zero to rounding, and below the other one taken from its positive terms.
ZERO, SMALL = 1e-12, 1e-3


@dataclass(frozen=True, eq=False)
class Leading:
    """Eigenvalues of -L without the zero, by their real parts; of a complex pair the one with the positive imaginary
    part.

    Attributes
    ----------
    values : (k,), none missing between them
    rounding : how far the first may be off by rounding, absolute
    discriminant : ((a - b)/2)^2 of the first eigenvalue a and the other one of its pair, or else the nearest real one
    count : how many had to be computed
    """

    values: Complex
    rounding: float
    discriminant: float
    count: int = FEWEST

    @property
    def gap(self) -> float:
        """The smallest real part."""
        return float(self.values[0].real)


@contextmanager
def factored_here(problem: KramersFokkerPlanck, shift: float) -> Iterator[Callable[[int], tuple[Complex, Complex]]]:
    """In this process, by SuperLU."""
    yield partial(_nearest, problem, splu(problem.stiffness - shift * problem.mass), shift)


def leading(
    problem: KramersFokkerPlanck, frequency: float, count: int = FEWEST, factored: Factored = factored_here
) -> Leading:
    """The eigenvalues with the smallest real parts; frequency: of the fastest well, sqrt(f''); count: how many to
    compute at first.

    Computed are those next to a shift below zero, until their disk holds all that the first may have missed: a mode of
    the real part r oscillates at no more than about 2 r/gamma frequencies, as those of a well do.

    Raises
    ------
    ConvergenceError
        where too many eigenvalues lie near the first, or it is no larger than rounding.
    """
    unit = min(frequency, frequency**2 / problem.friction)
    shift = -SHIFT * unit
    with factored(problem, shift) as nearest:
        while count <= MOST:
            values, vectors = nearest(count)
            radius = float(abs(values - shift).max())
            if np.count_nonzero(abs(values) <= ZERO * unit) != 1:
                raise ConvergenceError(
                    "a rate with momentum is below what rounding leaves of the operator; theory --momentum has the law"
                )
            kept = (abs(values) > ZERO * unit) & (values.imag >= 0)
            values, vectors = values[kept], vectors[:, kept]
            fastest = FASTER * frequency * 2 * values.real / problem.friction
            seen = abs(values.real - shift + 1j * fastest) < radius
            if values.size and seen[values.real.argmin()]:
                found = _ordered(problem, values[seen], vectors[:, seen], unit, _discriminant(values))
                return replace(found, count=count)
            count *= 2
    raise ConvergenceError(
        f"with so little friction, {problem.friction:.3g} beside the frequency {frequency:.3g} of the wells, too many "
        "eigenvalues lie near the first; take a larger friction, that is a smaller momentum or a larger learning rate"
    )


def _nearest(problem: KramersFokkerPlanck, factor: SuperLU, shift: float, count: int) -> tuple[Complex, Complex]:
    """So many eigenvalues nearest to the shift, and their vectors."""
    n = problem.orders.size
    if count >= n - 1:
        raise ConvergenceError("the momentum needs more eigenvalues than the elements have; ask for a smaller rtol")
    inverse = LinearOperator((n, n), matvec=lambda c: factor.solve(problem.mass @ c), dtype=float)
    start = np.random.default_rng(0).standard_normal(n)
    try:
        found, vectors = eigs(inverse, count, which="LM", tol=1e-13, v0=start, ncv=min(max(2 * count + 8, 24), n - 1))
    except ArpackNoConvergence as error:
        raise ConvergenceError(
            "Arnoldi's method for the eigenvalues with momentum did not converge; take a larger friction"
        ) from error
    return shift + 1 / found, vectors


def _discriminant(values: Complex) -> float:
    first = values[values.real.argmin()]
    if first.imag:
        return float(-(first.imag**2))
    apart = abs(np.delete(values, values.real.argmin()) - first)
    return float(apart.min(initial=np.inf) ** 2 / 4)


def _ordered(
    problem: KramersFokkerPlanck, values: Complex, vectors: Complex, unit: float, discriminant: float
) -> Leading:
    """By real parts; the first with its rounding, eps over the cosine of the angle between its left and right vectors,
    which is zero at a Jordan block, where rounding is the root of eps.

    Small real ones come from lambda |c|^2 = gamma sum_a a |c_a|^2, whose terms are positive.
    """
    order = np.argsort(values.real, kind="stable")
    values, c = values[order], vectors[:, order[0]]
    mass = problem.mass @ c
    norm = np.vdot(c, mass).real
    cosine = abs(np.sum(problem.signs * c * mass)) / norm
    rounding = 8 * EPS * (unit + abs(values[0])) / max(cosine, np.sqrt(EPS))
    if values[0].imag == 0 and values[0].real < SMALL * unit:
        values[0] = problem.friction * np.vdot(c, problem.orders * mass).real / norm
        rounding = 100 * EPS * np.sqrt(values[0].real * unit)
    return Leading(values, float(rounding), discriminant)

"""The rate at one learning rate, in logarithms, with its error bar."""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass

import numpy as np

from witten.number_format import readable, with_log_error

__all__ = ["ChainRate", "KineticRate", "LawRate", "NoisyRate", "RateRecord", "SampledRate"]

# Below this a double loses digits: the rate is then known by its logarithm alone.
SMALLEST = float(np.finfo(float).tiny)
# The solver of a record without a rate.
NOBODY = "none"
LARGEST_LOG = math.log(np.finfo(float).max)


def _double(logarithm: float) -> float | None:
    """e^logarithm, or None where it is no normal double."""
    if not (math.isfinite(logarithm) and logarithm <= LARGEST_LOG):
        return None
    value = math.exp(logarithm)
    return value if value >= SMALLEST else None


@dataclass(frozen=True, repr=False)
class RateRecord:
    """The rate lambda_s at one learning rate s, as a logarithm, with its error bar.

    Parameters
    ----------
    learning_rate : s
    log_rate : natural logarithm of lambda_s
    lower, upper : natural logarithms of the ends of the error bar; lower may be -inf
    resolved : whether the number means anything; it does not where `log_rate` is no number
    solver : what computed it, in words; of simulated paths the estimator
    n_dofs : unknowns of the largest system; of simulated paths how many were independent
    seconds : wall time
    log_rates : natural logarithms of all rates computed at this s, without the zero, the smallest first
    modes_counted : eigenvalues that inertia counts below a bound, zero included; None where nothing was counted
    continuous : whether the rate is the bottom of the continuous spectrum, and no eigenvalue
    notes : what a reader should know, in words
    examined : how far f was looked at, in words; "" where nothing was left out
    """

    learning_rate: float
    log_rate: float
    lower: float
    upper: float
    resolved: bool
    solver: str
    n_dofs: int
    seconds: float
    log_rates: tuple[float, ...] = ()
    modes_counted: int | None = None
    continuous: bool = False
    notes: tuple[str, ...] = ()
    examined: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "resolved", bool(self.resolved and math.isfinite(self.log_rate)))

    def __repr__(self) -> str:
        kind = ", bottom of the continuous spectrum" if self.continuous else ""
        solver = self.solver or "not computed"
        return f"<{type(self).__name__} {self.text} at s = {self.learning_rate:g}{kind}, {solver}>"

    @staticmethod
    def empty(learning_rate: float, why: str = "") -> RateRecord:
        """No rate, and why there is none; without a reason it has not been asked for yet."""
        nan = math.nan
        notes = (why,) if why else ()
        return RateRecord(learning_rate, nan, nan, nan, False, NOBODY if why else "", 0, 0.0, notes=notes)

    @property
    def rate(self) -> float | None:
        """lambda_s, or None where it is below the normal doubles (or unknown)."""
        return _double(self.log_rate)

    @property
    def rates(self) -> tuple[float, ...]:
        """All rates computed at this s; nan for those below the normal doubles: see log_rates."""
        return tuple(math.nan if (rate := _double(each)) is None else rate for each in self.log_rates)

    @property
    def log_error(self) -> float:
        """Half-width of the error bar of log lambda_s, the larger side."""
        return max(self.upper - self.log_rate, self.log_rate - self.lower)

    @property
    def rate_error(self) -> float | None:
        """Half-width of the error bar of lambda_s, the larger side; None where the rate is."""
        if self.rate is None or not math.isfinite(self.upper):
            return None
        return self.rate * max(math.expm1(self.upper - self.log_rate), -math.expm1(self.lower - self.log_rate))

    @property
    def text(self) -> str:
        """The rate with the error of its last digits in brackets, 0.0027761406(5), at any size; or 'unresolved'."""
        return readable(with_log_error(self.log_rate, self.log_error)) if self.resolved else "unresolved"

    @property
    def log10_rate(self) -> float | None:
        """log10 lambda_s, for every size of rate; None where it is unknown."""
        return self.log_rate / math.log(10) if math.isfinite(self.log_rate) else None

    @property
    def witten_eigenvalue(self) -> float | None:
        """delta_1 = 2 s lambda_s, the first positive eigenvalue of the Witten-Laplacian (at unit noise)."""
        return None if self.rate is None else 2 * self.learning_rate * self.rate


@dataclass(frozen=True, kw_only=True, repr=False)
class SampledRate(RateRecord):
    """A rate from simulated paths, and what these tell of themselves.

    Parameters
    ----------
    confidence : of the interval that the error bar is
    n_steps : steps of all paths together, those of every step size counted
    dt : the finest time step
    diverged : paths that left for infinity; they are counted and left out of the averages
    stopped : whether it was ended before the interval was narrow enough
    blind : whether a mode, a slower one perhaps, may live where the paths hardly ever come
    """

    confidence: float
    n_steps: int
    dt: float
    diverged: int = 0
    stopped: bool = False
    blind: bool = False


@dataclass(frozen=True, kw_only=True, repr=False)
class NoisyRate(RateRecord):
    """The rate under noise with a covariance: the smallest real part of an eigenvalue of -L, but for the zero.

    Parameters
    ----------
    reversible : whether there is detailed balance
    imaginary : the imaginary part of that eigenvalue, not negative; 0 where it is real
    log_contraction, contraction_error : logarithm of the gap of (L + L*)/2, at which L2 of the stationary law contracts
        from the start on, and its relative error; nan where it is not known. At most the rate; the rate, if reversible
    """

    reversible: bool
    imaginary: float = 0.0
    log_contraction: float = math.nan
    contraction_error: float = math.nan

    @property
    def contraction_rate(self) -> float | None:
        """kappa with |P_t u| <= e^{-kappa t} |u| in L2 for u with mean 0; None where it is not known."""
        return _double(self.log_contraction)


@dataclass(frozen=True, kw_only=True, repr=False)
class KineticRate(RateRecord):
    """The rate of SGD with momentum, or of a Langevin equation: the smallest real part of an eigenvalue of -L but for
    the zero, per unit of its time; its `log_rates` are those of all real parts.

    Parameters
    ----------
    momentum : alpha; nan of an equation that stands for no recursion
    friction, temperature : gamma and T
    step_time : dt, the time of a step; nan where there is none
    hermite_order : up to which the velocity was expanded
    eigenvalues : of -L without the zero, by their real parts
    """

    momentum: float
    friction: float
    temperature: float
    step_time: float
    hermite_order: int
    eigenvalues: tuple[complex, ...] = ()

    @property
    def rate_per_step(self) -> float | None:
        """The rate times dt; None where there are no steps, or the rate is None."""
        return None if self.rate is None or math.isnan(self.step_time) else self.rate * self.step_time

    @property
    def rate_per_ks(self) -> float | None:
        """The rate per step over s: the one to set beside that of SGD."""
        per_step = self.rate_per_step
        return None if per_step is None else per_step / self.learning_rate

    @property
    def kinetic_real(self) -> tuple[float, ...]:
        """Re of the eigenvalues."""
        return tuple(value.real for value in self.eigenvalues)

    @property
    def kinetic_imag(self) -> tuple[float, ...]:
        """Im of the eigenvalues."""
        return tuple(value.imag for value in self.eigenvalues)


@dataclass(frozen=True, kw_only=True, repr=False)
class LawRate(RateRecord):
    """Rates by an asymptotic law, which holds as s -> 0.

    Parameters
    ----------
    log_leading : natural logarithms of the rates of leading order, for each of `log_rates`
    coefficients : c of each in rate = leading (1 + c s + O(s^2))
    log_errors : how far each logarithm may be off
    """

    log_leading: tuple[float, ...] = ()
    coefficients: tuple[float, ...] = ()
    log_errors: tuple[float, ...] = ()

    @property
    def leading(self) -> tuple[float, ...]:
        """All rates in leading order; nan for those below the normal doubles: see log_leading."""
        return tuple(math.nan if (rate := _double(each)) is None else rate for each in self.log_leading)

    @property
    def errors(self) -> tuple[float, ...]:
        """How far each rate may be off, relative to it."""
        return tuple(math.expm1(min(error, 700.0)) for error in self.log_errors)


@dataclass(frozen=True, kw_only=True, repr=False)
class ChainRate(RateRecord):
    """The rate of SGD itself, a Markov chain, and the spectrum of one step that it is from.

    Parameters
    ----------
    eigenvalues : rho_k of one step, by modulus, the survival rho_0 first
    eigenvalue_errors : of these, absolute
    loss : 1 - rho_0, the part lost in each step, to relative accuracy
    """

    eigenvalues: tuple[complex, ...] = ()
    eigenvalue_errors: tuple[float, ...] = ()
    loss: float = math.nan

    @property
    def eigenvalue_real(self) -> tuple[float, ...]:
        """Re rho_k."""
        return tuple(rho.real for rho in self.eigenvalues)

    @property
    def eigenvalue_imag(self) -> tuple[float, ...]:
        """Im rho_k."""
        return tuple(rho.imag for rho in self.eigenvalues)

    @property
    def phases(self) -> tuple[float, ...]:
        """arg rho_k/(2 pi): +-1/p at cycles of length p."""
        return tuple(cmath.phase(rho) / (2 * math.pi) for rho in self.eigenvalues)

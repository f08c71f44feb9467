"""SGD with momentum by all routes: its Langevin equation by operator, law and paths, the recursion by chain and paths.

Each is compared with itself, since they differ by O(s): paths for the equation are extrapolated in their time step at
the same friction and temperature, those of the recursion are what they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from witten.dynamics.momentum import BBK, simulate_momentum
from witten.dynamics.request import SGD
from witten.errors import RequestError
from witten.kinetic.momentum_gap import momentum_gap
from witten.landscape.laws.kramers_law import kramers_law
from witten.langevin import checked_momentum, step_time
from witten.objectives import Objective, resolve
from witten.rates import RateCurve, RateRecord
from witten.request import checked_learning_rates
from witten.sgd.chain import recorded
from witten.sgd.momentum_chain import momentum_chain
from witten.sweeps import until
from witten.validation.comparison import Validation
from witten.validation.routes import validate
from witten.validation.verdict import outcome

__all__ = ["MomentumValidation", "recursion_file", "validate_momentum"]


@dataclass(frozen=True)
class MomentumValidation:
    """Rates per unit of the time t = k dt.

    Attributes
    ----------
    momentum : alpha
    equation : the Langevin equation by all three routes
    recursion : SGD itself, `spectral` being its chain
    """

    momentum: float
    equation: Validation
    recursion: Validation

    @property
    def agree(self) -> bool | None:
        """Whether all that was compared agrees; None where there was nothing to compare."""
        known = [each.agree for each in (self.equation, self.recursion) if each.agree is not None]
        return all(known) if known else None

    @property
    def verdict(self) -> str:
        """What came out, in words."""
        parts = {"Langevin equation": self.equation, "SGD itself": self.recursion}
        return " ".join(f"{name}: {'; '.join(outcome(found.records))}." for name, found in parts.items())

    @property
    def stopped(self) -> str | None:
        """Why it was ended early; None where it was not."""
        return self.equation.stopped or self.recursion.stopped


def validate_momentum(
    objective: Objective | str,
    learning_rates: float | Iterable[float],
    momentum: float,
    *,
    rtol: float = 1e-4,
    noise: float = 1.0,
    seed: int = 0,
    progress: Callable[[str, float], Any] = lambda route, s: None,
    stop: Callable[[], str | None] = lambda: None,
    output: str | PathLike[str] | None = None,
    resume: bool = False,
    walltime: float | None = None,
) -> MomentumValidation:
    """x_{k+1} = x_k + alpha (x_k - x_{k-1}) - s grad f(x_k) + s sigma xi by all routes, and whether they agree.

    >>> from witten.validation import validate_momentum
    >>> validate_momentum("double-well", 0.06, 0.5).agree
    True

    Parameters
    ----------
    objective : an Objective, or its text; the operator knows two variables, the chain one; they are left out above
    learning_rates, momentum : s > 0, one or many; alpha from 0 to below 1
    rtol : wanted error of the operator's rates
    noise : sigma > 0
    seed : of the paths
    progress, stop, resume, walltime : as in `validate`
    output : netCDF file of the equation; that of the recursion is beside it, `recursion_file(output)`

    Raises
    ------
    RequestError
        for a learning rate, noise or momentum that no route could take.
    """
    f, alpha = resolve(objective), checked_momentum(momentum)
    asked = checked_learning_rates(learning_rates, noise)

    def paths(scheme: str) -> Callable[[Objective, float], RateCurve]:
        return lambda g, s: simulate_momentum(g, s, alpha, scheme=scheme, noise=noise, seed=seed, stop=stop)

    common: dict[str, Any] = {
        "noise": noise, "seed": seed, "progress": progress, "stop": until(walltime, stop), "resume": resume,
        "about": {"momentum": alpha, "seed": seed, "rtol": rtol},
    }  # fmt: skip
    equation = validate(
        f, asked, **common, output=output, monte_carlo=paths(BBK),
        spectral=lambda g, s: momentum_gap(g, s, alpha, rtol=rtol, noise=noise),
        theory=lambda g, s: kramers_law(g, s, alpha, noise=noise),
    )  # fmt: skip
    recursion = validate(
        f, asked, **common, output=None if output is None else recursion_file(output), landscape=equation.landscape,
        monte_carlo=paths(SGD), theory=_no_law,
        spectral=lambda g, s: _chain(g, s, alpha, noise),
    )  # fmt: skip
    # A barrier is not fitted: with s the friction changes, and with it the prefactor.
    return MomentumValidation(alpha, *(replace(each, landscape=None) for each in (equation, recursion)))


def recursion_file(path: str | PathLike[str]) -> Path:
    """Where what concerns the recursion is kept, beside what concerns the equation: a.nc, a-recursion.nc.

    >>> recursion_file("a.nc").name
    'a-recursion.nc'
    """
    return Path(path).with_stem(f"{Path(path).stem}-recursion")


def _chain(f: Objective, s: float, alpha: float, noise: float) -> RateCurve:
    """The rate of the chain of pairs (x, x-), per unit of t."""
    found = momentum_chain(f, s, alpha, noise=noise)
    if not found.resolved:
        return RateCurve((RateRecord.empty(s, "its gap is too small for its eigenvalues"),), "", f.name, {})
    known, unit = recorded(found), math.log(s / step_time(s, alpha))
    record = replace(
        known, log_rate=known.log_rate + unit, lower=known.lower + unit, upper=known.upper + unit,
        log_rates=(known.log_rate + unit,),
    )  # fmt: skip
    return RateCurve((record,), "transfer-operator", f.name, {})


def _no_law(f: Objective, s: float) -> RateCurve:
    raise RequestError("there is a law of the Langevin equation alone")

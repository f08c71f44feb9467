"""How many steps a run would take, and whether they are affordable: asked before it begins; none runs for ever."""

from __future__ import annotations

import math

from witten.dynamics.equilibrium.equilibrium import Equilibrium
from witten.dynamics.paths.ensemble import affordable
from witten.dynamics.request import Request
from witten.errors import ConvergenceError

__all__ = ["MOST_STEPS", "check_relaxation", "check_transitions", "expected_rate"]

# Steps, if they are compiled, after which an estimate is left as it is.
MOST_STEPS = 20_000_000_000
# So many relaxation times of the softest well are simulated at least, whatever the estimator; and so few transitions
# are no estimate.
FEW_RELAXATIONS, FEW_TRANSITIONS = 1000, 10


def expected_rate(equilibrium: Equilibrium) -> float:
    """Of transitions over the barrier, softness/(2 pi) e^{-2H/s}, roughly."""
    return equilibrium.softness / (2 * math.pi) * math.exp(-2 * equilibrium.barrier / equilibrium.s)


def check_relaxation(request: Request, equilibrium: Equilibrium, dt: float) -> None:
    """ConvergenceError if steps that resolve the narrowest well are too many for a path to get anywhere."""
    relaxation = 1 / (equilibrium.softest * dt)
    if FEW_RELAXATIONS * relaxation > affordable(request.motion(dt, 0), MOST_STEPS):
        raise ConvergenceError(
            f"{request.objective.name} has a well or a bend so narrow that steps of {dt:.1g} are asked for, of which "
            f"paths need {relaxation:.1g} to move about in the widest; use witten gap"
        )


def check_transitions(request: Request, rate: float, dt: float) -> None:
    """ConvergenceError if hardly any transition of about this rate would be seen in all affordable steps."""
    most = affordable(request.motion(dt, 0), MOST_STEPS)
    if most * rate * dt < FEW_TRANSITIONS:
        raise ConvergenceError(
            f"at learning rate {request.learning_rate:g} paths of {request.objective.name} leave their wells at a rate "
            f"of about {rate:.1g}: the {most:.1g} steps of {dt:.1g} that are affordable would show no more than "
            f"{most * rate * dt:.1g} transitions; take a larger learning rate, {request.otherwise}"
        )

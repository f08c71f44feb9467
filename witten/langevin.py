"""SGD with momentum and the Langevin equation that it discretises."""

from __future__ import annotations

import math
from dataclasses import dataclass

from witten.errors import RequestError
from witten.request import effective_learning_rate, positive

__all__ = ["BBK", "SHI", "Langevin", "checked_momentum", "momentum_in_words", "step_time"]

# The Langevin equation that SGD is step for step, and the one of the literature.
EQUATIONS = BBK, SHI = "bbk", "shi"


def checked_momentum(momentum: float) -> float:
    """The momentum as a float; RequestError unless 0 <= momentum < 1."""
    if not 0 <= momentum < 1:
        raise RequestError(f"momentum must be from 0 to below 1, got {momentum}")
    return float(momentum)


def momentum_in_words(momentum: float, nesterov: bool = False) -> str:
    """What a title adds for momentum; nothing where there is none."""
    gradient = ", Nesterov's gradient" if nesterov else ""
    return f", momentum {momentum:g}{gradient}" if momentum else ""


def step_time(learning_rate: float, momentum: float) -> float:
    """dt = sqrt(2s/(1 + alpha)), the time that a step of SGD with momentum takes [Bruenger1984]."""
    return math.sqrt(2 * learning_rate / (1 + momentum))


@dataclass(frozen=True)
class Langevin:
    """dX = V dt, dV = -gamma V dt - grad f(X) dt + sqrt(2 gamma T) dW, with the density e^{-(f + |v|^2/2)/T}.

    >>> witten.Langevin.of_momentum(0.05, 0.5).temperature
    0.05

    Attributes
    ----------
    friction : gamma, in units of one over time
    temperature : T, in units of f
    step_time : dt, the time that a step of the recursion takes; None where there is no recursion
    """

    friction: float
    temperature: float
    step_time: float | None = None

    def __post_init__(self) -> None:
        positive("friction", self.friction)
        positive("temperature", self.temperature)

    @property
    def usual_learning_rate(self) -> float:
        """s = 2T, at which SGD without momentum has the same Gibbs measure."""
        return 2 * self.temperature

    def relaxation_rate(self, curvature: float) -> float:
        """The smaller real part of (gamma -+ sqrt(gamma^2 - 4 theta))/2: how fast a well of curvature theta relaxes.

        >>> round(witten.Langevin(3, 0.1).relaxation_rate(1), 6), witten.Langevin(1, 0.1).relaxation_rate(4)
        (0.381966, 0.5)
        """
        root = math.sqrt(max(self.friction**2 - 4 * curvature, 0.0))
        return 2 * curvature / (self.friction + root) if root else self.friction / 2

    def recursion(self, dt: float) -> tuple[float, float, float]:
        """s, alpha and sigma of the recursion whose steps take the time dt; of `of_momentum` the inverse.

            s = dt^2/(1 + gamma dt/2),  alpha = (1 - gamma dt/2)/(1 + gamma dt/2),  sigma = sqrt(2 gamma T/dt)

        >>> equation = witten.Langevin.of_momentum(0.05, 0.5)
        >>> [round(value, 12) for value in equation.recursion(equation.step_time)]
        [0.05, 0.5, 1.0]
        """
        half = self.friction * dt / 2
        return dt**2 / (1 + half), (1 - half) / (1 + half), math.sqrt(2 * self.friction * self.temperature / dt)

    @staticmethod
    def of_momentum(learning_rate: float, momentum: float, noise: float = 1.0, equation: str = BBK) -> Langevin:
        """The equation of x_{k+1} = x_k + alpha (x_k - x_{k-1}) - s grad f(x_k) + s sigma xi.

            dt = sqrt(2s/(1 + alpha)),  gamma = 2 (1 - alpha)/((1 + alpha) dt),  T = s sigma^2/(2 (1 - alpha))

        With v_k = (x_{k+1} - x_{k-1})/(2 dt) the recursion is the integrator of [Bruenger1984], step for step. 'shi' is
        the equation of [Shi2024], whose time is k sqrt(s) and whose temperature is (1 + alpha)/2 times that.

        Raises
        ------
        RequestError
            for a learning rate or noise that is not positive, a momentum out of [0, 1), and another equation.
        """
        s, alpha = positive("learning rate", learning_rate), checked_momentum(momentum)
        strength = effective_learning_rate(s, noise)
        if equation == BBK:
            dt = step_time(s, alpha)
            return Langevin(2 * (1 - alpha) / ((1 + alpha) * dt), strength / (2 * (1 - alpha)), dt)
        if equation != SHI:
            raise RequestError(f"the equation {equation!r} is not known; use {' or '.join(map(repr, EQUATIONS))}")
        dt = math.sqrt(s)
        return Langevin(2 * (1 - alpha) / ((1 + alpha) * dt), (1 + alpha) * strength / (4 * (1 - alpha)), dt)

"""SGD with momentum is an integrator of the Langevin equation, step for step."""

import numpy as np
import pytest

from witten import RequestError
from witten.langevin import Langevin


def test_without_momentum_the_temperature_is_that_of_sgd():
    assert Langevin.of_momentum(0.1, 0.0).temperature == pytest.approx(0.05, rel=1e-15)
    assert Langevin.of_momentum(0.1, 0.0, noise=2.0).temperature == pytest.approx(0.2, rel=1e-15)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.95])
def test_a_step_of_sgd_is_one_of_brunger_brooks_and_karplus(alpha):
    s, rng = 0.03, np.random.default_rng(1)
    equation = Langevin.of_momentum(s, alpha)
    half = equation.friction * equation.step_time / 2
    kick = np.sqrt(2 * equation.friction * equation.temperature / equation.step_time)
    x, before, slope, xi = rng.standard_normal(4)
    sgd = x + alpha * (x - before) - s * slope + s * xi
    # (x+ - 2x + x-)/dt^2 = -gamma (x+ - x-)/(2 dt) - f' + kick xi
    force = equation.step_time**2 * (-slope + kick * xi)
    assert (2 * x - (1 - half) * before + force) / (1 + half) == pytest.approx(sgd, rel=1e-13)


def test_the_equation_of_the_literature_is_colder():
    ours, theirs = (Langevin.of_momentum(0.05, 0.5, equation=name) for name in ("bbk", "shi"))
    assert theirs.temperature / ours.temperature == pytest.approx(1.5 / 2)


@pytest.mark.parametrize("wrong", [{"momentum": 1.0}, {"momentum": -0.1}, {"momentum": 0.5, "equation": "other"}])
def test_refused(wrong):
    with pytest.raises(RequestError):
        Langevin.of_momentum(0.1, **wrong)


def test_its_recursions_keep_friction_and_temperature():
    equation = Langevin.of_momentum(0.05, 0.5)
    s, alpha, noise = equation.recursion(0.03)
    again = Langevin.of_momentum(s, alpha, noise)
    for name, value in {"friction": equation.friction, "temperature": 0.05, "step_time": 0.03}.items():
        assert getattr(again, name) == pytest.approx(value, rel=1e-13)

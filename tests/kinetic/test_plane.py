"""Rates with momentum in the plane against closed forms, those on a line, and another solver."""

import math

import numpy as np
import pytest

import witten
from witten.kinetic.elements import Elements
from witten.kinetic.kramers_fokker_planck import hermite_orders, kramers_fokker_planck
from witten.kinetic.leading_modes import leading
from witten.parallel.communicators import Communicator

FRICTION, T = 2.0, 0.1


def problem(text, count, *edges, kept=None):
    f = witten.Objective.from_formula(text)
    full = np.ones([each.size - 1 for each in edges], dtype=bool)
    elements = Elements(f, T, tuple(edges), full if kept is None else kept)
    return kramers_fokker_planck(elements, FRICTION, hermite_orders(len(edges), count))


def test_a_product_has_the_spectrum_of_its_factors_on_any_mesh():
    x, y = np.linspace(-1.8, 1.9, 5), np.linspace(-1.5, 1.6, 3)
    plane = leading(problem("(x^2-1)^2/4 + y^2/2", 4, x, y), 1.5)
    line = leading(problem("(x^2-1)^2/4", 4, x), 1.5)
    assert plane.values[0] == pytest.approx(line.values[0], rel=1e-9)


def test_the_operator_is_drag_and_an_antisymmetric_part_and_keeps_the_gibbs_density():
    kept = np.array([[True, True, False], [True, True, True]])
    operator = problem("x^2/2 + y^4 + x*y/2", 4, np.linspace(-1, 1, 3), np.linspace(-1.2, 1, 4), kept=kept)
    drag = operator.mass.multiply(FRICTION * operator.orders[:, None])
    rest = (operator.stiffness - drag).tocsr()
    assert abs(rest + rest.T).max() == 0
    gibbs = np.where(operator.orders == 0, np.exp(-operator.weights / 2), 0.0)
    assert abs(operator.stiffness @ gibbs).max() < 1e-10 * abs(operator.stiffness).max()
    flipped = operator.stiffness.multiply(operator.signs[:, None] * operator.signs[None])
    assert abs(flipped - operator.stiffness.T).max() == 0


def test_the_pairs_of_a_turned_quadratic():
    record = witten.langevin_gap("(0.6*x+0.8*y)^2/2 + (0.8*x-0.6*y)^2", 1.5, T, rtol=0.3)
    assert abs(record.log_rate - math.log(0.75)) < record.log_error < 0.1
    frequencies = [math.sqrt(theta - 0.75**2) for theta in (1, 2)]
    assert min(abs(abs(record.eigenvalues[0].imag) - each) for each in frequencies) < 0.01


def test_mumps_and_superlu_find_the_same():
    pytest.importorskip("slepc4py")
    from witten.kinetic.krylov_schur import factored_by

    operator = problem("x^4/4 + y^2/2 + x*y/4", 4, np.linspace(-1.6, 1.6, 3), np.linspace(-1.5, 1.5, 3))
    here, there = leading(operator, 1.2), leading(operator, 1.2, factored=factored_by(Communicator()))
    assert there.values == pytest.approx(here.values, rel=1e-9) and here.count == there.count


@pytest.mark.parametrize(("text", "t"), [("(x^2-1)^2/4+y^2/2", 0.002), ("x^2/2+y^2/2+exp(-1e4*(x^2+y^2))", 0.1)])
def test_what_cannot_be_resolved_is_refused(text, t):
    with pytest.raises(witten.ConvergenceError, match="the law"):
        witten.langevin_gap(text, FRICTION, t)

"""Chains of more than three coordinates by matrix products, against grids and closed forms, and where they refuse."""

import numpy as np
import pytest

import witten
from witten.errors import ConvergenceError
from witten.linalg.matrix_products import lowest_state, polynomial_operator
from witten.objectives.neighbour_chain import neighbour_chain
from witten.spectra.chains import MATRIX_PRODUCTS, gap_of_chain


def chain(d, g, unit=1, shift=0):
    """sum_i (y_i^2 - 1)^2/4 + g sum_i (y_{i+1} - y_i)^2/2 with x = shift + unit y."""
    y = [f"((x{i + 1} - {shift})/{unit})" for i in range(d)]
    wells = "+".join(f"({each}^2-1)^2/4" for each in y)
    return wells + "".join(f"+{g}/2*({b}-{a})^2" for a, b in zip(y, y[1:], strict=False))


def test_operators_of_terms_are_sums_of_products():
    """H = sum of x_1^2 x_2, x_1 x_3 and a kinetic term on three sites of two states, as a dense matrix."""
    rng = np.random.default_rng(0)
    x = [(m + m.T) / 2 for m in rng.normal(size=(3, 2, 2))]
    kinetic = [(m + m.T) / 2 for m in rng.normal(size=(3, 2, 2))]
    powers = {(2, 1, 0): 0.7, (1, 0, 1): -1.3, (0, 0, 3): 0.4, (0, 0, 0): 2.0}
    stacks = [np.array([np.linalg.matrix_power(m, p) for p in range(4)]) for m in x]
    tensors = polynomial_operator(powers, stacks, kinetic)

    def product(*factors):
        return np.kron(np.kron(factors[0], factors[1]), factors[2])

    one = np.eye(2)
    dense = 0.7 * product(x[0] @ x[0], x[1], one) - 1.3 * product(x[0], one, x[2]) + 2 * np.eye(8)
    dense += 0.4 * product(one, one, np.linalg.matrix_power(x[2], 3)) + product(kinetic[0], one, one)
    dense += product(one, kinetic[1], one) + product(one, one, kinetic[2])
    start = tuple(rng.normal(size=shape) for shape in ((1, 2, 2), (2, 2, 2), (2, 2, 1)))
    lowest, _, state = lowest_state(tensors, start, 4)
    following, _, _ = lowest_state(tensors, start, 4, below=state)
    assert (lowest, following) == pytest.approx(tuple(np.linalg.eigvalsh(dense)[:2]), rel=1e-8)


@pytest.mark.parametrize(("unit", "shift", "s"), [(1, 0, 0.2), ("(1/1000)", 5, 0.2e-6)])
def test_two_coordinates_against_a_grid(unit, shift, s):
    """In units u of x, f in u^2 and s in u^2 the rate stays what it is: x' = -grad f, s = u^2/time."""
    text = chain(2, 0.5, unit, shift)
    f = witten.Objective.from_formula(text if unit == 1 else f"1e-6*({text})")
    found = gap_of_chain(f, neighbour_chain(f), s)
    assert found.resolved and found.solver == MATRIX_PRODUCTS
    assert found.log_error < 1e-3
    (grid,) = witten.gap(chain(2, 0.5), 0.2).records
    assert abs(found.log_rate - grid.log_rate) <= found.log_error + grid.log_error


def test_four_coordinates():
    """1.50667e-3 with 16 states of each and bonds of 10; the order of the coordinates is no matter."""
    turned = chain(4, 0.5).replace("x2", "u").replace("x3", "x2").replace("u", "x3")
    (found,) = witten.gap(turned, 0.2).records
    assert found.rate == pytest.approx(1.50667e-3, rel=2e-3) and found.lower <= np.log(1.5066e-3) <= found.upper
    assert found.solver == MATRIX_PRODUCTS and "a chain of 4 coordinates" in found.notes[0]


def test_a_stiff_chain_is_refused():
    with pytest.raises(ConvergenceError, match="the zero comes out as|is below what rounding leaves|two sizes"):
        witten.gap(chain(4, 2.5), 0.1)


@pytest.mark.parametrize(
    "formula",
    [
        "x1^2*x2^2 + x2^2*x3^2 + x3^2*x1^2 + x4^2*x3^2",
        "x1^4 + x1*x2*x3 + x3*x4 + x2^4 + x3^4 + x4^4",
        "x1^4 + x2^4 + sin(x1*x2) + x2*x3 + x3^4",
        "x1^4 + x2^4 + x1*x2 + x3^4 + x4^4 + x3*x4",
    ],
)
def test_what_is_no_chain(formula):
    assert neighbour_chain(witten.Objective.from_formula(formula)) is None

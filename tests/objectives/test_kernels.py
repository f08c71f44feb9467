"""The loops over rows: the same to the bit on any number of threads, and safe at any learning rate."""

import numba
import numpy as np
import pytest

from witten import FiniteDifferences, Grid, gallery
from witten.domains.sublevel import sublevel
from witten.operators import kernels

WELL = gallery.double_well(barrier=0.25, tilt=0.05, dim=2)


def everything(learning_rate, grid):
    """Whatever the kernels compute, from the pattern on."""
    operator = FiniteDifferences(WELL, grid).assemble(learning_rate)
    psi = np.random.default_rng(0).standard_normal((operator.n_dofs, 3))
    a = operator.matrix
    assert np.isfinite(operator.apply(psi)).all()
    return a.indptr, a.indices, a.data, operator.apply(psi), operator.dirichlet_form(psi)


@pytest.mark.parametrize("learning_rate", [0.2, 0.05, 1e-4])
def test_results_do_not_depend_on_threads_to_the_bit(learning_rate, monkeypatch):
    grid = sublevel(WELL, learning_rate, margin=12.0).grid()
    threads = numba.get_num_threads()
    found = []
    try:
        for below, count in [(10**9, 1), (0, 1), (0, threads)]:
            monkeypatch.setattr(kernels, "SERIAL_BELOW", below)
            numba.set_num_threads(count)
            found.append(everything(learning_rate, grid))
    finally:
        numba.set_num_threads(threads)
    for other in found[1:]:
        assert all(np.array_equal(x, y) for x, y in zip(found[0], other, strict=True))


@pytest.mark.parametrize("learning_rate", [1.0, 0.05, 1e-2, 1e-4])
def test_the_diagonal_is_the_sum_over_edges_of_exponentials_at_any_learning_rate(learning_rate):
    """A_ii = sum_j (s/2)/h^2 e^{(f_i - f_j)/s}, also where e^{-f/s} is zero in double precision (s = 1e-4)."""
    well = gallery.double_well(barrier=0.25, tilt=0.05)
    grid = sublevel(well, learning_rate, margin=12.0).grid()
    operator = FiniteDifferences(well, grid).assemble(learning_rate)
    a = operator.matrix.tocoo()
    off = a.row != a.col
    f = operator.values
    edges = -a.data[off] * np.exp((f[a.row[off]] - f[a.col[off]]) / learning_rate)
    expected = np.bincount(a.row[off], edges, minlength=f.size)
    assert np.isfinite(a.data).all() and (a.data[~off] > 0).all()
    assert a.data[~off] == pytest.approx(expected, rel=1e-12)
    assert np.isfinite(operator.log_ground_state).all()
    if learning_rate == 1e-4:
        assert np.ptp(f) / learning_rate > 1000 and np.exp(-np.ptp(f) / learning_rate) == 0


def test_a_lent_operator_is_filled_and_checked():
    discretisation = FiniteDifferences(WELL, Grid.uniform([(-2, 2), (-2, 2)], 20))
    lent = discretisation.assemble(0.3)
    first = discretisation.assemble(0.1, out=lent)
    assert np.shares_memory(first.matrix.data, lent.matrix.data)
    assert np.array_equal(first.matrix.data, discretisation.assemble(0.1).matrix.data)
    other = FiniteDifferences(WELL, Grid.uniform([(-2, 2), (-2, 2)], 21)).assemble(0.1)
    with pytest.raises(ValueError, match="lend an operator from here"):
        discretisation.assemble(0.1, out=other)

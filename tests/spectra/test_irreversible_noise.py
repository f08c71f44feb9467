"""Noise without a potential: the Markov generator, its eigenvalues and its small rates."""

import mpmath as mp
import numpy as np
import pytest

import witten
from witten import noise
from witten.errors import ConvergenceError, RequestError
from witten.linalg.block_elimination import censored, mean_visits
from witten.operators.markov_generator import markov_generator
from witten.operators.selling import selling
from witten.spectra.irreversible import generator_spectrum

PLANE = witten.Objective.from_formula("(x^2-1)^2/4 + y^2/2 + x/10")
LOSSES = [
    f"(x^2-1)^2/4 + y^2/2 + 0.1*x + 0.3*x*y + {a}*x + {b}*y + ({p}*x^2 + 2*{q}*x*y + {r}*y^2)/2"
    for a, b, p, q, r in (
        (0.9, 0.2, 0.6, 0.2, -0.3),
        (-0.5, 0.6, -0.4, 0.3, 0.5),
        (0.3, -0.7, 0.1, -0.4, 0.2),
        (-0.7, -0.1, -0.3, -0.1, -0.4),
    )
]


def of(f, given, s, k=2, rtol=1e-5, box=None):
    found = generator_spectrum(given.bind(f), s, k, rtol, box)
    return found.log_rates[1:], found.relative_errors[1:], found


@pytest.mark.parametrize("d", [2, 3])
def test_selling_decomposes_every_positive_matrix(d):
    a = np.random.default_rng(0).normal(size=(d, d, 500))
    matrices = np.einsum("ikn,jkn->ijn", a, a) + 1e-3 * np.eye(d)[:, :, None]
    weights, steps = selling(matrices)
    assert (weights >= 0).all()
    np.testing.assert_allclose(np.einsum("kn,kin,kjn->ijn", weights, steps, steps), matrices, rtol=1e-10, atol=1e-12)


def test_isotropic_noise_is_the_weighted_graph():
    grid, s = witten.Grid.uniform([(-2, 2), (-1.5, 1.5)], (24, 20)), 0.3
    bound = noise.isotropic(2.0).bind(PLANE)
    found = markov_generator(grid, bound.sigma, bound.pull, bound.divergence, s)
    rates = np.sort(np.linalg.eigvals(found.matrix.toarray()).real)[1:6]
    expected = witten.eigensolve(witten.FiniteDifferences(PLANE, grid).assemble(4 * s), 6).rates[1:]
    np.testing.assert_allclose(rates, expected, rtol=1e-10)


def test_the_minibatch_case():
    """Against finite elements of degree 7."""
    f = witten.Objective.from_formula("(x^2-1)^2/4 + y^2/2 + 0.1*x + 0.3*x*y")
    logs, errors, found = of(f, noise.minibatch(LOSSES), 0.4, rtol=1e-6, box=[(-2.6, 2.6)] * 2)
    assert abs(np.exp(logs[0]) / 0.075826346 - 1) < 2e-7 < 1e-6 > errors[0]
    assert not found.reversible and found.imaginary[1] == 0


def test_turned_noise_is_found_without_being_recognised():
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    u, v = "(4*x/5 + 3*y/5)", "(4*y/5 - 3*x/5)"
    f = witten.Objective.from_formula(f"({u}^2-1)^2/4 + 0.1*{u} + {v}^2")
    logs, errors, _ = of(f, noise.constant(turn @ np.diag([1, 0.3]) @ turn.T), 0.4, rtol=1e-3, box=[(-2.5, 2.5)] * 2)
    assert abs(logs[0] - np.log(1.446215907e-1)) < errors[0] < 1e-2


@pytest.mark.parametrize(
    ("drift", "covariance", "matrix"),
    [(("-y", "x"), [[1, 0.6], [0.6, 1]], [[1, 1], [-1, 2]]), (("0*x", "0*y"), [[1, 0.6], [0.6, 1]], [[1, 0], [0, 2]])],
)
def test_the_spectrum_of_an_ornstein_uhlenbeck_process(drift, covariance, matrix):
    """Sums of the eigenvalues of the drift, whatever Sigma."""
    given = noise.with_drift(drift, noise.constant(covariance))
    found = witten.spectrum("x^2/2 + y^2", 0.3, 3, noise=given, rtol=1e-3, box=[(-2.5, 2.5), (-2.0, 2.0)])
    expected = np.linalg.eigvals(np.array(matrix, dtype=float))
    for value, bar, part in zip(found.rates[1:], found.errors[1:], sorted(expected.real), strict=True):
        assert abs(value - part) < min(bar, 5e-3)
    np.testing.assert_allclose(sorted(found.imaginary[1:]), sorted(expected.imag), atol=1e-4)


def test_a_drift_that_is_a_gradient_belongs_to_the_objective():
    logs, errors, _ = of(witten.Objective.from_formula("(x^2-1)^2/4"), noise.with_drift("0.1*sin(x)"), 0.2, rtol=1e-6)
    expected = witten.gap("(x^2-1)^2/4 + cos(x)/10", 0.2, rtol=1e-7).log_rates[0]
    assert abs(logs[0] - expected) < errors[0] + 1e-7 < 1e-5


def test_a_tiny_rate_keeps_its_digits():
    f = witten.Objective.from_formula("(x^2-1)^2/4 + y^2/2")
    logs, errors, found = of(f, noise.isotropic(1.0), 0.01, rtol=1e-3, box=[(-1.6, 1.6), (-0.7, 0.7)])
    assert abs(logs[0] - np.log(8.616200742e-23)) < errors[0] < 1e-2 and "elimination" in found.solver


def test_elimination_agrees_with_fifty_digits():
    """A chain of two wells whose rates are 1e-60, watched in these."""
    grid = witten.Grid.uniform([(-1.6, 1.6), (-0.8, 0.8)], (11, 5))
    bound = noise.formula("1 + y^2/2, x/4; x/4, 1").bind(PLANE)
    s = 0.004
    rates = markov_generator(grid, bound.sigma, bound.pull, bound.divergence, s).rates
    kept = np.array([int(abs(grid.points - np.array([[x], [0.0]])).sum(axis=0).argmin()) for x in (-1.0, 1.0)])
    rest = np.delete(np.arange(grid.n_nodes), kept)
    found = censored(rates, [rest[:27], rest[27:]], kept)
    q = mp.matrix(rates.toarray().tolist())
    with mp.workdps(150):
        n = rest.size
        inner = mp.matrix(n, n)
        for a in range(n):
            for b in range(n):
                inner[a, b] = -q[int(rest[a]), int(rest[b])]
            inner[a, a] += mp.fsum(q[int(rest[a]), :])
        reached = mp.lu_solve(inner, mp.matrix([q[int(i), int(kept[1])] for i in rest]))
        first, second = map(int, kept)
        expected = q[first, second] + mp.fsum(q[first, int(i)] * reached[a] for a, i in enumerate(rest))
        off = abs(mp.mpf(float(found.rates[0, 1])) / expected - 1)
    assert 0 < expected < 1e-20 and off < 1e-12


def test_mean_visits_of_a_graded_chain():
    q = np.array([[0, 1e-30, 1], [1e-30, 0, 1e-10], [1, 1e-20, 0]])
    exits = np.array([0.0, 1e-40, 0.0])
    inverse = mp.matrix(3, 3)
    with mp.workdps(120):
        full = mp.diag([mp.mpf(float(e)) + mp.fsum(map(mp.mpf, row)) for e, row in zip(exits, q.tolist(), strict=True)])
        inverse = (full - mp.matrix(q.tolist())) ** -1
        found = mean_visits(q, exits)
        assert all(abs(mp.mpf(float(found[i, j])) / inverse[i, j] - 1) < 1e-14 for i in range(3) for j in range(3))


def test_what_cannot_be_computed_is_refused():
    with pytest.raises(RequestError, match="2 by 2|has 3 components"):
        witten.gap("x^2 + y^2", 0.1, noise=noise.with_drift(("x", "y", "1")))
    with pytest.raises(RequestError, match="not positive definite at"):
        witten.gap("x^2 + y^2", 0.1, noise=noise.formula("1,x;x,x^2"))
    with pytest.raises(ConvergenceError, match="nearly degenerate"):
        witten.gap("x^2 + y^2 + x*y", 0.1, noise=noise.constant([[1, 0.61803], [0.61803, 0.381966]]))
    with pytest.raises(RequestError, match="grows so fast"):
        witten.gap("x^2 + y^2", 1.0, noise=noise.formula("1 + x^4,0;0,1 + x^2"))

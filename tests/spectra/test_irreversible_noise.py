"""Noise without a potential: the Markov generator, its eigenvalues and its small rates."""

from decimal import Decimal, localcontext

import mpmath as mp
import numpy as np
import pytest

import witten
from witten import noise
from witten.errors import ConvergenceError, RequestError
from witten.linalg.block_elimination import censored, mean_visits
from witten.operators.generators.markov_generator import markov_generator
from witten.operators.generators.selling import selling
from witten.spectra.generators.irreversible import generator_spectrum
from witten.spectra.generators.lowest_rates import _blocks, nodes_of_wells, stationary_law

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


def _eliminated(q, order):
    """Gauss's elimination of states, all but the last two, in Decimal: rates between these, and the law of all."""
    rows = [{int(j): Decimal(float(v)) for j, v in zip(q.indices[a:b], q.data[a:b], strict=True)}
            for a, b in zip(q.indptr, q.indptr[1:], strict=False)]  # fmt: skip
    columns = [set() for _ in rows]
    for i, row in enumerate(rows):
        for j in row:
            columns[j].add(i)
    gone = []
    for k in order:
        total = sum(rows[k].values())
        sources = [(i, rows[i].pop(k)) for i in columns[k]]
        gone.append((k, total, sources))
        for j in rows[k]:
            columns[j].discard(k)
        for i, value in sources:
            for j, rate in rows[k].items():
                if j != i:
                    rows[i][j] = rows[i].get(j, Decimal(0)) + value * rate / total
                    columns[j].add(i)
    return rows, gone


def test_a_thousand_nodes_in_many_digits():
    """Rates near 1e-100 and the stationary law, entry by entry, against elimination in 120 digits."""
    grid, s = witten.Grid.uniform([(-1.5, 1.5), (-0.8, 0.8)], (63, 16)), 0.002
    bound = noise.formula("1 + y^2/2, x/4; x/4, 1").bind(PLANE)
    chain = markov_generator(grid, bound.sigma, bound.pull, bound.divergence, s)
    wells = nodes_of_wells(PLANE, grid)
    with localcontext() as context:
        context.prec = 120
        rows, gone = _eliminated(chain.rates, [k for k in range(grid.n_nodes) if k not in wells])
        a, b = map(int, wells)
        law = {a: rows[b][a], b: rows[a][b]}
        for k, total, sources in reversed(gone):
            law[k] = sum(law[i] * value for i, value in sources) / total
        whole = sum(law.values())
        exact = [float(law[k] / whole) for k in range(grid.n_nodes)]
        rates = float(rows[a][b]), float(rows[b][a])
    found = censored(chain.rates, _blocks(chain, wells), wells).rates
    assert grid.n_nodes > 1000 and 0 < rates[0] < 1e-60
    np.testing.assert_allclose([found[0, 1], found[1, 0]], rates, rtol=1e-12)
    np.testing.assert_allclose(stationary_law(chain, wells), exact, rtol=1e-10)


def test_the_contraction_rate_of_an_ornstein_uhlenbeck_process():
    """The smallest eigenvalue of Sigma C^{-1}/2, C the stationary covariance: A C + C A^T = Sigma."""
    given = noise.with_drift(("-y", "x"), noise.constant([[1, 0.6], [0.6, 1]]))
    record = witten.gap("x^2/2 + y^2", 0.3, noise=given, rtol=1e-2, box=[(-2.5, 2.5), (-2.0, 2.0)]).records[0]
    assert abs(record.contraction_rate / 1.3920276 - 1) < min(record.contraction_error, 1e-2)
    assert record.contraction_rate + record.rate / 20 < record.rate and record.contraction_error < 0.1


def test_with_detailed_balance_the_contraction_rate_is_the_rate():
    record = witten.gap("x^2/2", 0.1, noise=noise.formula("1 + x^2/4"), box=[(-2, 2)]).records[0]
    assert record.contraction_rate == record.rate and record.contraction_error > 0
    grid = witten.Grid.uniform([(-2, 2), (-1.5, 1.5)], (24, 20))
    bound = noise.isotropic(1.0).bind(PLANE)
    chain = markov_generator(grid, bound.sigma, bound.pull, bound.divergence, 0.3)
    mean = chain.symmetrised(stationary_law(chain, nodes_of_wells(PLANE, grid)))
    assert abs(mean.rates - chain.rates).max() < 1e-9 * chain.rates.max()


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

"""Rates between wells, from logarithms of masses and conductances: against as many digits as it takes."""

import math
import subprocess
import sys

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from scipy.linalg import eigh
from scipy.sparse.csgraph import connected_components

from witten.errors import ConvergenceError
from witten.linalg import graded_eigenvalues
from witten.linalg.graded_eigenvalues import FEW, MOST_WELLS, WellGraph, log_mean_time, log_rates, slow_modes, steps

LEVELS = {"apart": lambda x, _: x, "ties": lambda x, s: s * np.round(x / s),
          "near-ties": lambda x, s: s * np.round(x / s) + 1e-9 * x}  # fmt: skip


def random_graph(m, scale, seed, levels="apart", masses=500.0, overlap=0.0, joined=1.0):
    """Barriers of up to `scale`, masses that differ by up to e^masses, a part of the edges of a path and others."""
    rng = np.random.default_rng(seed)
    log_c = np.full((m, m), -np.inf)
    log_masses = LEVELS[levels](masses * rng.random(m), masses / 3)
    for i in range(1, m):
        for j in {i - 1, int(rng.integers(i))}:
            if rng.random() < joined:
                barrier = LEVELS[levels](scale * rng.random(), scale / 3)
                log_c[i, j] = log_c[j, i] = min(log_masses[i], log_masses[j]) - barrier
    gram = overlap * rng.random((m, m))
    gram = np.eye(m) + np.triu(gram, 1) + np.triu(gram, 1).T
    return WellGraph(log_masses, log_c, gram if overlap else None)


def largest_log(graph):
    finite = graph.log_conductances[np.isfinite(graph.log_conductances)]
    return float(max(abs(finite).max(initial=0.0), abs(graph.log_masses).max()))


def exact_log_rates(graph):
    """The positive eigenvalues as logarithms, the double nearest, from so many digits that none is lost."""
    m, w = graph.log_masses.size, graph.log_conductances
    pieces, _ = connected_components(np.isfinite(w))
    rates = (graph.log_masses[:, None] - w)[np.isfinite(w)]
    with mp.workdps(100 + int(max(largest_log(graph), abs(rates).max(initial=0.0)) / 2)):
        sizes = [mp.exp(mp.mpf(float(x)) / 2) for x in graph.log_masses]
        c = mp.zeros(m)
        for i, j in zip(*np.nonzero(np.isfinite(w)), strict=True):
            x = mp.exp(mp.mpf(float(w[i, j])))
            c[i, j] = -x / sizes[i] / sizes[j]
            c[i, i] += x / sizes[i] ** 2
        if graph.masses is not None:
            inverse = mp.cholesky(mp.matrix(graph.masses.tolist())) ** -1
            c = inverse * c * inverse.T
        return np.array([float(mp.log(x)) for x in sorted(mp.eigsy(c, eigvals_only=True))[pieces:]])


def check(graph):
    """Relative errors of rates: 5e-13, or two roundings of the largest logarithm where these are more."""
    found, exact = log_rates(graph), exact_log_rates(graph)
    zeros = graph.log_masses.size - 1 - exact.size
    assert found.size == zeros + exact.size and (found[:zeros] == -np.inf).all()
    largest = max(largest_log(graph), abs(exact).max(initial=0.0))
    assert abs(found[zeros:] - exact).max(initial=0.0) <= max(5e-13, 2 * np.spacing(largest))


@given(
    st.integers(2, 6), st.sampled_from([1.0, 40.0, 300.0, 1000.0]), st.integers(0, 10**6), st.sampled_from([*LEVELS]),
    st.sampled_from([1.0, 500.0]), st.sampled_from([0.0, 0.15]), st.sampled_from([0.6, 1.0]),
)  # fmt: skip
@examples(80)
def test_rates_have_every_digit(m, scale, seed, levels, masses, overlap, joined):
    check(random_graph(m, scale, seed, levels, masses, overlap, joined))


@given(st.integers(2, 4), st.integers(0, 10**6), st.sampled_from([*LEVELS]), st.sampled_from([0.0, 0.15]))
@examples(8)
def test_rates_have_every_digit_over_ten_thousand_units(m, seed, levels, overlap):
    check(random_graph(m, 1e4, seed, levels, overlap=overlap))


def test_rates_far_beyond_the_doubles_without_a_gap_between_them():
    """Pivots at 0, -999.5 and -1000.5: a double holds the ratio of neighbours, but not of all."""
    w = np.full((4, 4), -np.inf)
    for i, c in enumerate((0.0, -999.5, -1000.5)):
        w[i, i + 1] = w[i + 1, i] = c
    check(WellGraph(np.array([0.0, 0.0, 0.3, 0.1]), w))


def test_two_wells_in_closed_form():
    m, c = np.array([-1.0, -700.0]), -900.0
    exact = float(mp.log(mp.exp(c + 1) + mp.exp(c + 700)))
    assert log_rates(WellGraph(m, np.array([[0.0, c], [c, 0.0]]))) == pytest.approx([exact], abs=2e-13)


def test_few_wells_need_no_compiled_kernel_and_get_the_same_rates(monkeypatch):
    graphs = [random_graph(m, 30.0, m, level, joined=0.8) for m in range(2, FEW + 1) for level in LEVELS]
    interpreted = [log_rates(graph) for graph in graphs]
    monkeypatch.setattr(graded_eigenvalues, "FEW", 0)
    for rates, graph in zip(interpreted, graphs, strict=True):
        np.testing.assert_allclose(rates, log_rates(graph), rtol=0, atol=1e-15 * largest_log(graph) * FEW)
    kernels = "[graded_eigenvalues._eliminate, graded_eigenvalues._rotate, merge_tree._merge]"
    code = f"""import witten; from witten.linalg import graded_eigenvalues, merge_tree
witten.eyring_kramers("himmelblau", 0.1); print(sum(len(kernel.signatures) for kernel in {kernels}))"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "0\n"


def test_a_graph_in_pieces_has_a_zero_for_each():
    w = np.full((4, 4), -np.inf)
    w[0, 1] = w[1, 0] = w[2, 3] = w[3, 2] = -3.0
    graph = WellGraph(np.zeros(4), w)
    assert log_rates(graph) == pytest.approx([-np.inf, math.log(2) - 3, math.log(2) - 3], abs=1e-14)
    assert log_mean_time(graph, 0, 3) == np.inf and log_mean_time(graph, 0, 0) == -np.inf
    with pytest.raises(ConvergenceError, match="not connected"):
        slow_modes(graph, 1)


def test_of_many_wells_the_slowest_rates_are_kept():
    rng = np.random.default_rng(0)
    n = MOST_WELLS + 40
    m, w = rng.normal(size=n), np.full((n, n), -np.inf)
    for i in range(1, n):
        w[i, i - 1] = w[i - 1, i] = min(m[i], m[i - 1]) - 40 * rng.random()
    a = -np.exp(w - (m[:, None] + m) / 2)
    a -= np.diag(np.diag(a)) + np.diag(-np.exp(w - m[:, None]).sum(axis=1))
    found, dense = log_rates(WellGraph(m, w)), np.linalg.eigvalsh(a)
    assert found.size == MOST_WELLS - 1
    known = np.log(np.sort(dense[dense > 1e-13 * dense.max()]))
    shared = np.array([abs(known - value).min() for value in found if value > known[0] + 1])
    assert np.median(shared) < 1e-6


def test_mean_times_have_every_digit():
    graph = random_graph(5, 60, seed=9, masses=60.0)
    m, w = graph.log_masses, graph.log_conductances
    target, others = 3, [0, 1, 2, 4]
    with mp.workdps(400):
        q = mp.zeros(4)
        for a, i in enumerate(others):
            for j in np.flatnonzero(np.isfinite(w[i])).tolist():
                k = mp.exp(mp.mpf(float(w[i, j])) - mp.mpf(float(m[i])))
                q[a, a] += k
                if j != target:
                    q[a, others.index(j)] -= k
        exact = [float(mp.log(t)) for t in mp.lu_solve(q, mp.ones(4, 1))]
    assert [log_mean_time(graph, i, target) for i in others] == pytest.approx(exact, abs=1e-13)
    with pytest.raises(ValueError, match="do not overlap"):
        log_mean_time(random_graph(3, 1.0, seed=0, overlap=0.1), 0, 1)


@given(st.integers(2, 7), st.integers(0, 10**6))
@examples(20)
def test_modes_are_those_of_the_pencil_and_the_sum_of_their_steps(m, seed):
    graph = random_graph(m, 4.0, seed, masses=3.0, overlap=0.1)
    sizes = np.exp(graph.log_sizes)
    c = np.exp(graph.log_conductances)
    pencil = np.diag(c.sum(axis=1)) - c, sizes[:, None] * graph.masses * sizes
    rates, unit = slow_modes(graph, m - 1)
    values, vectors = eigh(*pencil)
    assert np.exp(rates) == pytest.approx(values[1:], rel=1e-10)
    modes = unit / sizes[:, None]
    assert abs(modes.T @ pencil[1] @ vectors[:, 1:]) == pytest.approx(np.eye(m - 1), abs=1e-7)
    found = steps(graph, rates, unit)
    assert found.shares.sum(axis=1) == pytest.approx(np.ones(m - 1), abs=1e-13)
    assert modes[found.pivots] == pytest.approx(found.shares @ modes + found.heights, abs=1e-10)


@given(st.integers(2, 5), st.integers(0, 10**6))
@examples(20)
def test_a_rate_that_its_own_masses_depend_on(m, seed):
    """Corrections at lambda: the pencil with M(lambda) has that eigenvalue."""
    graph = random_graph(m, 4.0, seed, masses=3.0)
    extra = np.random.default_rng(seed).random((m, m))
    plain = log_rates(graph)
    scale = 0.05 * np.exp(-plain[-1]) / m
    graph = WellGraph(graph.log_masses, graph.log_conductances, None, (scale * (extra + extra.T), scale**2 * np.eye(m)))
    rates, _ = slow_modes(graph, m - 1, 1e-300)
    for j, rate in enumerate(rates):
        there = log_rates(WellGraph(graph.log_masses, graph.log_conductances, graph.masses_at(rate)))
        assert there[j] == pytest.approx(rate, abs=1e-14)
    assert slow_modes(graph, 1, 1e300)[0] == pytest.approx(plain[:1], abs=1e-14)

"""Every benchmark runs, and gives the numbers that do not depend on the machine."""

import importlib
import itertools
from pathlib import Path

import numba
import pytest
from launcher import PATIENCE, needs_mpi

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def quickly(monkeypatch):
    """Run a benchmark by name, quickly, as its own directory sees it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    threads = numba.get_num_threads()
    yield lambda name: importlib.import_module(name).main(quick=True)
    numba.set_num_threads(threads)


def test_every_benchmark_is_tested_and_listed():
    names = {path.stem for path in BENCHMARKS.glob("*.py")}
    assert names == {
        "adaptive",
        "assembly",
        "cost",
        "coupled_chains",
        "intervals",
        "descent",
        "edge_weights",
        "finite_elements",
        "ranks",
        "sampling",
        "scale",
        "eyring_kramers",
        "measure",
        "momentum_modes",
        "plain_schroedinger",
        "random_objectives",
        "robustness",
        "six_digits",
        "splitting",
        "starting",
        "tiny_gaps",
        "transfer",
    }
    assert all(f"`{name}.py`" in (BENCHMARKS / "README.md").read_text() for name in names)


def test_assembly_gives_the_matrix_that_scipy_gives(quickly):
    assert quickly("assembly").difference < 1e-12


def test_every_eigenvalue_with_momentum_is_one_of_another_discretisation(quickly):
    for result in quickly("momentum_modes"):
        assert result.counted > 2 and result.farthest < 1e-3 and result.gap < result.quoted + 1e-7


def test_six_digits_with_an_honest_error_bar(quickly):
    for result in quickly("six_digits"):
        assert result.error < result.quoted <= 1e-6


def test_the_middle_of_edges_needs_fewer_unknowns_than_the_ends(quickly):
    for result in quickly("edge_weights"):
        for run in (result.ends, result.middle):
            assert run.error < run.bar < result.rtol
        assert result.fewer >= 2 * (2 if "dim=2" in result.objective else 1)


def test_the_plain_matrix_returns_negative_rates_where_the_factored_one_is_right(quickly):
    small = [row for row in quickly("plain_schroedinger") if row.learning_rate == 0.05]
    assert small and all(row.plain < 0 for row in small)
    assert all(row.factored == pytest.approx(row.truth, rel=1e-3) for row in small)


def test_cost_is_measured_on_converging_rates(quickly):
    for series in quickly("cost"):
        falls = series.error[0] / series.error[-1]
        cells = (series.nodes[-1] / series.nodes[0]) ** (2 / series.dimension)
        assert falls > 0.8 * cells  # at least second order in the spacing


def test_only_the_committors_know_rates_below_rounding(quickly):
    results = quickly("tiny_gaps")
    for row in results.accuracy:
        assert row.errors["witten"] < 1e-10
        if row.truth < 1e-18:
            assert min(row.errors[name] for name in ("LAPACK eigh", "SciPy eigsh")) > 1
    assert all(price.seconds["witten"] > 0 for price in results.cost)


def test_descent_steps_alike_everywhere(quickly):
    result = quickly("descent")
    assert result.difference < 1e-12
    assert result.converged == pytest.approx(0.212, abs=0.002)


def test_rates_of_random_objectives_lie_inside_their_bars(quickly):
    rows = quickly("random_objectives")
    assert [(row.case, row.outcome) for row in rows if row.outcome != "inside"] == []
    assert max(row.seconds for row in rows) < PATIENCE


def test_nothing_is_lost_and_nothing_is_silent(quickly):
    rows = quickly("robustness")
    assert [(row.kind, row.failed) for row in rows if row.failed] == []
    assert all(row.tried > 0 for row in rows) and len(rows) == 4


def test_the_machine_has_a_bandwidth(quickly):
    assert all(speed > 0 for speed in quickly("measure").values())


def test_computed_rates_approach_the_law(quickly):
    for row in quickly("eyring_kramers"):
        assert (abs(row.leading - 1) < 0.1).all() and row.resolved.all() and (row.error_over_bar < 1).all()
        c, rest = row.coefficients, row.remainders
        assert abs(c[-1] - c[0]) < 0.15 * abs(c[0]) and abs(rest[-1] - rest[0]) < 0.2 * abs(rest[0])
        assert row.agree == (True,)
    assert row.name == "mueller-brown" and rest[-1] == pytest.approx(-5.12, rel=0.01)


def test_the_law_holds_for_coupled_chains(quickly):
    (row,) = quickly("coupled_chains")
    assert row.held and row.law_bar < 0.01 and row.first == pytest.approx(-0.00224, abs=1e-4)
    assert abs(row.leading) > 10 * abs(row.first)


def test_all_ways_to_simulate_end_with_the_same_variance(quickly):
    for result in quickly("sampling"):
        assert len(result.variances) >= 3
        exact = result.variances["witten, one thread"]
        assert list(result.variances.values()) == pytest.approx([exact] * len(result.variances), rel=0.05)


def test_intervals_cover_the_truth(quickly):
    for row in quickly("intervals"):
        assert row.coverage >= 0.8 and abs(row.deviations.mean()) < 0.9


def test_splitting_finds_the_rates_of_the_operator(quickly):
    for row in quickly("splitting"):
        assert row.half_width < 0.5 and abs(row.log_rate - row.log_truth) < 1.7 * row.half_width


def test_commands_load_what_they_need(quickly):
    shown, gap = quickly("starting")
    assert shown.own_modules < 20 and 15 < gap.own_modules < 120
    assert 0 < shown.warm < gap.warm


def test_one_step_of_sgd_by_windows_and_small_gaps_of_the_chain(quickly):
    found = quickly("transfer")
    assert all(row.difference < 1e-12 for row in found.sizes)
    assert all(row.reduction < 1e-13 for row in found.gaps) and found.gaps[-1].lapack > 1e-4


@pytest.mark.fem
def test_finite_elements_give_one_rate_however_they_are_solved(quickly):
    pytest.importorskip("witten.operators.elements.finite_elements", reason="needs DOLFINx", exc_type=ImportError)
    result = quickly("finite_elements")
    for rates in result.rates.values():
        assert len(rates) == 3 and list(rates.values()) == pytest.approx([rates["witten"]] * 3, rel=1e-8)
    assert all(result.errors[name][-1] < 1e-6 for name in result.errors if name.startswith("witten.gap"))
    assert result.errors["P3, uniform"][-1] < result.errors["P2, uniform"][-1] < result.errors["P1, uniform"][-1]


@pytest.mark.fem
def test_adaptive_meshes_need_fewer_unknowns(quickly):
    pytest.importorskip("witten.operators.elements.finite_elements", reason="needs DOLFINx", exc_type=ImportError)
    rows = quickly("adaptive")
    assert len(rows) == 2 and all(row.saved > 2 for row in rows)
    assert rows[1].error < rows[0].error / 4


@pytest.mark.fem
@needs_mpi
def test_ranks_find_the_same_rate(quickly):
    pytest.importorskip("witten.operators.elements.finite_elements", reason="needs DOLFINx", exc_type=ImportError)
    for row in quickly("ranks"):
        assert row.rates[2] == pytest.approx(row.rates[1], rel=1e-6)


@pytest.mark.fem
def test_options_for_large_runs_change_no_rate(quickly):
    pytest.importorskip("witten.operators.elements.finite_elements", reason="needs DOLFINx", exc_type=ImportError)
    for default, large in itertools.batched(quickly("scale"), 2):
        assert (default.options, large.options) == ("default", "large") and default.unknowns == large.unknowns
        assert large.rate == pytest.approx(default.rate, rel=1e-6)
        assert large.rate == pytest.approx(2.7761406e-3, rel=1e-2)
        assert large.iterations <= default.iterations + 2 and large.memory > 0

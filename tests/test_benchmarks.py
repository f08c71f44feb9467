"""Every benchmark runs, and gives the numbers that do not depend on the machine."""

import importlib
from pathlib import Path

import numba
import pytest

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
    assert names == {"assembly", "cost", "eyring_kramers", "measure", "plain_schroedinger", "six_digits"}
    assert all(f"`{name}.py`" in (BENCHMARKS / "README.md").read_text() for name in names)


def test_assembly_gives_the_matrix_that_scipy_gives(quickly):
    assert quickly("assembly").difference < 1e-12


def test_six_digits_with_an_honest_error_bar(quickly):
    for result in quickly("six_digits"):
        assert result.error < result.quoted <= 1e-6


def test_the_plain_matrix_returns_negative_rates_where_the_factored_one_is_right(quickly):
    small = [row for row in quickly("plain_schroedinger") if row.learning_rate == 0.05]
    assert small and all(row.plain < 0 for row in small)
    assert all(row.factored == pytest.approx(row.truth, rel=1e-3) for row in small)


def test_cost_is_measured_on_converging_rates(quickly):
    for series in quickly("cost"):
        falls = series.error[0] / series.error[-1]
        cells = (series.nodes[-1] / series.nodes[0]) ** (2 / series.dimension)
        assert falls == pytest.approx(cells, rel=0.2)  # second order in the spacing


def test_the_machine_has_a_bandwidth(quickly):
    assert all(speed > 0 for speed in quickly("measure").values())


def test_computed_rates_approach_the_law(quickly):
    for row in quickly("eyring_kramers"):
        assert (abs(row.ratios - 1) < 0.2).all() and abs(row.ratios[-1] - 1) < 0.1
        c = row.coefficients
        assert abs(c[-1] - c[0]) < 0.25 * abs(c[0])

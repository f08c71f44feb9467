"""Paths that are run batch by batch."""

import math

import numpy as np
import pytest

from witten.dynamics.estimators import batches
from witten.dynamics.estimators.autocorrelation import Correlations
from witten.dynamics.momentum import simulate_momentum
from witten.dynamics.simulation import simulate_rate
from witten.errors import ConvergenceError, RequestError, Stopped


@pytest.fixture
def small(monkeypatch):
    """Batches of 128 paths."""
    monkeypatch.setattr(batches, "MOST_PATHS", 128)


def test_residence_times_are_the_same_to_the_bit_in_any_batches(monkeypatch):
    def rates():
        plain = simulate_rate("double-well", 0.11, estimator="hitting", paths=320, width=9.0, seed=4)
        momentum = simulate_momentum("double-well", 0.06, 0.5, paths=320, width=9.0)
        return [(r.log_rate, r.lower, r.upper, r.n_steps, r.n_dofs) for c in (plain, momentum) for r in c.records]

    monkeypatch.setattr(batches, "MOST_PATHS", 64)
    small = rates()
    monkeypatch.setattr(batches, "MOST_PATHS", 128)
    assert rates() == small


def test_correlations_of_batches_show_the_rate(small):
    (found,) = simulate_rate("quadratic", 0.3, paths=700, width=0.3).records
    assert found.lower < 0 < found.upper and found.n_dofs >= 700 + 350 and not found.stopped


def test_correlations_of_independent_paths_add_up():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 640)).cumsum(axis=0) * np.exp(-0.1 * np.arange(40))[:, None]
    values -= values.mean()
    halves = [values[:, ::2], values[:, 1::2]]
    one, other, whole = (Correlations.of(v - v.mean(), 0.1, (2, 9, 14)) for v in (*halves, values))
    np.testing.assert_allclose((one + other).sums.sum(axis=1), whole.sums.sum(axis=1), rtol=0.02)
    nothing = Correlations.of(values[:14], 0.1, (2, 9, 14))
    assert math.isnan(nothing.log_rate[0]) and (one + nothing).log_rate == one.log_rate


def test_more_rounds_are_of_new_paths(small):
    (found,) = simulate_rate("double-well", 0.11, estimator="hitting", paths=256, width=0.35).records
    assert found.upper - found.lower <= 0.36 and found.n_dofs >= 2 * (256 + 128)


def test_what_would_take_days_is_refused_by_the_first_batch(small, monkeypatch):
    monkeypatch.setattr(batches, "MOST_STEPS", 10_000)
    with pytest.raises(ConvergenceError, match=r"1000 paths would take .* hours at the speed of the first 128"):
        simulate_rate("quadratic", 0.3, paths=1000)


def test_random_numbers_are_there_for_so_many_paths():
    with pytest.raises(RequestError, match="2147483648 paths"):
        simulate_rate("quadratic", 0.3, paths=2**31 + 1)


def test_a_stop_between_batches_keeps_what_they_show(small):
    calls = iter([None] * 3)
    with pytest.raises(Stopped) as stopped:
        simulate_rate("quadratic", 0.3, paths=5000, width=9.0, stop=lambda: next(calls, "enough"))
    (record,) = stopped.value.curve.records
    assert record.stopped and record.n_dofs < 2000 and record.lower < 0 < record.upper

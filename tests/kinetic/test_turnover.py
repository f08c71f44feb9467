"""The friction with the largest rate, where rates are given by a formula."""

import math

import pytest

import witten
from witten.kinetic import turnover
from witten.rates import KineticRate


def test_the_optimum_is_found_between_the_frictions(monkeypatch):
    def rate(f, friction, temperature, **options):
        log_rate = -math.log(friction + 0.13179 / friction)  # largest at 0.36303
        return KineticRate(
            2 * temperature, log_rate, log_rate - 1e-6, log_rate + 1e-6, True, "formula", 1, 0.0, momentum=math.nan,
            friction=friction, temperature=temperature, step_time=math.nan, hermite_order=1,
        )  # fmt: skip

    monkeypatch.setattr(turnover, "langevin_gap", rate)
    found = witten.friction_sweep("double-well", (4.0, 0.1, 1.0, 0.25), 0.05)
    assert [record.friction for record in found.records] == [4.0, 0.1, 1.0, 0.25]
    assert found.optimum.friction == pytest.approx(math.sqrt(0.13179), rel=2 * turnover.LOCATED)
    assert witten.friction_sweep("double-well", (1.0, 4.0), 0.05).optimum is None

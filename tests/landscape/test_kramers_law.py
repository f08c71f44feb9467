"""Kramers's law beside computed rates, and its limits."""

import math

import pytest

import witten
from witten.landscape.laws.kramers_law import log_depopulation


def test_the_rate_of_the_operator_is_in_the_bar():
    (law,), (rate,) = (
        verb("double-well", 0.01, 0.5).records for verb in (witten.kramers_law, witten.momentum_gap)
    )
    assert abs(law.log_rate - rate.log_rate) < law.log_error < 0.03


def test_a_lot_of_friction_makes_the_law_without_momentum():
    (law,) = witten.kramers_law("double-well", 1e-3, 0.0).records
    usual = witten.eyring_kramers("double-well", 1e-3, order=0).records[0]
    friction = 2 / math.sqrt(2e-3)
    assert law.log_rate + math.log(friction) == pytest.approx(usual.log_rate, abs=2 / friction**2)


def test_below_the_turnover_it_says_so():
    (law,) = witten.kramers_law("double-well", 1e-4, 0.999).records
    assert "turnover" in law.notes[0] and law.log_error > 0.1


def test_one_minimum_has_no_law():
    (law,) = witten.kramers_law("x^2", 0.1, 0.5).records
    assert not law.resolved and law.log_rates == ()


def test_depopulation_is_the_loss_where_that_is_small():
    assert log_depopulation(1e-6) == pytest.approx(math.log(1e-6), rel=1e-3)
    assert log_depopulation(60.0) == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(witten.RequestError):
        log_depopulation(0.0)

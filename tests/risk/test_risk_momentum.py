"""Risk and schedules with momentum, against second moments of the linear recursion."""

import json

import numpy as np
import pytest
from launcher import in_process

import witten
from witten.errors import RequestError
from witten.risk.laws.momentum_law import MomentumLaw
from witten.risk.separable import Term
from witten.schedules import Schedule


def second_moments(schedule, alpha, x0, *, theta=1.0, nesterov=False):
    """E theta x^2/2 after each step from rest at x0: mean and covariance of (x, x-)."""
    mean, covariance, out = np.full(2, x0), np.zeros((2, 2)), [theta * x0**2 / 2]
    for s in Schedule.of(schedule).learning_rates.tolist():
        q = 1 - s * theta
        first = [(1 + alpha) * q, -alpha * q] if nesterov else [alpha + q, -alpha]
        step = np.array([first, [1.0, 0.0]])
        mean, covariance = step @ mean, step @ covariance @ step.T + np.diag([s**2, 0.0])
        out.append(theta * (mean[0] ** 2 + covariance[0, 0]) / 2)
    return np.array(out)


@pytest.mark.parametrize(
    ("schedule", "alpha", "theta", "nesterov"),
    [("0.1:60", 0.5, 1.0, False), ("0.1:30,0.04:30", 0.7, 3.0, True), ("poly:0.2:12:0.5", 0.3, 1.0, False)],
)
def test_quadratics_have_their_second_moments(schedule, alpha, theta, nesterov):
    expected = second_moments(schedule, alpha, 1.5, theta=theta, nesterov=nesterov)
    asked = (f"{theta}*x^2/2", schedule, (1.5,))
    found = witten.excess_risk(*asked, momentum=alpha, nesterov=nesterov, plateaus=False)
    assert np.all((found.lower <= expected) & (expected <= found.upper))
    assert found.excess_risk == pytest.approx(expected, rel=1e-9)
    runs = witten.excess_risk(*asked, momentum=alpha, nesterov=nesterov, method="simulate", records=4, plateaus=False)
    assert np.all(abs(runs.excess_risk - expected[runs.steps]) <= 2.2 * (runs.upper - runs.excess_risk) + 1e-12)


def test_the_plateau_is_the_stationary_variance(tmp_path):
    alpha, s = 0.6, 0.1
    found = witten.excess_risk("x^2/2", f"{s}:5", (1.0,), momentum=alpha)
    assert found.plateau[-1] == pytest.approx(s / (4 * (1 - alpha)) / (1 - s / (2 * (1 + alpha))), rel=1e-9)
    found.save(tmp_path / "risk.nc")
    assert witten.risk.RiskCurve.load(tmp_path / "risk.nc").momentum == alpha


def test_masses_and_runs_agree_where_there_are_wells():
    asked = ("double-well:tilt=0.1", "0.1:60", (0.9,))
    chain = witten.excess_risk(*asked, momentum=0.5, plateaus=False)
    runs = witten.excess_risk(*asked, momentum=0.5, method="simulate", paths=4000, records=3, plateaus=False)
    assert np.all(abs(runs.excess_risk - chain.excess_risk[runs.steps]) <= 2 * (runs.upper - runs.excess_risk) + 1e-12)
    kinked = witten.excess_risk("abs(x)", "0.1:20", (0.5,), momentum=0.5, plateaus=False)
    term = Term(witten.Objective.from_formula("abs(x)"), np.array([0.5]))
    truth = MomentumLaw(term, Schedule.parse("0.1:20"), 1.0, 0.5, nodes=4.0).risks(np.arange(21)).risks
    assert np.all((kinked.lower <= truth) & (truth <= kinked.upper))


def test_no_momentum_is_what_stood():
    one, other = (witten.excess_risk("x^2/2", "0.1:9", (1.0,), **more) for more in ({}, {"momentum": 0.0}))
    assert np.array_equal(one.excess_risk, other.excess_risk) and np.array_equal(one.upper, other.upper)


def test_a_plan_is_the_shortest_constant_stage():
    plan = witten.plan_schedule("x^2/2", 0.2, (2.0,), stages=1, momentum=0.5)
    s, n = plan.constant
    risks = second_moments(f"{s}:{n}", 0.5, 2.0)
    assert plan.stages == ((s, n),) and risks[-1] <= 0.2 < risks[:-1].min()
    assert plan.risk == pytest.approx(risks[-1], rel=1e-9)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("risk", "x^2", "--schedule", "0.1:9", "--method", "spectral"), "'chain' or 'simulate'"),
        (("risk", "x^2", "--schedule", "0.1:9:flow", "--method", "simulate"), ":flow"),
        (("risk", "x^2", "--schedule", "0.1:9,0.0001:9"), "'simulate'"),
        (("risk", "(1-x*y)^2+x^2/9+y^2/9", "--schedule", "0.1:9", "--x0", "1,2"), "'simulate'"),
        (("schedule", "(1-x*y)^2+x^2/9+y^2/9", "--target", "0.1", "--x0", "2,2"), "with momentum"),
        (("schedule", "x^2", "--target", "0.1", "--compare"), "--compare"),
    ],
)
def test_what_momentum_does_not_know_is_refused(command, words):
    done = in_process(*command, "--momentum", "0.5")
    assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1


def test_nesterov_is_a_way_to_use_momentum():
    assert "--momentum" in in_process("risk", "x^2", "--schedule", "0.1:9", "--nesterov").stderr
    with pytest.raises(RequestError, match="below 1"):
        witten.excess_risk("x^2", "0.1:9", (1.0,), momentum=1.0)


def test_the_command_says_momentum():
    asked = ("x^2/2", "--schedule", "0.1:9", "--x0", "1", "--momentum", "0.5", "--json")
    found = json.loads(in_process("risk", *asked).stdout)
    assert found["momentum"] == 0.5 and found["excess_risk"] == pytest.approx(second_moments("0.1:9", 0.5, 1.0))

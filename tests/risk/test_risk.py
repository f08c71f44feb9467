"""Excess risk along schedules against closed forms, against each other, and as the command line tells it."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from launcher import cli, in_process
from properties import examples

import witten
from witten import plots
from witten.domains.box import Box
from witten.domains.grid import Grid
from witten.errors import RequestError
from witten.objectives import Objective, resolve
from witten.risk import (
    classical_laws,
    classical_schedules,
    crossing,
    excess_risk,
    plan_schedule,
    plateau,
    risk_bound,
    steps_against_learning_rate,
)
from witten.risk.escape import escapes
from witten.risk.laws.fokker_planck import FokkerPlanck
from witten.risk.laws.krylov_powers import krylov_powers
from witten.risk.laws.master_equation import MasterEquation
from witten.risk.laws.semi_lagrangian import SemiLagrangian, resampled
from witten.risk.planning.modal_model import ModalModel
from witten.risk.planning.modal_model_2d import descended, interpolation
from witten.risk.risk_curve import recorded_steps
from witten.risk.separable import Term, starting_point, terms
from witten.schedules import Schedule
from witten.sgd.steps.transfer_operator import on_grid
from witten.sgd.transfer_spectrum import transfer_spectrum

PAPER, START = "shi-su-jordan", (-0.9, 0.9)
CONVEX, THETA = Objective.from_formula("x^2/20 + y^2/40"), (0.1, 0.05)


def sgd_on_quadratics(theta, x0, learning_rates, sigma=1.0):
    """Mean and second moment of x+ = (1 - s theta) x + s sigma xi."""
    mean, square = [x0], [x0**2]
    for s in learning_rates:
        mean.append((1 - s * theta) * mean[-1])
        square.append((1 - s * theta) ** 2 * square[-1] + (s * sigma) ** 2)
    return np.array(mean), np.array(square)


def sde_on_quadratics(theta, x0, learning_rates):
    """The second moment of dX = -theta X dt + sqrt(s) dW after each of the times s_k."""
    square = [x0**2]
    for s in learning_rates:
        fading = np.exp(-2 * theta * s)
        square.append(square[-1] * fading + s / (2 * theta) * (1 - fading))
    return np.array(square)


# ------------------------------------------------------------------------------------------------ closed forms


def test_the_chain_has_the_first_two_moments_of_the_closed_form():
    # f = 0.05 x^2 + 0.025 y^2 from (8, 8) at s = 1: mean, second moment and risk are known.
    plan = Schedule.constant(1.0, 200)
    for term, theta in zip(terms(CONVEX, np.array([8.0, 8.0])), THETA, strict=True):
        mean, square = sgd_on_quadratics(theta, 8.0, plan.learning_rates)
        law = MasterEquation(term, plan)
        # Far enough out that nothing is missing from x^2 to twelve digits.
        for k, grid, masses in law.laws(law.box.expanded(0.3, 0.3), np.arange(1, 201)):
            assert masses @ grid.points[0] == pytest.approx(mean[k], abs=8e-12)
            assert masses @ grid.points[0] ** 2 == pytest.approx(square[k], rel=1e-12)
    k = np.arange(201)
    q = (1 - np.array(THETA)) ** 2
    expected = sum(t / 2 * (p**k * 64 + (1 - p**k) / (1 - p)) for t, p in zip(THETA, q, strict=True))
    assert excess_risk(CONVEX, plan, (8, 8)).excess_risk == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("text", ["0.2:40,0.02:60", "cosine:0.3:60", "poly:0.4:60:1", "log:0.2:40", "step:0.3:40:5:15"])
def test_every_schedule_on_a_quadratic(text):
    plan = Schedule.parse(text)
    chain, sde = (excess_risk("quadratic:theta=2", plan, 1.0, method=method) for method in ("chain", "spectral"))
    _, square = sgd_on_quadratics(2.0, 1.0, plan.learning_rates)
    assert chain.excess_risk == pytest.approx(square, rel=2e-6)  # theta/2 = 1
    exact = sde_on_quadratics(2.0, 1.0, plan.learning_rates)
    assert sde.excess_risk == pytest.approx(exact, abs=2e-5)
    for found, truth in ((chain, square), (sde, exact)):
        assert ((found.lower <= truth) & (truth <= found.upper))[1:].all()
    s = plan.learning_rates[np.minimum(chain.steps, plan.steps - 1)]
    assert sde.plateau == pytest.approx(s / 4, rel=1e-6)
    resolved = s > 0.01
    assert chain.plateau[resolved] == pytest.approx((s / (4 * (1 - s)))[resolved], rel=1e-4)


@pytest.mark.parametrize(("text", "x0"), [("2:10", 3.0), ("4:5,1:5", 3.0), ("cosine:4:10", 3.0), ("0.9:20", 8.0)])
def test_the_bar_of_the_sde_holds_the_error_in_time(text, x0):
    # From a step that is long beside 1/f'': the approximant of exp(t G) was off by 1 %, the bar by 4e-6.
    found = excess_risk("x^2", text, x0, method="spectral", plateaus=False)
    exact = sde_on_quadratics(2.0, x0, found.schedule.learning_rates)
    assert ((found.lower <= exact) & (exact <= found.upper)).all()
    assert found.excess_risk == pytest.approx(exact, rel=1e-4)


def plain_chain(gradient, s, box, cells):
    """The density of where each of some points goes in a step of SGD, times their distance; and the points."""
    x, h = np.linspace(*box, cells, retstep=True)
    return x, h * np.exp(-0.5 * ((x - (x - s * gradient(x))[:, None]) / s) ** 2) / (np.sqrt(2 * np.pi) * s)


TILTED = "(x^2-1)^2/4+0.15*x"


@pytest.mark.parametrize(
    ("stages", "bound"), [(((0.1, 1500), (0.05, 50000)), 0.029), (((0.1, 5000), (0.05, 5000)), 0.03)]
)
def test_a_rule_to_stop_is_asked_at_every_step(stages, bound):
    f = np.polynomial.Polynomial([0.25, 0.15, -0.5, 0, 0.25])
    lowest = f(min(f.deriv().roots().real, key=f))
    masses, count, first = None, 0, None
    for s, steps in stages:
        x, chain = plain_chain(f.deriv(), s, (-2.6, 2.6), 260)
        if masses is None:
            image = 0.9 - s * f.deriv()(0.9)
            masses = (x[1] - x[0]) * np.exp(-0.5 * ((x - image) / s) ** 2) / (np.sqrt(2 * np.pi) * s)
            count, steps = 1, steps - 1
        for _ in range(steps):
            masses, count = masses @ chain, count + 1
            if masses @ (f(x) - lowest) <= bound:
                first = count
                break
        if first:
            break
    text = ",".join(f"{s}:{n}" for s, n in stages)
    found = excess_risk(TILTED, f"{text} until risk<{bound}", 0.9)
    assert found.steps[-1] == first and found.final <= bound and found.steps.size < 2200
    assert found.final == pytest.approx(masses @ (f(x) - lowest), rel=1e-9)


def test_every_method_asks_at_every_step():
    plan = "0.05:2600,0.02:400 until risk<0.0123"
    rates = Schedule.parse(plan).learning_rates
    truths = {"chain": sgd_on_quadratics(1.0, 3.0, rates)[1], "spectral": sde_on_quadratics(1.0, 3.0, rates)}
    for method, truth in truths.items():
        found = excess_risk("x^2/2", plan, 3.0, method=method)
        assert found.steps[-1] == np.argmax(truth / 2 <= 0.0123) > 2600
    for flow in ("", ":flow"):
        text = f"0.5:90{flow}"
        runs = {"method": "simulate", "paths": 64, "seed": 5, "plateaus": False}
        whole = excess_risk("x^2/2", text, 3.0, **runs)
        below = int(np.argmax(whole.excess_risk <= 0.1))
        stopped = excess_risk("x^2/2", f"{text} until risk<0.1", 3.0, records=5, **runs)
        assert below > 0 and stopped.steps[-1] == below and stopped.steps.size < 12


def test_a_start_far_away_comes_home():
    found = excess_risk("x^2/2", "0.1:200", 1e6)
    exact = sgd_on_quadratics(1.0, 1e6, found.schedule.learning_rates)[1] / 2
    assert ((found.lower <= exact) & (exact <= found.upper))[1:].all() and found.excess_risk == pytest.approx(exact)
    # Two variables that know of each other.
    h, mean, covariance = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([1e3, -1e3]), np.zeros((2, 2))
    a = np.eye(2) - 0.2 * h
    for _ in range(12):
        mean, covariance = a @ mean, a @ covariance @ a + 0.04 * np.eye(2)
    coupled = excess_risk("x^2 + x*y + y^2", "0.2:12", (1e3, -1e3), plateaus=False)
    assert coupled.final == pytest.approx((np.trace(h @ covariance) + mean @ h @ mean) / 2, rel=1e-9)


@pytest.mark.parametrize(("x0", "home"), [(4.4, True), (4.6, False), (-1e3, False)])
def test_whether_a_start_runs_away_is_what_descent_does(x0, home):
    # x+ = x - 0.1 x^3 comes nearer from |x| < sqrt(20) = 4.47.
    for unit in (1.0, 1e-5, 1e5):
        ask = (f"(x/{unit})^4/4", f"{0.1 * unit**2}:30", x0 * unit)
        if home:
            assert excess_risk(*ask, noise=0.3 / unit, plateaus=False).final < 0.1
        else:
            with pytest.raises(witten.ConvergenceError, match="diverges"):
                excess_risk(*ask, noise=0.3 / unit)


# ------------------------------------------------------------------------------------------------ runs and bars


def test_runs_in_continuous_time_take_steps_short_enough():
    # At s = 4 one step of Heun's scheme for a quarter of s had .655 in [.643, .668]; E f is 1 (1 - e^{-8 k})+ ...
    found = excess_risk("x^2/2", "4:20:flow", 1.0, method="simulate")
    exact = sde_on_quadratics(1.0, 1.0, found.schedule.learning_rates) / 2
    inside = (found.lower <= exact) & (exact <= found.upper)
    assert exact[-1] == pytest.approx(1.0) and inside[1:].mean() >= 0.8 and inside[-1]
    many = excess_risk("50*x^2", "0.4:3:flow", 0.3, method="simulate", paths=40000, plateaus=False)
    assert many.final == pytest.approx(0.2 / 2, abs=4 * (many.upper[-1] - many.final) / 1.96)
    assert many.upper[-1] - many.final < 0.003


def test_runs_in_continuous_time_come_from_afar_and_over_kinks():
    # x' = -x^3 from 100 has the curvature 3e4; |x| has the risk s/2 in the end.
    found = excess_risk("x^4/4", "0.5:4:flow", 100.0, method="simulate", paths=4000)
    assert found.final == pytest.approx(found.plateau[-1], abs=1.6 * (found.upper[-1] - found.final))
    found = excess_risk("abs(x)", "0.2:60:flow", 0.1, method="simulate", paths=8000, plateaus=False, records=2)
    assert found.final == pytest.approx(0.1, abs=1.6 * (found.upper[-1] - found.final))


def test_what_is_added_to_f_changes_nothing():
    plain, raised = (
        {method: excess_risk(f, "0.1:20", 1.0, method=method) for method in ("chain", "spectral", "simulate")}
        for f in ("x^2/2", "x^2/2 + 1e8")
    )
    for method, found in plain.items():
        for name in ("excess_risk", "lower", "upper"):
            assert getattr(raised[method], name) == pytest.approx(getattr(found, name), rel=1e-12), method
    # Python's f cannot be told apart from its constant: values have lost digits, and the interval says so.
    callable_ = Objective.from_callable(lambda x: x[0] ** 2 / 2 + 1e8, 1, lambda x: x)
    found = excess_risk(callable_, "0.1:20", 1.0, method="simulate", plateaus=False)
    exact = plain["simulate"]
    assert found.upper - found.lower == pytest.approx(exact.upper - exact.lower, rel=1e-3, abs=5e-7)
    assert abs(found.excess_risk - exact.excess_risk).max() < 1e-7


def test_a_mean_given_survival_says_of_which_box_and_what_a_larger_one_changes():
    found = excess_risk("(x^2-1)^2/4", "0.45:60", 1.0)
    told = found.details["boxes"][0]
    low, high = map(float, told["box"].split(":"))
    means = {}
    for wider in (0.0, 0.1 * (high - low)):
        x, chain = plain_chain(lambda x: x**3 - x, 0.45, (low - wider, high + wider), 300)
        masses = (x[1] - x[0]) * np.exp(-0.5 * ((x - 1.0) / 0.45) ** 2) / (np.sqrt(2 * np.pi) * 0.45)
        for _ in range(59):
            masses = masses @ chain
        means[wider] = masses @ (x**2 - 1) ** 2 / 4 / masses.sum(), masses.sum()
    (own, stays), (larger, _) = means.values()
    assert told["survival"] == pytest.approx(stays, rel=2e-2) and found.final == pytest.approx(own, rel=5e-3)
    assert found.lower[-1] < larger < found.upper[-1] * 1.02 and larger - own > 1e-3 * own
    calm = excess_risk("(x^2-1)^2/4", "0.1:60", 1.0)
    assert calm.details["boxes"][0]["survival"] == pytest.approx(1.0, abs=1e-9)
    assert calm.upper[-1] - calm.final < 1e-9


# ------------------------------------------------------------------------------------------------ symmetries


def told_elsewhere(method, *, shift=0.0, unit=1.0, height=1.0):
    """The risk of the tilted well moved, measured in another unit, and with f in another one: noise sigma and s too."""
    x = f"((x - ({shift!r}))/{unit!r})"
    f = f"{height!r}*(({x}^2-1)^2/4+0.15*{x})"
    s, sigma = 0.1 * unit**2 / height, height / unit
    options = {"paths": 256} if method == "simulate" else {}
    found = excess_risk(f, f"{s!r}:30", shift + 0.9 * unit, method=method, noise=sigma, **options)
    return found, np.array([found.excess_risk, found.upper - found.lower, found.plateau]) / height


@pytest.mark.parametrize("method", ["chain", "spectral", "simulate"])
def test_neither_the_origin_nor_a_unit_matters(method):
    _, here = told_elsewhere(method)
    for where in ({"shift": 1e4}, {"shift": -317.0, "unit": 3e-3}, {"unit": 1e-6}, {"unit": 1e6}, {"height": 1e-6}):
        _, there = told_elsewhere(method, **where)
        assert there[0] == pytest.approx(here[0], rel=1e-7), where
        assert there[2] == pytest.approx(here[2], rel=1e-7), where


def test_a_plan_knows_no_unit():
    plain = plan_schedule("x^2/2 + x^4/4", 0.05, stages=2)
    other = plan_schedule("1e4*((x - 50)/0.01)^2/2 + 1e4*((x - 50)/0.01)^4/4 - 3", 500.0, stages=2, noise=1e6)
    assert [n for _, n in other.stages] == [n for _, n in plain.stages]
    assert [s for s, _ in other.stages] == pytest.approx([s * 1e-8 for s, _ in plain.stages], rel=1e-3)
    assert (other.start - 50) / 0.01 == pytest.approx(plain.start, rel=1e-6)


@examples(8)
@given(st.floats(0.2, 0.9), st.floats(0.5, 2.0), st.floats(-2, 2))
def test_noise_scales_the_chain(s, sigma, x0):
    plan = Schedule.constant(s, 30)
    _, square = sgd_on_quadratics(1.0, x0, plan.learning_rates, sigma)
    assert excess_risk("quadratic", plan, x0, noise=sigma).excess_risk == pytest.approx(square / 2, rel=1e-9)


def test_f_sees_the_second_mode_of_a_quadratic_alone():
    curve = excess_risk("quadratic", "0.1:5", 1.0, method="spectral")
    modes = curve.details["overlaps"][0]["modes"]
    assert [mode["part"] for mode in modes] == pytest.approx([0, 1, 0, 0, 0, 0], abs=1e-3)
    assert modes[1]["rate"] == pytest.approx(2.0, rel=1e-3)


def test_symmetric_wells_hide_the_slow_mode():
    curve = excess_risk("double-well", "0.1:150", -1.0, method="spectral")
    first, second, *_ = curve.details["overlaps"][0]["modes"]
    assert first["part"] < 1e-12 and second["part"] > 0.3
    # So the risk decays at the next rate, 0.82, not at 0.0028.
    left = curve.excess_risk[[60, 100]] - curve.plateau[0]
    assert np.log(left[0] / left[1]) / 4 == pytest.approx(second["rate"], rel=1e-2)


# ------------------------------------------------------------------------------------------------ two laws


@pytest.fixture(scope="module")
def papers():
    """Curves of the paper's example at s = 0.1 and 0.05, by both laws."""
    return {
        method: [excess_risk(PAPER, f"{s}:{n}", START, method=method) for s, n in ((0.1, 6000), (0.05, 12000))]
        for method in ("chain", "spectral")
    }


def test_the_curves_of_the_paper_cross(papers):
    """At t = 482 for SGD, at t = 552 for the SDE: two laws."""
    assert crossing(*papers["chain"]) == pytest.approx(482.0, abs=0.5)
    assert crossing(*papers["spectral"]) == pytest.approx(552.4, abs=1.0)
    large, small = papers["chain"]
    assert large.at_time(100) < small.at_time(100) and large.at_time(590) > small.at_time(590)
    assert large.final == pytest.approx(large.plateau[-1], rel=1e-6) and small.plateau[-1] < 0.5 * large.plateau[-1]


def test_the_chain_of_the_paper_is_that_of_a_plain_matrix():
    x = np.linspace(-2.2, 2.2, 300)
    h = x[1] - x[0]

    def g(x):
        return ((x + 0.7) ** 2 + 0.1) * (x - 0.7) ** 2

    def image(x):
        return x - 0.1 * (2 * (x + 0.7) * (x - 0.7) ** 2 + 2 * ((x + 0.7) ** 2 + 0.1) * (x - 0.7))

    def density(y):
        return h * np.exp(-0.5 * ((x - y) / 0.1) ** 2) / (np.sqrt(2 * np.pi) * 0.1)

    kernel, masses = density(image(x)[:, None]), density(image(-0.9))
    curve = excess_risk(PAPER, "0.1:100", START)
    for k in range(1, 101):
        assert curve.excess_risk[k] == pytest.approx(2 * masses @ g(x), rel=1e-10)
        masses = masses @ kernel


def test_simulation_agrees_with_the_law_of_sgd(papers):
    runs = excess_risk(PAPER, "0.1:600,0.05:400", START, method="simulate", paths=4000, seed=3, records=51)
    law = excess_risk(PAPER, "0.1:600,0.05:400", START)
    at = np.searchsorted(law.steps, runs.steps)
    deviation = (law.excess_risk[at] - runs.excess_risk)[1:] / ((runs.upper - runs.lower)[1:] / 3.92)
    assert abs(deviation).max() < 4.5 and np.mean(deviation**2) < 3
    again = excess_risk(PAPER, "0.1:600,0.05:400", START, method="simulate", paths=4000, seed=3, records=21)
    assert again.final == runs.final and again.details["paths"] == 4000
    assert runs.plateau[-1] == pytest.approx(law.plateau[-1], rel=1e-12)


def test_simulation_of_continuous_time_agrees_with_the_law_of_the_sde():
    plan = Schedule.parse("0.2:60").in_continuous_time()
    runs = excess_risk("double-well:tilt=0.1", plan, 1.2, method="simulate", paths=20000, records=31)
    law = excess_risk("double-well:tilt=0.1", plan, 1.2, method="spectral", records=31)
    assert np.array_equal(runs.steps, law.steps)
    deviation = (law.excess_risk - runs.excess_risk)[1:] / ((runs.upper - runs.lower)[1:] / 3.92)
    assert abs(deviation).max() < 4.5
    with pytest.raises(witten.RequestError, match="continuous time"):
        excess_risk("double-well:tilt=0.1", plan, 1.2)


def test_the_two_laws_differ_linearly_in_s():
    differences = []
    for s in (0.04, 0.02, 0.01):
        plan = Schedule.constant(s, round(2 / s))
        chain, sde = (excess_risk("convex-quartic", plan, 1.0, method=method) for method in ("chain", "spectral"))
        differences.append(abs(chain.excess_risk - sde.excess_risk).max())
    assert np.log2(np.array(differences[:-1]) / differences[1:]) == pytest.approx([1, 1], abs=0.15)


def test_the_plane_is_what_its_factors_are():
    # The same function with and without its axes turned by 45 degrees, which hides that it is a sum.
    turned = Objective.from_formula("((x+y)^2/2 - 1)^2/4 + (x-y)^2/4")
    start = np.array([1.0, 0.3])
    rotated = np.array([[1, -1], [1, 1]]) @ start / np.sqrt(2)
    for method, tolerance in (("chain", 1e-8), ("spectral", 2e-4)):
        plain = excess_risk("double-well:dim=2", "0.2:5", start, method=method)
        other = excess_risk(turned, "0.2:5", rotated, method=method)
        assert other.excess_risk == pytest.approx(plain.excess_risk, rel=tolerance)


# ------------------------------------------------------------------------------------------------ the parts


def test_narrow_noise_is_pushed_and_blurred_like_wide_noise():
    f = resolve("double-well")
    grid = Grid.uniform([(-2.5, 2.5)], 400)
    x, sigma = grid.points, np.array([0.03])
    wide = on_grid(f, 0.1, grid, np.eye(1), sigma)
    narrow = SemiLagrangian(grid, wide.images, sigma)
    law = np.exp(-0.5 * ((x[0] - 0.4) / 0.15) ** 2)
    assert narrow.adjoint(law) == pytest.approx(wide.adjoint(law), abs=1e-5)
    assert narrow.adjoint(law).sum() == pytest.approx(law.sum(), rel=1e-12)


def test_laws_move_between_grids_without_loss():
    box = Box.of([(-2, 2), (-1, 3)])
    grids = Grid(box, (60, 80)), Grid(box, (100, 90))

    def law(grid):
        x, y = grid.points
        return np.exp(-8 * (x - 0.2) ** 2 - 10 * (y - 1) ** 2) * np.prod(grid.spacing)

    assert resampled(law(grids[0]), *grids) == pytest.approx(law(grids[1]), abs=1e-13)
    assert resampled(law(grids[1]), *grids[::-1]) == pytest.approx(law(grids[0]), abs=1e-13)


def test_terms_are_found_and_counted():
    f = resolve("double-well:dim=3")
    found = terms(f, np.array([0.5, 1.0, 1.0]))
    assert sorted(term.count for term in found) == [1, 2]
    assert [term.objective.dimension for term in terms(resolve("triple-well"), np.zeros(2))] == [2]
    assert starting_point(resolve("shi-su-jordan-1d"), None, 1.0) == pytest.approx([-0.6192582])


def test_a_law_in_one_well_keeps_its_mass_on_a_fixed_grid():
    plan = Schedule.constant(0.1, 40)
    law = FokkerPlanck(Term(resolve("double-well"), np.array([0.2])), plan, Grid.uniform([(-2.2, 2.2)], 200))
    g = law.generator(0.1)
    assert abs(g.sum(axis=0)).max() < 1e-9
    gibbs = np.exp(-2 * law.discretisation.values / 0.1)
    assert abs(g @ gibbs).max() < 1e-9 * abs(g).max()


def test_long_schedules_are_told_in_part_and_stop_early():
    plan = Schedule.parse("0.1:5000,0.05:5000")
    steps = recorded_steps(plan, 100)
    assert steps[0] == 0 and steps[-1] == 10000 and 5000 in steps and 100 <= steps.size <= 104
    curve = excess_risk("quadratic", "0.1:300 until risk<0.1", 3.0)
    assert curve.final <= 0.1 < curve.excess_risk[-2] and curve.first_below(0.1) == curve.steps[-1]
    assert curve.first_below(1e-9) is None
    with pytest.raises(witten.RequestError, match="do not cross"):
        crossing(curve, excess_risk("quadratic", "0.1:300", 4.0))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((PAPER, "0.1:5", (1, 2, 3)), "2 numbers"),
        ((PAPER, "0.1:5", (1, float("nan"))), "2 numbers"),
        ((PAPER, "0.1", START), "number of steps"),
        (("quadratic", "0.1:5 until loss<1", 1.0), "single loss"),
        (("x^2*y^2 + y^2*z^2 + x^2 + y^2 + z^2", "0.1:5", (1, 1, 1)), "simulate"),
    ],
)
def test_wrong_requests_say_what_to_do(arguments, words):
    with pytest.raises(witten.RequestError, match=words):
        excess_risk(*arguments)
    with pytest.raises(witten.RequestError, match="method 'sgd'"):
        excess_risk("quadratic", "0.1:5", 1.0, method="sgd")
    with pytest.raises(witten.RequestError, match="2 runs"):
        excess_risk("quadratic", "0.1:5", 1.0, method="simulate", paths=1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: plan_schedule("quadratic", 1e-12, 2.0), "target 1e-12 is too small: it needs"),
        (lambda: plan_schedule("double-well:tilt=0.05", 0.03, 9.0), r"start \(9\) is too far away"),
        (lambda: excess_risk("quadratic", "0.1:5", 1e6, method="spectral"), r"start \(1e\+06\) and the distribution"),
        (lambda: excess_risk("quadratic", "0.1:5", 1.0, noise=1e200), "noise 1e\\+200 is too large"),
    ],
)
def test_where_no_grid_serves_the_request_is_named(call, words):
    with pytest.raises(witten.RequestError, match=words):
        call()


def test_what_runs_away_says_so():
    with pytest.raises(witten.ConvergenceError, match="smaller learning rate"):
        excess_risk("quadratic", "2.5:300", 1.0, method="simulate", paths=10)
    with pytest.raises(witten.ConvergenceError, match="diverge"):
        excess_risk("quadratic:theta=2", "5:300", 1.0)


# ------------------------------------------------------------------------------------------------ in the plane


def test_long_runs_are_the_steps_themselves():
    # A random walk with two wells: one eigenvalue near 1, and the law after many steps by powers of the matrix.
    x = np.linspace(-1, 1, 120)
    chain = np.exp(-0.5 * ((x[:, None] - x - 0.2 * (x - x**3)[:, None]) / 0.15) ** 2)
    chain /= chain.sum(axis=1, keepdims=True)
    start = np.exp(-0.5 * ((x - 0.8) / 0.05) ** 2)
    run = krylov_powers(lambda masses: masses @ chain, start, 5000)
    assert run.last == 5000 and len(run.chains) < 15
    for k in (0, 1, 24, 25, 60, 333, 5000):
        assert run.after(k) == pytest.approx(start @ np.linalg.matrix_power(chain, k), abs=1e-11 * start.sum())
    short = krylov_powers(lambda masses: masses @ chain, start, 30)
    assert len(short.chains) == 2 and short.after(30) == pytest.approx(run.after(30), abs=1e-13)


def test_long_runs_in_the_plane_change_nothing(monkeypatch):
    f = Objective.from_formula("((x+y)^2/2 - 1)^2/4 + (x-y)^2/4")
    combined = excess_risk(f, "0.25:400", (1.0, 0.3), plateaus=False)
    monkeypatch.setattr("witten.risk.laws.equal_steps.KRYLOV_FROM", 10**6)
    one_by_one = excess_risk(f, "0.25:400", (1.0, 0.3), plateaus=False)
    assert combined.excess_risk == pytest.approx(one_by_one.excess_risk, rel=1e-10)


@pytest.mark.parametrize(
    ("name", "start", "rates"),
    [(PAPER, START, (0.15, 0.05, 0.02)), ("double-well:dim=2", (-1.0, 0.3), (0.3, 0.1, 0.03))],
)
def test_modes_in_the_plane_are_those_of_the_lines(name, start, rates):
    f, x = resolve(name), np.array(start)
    plane, lines = ModalModel([Term(f, x)], np.array(rates)), ModalModel(terms(f, x), np.array(rates))
    assert plane.plateaus == pytest.approx(lines.plateaus, rel=1e-4)
    for stages, times in (([0], [30.0]), ([0, 1], [30.0, 15.0]), ([0, 1, 2], [30.0, 15.0, 6.0])):
        assert plane.risk(stages, times) == pytest.approx(lines.risk(stages, times), rel=5e-3)
    # The constant function is seen as constant on every grid.
    switch = plane._models[0].switch(0, 2)
    assert switch[0] == pytest.approx(np.eye(switch.shape[1])[0], abs=1e-10)


def test_points_slide_down_a_narrow_valley():
    # On x^2/2 + 100 y^2/2 the flow keeps y/x^100; the way enters |x| < 1 on the axis.
    f = Objective.from_formula("x^2/2 + 50*y^2")
    grid = Grid.uniform([(-1.0, 1.0), (-0.2, 0.2)], (40, 40))
    points = np.array([[2.5, -1.7, 0.5, 0.0], [0.4, -0.9, 0.1, 0.7]])
    x, times = descended(f, grid, points)
    assert times[0] == pytest.approx(np.log(2.5), abs=0.05) and times[1] == pytest.approx(np.log(1.7), abs=0.05)
    assert times[2] == 0 and times[3] == pytest.approx(np.log(0.7 / 0.2) / 100, rel=0.05)
    assert x[:, 2] == pytest.approx(points[:, 2]) and abs(x[0, :2]) == pytest.approx([1.0, 1.0], abs=0.05)
    assert abs(x[1, :2]).max() < 0.01 and abs(x[0, 3]) < 1e-12 and 0.19 < x[1, 3] <= 0.2
    linear = interpolation(grid, x) @ grid.points.T
    inner = (abs(x[0]) < 0.95) & (abs(x[1]) < 0.19)
    assert linear.T[:, inner] == pytest.approx(x[:, inner], abs=1e-12)


def test_a_start_high_above_the_saddles_takes_its_time():
    # The grid of the model ends where f is 8 s.
    f, start, s = Objective.from_formula("x^2/2 + y^2/2"), np.array([8.0, 0.0]), 0.1
    model = ModalModel([Term(f, start)], np.array([s, 0.5 * s]))
    for t in (3.0, 4.0):  # E f = s/2 + (32 - s/2) e^{-2t}
        assert model.risk([0], [t]) == pytest.approx(s / 2 + (32 - s / 2) * np.exp(-2 * t), rel=0.1)


def test_what_runs_away_in_the_plane_does_so_on_its_lines():
    line, plane = resolve("double-well"), resolve("double-well:dim=2")
    for s in (0.2, 0.25, 0.32, 0.45):
        assert escapes(plane, s, 1.0, 1e-10) == escapes(line, s, 1.0, 1e-10)
        leak = transfer_spectrum(line, s, 2).leak
        assert escapes(line, s, 1.0, 1e-10) == (leak > 1e-10)


def test_a_plan_in_the_plane_is_what_its_moments_say():
    # x+ = (1 - s H) x + s xi: E f = (tr H C + m' H m)/2 with the mean and the covariance of the law.
    h = np.array([[2.0, 1.0], [1.0, 2.0]])
    plan = plan_schedule("x^2 + x*y + y^2", 0.05, (2.0, 1.0), stages=2)
    mean, covariance = np.array([2.0, 1.0]), np.zeros((2, 2))
    for s in plan.schedule.learning_rates:
        a = np.eye(2) - s * h
        mean, covariance = a @ mean, a @ covariance @ a + s**2 * np.eye(2)
    assert plan.risk == pytest.approx((np.trace(h @ covariance) + mean @ h @ mean) / 2, rel=1e-6)
    assert plan.risk <= 0.05 and plan.total_steps < plan.constant[1] and len(plan.stages) == 2


# ------------------------------------------------------------------------------------------------ bounds and plans


def test_the_plateau_and_its_slope():
    h = 1e-3
    below, at, above = (plateau(PAPER, s) for s in (0.1 - h, 0.1, 0.1 + h))
    assert at.slope == pytest.approx((above.risk - below.risk) / (2 * h), rel=1e-4)
    assert below.risk < at.risk < above.risk and at.risk == pytest.approx(0.0669891, rel=1e-6)
    # One well in the plane: f is s/4 times a chi square of two degrees of freedom.
    convex = plateau(CONVEX, 0.3)
    assert convex.linear == pytest.approx(0.5) and convex.deviation == pytest.approx(0.15)
    with pytest.raises(witten.RequestError, match="positive"):
        plateau(CONVEX, -1.0)


def test_the_bound_of_the_theorem_holds_and_says_how_loose_it_is(papers):
    found = risk_bound(PAPER, 0.1, 300.0, START, after=2.0)
    assert (found.bound >= found.risk).all() and found.rate == pytest.approx(0.03613, rel=1e-3)
    assert found.looseness[50] == pytest.approx(6.21, rel=1e-2)
    assert found.risk == pytest.approx(papers["spectral"][0].at_time(found.times), rel=2e-3)
    with pytest.raises(witten.RequestError, match="between 0 and"):
        risk_bound(PAPER, 0.1, 1.0, START, after=2.0)


def test_the_norm_in_the_bound_is_that_of_a_gaussian():
    # N(m, v) in L2(1/N(0, w)): norm^2 + 1 = w/sqrt(v (2 w - v)) exp(m^2/(2 w - v)).
    theta, s, t = 2.0, 0.1, 0.5
    found = risk_bound("quadratic:theta=2", s, 3.0, 1.0, after=t)
    w = s / (2 * theta)
    m, v = np.exp(-theta * t), w * (1 - np.exp(-2 * theta * t))
    norm = np.sqrt(w / np.sqrt(v * (2 * w - v)) * np.exp(m**2 / (2 * w - v)) - 1)
    assert found.factor == pytest.approx(found.plateau.deviation * norm, rel=1e-2)  # second order on one grid


def test_stages_beat_the_best_constant_learning_rate_as_runs_confirm():
    plan = plan_schedule("shi-su-jordan-1d", 0.025, -0.9, stages=2)
    (large, _), (small, _) = plan.stages
    assert large > 3 * small and plan.saved > 5
    assert 0.99 * plan.target < plan.risk <= plan.target >= plan.constant_risk
    runs = excess_risk("shi-su-jordan-1d", plan.schedule, -0.9, method="simulate", paths=20000, records=2)
    assert abs(runs.final - plan.risk) < 2 * (runs.upper[-1] - runs.final)
    # Half the steps of the best constant learning rate are not enough for any of these.
    constant = [plan.constant[0] * factor for factor in (0.7, 0.85, 1.0, 1.1)]
    steps = steps_against_learning_rate("shi-su-jordan-1d", plan.target, [*constant, 0.2], -0.9)
    assert steps[2] == plan.constant[1] and steps[-1] is None
    assert all(n is None or n >= 0.99 * plan.constant[1] for n in steps)


def test_one_well_needs_no_barrier_to_profit():
    plan = plan_schedule("quadratic", 0.02, 2.0, stages=2)
    assert plan.saved > 1.2 and [s for s, _ in plan.stages] == sorted((s for s, _ in plan.stages), reverse=True)
    _, square = sgd_on_quadratics(1.0, 2.0, plan.schedule.learning_rates)
    assert square[-1] / 2 == pytest.approx(plan.risk, rel=1e-6)
    classical = classical_schedules("quadratic", 0.02, 2.0, learning_rate=0.5, most=128)
    assert set(classical) == {"cosine", "step decay"} and classical["cosine"] >= plan.total_steps
    _, square = sgd_on_quadratics(1.0, 2.0, Schedule.cosine(0.5, classical["cosine"]).learning_rates)
    assert square[-1] / 2 <= 0.02 * (1 + 1e-4)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("quadratic", -0.1, 1.0), {}, "positive excess risk"),
        (("quadratic", 0.1, 1.0), {"stages": 7}, "1 to 6"),
        (("quadratic", 0.7, 1.0), {}, "already"),
        (("quadratic", 0.1, 1.0), {"largest": -1.0}, "largest learning rate"),
    ],
)
def test_wrong_plans_say_what_to_do(arguments, options, words):
    with pytest.raises(witten.RequestError, match=words):
        plan_schedule(*arguments, **options)


def test_pictures_of_risk(papers, tmp_path):
    figure = plots.plot_risks([*papers["chain"], *papers["spectral"]], tmp_path / "risk.svg")
    text = (tmp_path / "risk.svg").read_text()
    assert "SVG" in text.upper() and len(figure.axes) == 2
    assert [note.get_text() for note in figure.axes[1].texts] == ["$t = 482$", "$t = 552$"]
    with pytest.raises(witten.RequestError, match="nothing to plot"):
        plots.plot_risks([])


def test_pictures_of_short_and_long_schedules_and_their_plateaus():
    short, long = (excess_risk("quadratic", text, 2.0) for text in ("0.2:30", "0.02:600"))
    for curves, scale in (([short], "linear"), ([short, long], "symlog")):
        figure = plots.plot_risks(curves)
        by_step, by_time = figure.axes
        assert (by_step.get_xscale(), by_time.get_xscale()) == (scale, "linear")
        assert [text.get_text() for text in figure.legends[0].get_texts()][-1] == "plateau at the learning rate"
        drawn = [line.get_ydata() for line in by_time.lines if line.get_linestyle() == "--"]
        assert [each[-1] for each in drawn] == pytest.approx([curve.plateau[-1] for curve in curves])


def test_well_known_schedules_are_those_that_are_counted():
    laws = classical_laws("double-well:tilt=0.05", learning_rate=0.2)
    barrier = witten.describe_landscape("double-well:tilt=0.05").barrier
    assert laws["cosine"](100) == Schedule.cosine(0.2, 100) and laws["step decay"](9).text == "step:0.2:9:10:4"
    assert laws["logarithmic"](5).learning_rates[0] == pytest.approx(2 * barrier / math.log(2))


# ------------------------------------------------------------------------------------------------ the command line


def test_witten_risk_as_json(tmp_path):
    picture = tmp_path / "risk.png"
    done = cli("risk", PAPER, "--schedule", "0.1:30,0.05:20", "--x0", "-0.9,0.9", "--json", "--plot", str(picture))
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    lists = [found[key] for key in ("steps", "time", "learning_rate", "excess_risk", "plateau")]
    assert found["method"] == "chain" and {len(each) for each in lists} == {51}
    assert found["time"][-1] == pytest.approx(4.0) and found["learning_rate"][29:31] == [0.1, 0.05]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_witten_risk_for_a_person_and_refused():
    done = in_process("risk", "double-well", "--schedule", "0.1:30", "--method", "spectral")
    assert (done.returncode, done.stderr) == (0, "") and "parts of the variance" in done.stdout
    done = in_process("risk", "double-well", "--schedule", "0.1:x")
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.count("\n") == 1 and "not a number" in done.stderr


def test_witten_schedule_as_json():
    done = cli("schedule", "quadratic", "--target", "0.05", "--x0", "1.5", "--stages", "2", "--paths", "1000", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert {"stages", "total_steps", "best_constant"} <= set(found)
    assert found["total_steps"] == sum(stage["steps"] for stage in found["stages"]) < found["best_constant"]["steps"]
    assert found["simulated"]["ci_low"] < 1.05 * found["risk"] and found["risk"] <= 0.05


def test_runs_with_a_covariance_have_the_second_moment_of_the_recursion():
    """E x+^2 = ((1 - s)^2 + s^2 b) x^2 + s^2 a for Sigma = a + b x^2."""
    s, noise = 0.2, witten.noise.formula("1 + x^2/10")
    found = witten.excess_risk("x^2/2", "0.2:30", (1.0,), method="simulate", noise=noise, paths=20_000, records=4)
    moments = [1.0]
    for _ in range(30):
        moments.append(((1 - s) ** 2 + s**2 / 10) * moments[-1] + s**2)
    expected = np.array(moments)[found.steps] / 2
    assert (abs(found.excess_risk - expected) <= 2 * (found.upper - found.excess_risk) + 1e-15).all()
    assert found.upper[-1] - found.excess_risk[-1] < 0.03 * expected[-1]


@pytest.mark.parametrize(
    ("schedule", "options", "said"),
    [
        ("0.2:30", {}, "take 'simulate'"),
        ("0.2:30", {"method": "spectral"}, "take 'simulate'"),
        ("0.2:30:flow", {"method": "simulate"}, "continuous time"),
    ],
)
def test_a_covariance_is_refused_where_it_is_not_known(schedule, options, said):
    with pytest.raises(RequestError, match=said):
        witten.excess_risk("x^2/2", schedule, (1.0,), noise=witten.noise.formula("1 + x^2/10"), **options)

"""Descent with momentum: the map of pairs against closed forms, and against descent without it."""

import json
import math

import numpy as np
import pytest
from launcher import in_process

from witten.descent.attractors.attractor import CHAOTIC, DIVERGES, FIXED, PERIODIC, fate, fate_shares
from witten.descent.basins import basins
from witten.descent.bifurcation import Diagram, bifurcation_diagram
from witten.descent.gradient_map import DescentMap, stability_threshold
from witten.descent.orbits import orbits
from witten.descent.thresholds import measure, predict
from witten.errors import RequestError
from witten.objectives.losses.factorisation import balanced_line, scalar_factorisation
from witten.objectives.objective import Objective
from witten.stability import measured_critical

LINE, PLANE = balanced_line(), scalar_factorisation(1.0)
BOTH = pytest.mark.parametrize("nesterov", [False, True])


def as_callable(f):
    return Objective.from_callable(f, f.dimension, f.gradient, f.hessian, name="callable")


# ------------------------------------------------------------------------------------------------------- the map


@BOTH
def test_loops_are_the_recursion(nesterov):
    x = [np.array([0.3, 0.9]), np.array([0.3, 0.9])]
    for _ in range(30):
        y = x[-1] + 0.6 * (x[-1] - x[-2])
        x.append(y - 0.1 * PLANE.gradient(y if nesterov else x[-1]))
    step = DescentMap(PLANE, 0.1, 0.6, nesterov)
    path = step.path(step.at_rest(x[0]), 30)
    assert np.array_equal(step.position(path), np.array(x[1:]).T) and np.array_equal(path[2:, 1:], path[:2, :-1])
    other = DescentMap(as_callable(PLANE), 0.1, 0.6, nesterov)
    assert np.array_equal(step.iterate(path[:, :4], 7), other.iterate(path[:, :4], 7))


@BOTH
def test_jacobians_are_differences_of_the_map(nesterov):
    step, z, e = DescentMap(PLANE, 0.3, 0.7, nesterov), np.array([0.8, 0.9, 0.7, 1.1]), 1e-6
    differences = [(step(z + e * v) - step(z - e * v)) / (2 * e) for v in np.eye(4)]
    assert step.jacobian(z) == pytest.approx(np.array(differences).T, abs=1e-8)
    many = np.column_stack([z, 2 * z])
    assert np.array_equal(step.jacobian(many)[:, :, 0], step.jacobian(z))


@BOTH
@pytest.mark.parametrize("alpha", [0.3, 0.9])
def test_a_multiplier_is_minus_one_at_the_threshold(alpha, nesterov):
    s = stability_threshold(alpha, nesterov=nesterov) / 2.0  # the sharpness of the minimum 1
    multipliers = np.linalg.eigvals(DescentMap(LINE, s, alpha, nesterov).jacobian(np.array([1.0, 1.0])))
    assert multipliers.real.min() == pytest.approx(-1.0, abs=1e-12) and abs(multipliers).max() < 1 + 1e-12


# ------------------------------------------------------------------------------------------------------- fates


@BOTH
@pytest.mark.parametrize("alpha", [0.2, 0.8])
def test_a_minimum_is_stable_up_to_the_threshold(alpha, nesterov):
    s = stability_threshold(alpha, nesterov=nesterov) / 2.0
    below = fate(LINE, 0.999 * s, [1.0001], momentum=alpha, nesterov=nesterov)
    above = fate(LINE, 1.001 * s, [1.0001], momentum=alpha, nesterov=nesterov)
    assert (below.kind, below.stable, above.kind) == (FIXED, True, PERIODIC)
    assert below.x == pytest.approx(np.ones((1, 1))) and below.multipliers.size == 2
    assert measured_critical(LINE, [1.0], momentum=alpha, nesterov=nesterov) == pytest.approx(s, rel=2e-3)


@pytest.mark.parametrize("alpha", [0.2, 0.5, 0.9])
def test_where_two_cycles_double(alpha):
    assert measure("momentum-period-four", alpha=alpha) == pytest.approx(
        predict("momentum-period-four", alpha=alpha), rel=1e-9
    )


def test_two_cycles_are_those_of_descent_at_a_smaller_rate():
    s, alpha = 1.23, 0.2
    found, other = fate(LINE, s, [0.99], momentum=alpha), fate(LINE, s / (1 + alpha), [0.99])
    assert found.period == other.period == 2
    assert np.sort(found.x) == pytest.approx(np.sort(other.x), rel=1e-12)
    assert found.lyapunov.sum() == pytest.approx(math.log(alpha), rel=1e-12)


def test_exponents_of_chaos_sum_to_that_of_areas():
    found = fate(LINE, 1.5, [0.3], momentum=0.2, steps=20_000)
    assert found.kind == CHAOTIC and found.tangential.size == 2
    assert found.lyapunov.sum() == pytest.approx(math.log(0.2), rel=1e-9)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_fates_have_no_unit(unit):
    wells = Objective.from_formula(f"((x/{unit!r})^2-1)^2/4")
    for s, x in ((0.02, 0.4), (1.52, 0.99), (1.9, 0.3)):
        one = fate(LINE, s, [x], momentum=0.5)
        other = fate(wells, s * unit**2, [x * unit], momentum=0.5)
        assert (one.kind, one.period) == (other.kind, other.period)
        if one.kind != DIVERGES:
            assert np.sort(other.x / unit) == pytest.approx(np.sort(one.x), rel=1e-9)


def test_a_start_at_rest_may_cross_the_barrier():
    """With little friction the other well may be where a run ends; descent stays on its side."""
    shares = fate_shares(LINE, 0.01, [np.linspace(1.45, 1.9, 40)], momentum=0.95)
    assert [(share.kind, share.count) for share in shares] == [(FIXED, 40)]
    signs = {np.sign(fate(LINE, 0.01, [x], momentum=0.95).x[0, 0]) for x in np.linspace(1.45, 1.9, 40)}
    assert signs == {-1.0, 1.0}


def test_compiled_and_interpreted_runs_end_alike():
    one, other = (fate(f, 0.4, [0.7, 0.9], momentum=0.6, nesterov=True) for f in (PLANE, as_callable(PLANE)))
    assert (one.kind, one.steps) == (other.kind, other.steps) and np.array_equal(one.x, other.x)


def test_repelling_cycles_of_pairs_are_found():
    found = orbits(DescentMap(LINE, 1.3, 0.2), 1, [(-2, 2)], starts=40)
    assert [round(float(orbit.points[0, 0]), 9) + 0.0 for orbit in found] == [-1.0, 0.0, 1.0]
    assert all(orbit.points[0] == orbit.points[1] for orbit in found)


def test_alpha_is_below_one():
    with pytest.raises(RequestError, match="from 0 to below 1"):
        DescentMap(LINE, 0.1, 1.0)


# --------------------------------------------------------------------------------------------- diagrams and basins


def test_a_diagram_keeps_its_momentum(tmp_path):
    s = [0.1, 1.4, 1.52, 1.72]
    found = bifurcation_diagram(LINE, s, [[0.99]], momentum=0.5, burn=500, keep=32)
    assert found.periods[:, 0].tolist() == [1, 1, 2, 4] and found.points.shape == (4, 1, 32, 1)
    found.save(tmp_path / "diagram.nc")
    assert Diagram.load(tmp_path / "diagram.nc").momentum == 0.5
    other = bifurcation_diagram(as_callable(LINE), s, [[0.99]], momentum=0.5, burn=500, keep=32)
    assert other.periods.tolist() == found.periods.tolist()


def test_basins_of_pairs_are_ends_of_runs():
    found = basins(LINE, 0.05, [(-2, 2), (-2, 2)], (12, 10), momentum=0.8)
    labels, points = found.labels()
    assert points.ravel() == pytest.approx([-1, 1]) and found.ends.shape == (2, 10, 12)
    starts = np.array(np.meshgrid(found.u, found.v)).reshape(2, -1)
    ends = DescentMap(LINE, 0.05, 0.8).iterate(starts, 4000)[0].reshape(10, 12)
    settled = labels >= 0
    assert settled.sum() > 60 and np.array_equal(ends[settled] > 0, labels[settled] == 1)
    at_rest = basins(LINE, 0.05, [(-2, 2), (-2, 2)], (12, 2), momentum=0.8, plane=([0.0], [1.0], [0.0]))
    assert np.array_equal(at_rest.period[0], at_rest.period[1])


# ------------------------------------------------------------------------------------------------------- commands


def test_no_momentum_is_what_stood():
    asked = ("(1-x*y)^2/2", "--lr", "0.9,1.1", "--x0", "0.5,0.7", "--json")
    plain, zero = (json.loads(in_process("descend", *asked, *more).stdout) for more in ((), ("--momentum", "0")))
    assert (zero.pop("momentum"), zero.pop("nesterov")) == (0, False) and zero == plain


def test_commands_take_momentum(tmp_path):
    picture = tmp_path / "run.png"
    done = in_process("descend", "double-well", "--lr", "0.3", "--x0", "0.3", "--momentum", "0.5", "--nesterov",
                      "--plot", picture)  # fmt: skip
    assert done.returncode == 0 and "2(1 + alpha)/(s(1 + 2 alpha))" in done.stdout and picture.stat().st_size > 5000
    asked = ("double-well", "--lr", "0.3,1.52", "--x0", "0.99", "--momentum", "0.5", "--steps", "300", "--json")
    found = json.loads(in_process("bifurcate", *asked).stdout)
    assert (found["momentum"], [record["period"] for record in found["records"]]) == (0.5, [1, 2])


@pytest.mark.parametrize("alpha", [0.0, 0.2])
def test_rounding_beside_a_flip_is_no_cycle(alpha):
    """At a multiplier of -0.998 the last digits alternate 500 times as far as a step rounds: that is a fixed point."""
    s = 0.999 * stability_threshold(alpha, nesterov=True) / 2.0
    found = fate(LINE, s, [1.0001], momentum=alpha, nesterov=True)
    assert (found.kind, found.period, found.stable) == (FIXED, 1, True)

"""Thresholds predicted and measured, minima that gradient descent can reach, and the commands about them."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from launcher import cli, in_process

from witten.descent.thresholds import THRESHOLDS, critical_learning_rate, measure, predict, two_minima
from witten.errors import ConvergenceError, RequestError
from witten.objectives.losses.factorisation import DeepLinear
from witten.plots import plot_basins, plot_bifurcation, plot_descent
from witten.stability import measured_critical, stability, stability_threshold

TWO_MINIMA = "(x^2+1)*(x-1)^2*(x-2)^2"


def as_json(*arguments):
    done = in_process(*arguments, "--json")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.count("\n") == 1 and "NaN" not in done.stdout and "Infinity" not in done.stdout
    return json.loads(done.stdout)


# ---------------------------------------------------------------------------------------------------- thresholds


@pytest.mark.parametrize("name", THRESHOLDS)
def test_what_is_predicted_is_measured(name):
    assert measure(name) == pytest.approx(predict(name), rel=max(THRESHOLDS[name].tolerance, 1e-15))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("minimum", {"x": 1.0}),
        ("kink-cycle", {"s": 1.7}),
        ("scalar-factorisation", {"mu": 0.5, "x": 2.0, "y": -1.5}),
        ("scalar-factorisation", {"mu": 1.0, "x": 0.4, "y": 0.3}),
        ("deep-linear", {"depth": 2, "rho": 3.0}),
        ("transverse", {"a": 1.03}),
        ("random-product", {"low": 0.5, "high": 1.5}),
    ],
)
def test_and_for_other_parameters(name, parameters):
    expected = predict(name, **parameters)
    assert expected != predict(name)
    assert measure(name, **parameters) == pytest.approx(expected, rel=max(THRESHOLDS[name].tolerance, 1e-15))


def test_a_threshold_is_not_met_by_another_number():
    """The tolerances are so small that a formula a per cent off would be noticed."""
    assert all(entry.tolerance <= 2e-2 for entry in THRESHOLDS.values())
    assert sum(entry.tolerance <= 1e-3 for entry in THRESHOLDS.values()) >= 14


def test_unknown_thresholds_and_parameters():
    with pytest.raises(RequestError, match="catapult"):
        predict("catapult-")
    with pytest.raises(RequestError, match="no parameter 'y'"):
        measure("minimum", y=1.0)
    with pytest.raises(ConvergenceError, match="wider bracket"):
        critical_learning_rate(lambda s: True, 0.1, 0.2)


# ----------------------------------------------------------------------------------------------------- stability


def test_minima_by_their_sharpness():
    found = stability(two_minima(), [0.1, 0.2, 0.3, 0.5, 0.6])
    assert [m.sharpness for m in found.minima] == pytest.approx([4.0, 10.0])
    assert [m.critical_learning_rate for m in found.minima] == pytest.approx([0.5, 0.2])
    assert found.stable.tolist() == [[True] * 4 + [False], [True, True, False, False, False]]


@pytest.mark.parametrize(
    ("formula", "critical"),
    [
        ("2/3*abs(x)^1.5", 0.0), ("abs(x)", 0.0), ("x^4", math.inf), ("3*x^2 + y^4", 1 / 3),
        ("1e-10*abs(x)", 0.0), ("abs(x-1e5)+1e6", 0.0), ("abs(x)^1.9", 0.0), ("max(x^2/2,x^2)", 1.0),
        ("1e-12*x^4+1e-12*y^2", 1e12), ("x^4+1e-7*y^2", 1e7), ("x^4+1e8", math.inf), ("(x-1e6)^4", math.inf),
    ],
)  # fmt: skip
def test_kinks_and_flat_minima(formula, critical):
    assert stability(formula).minima[0].critical_learning_rate == pytest.approx(critical, rel=1e-6)


@pytest.mark.parametrize("s", [0.0, -0.1, math.inf])
def test_learning_rates_are_positive(s):
    with pytest.raises(ValueError, match="positive"):
        stability(two_minima(), [s])


def test_critical_learning_rates_are_those_of_the_sharpness():
    f = two_minima()
    for minimum in stability(f).minima:
        assert measured_critical(f, minimum.x) == pytest.approx(minimum.critical_learning_rate, rel=2e-3)
    model = DeepLinear(np.diag([2.0, 1.0]), (2,))
    measured = measured_critical(model.objective(), model.balanced(), rtol=3e-3, steps=800)
    assert measured == pytest.approx(2 / model.sharpness_at_fit(model.balanced()), rel=6e-3)


# ------------------------------------------------------------------------------------------------- command line


def test_stability_as_json():
    found = as_json("stability", TWO_MINIMA, "--lr", "0.1,0.3,0.6", "--measure", "--thresholds")
    assert all(abs(t["measured"] - t["predicted"]) <= t["tolerance"] * t["predicted"] for t in found["thresholds"])
    assert [t["name"] for t in found["thresholds"]] == list(THRESHOLDS)
    assert [m["measured_lr"] for m in found["minima"]] == pytest.approx([0.5, 0.2], rel=2e-3)
    assert {"x", "sharpness", "critical_lr", "stable"} <= set(found["minima"][0])
    assert [m["critical_lr"] for m in found["minima"]] == pytest.approx([0.5, 0.2])
    assert [m["stable"] for m in found["minima"]] == [[True, True, False], [True, False, False]]


def test_descend_as_json():
    found = as_json("descend", "(1-x*y)^2/2", "--lr", "0.9,1.1,1.4,3", "--x0", "0.5,0.7")
    records = found["records"]
    keys = {"learning_rate", "fate", "period", "x", "sharpness", "multipliers", "lyapunov"}
    assert all(keys <= set(record) for record in records)
    assert [record["fate"] for record in records] == ["fixed-point", "periodic", "chaotic", "diverged"]
    assert records[0]["sharpness"] < 2 / 0.9 and len(records[1]["orbit"]) == records[1]["period"] == 2
    assert max(records[2]["lyapunov"]) > 0.3 and records[3]["sharpness"] is None


def test_descend_for_a_person_with_pictures(tmp_path):
    run_picture, basin_picture = tmp_path / "run.svg", tmp_path / "basins.png"
    done = cli("descend", "(0.5-x*y)^2/2+(x^2+y^2)/10", "--lr", "1", "--x0=-1,-1.2", "--plot", str(run_picture),
               "--basins", str(basin_picture), "--box", "-4:4,-4:4")  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "") and "fixed-point" in done.stdout
    assert run_picture.stat().st_size > 10_000 and basin_picture.read_bytes().startswith(b"\x89PNG")


def test_bifurcate_as_json_and_drawn(tmp_path):
    picture = tmp_path / "diagram.png"
    found = as_json("bifurcate", "(1-x^2)^2/4", "--lr", "0.7,1.1,1.25,1.4,2.5", "--x0", "0.3", "--plot", str(picture))
    records = found["records"]
    assert all({"learning_rate", "points", "period", "lyapunov"} <= set(record) for record in records)
    assert [record["period"] for record in records] == [1, 2, 4, None, None]
    assert [len(record["points"]) for record in records[:3]] == [1, 2, 4] and records[4]["points"] == []
    assert records[3]["lyapunov"] > 0.3 and records[4]["lyapunov"] is None
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_bifurcate_starts_at_the_flattest_minimum():
    from witten.cli.commands.bifurcate import _starts

    assert _starts(two_minima(), None, (0.1,)) == pytest.approx(np.array([[1.0]]), abs=0.01)
    assert _starts(two_minima(), ["2.5", "-1"], (0.1,)).tolist() == [[2.5, -1.0]]
    with pytest.raises(RequestError, match="2 coordinates"):
        _starts(two_minima(), ["1,2"], (0.1,))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("descend", "x^2", "--lr", "0.1,0.2", "--x0", "1", "--plot", "a.png"), "one learning rate"),
        (("bifurcate", "-x^2", "--lr", "0.1"), "no minimum"),
        (("descend", "log(x)^2", "--lr", "0.1", "--x0", "-1"), "not a number at the start (-1)"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(arguments, words):
    done = in_process(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and words in done.stderr


# ------------------------------------------------------------------------------------------------------ pictures


def test_pictures_are_refused_where_there_is_nothing():
    from witten.descent.bifurcation import bifurcation_diagram
    from witten.objectives.losses.factorisation import balanced_line

    with pytest.raises(RequestError, match="all runs diverge"):
        plot_bifurcation(bifurcation_diagram(balanced_line(), [2.5], [[0.3]]))


def test_points_of_few_learning_rates_can_be_seen_and_minus_infinity_too():
    from witten.descent.bifurcation import bifurcation_diagram
    from witten.objectives.losses.factorisation import balanced_line

    f = balanced_line()
    orbit, exponents = plot_bifurcation(bifurcation_diagram(f, [0.5, 0.9], [[0.9]], burn=100, keep=8)).axes
    assert orbit.lines[0].get_markersize() > 3
    (arrow,) = [line for line in exponents.lines if line.get_marker() == "v"]
    assert arrow.get_xydata().tolist() == [[0.5, -2.5]]
    many = plot_bifurcation(bifurcation_diagram(f, np.linspace(0.6, 0.9, 300), [[0.9]], burn=10, keep=8))
    assert not many.axes[0].lines and len(many.axes[0].collections) == 1  # as a density


def test_a_superstable_exponent_is_null_in_json_and_written_in_the_table():
    arguments = ("bifurcate", "(1-x^2)^2/4", "--lr", "0.5", "--x0", "0.9", "--steps", "100", "--points", "8")
    shown, told = cli(*arguments), in_process(*arguments, "--json")
    assert (shown.returncode, told.returncode) == (0, 0)
    assert "-inf" in shown.stdout and json.loads(told.stdout)["records"][0]["lyapunov"] is None


def test_pictures_of_any_dimension():
    from witten.descent.basins import basins
    from witten.descent.gradient_map import DescentMap
    from witten.objectives.losses.factorisation import deep_scalar, scalar_factorisation

    for depth in (2, 3):
        figure = plot_descent(DescentMap(deep_scalar(1.0, depth=depth), 0.1), np.full(depth, 0.5), 100)
        assert len(figure.axes) == 2
    found = basins(scalar_factorisation(1.0), 1.1, ((-2, 2), (-2, 2)), (32, 32))
    names = [text.get_text() for text in plot_basins(found).legends[0].get_texts()]
    assert any("(" in name for name in names)


def test_the_page_about_descent_lists_every_threshold():
    page = (Path(__file__).parents[1] / "docs" / "descent.md").read_text()
    for entry in THRESHOLDS.values():
        assert f"| `{entry.name}` | {entry.formula.replace('|', chr(92) + '|')} |" in page
        assert f"{entry.predict(**entry.parameters):.8g} | {entry.tolerance:g} |" in page


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_moves_the_threshold(alpha, nesterov):
    limit = stability_threshold(alpha, nesterov=nesterov)
    for s, grows in ((limit * (1 - 1e-6), False), (limit * (1 + 1e-6), True)):
        first = (1 - s) * (1 + alpha) if nesterov else 1 + alpha - s
        last = (1 - s) * alpha if nesterov else alpha
        assert (abs(np.roots([1, -first, last])).max() > 1) == grows
    found = stability("x^2/2", momentum=alpha, nesterov=nesterov)
    assert found.minima[0].critical_learning_rate == pytest.approx(limit)

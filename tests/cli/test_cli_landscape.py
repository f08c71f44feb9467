"""witten landscape and witten theory as their users meet them, and the pictures they draw."""

import json
import math

import numpy as np
import pytest
import xarray
from launcher import cli, in_process

import witten
from witten import plots
from witten.rates import RateCurve

FORBIDDEN = ("NaN", "Infinity")


def as_json(*arguments):
    done = in_process(*arguments, "--json")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.count("\n") == 1 and not any(word in done.stdout for word in FORBIDDEN)
    return json.loads(done.stdout)


def refused(*arguments, status=2):
    done = in_process(*arguments)
    assert (done.returncode, done.stdout) == (status, ""), done
    assert done.stderr.startswith("witten: ") and done.stderr.count("\n") == 1
    return done.stderr


def test_landscape_as_json():
    found = as_json("landscape", "mueller-brown")
    assert {"minima", "saddles", "others", "pairs", "barrier", "degenerate", "confining", "villani",
            "strong_convexity"} <= set(found)  # fmt: skip
    assert [len(found[key]) for key in ("minima", "saddles", "others", "pairs")] == [3, 2, 0, 3]
    assert set(found["minima"][0]) == {"x", "value", "curvatures"}
    assert found["minima"][1]["x"] == pytest.approx([0.6235, 0.0280], abs=1e-4)
    assert [z["connects"] for z in found["saddles"]] == [[1, 2], [0, 2]]
    first = found["pairs"][0]
    assert (first["minimum"], first["saddle"], first["barrier"]) == (0, None, None)
    assert found["barrier"] == pytest.approx(0.3375094030) == found["pairs"][1]["barrier"]
    assert found["degenerate"] is False and found["confining"] is True and found["strong_convexity"] is None


def test_landscape_with_one_minimum_has_no_barrier():
    found = as_json("landscape", "convex-quartic")
    assert found["barrier"] is None and found["strong_convexity"] == 1.0 and found["saddles"] == []


@pytest.mark.parametrize(
    ("formula", "confining"), [("log(1+x^2)", False), ("x^4", True), ("-x^2", False), ("abs(x)", True)]
)
def test_landscape_reports_and_never_refuses(formula, confining):
    found = as_json("landscape", formula)
    assert found["confining"] is confining and found["degenerate"] is (formula in ("x^4", "abs(x)"))


def test_landscape_in_a_box():
    found = as_json("landscape", "rastrigin", "--box", "-5.12:5.12,-5.12:5.12")
    assert len(found["minima"]) == 121 and found["search"]["complete"] is True


def test_landscape_for_a_person(tmp_path):
    picture = tmp_path / "picture.png"
    done = cli("landscape", "himmelblau", "--plot", str(picture))
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 minima, 4 saddles, 1 other" in done.stdout and "barrier H = 1.04015" in done.stdout
    assert "proved: there are no other critical points" in done.stdout and "confining yes (proved)" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("landscape", "himmelblua"), "himmelblau"),
        (("landscape", "himmelblau", "--box", "0:1"), "box"),
        (("landscape", "himmelblau", "--plot", "picture.gif"), "cannot write"),
        (("landscape", "3"), "constant"),
        (("theory", "double-well", "--lr", "-1"), "positive"),
        (("theory", "double-well"), "--lr"),
        (("theory", "x^4", "--lr", "0.1"), "degenerate minimum"),
        (("theory", "log(1+x^2)", "--lr", "0.1"), "not confining"),
        (("theory", "himmelblau", "--lr", "0.1", "--order", "2"), "2 dimensions"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(arguments, words):
    assert words in refused(*arguments)


def test_theory_as_json_at_every_size():
    found = as_json("theory", "shi-su-jordan", "--lr", "0.05,0.0001")
    assert {"barrier", "prefactor", "records"} <= set(found)
    assert found["barrier"] == pytest.approx(0.1093188456) and found["prefactor"] == pytest.approx(0.3479346925)
    usual, tiny = found["records"]
    assert usual["leading"] == pytest.approx([4.3928810e-3] * 2 + [8.7857621e-3], rel=1e-6)
    assert usual["log10_rates"] == pytest.approx(np.log10(usual["rates"]))
    assert tiny["rates"] == [None] * 3
    exact = math.log10(0.3479346925) - 2 * 0.10931884558483 / 1e-4 / math.log(10)
    assert tiny["log10_leading"][0] == pytest.approx(exact, abs=1e-8)


def test_theory_with_one_minimum():
    found = as_json("theory", "quadratic", "--lr", "0.1")
    assert found["barrier"] is None and found["prefactor"] is None
    assert found["records"][0]["learning_rate"] == 0.1 and found["records"][0]["rates"] == []
    assert "one minimum" in in_process("theory", "quadratic", "--lr", "0.1").stdout


def test_theory_for_a_person_saved_and_drawn(tmp_path):
    saved, picture, again = tmp_path / "law.nc", tmp_path / "law.png", tmp_path / "again.svg"
    done = cli("theory", "double-well", "--lr", "0.03:0.1:3", "-o", str(saved), "--plot", str(picture))
    assert done.returncode == 0 and len(done.stderr.splitlines()) == 1  # what is computed for the picture
    assert "barrier H = 0.25" in done.stdout and "1.676663e" not in done.stderr
    assert RateCurve.load(saved).method == "eyring-kramers" and picture.stat().st_size > 10_000
    assert in_process("plot", str(saved), "--plot", str(again)).returncode == 0 and again.exists()


def test_a_saved_law_holds_the_logarithms_of_all_rates(tmp_path):
    """Of both barriers, however far below the doubles the rates are; rates that no double holds are not zeros."""
    saved = tmp_path / "law.nc"
    wells = "x^2*(x^2-4)^2/40 - 1.2*exp(-4*x^2) - exp(-4*(x+2)^2) - 0.06*exp(-8*(x-2)^2)"
    found = as_json("theory", wells, "--lr", "0.0001,0.02", "-o", str(saved))["records"]
    assert found[0]["rates"] == [None, None] and found[1]["rates"][0] > 0
    for record, printed in zip(RateCurve.load(saved).records, found, strict=True):
        assert np.array(record.log_rates) / math.log(10) == pytest.approx(printed["log10_rates"], rel=1e-15)
    with xarray.open_dataset(saved) as dataset:
        assert dataset["log_rates"].values[0] == pytest.approx([-23796.86, -5838.78], abs=0.01)
        assert np.isnan(dataset["rates"].values[0]).all() and (dataset["rates"].values[1] > 0).all()


def test_orders_reach_the_law():
    found = as_json("theory", "double-well", "--lr", "0.01", "--order", "12")
    assert found["order"] == 12 and found["records"][0]["error"][0] < 1e-11
    assert found["records"][0]["rates"] == pytest.approx([8.6162007418561e-23], rel=1e-11)


def test_noise_and_box_reach_the_law():
    quiet = as_json("theory", "double-well", "--lr", "0.2")
    loud = as_json("theory", "double-well", "--lr", "0.05", "--noise", "2", "--box", "-3:3")
    assert loud["records"][0]["rates"] == pytest.approx(quiet["records"][0]["rates"])


# --------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("name", ["rugged", "six-hump-camel", "quadratic", "convex-quartic", "double-well:dim=3"])
def test_landscapes_are_drawn_in_every_dimension(name, tmp_path):
    landscape = witten.describe_landscape(name)
    figure = plots.plot_landscape(landscape, tmp_path / "picture.png")
    assert len(figure.axes) == 2
    assert (tmp_path / "picture.png").stat().st_size > 5000


def test_a_picture_shows_the_points_and_their_paths():
    landscape = witten.describe_landscape("himmelblau")
    view, tree = plots.plot_landscape(landscape).axes
    marked = {line.get_label(): line for line in view.lines if not line.get_label().startswith("_")}
    assert [len(marked[key].get_xdata()) for key in ("minima", "saddles of index 1", "other critical points")] == [
        4,
        4,
        1,
    ]
    paths = [np.array(line.get_data()) for line in view.lines if line.get_label().startswith("_")]
    assert len(paths) == 8
    minima = np.array([m.x for m in landscape.minima])
    assert all(np.linalg.norm(minima - path[:, -1], axis=1).min() < 1e-6 for path in paths)
    assert "1.04015" in tree.get_title()


def test_no_branch_of_the_tree_crosses_a_deeper_stem():
    landscape = witten.describe_landscape("rugged")
    (axes,) = plots.plot_barrier_tree(landscape).axes
    stems = [np.array(line.get_data()) for line in axes.lines if len(line.get_xdata()) > 1]
    for branch in stems:
        if branch.shape[1] == 3:
            (start, _, end), height = branch[0], branch[1, 2]
            for other in stems:
                x, low, high = other[0, 0], other[1, 0], other[1, 1]
                assert not (min(start, end) < x < max(start, end) and low < height < high - 1e-12)


def test_law_and_computed_rates_share_a_picture_with_their_ratio():
    s = np.array([0.04, 0.06, 0.1])
    law, computed = witten.eyring_kramers("double-well", s), witten.gap("double-well", s)
    above, below = plots.plot_law(law, computed).axes[:2]
    assert above.get_yscale() == "log"
    ratio = below.containers[0].lines[0].get_ydata()
    assert ratio == pytest.approx(computed.rates / law.rates) and (ratio < 1).all() and (np.diff(ratio) < 0).all()
    (band,) = below.collections[-1:]
    low, high = (np.exp(edge - law.log_rates) for edge in (law.lower, law.upper))
    edges = band.get_paths()[0].vertices[:, 1]
    assert edges.min() == pytest.approx(low.min()) and edges.max() == pytest.approx(high.max())
    assert (edges.min() < ratio).all()


def test_a_law_below_the_doubles_is_drawn_as_log10():
    axes = plots.plot_law(witten.eyring_kramers("double-well", np.geomspace(1e-4, 0.1, 5))).axes[0]
    assert axes.get_yscale() == "linear" and "log_{10}" in axes.get_ylabel()


def test_there_is_no_picture_of_a_law_with_one_minimum():
    with pytest.raises(witten.RequestError, match="one minimum"):
        plots.plot_law(witten.eyring_kramers("quadratic", 0.1))
    with pytest.raises(witten.RequestError, match="no minimum"):
        plots.plot_landscape(witten.describe_landscape("x^2-y^2"))


def test_landscape_under_noise_with_a_covariance():
    found = as_json("landscape", "(x^2-1)^2/4", "--covariance", "1 + tanh(2*x)/2")["exits"]
    assert [way["quasi_potential"] for way in found] == pytest.approx([0.805424, 0.368352], abs=1e-5)
    assert as_json("landscape", "x^2/2", "--covariance", "1+x^2")["exits"] == []
    assert "exits" not in as_json("landscape", "x^2/2")
    assert "not positive definite at" in refused("landscape", "(x^2-1)^2/4", "--covariance", "x^2")

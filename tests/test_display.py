"""Results show themselves: in a line, as a table with bars, as a picture; and are compared and indexed."""

import copy
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

import witten
from witten.display import MOST_ROWS, Displayed, Table, same
from witten.rates import RateCurve, RateRecord
from witten.rates.ratio import RateRatio


@pytest.fixture(scope="module")
def curve() -> RateCurve:
    return witten.gap("double-well", (1e-4, 0.05, 0.1))


@pytest.fixture(scope="module")
def spectrum() -> witten.Spectrum:
    return witten.spectrum("x^2/2", 0.1, 3)


def html(shown) -> ElementTree.Element:
    """The HTML of a result, which must be well formed."""
    return ElementTree.fromstring(f"<div>{shown._repr_html_()}</div>")


def test_a_curve_in_a_line(curve):
    assert repr(curve).startswith("<RateCurve double-well, finite-differences, 3 learning rates: 1.51678")
    assert "e-2172 at s = 0.0001 to 0.0027761" in repr(curve) and len(repr(curve)) < 150
    unknown = replace(curve, records=(*curve.records, RateRecord.empty(0.2, "why not")))
    assert "4 learning rates, 1 unresolved: 1.51678" in repr(unknown)
    assert repr(RateCurve((), "m", "f" * 200)).endswith("…, m, 0 learning rates>")


def test_a_record_in_a_line(curve):
    assert repr(curve[0.1]).startswith("<RateRecord 0.0027761") and " at s = 0.1, " in repr(curve[0.1])
    assert len(repr(curve[0.1])) < 80 and "array" not in repr(curve[0.1])
    assert repr(RateRecord.empty(0.2)) == "<RateRecord unresolved at s = 0.2, not computed>"


def test_a_spectrum_in_a_line(spectrum):
    assert repr(spectrum).startswith("<Spectrum x^2/2, s = 0.1, ") and ": rates 0, 1.000" in repr(spectrum)
    assert len(repr(spectrum)) < 150


def test_a_landscape_in_a_line():
    wells = witten.describe_landscape("double-well")
    assert repr(wells) == "<Landscape double-well: 2 minima, 1 saddle of index 1, H = 0.25>"
    assert [cell.text for cell in html(wells).iter("td")][:3] == ["0", "(-1)", "0"]
    heights = [cell.text for cell in html(witten.describe_landscape("himmelblau")).iter("td")][2::5]
    assert heights == ["0"] * 4  # and not 8e-33, which is rounding
    assert repr(witten.describe_landscape("x^2/2")) == "<Landscape x^2/2: 1 minimum, 0 saddles of index 1, no barrier>"


def test_tables_have_a_bar_for_each_rate_that_is_known(curve, spectrum):
    unknown = replace(curve, objective="a < b & c", records=(*curve.records, RateRecord.empty(0.2, "why not")))
    page = html(unknown)
    assert len(list(page.iter("tr"))) == 5 and len(list(page.iter("svg"))) == 3
    assert "a < b & c" in page[0].text and "unresolved" in [cell.text for cell in page.iter("td")]
    left, middle, right = (float(dot.get("cx")) for dot in page.iter("circle"))
    assert left < 10 < 100 < middle < right
    assert len(list(html(spectrum).iter("svg"))) == 3


def test_long_tables_end():
    class Long(Displayed):
        summary = "long"

        def table(self):
            return Table(("a",), [(str(i),) for i in range(MOST_ROWS + 3)])

    page = html(Long())
    assert len(list(page.iter("td"))) == MOST_ROWS and page[-1].text == "and 3 more"


def test_a_curve_holds_its_records(curve):
    assert len(curve) == 3 and list(curve) == list(curve.records)
    assert curve[0.05] is curve.records[1] and curve[0.1 * (1 + 1e-15)] is curve.records[2]
    assert 0.1 in curve and 0.3 not in curve and "0.1" not in curve
    with pytest.raises(KeyError, match="no learning rate 0.3 here; there are 0.0001, 0.05, 0.1"):
        curve[0.3]


def test_what_holds_the_same_is_equal(curve, spectrum, tmp_path):
    curve.save(tmp_path / "curve.nc")
    assert RateCurve.load(tmp_path / "curve.nc") == curve and hash(copy.deepcopy(curve)) == hash(curve)
    empty = replace(curve, records=(RateRecord.empty(0.2),))  # nan is nan
    assert copy.deepcopy(empty) == empty != curve and curve != replace(curve, method="another")
    assert copy.deepcopy(spectrum) == spectrum != replace(spectrum, modes=spectrum.modes[:, ::-1].copy())
    assert curve != spectrum and curve != 0.1
    assert same((1, np.nan, np.array([np.nan, 1.0])), (1, np.nan, np.array([np.nan, 1.0])))
    assert not same((1,), [1]) and not same(np.zeros(2), np.zeros(3)) and not same(1.0, "1")


def test_one_curve_over_another(tmp_path):
    """Rates of any size, in the order of the learning rates, where both have them; bars hold the true ratio."""
    a = RateCurve([record(0.2, -3.0, 0.1), record(0.1, -5000.0, 0.01), record(0.4, -1.0, 0.1)], "one", "f")
    others = record(0.1, -5000.5, 0.02), record(0.2, -3.0, 0.3), RateRecord.empty(0.4), record(1.0, 0, 1)
    b = RateCurve(others, "two", "f")
    ratio = a / b
    assert ratio.learning_rates.tolist() == [0.1, 0.2, 0.4] and ratio.resolved.tolist() == [True, True, False]
    assert np.allclose(ratio.log_ratios, [0.5, 0.0, np.nan], equal_nan=True)
    assert np.allclose(ratio.lower, [0.47, -0.4, np.nan], equal_nan=True)
    assert np.allclose(ratio.upper, [0.53, 0.4, np.nan], equal_nan=True)
    assert np.allclose(ratio.log_ratios, -(b / a).log_ratios, equal_nan=True)
    assert repr(ratio) == "<RateRatio f (one) / f (two): 1.65(6) at s = 0.1 to 1.0(5) at s = 0.2, 1 unresolved>"
    assert ratio.to_pandas().loc[0.2, "ratios"] == 1.0 and len(list(html(ratio).iter("svg"))) == 2
    assert (a / a).ratios.tolist() == [1.0, 1.0, 1.0]
    ratio.plot(tmp_path / "ratio.png")
    assert (tmp_path / "ratio.png").stat().st_size > 5000


def test_what_has_no_ratio(curve):
    with pytest.raises(witten.RequestError, match="no learning rate in common"):
        curve / replace(curve, records=[RateRecord.empty(0.3)])
    with pytest.raises(witten.RequestError, match="exclude each other"):
        replace(curve, records=[record(0.1, 0, 0.1), record(0.1, 1, 0.1)]) / curve
    with pytest.raises(TypeError):
        curve / 2
    with pytest.raises(witten.RequestError, match="no learning rate where both rates are resolved"):
        (curve / replace(curve, records=[RateRecord.empty(0.1)])).plot()


def record(s, log_rate, error):
    return RateRecord(s, log_rate, log_rate - error, log_rate + error, True, "hand", 1, 0.0)


def test_as_data_frames(curve, spectrum):
    frame = curve.to_pandas()
    assert frame.index.name == "learning_rate" and frame["log_rate"].tolist() == curve.log_rates.tolist()
    assert frame.loc[0.1, "rate"] == curve[0.1].rate and np.isnan(frame.loc[1e-4, "rate"])
    assert spectrum.to_pandas()["rates"].tolist() == spectrum.rates.tolist()
    assert spectrum.to_dataset(witten.gallery.quadratic())["rate"].values.tolist() == spectrum.rates.tolist()


def test_results_draw_themselves(curve, spectrum, tmp_path):
    found = witten.committor("double-well", 0.2, (-1.0,), (1.0,), rtol=1e-2)
    risk = witten.excess_risk("x^2/2", "0.1:50", (1.0,))
    modes = spectrum.plot(objective=witten.gallery.quadratic())
    shown = [curve.plot(tmp_path / "a.png"), modes, found.plot(), risk.plot()]
    assert (tmp_path / "a.png").stat().st_size > 5000
    for figure in (*shown, witten.describe_landscape("double-well").plot()):
        assert figure._repr_png_().startswith(b"\x89PNG")
    (q,) = (line for line in found.plot().axes[1].lines if len(line.get_ydata()) > 10)
    assert np.nanmin(q.get_ydata()) == 0.0 and np.nanmax(q.get_ydata()) == 1.0


def test_every_result_names_a_picture():
    from witten import plots
    from witten.annealing.experiment import Comparison
    from witten.descent.basins import Basins
    from witten.descent.bifurcation import Diagram
    from witten.gap_plane import Plane
    from witten.risk import RiskCurve
    from witten.validation import Validation

    results = RateCurve, witten.Spectrum, witten.Committor, witten.Landscape, witten.Explanation, RiskCurve, Validation
    for result in (*results, RateRatio, Diagram, Basins, Plane, Comparison):
        assert issubclass(result, Displayed) and callable(getattr(plots, result.picture))
    with pytest.raises(AttributeError, match="no attribute 'plot_all'"):
        plots.plot_all  # noqa: B018


def test_objectives_are_typeset():
    f = witten.Objective.from_formula("(x^2-1)^2/4 + cos(y)*abs(x)", name="mine")
    assert repr(f) == "<Objective mine: (x^2 - 1)^2/4 + cos(y)*abs(x), d = 2>"
    assert r"f(x, y) = \frac{\left(x^{2} - 1\right)^{2}}{4}" in f._repr_latex_() and r"\cos" in f._repr_latex_()
    g = witten.Objective.from_callable(lambda x: x[0] ** 2, 1, name="g")
    assert repr(g) == "<Objective g: a Python function, d = 1>" and g._repr_latex_() is None
    assert witten.gallery.quadratic(dim=100)._repr_latex_() is None

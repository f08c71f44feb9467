"""Pictures: they are drawn, say what they should, and are written whole or not at all."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest

import witten
from witten import Grid, plots
from witten.errors import ConvergenceError, RequestError
from witten.io import spectrum_dataset
from witten.rates import RateCurve, RateRecord
from witten.spectra.spectrum import Spectrum

HEADS = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}


def curve(learning_rates, log_rates, bar=1e-6, resolved=True):
    s, y = np.asarray(learning_rates, float), np.asarray(log_rates, float)
    rows = zip(s, y, np.broadcast_to(resolved, s.shape), strict=True)
    records = [RateRecord(a, b, b - bar, b + bar, flag, "test", 1, 0.0) for a, b, flag in rows]
    return RateCurve(records, "finite-differences", "double-well")


def well(bar=1e-6, smallest=0.02, **options):
    s = np.geomspace(smallest, 0.5, 9)
    return curve(s, math.log(0.45) - 0.5 / s, bar, **options)


def spectrum(dimension, k=3):
    grid = Grid.uniform([(-1.5, 1.0)] * dimension, 8)
    mask = grid.expand(np.sum(grid.points**2, axis=0)) < 1.5
    grid = Grid(grid.box, grid.shape, mask)
    modes = np.array([grid.points[0] ** j for j in range(k)])
    rates = np.arange(k) * 0.5
    return Spectrum(0.2, rates, 1e-6 * rates, modes, grid, "bowl", "dense", grid.n_nodes, 0.1)


def bowl(x):
    return np.sum(x**2, axis=0)


def legend(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


@pytest.mark.parametrize("suffix", HEADS)
def test_pictures_are_written_by_suffix(tmp_path, suffix):
    path = tmp_path / f"picture{suffix}"
    plots.plot_curve(well(), path)
    assert path.read_bytes().startswith(HEADS[suffix])
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("name", ["picture.gif", "picture", "missing/picture.png"])
def test_other_names_are_refused(tmp_path, name):
    with pytest.raises(RequestError, match="cannot write"):
        plots.plot_curve(well(), tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(ConvergenceError, match="No space left"):
        plots.plot_curve(well(), path)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["picture.png"]


def test_the_law_is_drawn_with_its_barrier():
    figure = plots.plot_curve(well())
    assert figure.axes[0].get_yscale() == "log"
    points, law = legend(figure)
    assert points == "finite differences, error bars smaller than the points"
    assert "H=0.25" in law


def test_no_law_is_drawn_where_there_is_no_barrier():
    s = np.geomspace(0.02, 0.5, 9)
    assert len(legend(plots.plot_curve(curve(s, np.zeros(9))))) == 1
    assert len(legend(plots.plot_curve(curve([0.1], [-6.0])))) == 1


def test_wide_error_bars_are_not_said_to_be_small():
    assert "smaller" not in legend(plots.plot_curve(well(bar=2.0)))[0]


def test_unresolved_points_are_hollow_and_not_joined():
    figure = plots.plot_curve(well(resolved=np.arange(9) >= 2))
    assert "unresolved: the rate lies below" in legend(figure)
    (hollow,) = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert hollow.get_linestyle() == "None" and len(hollow.get_xdata()) == 2


def test_only_unresolved_points_can_be_drawn(tmp_path):
    bounds = [(0.1, -40.0, -math.inf, -39.0), (0.2, math.nan, -math.inf, -38.0)]
    low = RateCurve([RateRecord(*bound, False, "test", 1, 0.0) for bound in bounds], "fd", "x")
    plots.plot_curve(low, tmp_path / "low.png")


def test_rates_below_the_doubles_are_drawn_as_log10():
    axes = plots.plot_curve(well(smallest=1e-4)).axes[0]
    assert axes.get_yscale() == "linear" and "log_{10}" in axes.get_ylabel()
    assert axes.get_ylim()[0] < -2000


def test_the_upper_axis_counts_in_learning_rates_that_do_not_overlap():
    figure = plots.plot_curve(well())
    figure.canvas.draw()
    labels = figure.axes[0].child_axes[0].get_xticklabels()
    assert {"0.02", "0.5"} <= {label.get_text() for label in labels}
    boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.x0)
    assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:], strict=False))


def test_an_empty_curve_is_refused():
    with pytest.raises(RequestError, match="nothing to plot"):
        plots.plot_curve(curve([], []))


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("objective", [bowl, None])
def test_spectra_are_drawn_in_every_dimension(tmp_path, dimension, objective):
    plots.plot_spectrum(spectrum(dimension), objective, tmp_path / "modes.png")
    assert (tmp_path / "modes.png").stat().st_size > 5000


def test_a_saved_spectrum_is_drawn_like_a_fresh_one(tmp_path):
    spectrum_dataset.save_spectrum(spectrum(2), tmp_path / "modes.nc", bowl)
    figure = plots.plot_dataset(spectrum_dataset.load_spectrum(tmp_path / "modes.nc"))
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[1] == r"$\lambda_{1} = 0.5$" and "Gibbs" in titles[0]


@pytest.mark.parametrize("k", [1, 2, 5, 14])
def test_any_number_of_modes_is_laid_out(k):
    for dimension in (1, 2):
        plots.plot_spectrum(spectrum(dimension, k), bowl).canvas.draw()


def test_unresolved_modes_are_said_to_be():
    vague = spectrum(2)
    object.__setattr__(vague, "relative_errors", np.array([0.0, 0.4, 0.4]))
    titles = [axes.get_title() for axes in plots.plot_spectrum(vague, bowl).axes]
    assert titles[1] == r"$\lambda_{1}$ unresolved"


def test_importing_the_modules_loads_neither_matplotlib_nor_xarray():
    heavy = {"matplotlib", "xarray", "h5netcdf"}
    code = f"import sys, witten.plots, witten.sweeps; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def ticks(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


def test_a_short_log_axis_has_numbers_and_both_ends():
    """A range of 0.2 to 0.5 holds no power of ten."""
    s = np.array([0.2, 0.3, 0.47])
    figure = plots.plot_chain(curve(s, np.log([0.03, 0.1, 0.3])), curve(s, np.log([0.03, 0.08, 0.2])))
    figure.canvas.draw()
    rates, ratio = figure.axes
    assert {"0.2", "0.47"} <= set(ticks(ratio.xaxis)) and len(ticks(ratio.xaxis)) >= 4
    assert {"$0.05$", "$0.1$", "$0.2$"} <= set(ticks(rates.yaxis))


def test_one_attractor_has_one_colour_and_shades_are_explained():
    """`labels` may give an attractor two numbers, where ends of runs lie at the edge of one of its cells."""
    from witten.descent.basins import basins

    found = basins(witten.gallery.himmelblau(), 0.3, ((-4.7, 5.3), (-4.8, 5.2)), (24, 24))
    figure = plots.plot_basins(found)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(set(names)) == len(names) == 5 and "steps or fewer" in names[-1]
    colours = {handle.get_color() for handle in figure.legends[0].legend_handles[:4]}
    assert len(colours) == 4


def test_a_landscape_names_its_paths_and_levels_and_has_a_view_in_space():
    plane = plots.plot_landscape(witten.describe_landscape("himmelblau"))
    assert {"paths over the barriers", "other paths downhill"} <= set(legend(plane))
    assert len(plane.axes[0].texts) >= 4 + 4 + 3  # numbers of points, and some of levels
    low, high = plane.axes[1].get_ylim()
    assert high < 1.25 * 1.0401516  # no empty half above the highest join
    space = plots.plot_landscape(witten.describe_landscape("double-well:dim=3,tilt=0.05"))
    assert legend(space) == ["saddle 0: minima 0 and 1"] and len(space.axes) == 2
    low, high = (min(space.axes[0].texts, key=lambda text, x=x: abs(text.xy[0] - x)) for x in (-1.0, 1.0))
    assert {low.get_text(), high.get_text()} == {"0", "1"}  # both ends of the path are named


def test_a_spectrum_is_drawn_over_its_objective_without_being_given_it():
    plane = witten.spectrum("x^2/2 + y^2", 0.5, 2, rtol=1e-2)
    axes = plane.plot().axes
    assert "Gibbs" in axes[0].get_title() and axes[1].collections  # level lines
    assert "objective" in plane.to_dataset()


def test_a_title_says_what_noise_and_momentum_a_curve_was_asked_with():
    from dataclasses import replace

    from witten.plots.rates.curves import heading

    plain = curve([0.1], [0.5])
    asked = replace(plain, options={"noise": 2.0, "momentum": 0.5, "covariance": "loss:c=1"})
    assert heading(plain) == plain.objective
    assert heading(asked) == rf"{plain.objective}, noise loss:c=1, $\sigma = 2$, momentum 0.5"


def test_modes_end_at_a_level_line_and_not_at_cells():
    (image,) = plots.plot_spectrum(spectrum(2), bowl).axes[1].images
    edge = image.get_clip_path().get_fully_transformed_path().vertices
    assert len(edge) > 20  # 8 x 8 cells end in fewer corners


def test_a_chaotic_run_is_no_solid_block():
    from witten import DescentMap

    f = witten.Objective.from_formula("(1-x^2)^2/4")
    figure = plots.plot_descent(DescentMap(f, 1.8), np.array([0.3]), 2000)
    joined, late = figure.axes[0].lines
    assert len(joined.get_xdata()) == 30 and late.get_linestyle() == "None"

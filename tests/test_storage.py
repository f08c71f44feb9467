"""Files: whole or not at all, never over something else's, and sweeps that go on where they stopped."""

import errno
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import xarray

from witten import Grid, files, storage
from witten.descent.bifurcation import Diagram, bifurcation_diagram
from witten.errors import ConvergenceError, RequestError
from witten.objectives import resolve
from witten.rates import RateCurve, RateRecord
from witten.risk import RiskCurve, excess_risk
from witten.spectra.spectrum import Spectrum

OPTIONS = {"rtol": 1e-4, "noise": 1.0, "box": None}
REQUEST = {"method": "finite-differences", "objective": "double-well"}


def record(learning_rate, log_rate=-2.0):
    return RateRecord(learning_rate, log_rate, log_rate - 1e-5, log_rate + 1e-5, True, "dense", 64, 0.5, (0.1,))


def curve(*learning_rates):
    return RateCurve.from_records([record(s) for s in learning_rates], options=OPTIONS, **REQUEST)


def spectrum(shape=(6, 5), mask=None):
    grid = Grid.uniform([(-1.0, 1.0)] * len(shape), shape)
    if mask is not None:
        grid = Grid(grid.box, grid.shape, mask(grid))
    modes = np.array([np.ones(grid.n_nodes), grid.points[0]])
    return Spectrum(0.1, np.array([0.0, 0.5]), np.array([0.0, 1e-6]), modes, grid, "test", "dense", grid.n_nodes, 0.1)


def bowl(x):
    return np.sum(x**2, axis=0)


# ---------------------------------------------------------------------------------------- whole or not at all
def test_a_write_replaces_the_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.bin"
    for data in (b"one", b"two"):
        files.write_bytes(path, data)
        assert path.read_bytes() == data
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch, step, code):
    path = tmp_path / "curve.nc"
    curve(0.1).save(path)
    before = path.read_bytes()

    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, step, refuse)
    with pytest.raises(ConvergenceError, match=os.strerror(code)):
        curve(0.1, 0.2).save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["curve.nc"]


def test_a_write_that_is_interrupted_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "curve.nc"
    curve(0.1).save(path)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        curve(0.1, 0.2).save(path)
    monkeypatch.undo()
    assert RateCurve.load(path).learning_rates.tolist() == [0.1]
    assert os.listdir(tmp_path) == ["curve.nc"]


def test_what_a_killed_run_left_is_overwritten(tmp_path):
    (tmp_path / ".curve.nc.part").write_bytes(b"half of a file")
    storage.check_output(tmp_path / "curve.nc", "rate-curve")
    curve(0.1).save(tmp_path / "curve.nc")
    assert os.listdir(tmp_path) == ["curve.nc"]


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "curve.nc").symlink_to(tmp_path / "real" / "curve.nc")
    curve(0.1).save(tmp_path / "curve.nc")
    assert (tmp_path / "curve.nc").is_symlink()
    assert RateCurve.load(tmp_path / "real" / "curve.nc").learning_rates.tolist() == [0.1]


# ------------------------------------------------------------------------------------------------ check_output
def test_check_output_leaves_no_trace(tmp_path):
    storage.check_output(tmp_path / "curve.nc", "rate-curve")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["curve.txt", "curve", "missing/curve.nc", "directory.nc"])
def test_check_output_refuses_places_that_cannot_be_written(tmp_path, name):
    (tmp_path / "directory.nc").mkdir()
    with pytest.raises(RequestError, match="cannot write"):
        storage.check_output(tmp_path / name, "rate-curve")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_check_output_refuses_a_directory_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(RequestError, match="cannot write"):
        storage.check_output(tmp_path / "curve.nc", "rate-curve")


def test_nothing_of_somebody_else_is_overwritten(tmp_path):
    text = tmp_path / "notes.nc"
    text.write_text("my notes")
    foreign = tmp_path / "weather.nc"
    xarray.Dataset({"t": ("x", [1.0])}).to_netcdf(foreign, engine="h5netcdf")
    empty = tmp_path / "empty.nc"
    empty.touch()
    for path in (text, foreign, empty):
        before = path.read_bytes()
        with pytest.raises(RequestError, match="not a witten result"):
            curve(0.1).save(path)
        assert path.read_bytes() == before


def test_a_result_of_another_kind_is_not_overwritten(tmp_path):
    path = tmp_path / "result.nc"
    curve(0.1).save(path)
    with pytest.raises(RequestError, match="holds a rate curve, not a spectrum"):
        storage.save_spectrum(spectrum(), path, bowl)
    with pytest.raises(RequestError, match="holds a rate curve, not a spectrum"):
        storage.load_spectrum(path)


# ------------------------------------------------------------------------------------------------------ sweeps
def opened(path, learning_rates, resume=True, objective="double-well", method="finite-differences", **options):
    return storage.open_sweep(path, resume, objective, method, {**OPTIONS, **options}, learning_rates)


def test_a_sweep_without_a_file_repeats_nothing(tmp_path):
    assert opened(None, [0.1], resume=False) == []
    assert opened(tmp_path / "new.nc", [0.1]) == []


def test_resume_without_a_file_is_refused():
    with pytest.raises(RequestError, match="nothing to resume"):
        opened(None, [0.1])


def test_resume_reuses_exactly_what_is_there(tmp_path):
    path = tmp_path / "curve.nc"
    third = 0.1 + 0.2  # not 0.3
    curve(third, 0.1).save(path)
    assert opened(path, [0.1, 0.2, third]) == [record(0.1), record(third)]
    assert opened(path, [0.1, third], resume=False) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rtol": 1e-6}, "made with rtol 0.0001, now it is 1e-06"),
        ({"seed": 3}, "made with seed 0, now it is 3"),
        ({"noise": 2.0}, "made with noise 1.0, now it is 2.0"),
        ({"box": [[-2.0, 2.0]]}, r"made with box unset, now it is \[\[-2.0, 2.0\]\]"),
        ({"objective": "quadratic"}, "made with objective double-well, now it is quadratic"),
        ({"method": "finite-elements"}, "made with method finite-differences"),
        ({"degree": 3}, "made with degree unset, now it is 3"),
    ],
)
def test_resume_says_which_option_differs(tmp_path, changed, message):
    path = tmp_path / "curve.nc"
    curve(0.1).save(path)
    with pytest.raises(RequestError, match=message):
        opened(path, [0.1], **changed)


def test_resume_does_not_lose_learning_rates(tmp_path):
    path = tmp_path / "curve.nc"
    curve(0.1, 0.05).save(path)
    with pytest.raises(RequestError, match=r"holds learning rate 0\.05, which is not asked for"):
        opened(path, [0.1, 0.2])
    assert RateCurve.load(path).learning_rates.tolist() == [0.1, 0.05]


def test_a_save_under_way_keeps_what_an_earlier_run_left(tmp_path):
    path = tmp_path / "curve.nc"
    kept = [record(0.3), record(0.1)]
    storage.save_sweep(path, [record(0.1), record(0.2)], kept, options=OPTIONS, **REQUEST)
    assert RateCurve.load(path).learning_rates.tolist() == [0.1, 0.2, 0.3]


# ---------------------------------------------------------------------------------------------------- spectra
@pytest.mark.parametrize("shape", [(7,), (6, 5), (4, 3, 5)])
def test_a_spectrum_keeps_rates_modes_and_measure(tmp_path, shape):
    found = spectrum(shape, mask=lambda grid: grid.expand(bowl(grid.points)) < 1.2)
    storage.save_spectrum(found, tmp_path / "modes.nc", bowl, options={"rtol": 1e-4})
    with xarray.open_dataset(tmp_path / "modes.nc") as loaded:
        assert loaded["modes"].dims == ("mode", *"xyz"[: len(shape)])
        np.testing.assert_array_equal(loaded["modes"].values, found.grid.expand(found.modes))
        np.testing.assert_array_equal(loaded["rate"].values, found.rates)
        np.testing.assert_array_equal(loaded["eigenvalue"].values, found.eigenvalues)
        np.testing.assert_allclose(loaded["objective"].values, found.grid.expand(bowl(found.grid.points)))
        cell = np.prod(found.grid.spacing)
        assert math.isclose(float(np.nansum(loaded["gibbs_density"])) * cell, 1.0, rel_tol=1e-12)
        assert all({"long_name", "units"} <= set(loaded[axis].attrs) for axis in "xyz"[: len(shape)])
    again = storage.load_spectrum(tmp_path / "modes.nc")
    assert again.attrs["learning_rate"] == 0.1 and again.attrs["witten_kind"] == "spectrum"


def test_noise_widens_the_gibbs_density():
    quiet, noisy = spectrum((40,)), spectrum((40,))
    object.__setattr__(noisy, "noise", 2.0)
    peaks = [float(np.nanmax(storage.spectrum_dataset(each, bowl)["gibbs_density"])) for each in (quiet, noisy)]
    assert peaks[0] == pytest.approx(2 * peaks[1], rel=0.05)


def test_a_broken_spectrum_is_refused(tmp_path):
    xarray.Dataset(attrs={"witten_kind": "spectrum"}).to_netcdf(tmp_path / "modes.nc", engine="h5netcdf")
    with pytest.raises(RequestError, match="not a whole spectrum"):
        storage.load_spectrum(tmp_path / "modes.nc")


# ---------------------------------------------------------------------------------------- risks and orbit diagrams
def test_an_excess_risk_comes_back_as_it_was(tmp_path):
    path = tmp_path / "risk.nc"
    before = excess_risk("double-well:tilt=0.1", "0.2:30,cosine:0.1:20", 1.0)
    before.save(path)
    after = RiskCurve.load(path)
    for name in ("steps", "time", "learning_rate", "excess_risk", "plateau", "lower", "upper", "start"):
        assert np.array_equal(getattr(after, name), getattr(before, name)), name
    assert after.schedule == before.schedule and after.details == before.details
    assert (after.method, after.objective) == ("chain", before.objective)
    with xarray.open_dataset(path) as plain:
        assert plain["excess_risk"].attrs["long_name"] and plain.attrs["schedule"] == "0.2:30,cosine:0.1:20"


def test_an_orbit_diagram_comes_back_as_it_was(tmp_path):
    path = tmp_path / "orbits.nc"
    before = bifurcation_diagram(resolve("(1-x^2)^2/4"), [0.9, 1.1, 5.0], [[0.3, -0.2]], burn=200, keep=16)
    before.save(path)
    after = Diagram.load(path)
    for name in ("learning_rates", "points", "exponents", "periods"):
        assert np.array_equal(getattr(after, name), getattr(before, name), equal_nan=True), name
    assert after.objective == before.objective and after.dimension == 1 and -1 in after.periods


def test_results_of_one_kind_are_not_read_or_overwritten_as_another(tmp_path):
    path = tmp_path / "a.nc"
    curve(0.1).save(path)
    for load in (RiskCurve.load, Diagram.load):
        with pytest.raises(RequestError, match="holds a rate curve"):
            load(path)
    with pytest.raises(RequestError, match="it holds a rate curve, not an excess risk"):
        excess_risk("quadratic", "0.1:5", 1.0).save(path)


def test_the_commands_that_save_them_and_draw_them_again(tmp_path):
    risk, orbits = tmp_path / "risk.nc", tmp_path / "orbits.nc"
    jobs = (
        (risk, ("risk", "quadratic", "--schedule", "0.1:20", "--x0", "1")),
        (orbits, ("bifurcate", "(1-x^2)^2/4", "--lr", "0.9:1.5:5", "--x0", "0.3")),
    )
    for path, arguments in jobs:
        for command in ((*arguments, "-o", str(path), "--json"), ("plot", str(path), "--json")):
            words = [sys.executable, "-m", "witten", *command]
            done = subprocess.run(words, capture_output=True, text=True, timeout=90)
            assert (done.returncode, done.stderr) == (0, ""), done
        assert path.with_suffix(".png").stat().st_size > 5000

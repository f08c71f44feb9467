"""Files: whole or not at all, never over something else's, and sweeps that go on where they stopped."""

import errno
import fcntl
import math
import os

import numpy as np
import pytest
import xarray
from launcher import cli, in_process

import witten
from witten import Grid
from witten.descent.bifurcation import Diagram, bifurcation_diagram
from witten.dynamics.simulation import simulate_rate
from witten.errors import ConvergenceError, RequestError
from witten.io import atomic_files, netcdf, spectrum_dataset
from witten.objectives import Objective, resolve
from witten.objectives.fingerprint import fingerprint
from witten.parallel import Communicator
from witten.rates import CurveSet, RateCurve, RateRecord, SampledRate
from witten.risk import RiskCurve, excess_risk
from witten.spectra.spectrum import Spectrum
from witten.sweeps import Part, Sweep

OPTIONS = {"rtol": 1e-4, "noise": 1.0, "box": None}
REQUEST = {"method": "finite-differences", "objective": "double-well"}


def record(learning_rate, log_rate=-2.0):
    return RateRecord(learning_rate, log_rate, log_rate - 1e-5, log_rate + 1e-5, True, "dense", 64, 0.5, (log_rate,))


def curve(*learning_rates):
    return RateCurve([record(s) for s in learning_rates], options=OPTIONS, **REQUEST)


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
        atomic_files.write_bytes(path, data)
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
    netcdf.check_output(tmp_path / "curve.nc", "rate-curve")
    curve(0.1).save(tmp_path / "curve.nc")
    assert os.listdir(tmp_path) == ["curve.nc"]


def test_a_file_is_read_while_its_writer_holds_the_lock(tmp_path):
    path = tmp_path / "curve.nc"
    curve(0.1, 0.2).save(path)
    with open(path, "ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert len(RateCurve.load(path).records) == 2


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "curve.nc").symlink_to(tmp_path / "real" / "curve.nc")
    curve(0.1).save(tmp_path / "curve.nc")
    assert (tmp_path / "curve.nc").is_symlink()
    assert RateCurve.load(tmp_path / "real" / "curve.nc").learning_rates.tolist() == [0.1]


# ------------------------------------------------------------------------------------------------ check_output
def test_check_output_leaves_no_trace(tmp_path):
    netcdf.check_output(tmp_path / "curve.nc", "rate-curve")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["curve.txt", "curve", "missing/curve.nc", "directory.nc"])
def test_check_output_refuses_places_that_cannot_be_written(tmp_path, name):
    (tmp_path / "directory.nc").mkdir()
    with pytest.raises(RequestError, match="cannot write"):
        netcdf.check_output(tmp_path / name, "rate-curve")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_check_output_refuses_a_directory_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(RequestError, match="cannot write"):
        netcdf.check_output(tmp_path / "curve.nc", "rate-curve")


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
        spectrum_dataset.save_spectrum(spectrum(), path, bowl)
    with pytest.raises(RequestError, match="holds a rate curve, not a spectrum"):
        spectrum_dataset.load_spectrum(path)


# ------------------------------------------------------------------------------------------------------ sweeps
def opened(path, learning_rates, resume=True, objective="double-well", method="finite-differences", **options):
    part = Part(None, method, {**OPTIONS, **options})
    sweep = Sweep(objective, {"": part}, learning_rates, Communicator(), path)
    sweep.open(resume)
    return list(sweep.curve().records)


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
    curve(0.3, 0.1).save(path)
    done = []
    part = Part(lambda s, group: record(s), REQUEST["method"], OPTIONS)
    asked, name = [0.1, 0.2, 0.4, 0.3], REQUEST["objective"]
    sweep = Sweep(name, {"": part}, asked, Communicator(), path, stop=lambda: "no" if done else None)
    sweep.progress = lambda name, each: done.append(each) if each.learning_rate == 0.2 else None
    sweep.open(resume=True)
    assert sweep.run() == "no"
    assert RateCurve.load(path).learning_rates.tolist() == [0.1, 0.2, 0.3]


MODULE = """
import numpy as np
import witten

SCALE = {scale}
formula = witten.Objective.from_formula("(x^2-1)^2/{scale}", name="g")
function = witten.Objective.from_callable(lambda x: (x[0]**2 - 1)**2 / SCALE, 1, name="g")
"""


def test_an_edited_file_is_not_gone_on_with(tmp_path):
    module, path = tmp_path / "m.py", tmp_path / "g.nc"

    def run(scale, *more):
        module.write_text(MODULE.format(scale=scale))
        return cli("gap", f"{module}:function", "--lr", "0.4", "-o", path, *more)

    assert run(4).returncode == 0
    before = path.read_bytes()
    changed = run(8, "--json", "--resume")
    assert (changed.returncode, changed.stdout) == (2, "") and path.read_bytes() == before
    assert "g has been changed since" in changed.stderr and changed.stderr.count("\n") == 1
    assert "restore the objective, or give another file" in changed.stderr


@pytest.mark.parametrize("route", ["gap", "simulate"])
def test_rates_of_another_objective_of_that_name_are_not_gone_on_with(tmp_path, monkeypatch, route):
    found = SampledRate(
        0.4, -2.0, -2.1, -1.9, True, "autocorrelation", 128, 1.0, confidence=0.95, n_steps=1000, dt=0.01
    )
    monkeypatch.setattr("witten.dynamics.simulation.estimate_rate", lambda *_: found)
    rates = witten.gap if route == "gap" else simulate_rate
    first, second = (Objective.from_formula(f"(x^2-1)^2/{scale}", name="g") for scale in (4, 8))
    before = rates(first, [0.4], output=tmp_path / "g.nc")
    assert rates(first, [0.4], output=tmp_path / "g.nc", resume=True).records == before.records
    with pytest.raises(RequestError, match="g has been changed since its rates were computed"):
        rates(second, [0.4], output=tmp_path / "g.nc", resume=True)


def test_fingerprints_tell_objectives_apart_whatever_their_names():
    formulas = [Objective.from_formula(text, name="g") for text in ("x^2", "x^2 + 1", "x^2/2")]
    functions = [
        Objective.from_callable(lambda x, a=a: a * x[0] ** 2, 1, gradient, name="g")
        for a, gradient in ((1.0, None), (1.0 + 1e-4, None), (1.0, lambda x: 2 * x))
    ]
    marks = [fingerprint(f) for f in formulas + functions]
    assert len(set(marks)) == 6 and marks[0] == fingerprint(Objective.from_formula("x*x", name="h"))
    assert marks[3] == fingerprint(Objective.from_callable(functions[0].given[0], 1))


def test_a_file_without_a_mark_is_not_gone_on_with(tmp_path):
    path = tmp_path / "old.nc"
    curve(0.1).save(path)
    with pytest.raises(RequestError, match="may be another one: the file holds no mark"):
        opened(path, [0.1, 0.2], fingerprint="sha256:1234")


def test_a_learning_rate_asked_for_twice_is_kept_once(tmp_path):
    path = tmp_path / "curve.nc"
    found = curve(0.1, 0.2, 0.1)
    found.save(path)
    assert len(found.records) == 3 and RateCurve.load(path).learning_rates.tolist() == [0.1, 0.2]
    two = RateCurve([record(0.1), record(0.1, -3.0)], options=OPTIONS, **REQUEST)
    with pytest.raises(RequestError, match=r"learning rate 0\.1 has two rates that exclude each other"):
        two.save(path)


# ------------------------------------------------------------------------------------------ what cannot be true
def _set(name, index, value):
    def change(dataset):
        values = np.array(dataset[name].values)
        values[index] = value
        if name in dataset.coords:
            return dataset.assign_coords({name: (dataset[name].dims, values)})
        return dataset.assign({name: (dataset[name].dims, values)})

    return change


BROKEN_RATES = {
    "the rate is resolved and not known at 0.2": _set("log_rate", 1, np.nan),
    "the rate is resolved and not known at 0.1": _set("log_rate_upper", 0, np.inf),
    "there are two rates at 0.1": _set("learning_rate", 1, 0.1),
    "a learning rate is not positive at -0.2": _set("learning_rate", 1, -0.2),
    "the rate is not within its error bar at 0.1": _set("log_rate_lower", 0, -1.0),
    "rate and log_rate are two different rates at 0.2": _set("rate", 1, 0.5),
    "resolved does not hold zeros and ones alone": _set("resolved", 0, 7),
    "solver does not hold words": lambda d: d.assign(solver=("learning_rate", [1.0, 2.0])),
    "log_rate does not hold numbers": lambda d: d.assign(log_rate=("learning_rate", np.array(["a", "b"], object))),
    r"log_rate lies along \(index\) instead of": lambda d: d.assign(log_rate=("index", np.zeros(1))),
    "n_dofs does not hold whole numbers": lambda d: d.assign(n_dofs=("learning_rate", [1.5, 2.0])),
    "log_rate_upper is missing": lambda d: d.drop_vars("log_rate_upper"),
    "method is missing": lambda d: d.drop_attrs().assign_attrs({k: v for k, v in d.attrs.items() if k != "method"}),
    "the options are no table": lambda d: d.assign_attrs(options="[1]"),
}


@pytest.mark.parametrize("message", BROKEN_RATES)
def test_rates_that_cannot_be_true_are_refused_by_every_reader(tmp_path, message):
    path = tmp_path / "curve.nc"
    netcdf.write_dataset(BROKEN_RATES[message](curve(0.1, 0.2).to_dataset()), path)
    readers = (RateCurve.load, CurveSet.load, lambda p: opened(p, [0.1, 0.2]))
    for read in readers:
        with pytest.raises(RequestError, match=message) as refused:
            read(path)
        assert "compute it again" in str(refused.value)


BROKEN_RISKS = {
    "the risk is not known at 3": _set("excess_risk", 3, np.nan),
    "the risk is not within its error bar at 2": _set("lower", 2, 10.0),
    "another time at 1": _set("time", 1, 7.0),
    "another learning rate at 1": _set("learning_rate", 1, 7.0),
    "the schedule has ended before the step at 99": _set("step", 5, 99),
    "the steps do not ascend at 2": _set("step", 4, 2),
    "plateau does not hold numbers": lambda d: d.assign(plateau=("step", np.array(["a"] * d.step.size, object))),
    "write stages": lambda d: d.assign_attrs(schedule="often"),
}


@pytest.mark.parametrize("message", BROKEN_RISKS)
def test_risks_that_cannot_be_true_are_refused(tmp_path, message):
    path = tmp_path / "risk.nc"
    netcdf.write_dataset(BROKEN_RISKS[message](excess_risk("quadratic", "0.2:5", 1.0).to_dataset()), path)
    with pytest.raises(RequestError, match=message):
        RiskCurve.load(path)


BROKEN_SPECTRA = {
    "a rate is resolved and not known at 1": _set("rate", 1, np.nan),
    "an error is negative at 1": _set("rate_error", 1, -1.0),
    "a rate is negative at 1": _set("rate", 1, -1.0),
    "no mode on the nodes of the first at 1": _set("modes", (1, 0), np.nan),
    "the coordinate x does not ascend": _set("x", 2, -9.0),
    "the learning rate is -1": lambda d: d.assign_attrs(learning_rate=-1.0),
    "modes is missing": lambda d: d.drop_vars("modes"),
}


@pytest.mark.parametrize("message", BROKEN_SPECTRA)
def test_spectra_that_cannot_be_true_are_refused(tmp_path, message):
    path = tmp_path / "modes.nc"
    netcdf.write_dataset(BROKEN_SPECTRA[message](spectrum_dataset.spectrum_dataset(spectrum((7,)), bowl)), path)
    with pytest.raises(RequestError, match=message):
        spectrum_dataset.load_spectrum(path)


def test_the_commands_refuse_them_too(tmp_path):
    path = tmp_path / "curve.nc"
    netcdf.write_dataset(_set("log_rate", 0, np.nan)(curve(0.1, 0.2).to_dataset()), path)
    for arguments in (("plot", str(path)), ("gap", "double-well", "--lr", "0.1,0.2", "-o", str(path), "--resume")):
        done = in_process(*arguments)
        assert (done.returncode, done.stdout) == (2, "") and "resolved and not known at 0.1" in done.stderr


# ---------------------------------------------------------------------------------------------------- spectra
@pytest.mark.parametrize("shape", [(7,), (6, 5), (4, 3, 5)])
def test_a_spectrum_keeps_rates_modes_and_measure(tmp_path, shape):
    found = spectrum(shape, mask=lambda grid: grid.expand(bowl(grid.points)) < 1.2)
    spectrum_dataset.save_spectrum(found, tmp_path / "modes.nc", bowl, options={"rtol": 1e-4})
    with xarray.open_dataset(tmp_path / "modes.nc") as loaded:
        assert loaded["modes"].dims == ("mode", *"xyz"[: len(shape)])
        np.testing.assert_array_equal(loaded["modes"].values, found.grid.expand(found.modes))
        np.testing.assert_array_equal(loaded["rate"].values, found.rates)
        np.testing.assert_array_equal(loaded["eigenvalue"].values, found.eigenvalues)
        np.testing.assert_allclose(loaded["objective"].values, found.grid.expand(bowl(found.grid.points)))
        cell = np.prod(found.grid.spacing)
        assert math.isclose(float(np.nansum(loaded["gibbs_density"])) * cell, 1.0, rel_tol=1e-12)
        assert all({"long_name", "units"} <= set(loaded[axis].attrs) for axis in "xyz"[: len(shape)])
    again = spectrum_dataset.load_spectrum(tmp_path / "modes.nc")
    assert again.attrs["learning_rate"] == 0.1 and again.attrs["witten_kind"] == "spectrum"


def test_noise_widens_the_gibbs_density():
    quiet, noisy = spectrum((40,)), spectrum((40,))
    object.__setattr__(noisy, "noise", 2.0)
    densities = [spectrum_dataset.spectrum_dataset(each, bowl)["gibbs_density"] for each in (quiet, noisy)]
    peaks = [float(np.nanmax(density)) for density in densities]
    assert peaks[0] == pytest.approx(2 * peaks[1], rel=0.05)


def test_a_broken_spectrum_is_refused(tmp_path):
    xarray.Dataset(attrs={"witten_kind": "spectrum"}).to_netcdf(tmp_path / "modes.nc", engine="h5netcdf")
    with pytest.raises(RequestError, match="not a whole spectrum"):
        spectrum_dataset.load_spectrum(tmp_path / "modes.nc")


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
            done = in_process(*command)
            assert (done.returncode, done.stderr) == (0, ""), done
        assert path.with_suffix(".png").stat().st_size > 5000

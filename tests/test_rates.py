"""RateCurve: logarithms throughout, immutable, self-describing on disk; and the barrier read off it."""

import json
import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import xarray

from witten.errors import RequestError
from witten.io.netcdf import write_dataset
from witten.rates import RateCurve, RateRecord, SampledRate
from witten.request import effective_learning_rate

ALPHA = math.sqrt(2) / math.pi  # of the symmetric double well: 2k
SWEEPS = {
    "twelve": np.geomspace(0.02, 0.5, 12),
    "small": np.geomspace(0.01, 0.05, 5),
    "coarse": np.array([0.05, 0.1, 0.2, 0.4]),
    "three": np.array([0.02, 0.04, 0.08]),
}


OBJECTIVES = {
    "double well": (lambda x: (x * x - 1) ** 2 / 4, (-3.0, 3.0), 0.25),
    "high double well": (lambda x: (x * x - 1) ** 2, (-3.0, 3.0), 1.0),
    "shi-su-jordan-1d": (lambda x: ((x + 0.7) ** 2 + 0.1) * (x - 0.7) ** 2, (-2.5, 2.5), 0.3),
    "quadratic": (lambda x: x * x / 2, (-8.0, 8.0), 0.0),
    "convex quartic": (lambda x: x * x / 2 + x**4 / 4, (-4.0, 4.0), 0.0),
}


@cache
def log_rate(name, s):
    """log lambda_s of a 1-D objective to about 1e-10: inverse iteration with the flux, on three grids, extrapolated."""
    coarse, middle, fine = (_log_rate(*OBJECTIVES[name], s, n) for n in (1500, 3000, 6000))
    return (16 * (4 * fine - middle) / 3 - (4 * middle - coarse) / 3) / 15


def _log_rate(f, interval, height, s, n):
    """Sums run from the side on which nothing cancels, so that any rate keeps its digits."""
    h = (interval[1] - interval[0]) / n
    x = interval[0] + h * (np.arange(n) + 0.5)
    x = x[f(x) < height + 14 * s]
    low = f(x).min()
    mass, log_resistance = np.exp(-2 * (f(x) - low) / s), 2 * (f((x[1:] + x[:-1]) / 2) - low) / s
    conductance, scale = s / 2 / h**2 / mass.sum(), log_resistance.max()
    mass /= mass.sum()
    u, deepest, before = x - mass @ x, int(np.argmin(f(x))), 0.0
    for _ in range(200):
        u = u - mass @ u
        up = np.arange(x.size - 1) < np.argmax(u > 0)
        flux = np.where(up, -np.cumsum(mass * u)[:-1], np.cumsum((mass * u)[::-1])[::-1][1:])
        steps = flux * np.exp(log_resistance - scale)
        v = np.concatenate([-np.cumsum(steps[:deepest][::-1])[::-1], [0.0], np.cumsum(steps[deepest:])])
        v = v - mass @ v
        now = math.log(flux @ steps) - math.log(mass @ v**2) - scale
        if abs(now - before) < 1e-13:
            break
        u, before = v / np.abs(v).max(), now
    return now + math.log(conductance)


def curve_of(learning_rates, log_rates, bar=1e-9, resolved=True, **options):
    s = np.asarray(learning_rates, dtype=float)
    y = np.asarray(log_rates, dtype=float)
    flags = np.broadcast_to(resolved, s.shape)
    rows = zip(s.tolist(), y.tolist(), flags.tolist(), strict=True)
    made = [RateRecord(a, b, b - bar, b + bar, flag, "test", 1, 0.0, (b,)) for a, b, flag in rows]
    return RateCurve(made, "finite-differences", "test", options)


def records():
    return [
        RateRecord(0.2, math.log(0.0335), math.log(0.0334), math.log(0.0336), True, "ARPACK", 512, 0.25, (-3.4, -0.1)),
        RateRecord(0.1, math.log(0.0028), -math.inf, math.log(0.003), False, "dense", 64, 0.01),
        RateRecord(0.0001, -4999.25, -4999.25 - 1e-9, -4999.25 + 1e-9, True, "exact", 8, 1.5, (-4999.25, -3e3, -0.7)),
    ]


def curve():
    options = {"rtol": 1e-4, "noise": 1.0, "box": [[-2.0, 2.0]], "seed": None}
    return RateCurve(records(), "finite-differences", "double-well", options)


def test_a_record_gives_rate_error_and_eigenvalue():
    record = records()[0]
    assert record.rate == pytest.approx(0.0335, rel=1e-14)
    assert record.rate_error == pytest.approx(1e-4, rel=1e-10)
    assert record.witten_eigenvalue == pytest.approx(2 * 0.2 * 0.0335, rel=1e-14)


def test_a_rate_below_the_doubles_is_known_by_its_logarithm():
    record = records()[2]
    assert record.rate is None and record.rate_error is None and record.witten_eigenvalue is None
    assert record.log10_rate == pytest.approx(-4999.25 / math.log(10))


@pytest.mark.parametrize(
    ("s", "sigma", "words"),
    [(0.1, 1e200, "too large"), (0.1, 1e-200, "too small"), (1e300, 1e10, "too large"), (0.0, 1.0, "rate must be pos"),
     (0.1, 0.0, "noise must be pos"), (math.inf, 1.0, "rate must be pos"), (0.1, math.nan, "noise must be pos")],
)  # fmt: skip
def test_the_effective_learning_rate_is_a_double(s, sigma, words):
    with pytest.raises(RequestError, match=words):
        effective_learning_rate(s, sigma)


def test_the_effective_learning_rate():
    assert effective_learning_rate(0.1, 3.0) == pytest.approx(0.9, rel=1e-15)
    assert effective_learning_rate(1e300, 1e-200) == pytest.approx(1e-100, rel=1e-15)


def test_subnormal_rates_count_as_underflow():
    tiny = math.log(1e-310)
    assert RateRecord(0.1, tiny, tiny, tiny, True, "", 1, 0.0).rate is None


def test_an_error_bar_that_reaches_zero_has_the_whole_rate_as_its_lower_half():
    record = records()[1]
    assert record.rate_error == pytest.approx(0.0028)
    assert record.log_error == math.inf


def test_records_survive_the_curve_in_order():
    assert curve().records == tuple(records())


def test_arrays_cannot_be_written():
    made = curve_of([0.1, 0.2], [-1.0, -2.0])
    for array in (made.learning_rates, made.log_rates, made.lower, made.upper, made.resolved):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_a_rate_that_is_no_number_is_not_resolved():
    assert not RateRecord(0.1, math.nan, math.nan, math.nan, True, "", 1, 0.0).resolved


# ------------------------------------------------------------------------------------------------------ files
def test_save_and_load_give_the_same_curve(tmp_path):
    curve().save(tmp_path / "curve.nc")
    again = RateCurve.load(tmp_path / "curve.nc")
    assert again.records == tuple(records())
    assert again.options == curve().options
    assert (again.method, again.objective) == ("finite-differences", "double-well")


def test_the_file_describes_itself_to_xarray_alone(tmp_path):
    curve().save(tmp_path / "curve.nc")
    with xarray.open_dataset(tmp_path / "curve.nc") as found:
        assert found.attrs["witten_kind"] == "rate-curve"
        assert json.loads(found.attrs["options"])["rtol"] == 1e-4
        assert {"objective", "method", "witten_version", "numpy_version", "scipy_version", "created"} <= set(
            found.attrs
        )
        assert all("long_name" in found[name].attrs for name in found.variables if name != "index")
        assert found["seconds"].attrs["units"] == "s" and found["rate"].attrs["units"] == "1"
        assert found["rate"].values[0] == pytest.approx(0.0335)
        assert np.isnan(found["rate"].values[2]) and found["log_rate"].values[2] == -4999.25
        assert found["log_rates"].values[2].tolist() == [-4999.25, -3000.0, -0.7]
        assert np.isnan(found["rates"].values[2, :2]).all() and found["rates"].values[2, 2] == math.exp(-0.7)


def sampled(s):
    return SampledRate(
        s, -2000.0, -2000.2, -1999.8, True, "splitting", 7, 2.0, (-2000.0, -3.0), notes=("two wells", "no more"),
        confidence=0.95, n_steps=11, dt=0.01, diverged=1,
    )  # fmt: skip


def test_what_paths_tell_of_themselves_is_saved(tmp_path):
    RateCurve([sampled(0.1), sampled(0.2)], "monte-carlo", "f").save(tmp_path / "paths.nc")
    assert RateCurve.load(tmp_path / "paths.nc").records == (sampled(0.1), sampled(0.2))
    assert sampled(0.1).rate is None and sampled(0.1).log10_rate == pytest.approx(-2000 / math.log(10))


@pytest.mark.parametrize("records", [records(), [sampled(0.1)]])
def test_a_file_of_an_earlier_version_is_read(tmp_path, records):
    """It has all rates as doubles, zeros below their range, and nothing of what came later."""
    later = ["log_rates", "modes_counted", "continuous", "examined", "stopped", "blind"]
    dataset = RateCurve(records, "m", "f").to_dataset()
    old = dataset.drop_vars([name for name in (*later, "notes") if name in dataset])
    for k, record in enumerate(records):
        old["rates"].values[k, : len(record.log_rates)] = np.exp(record.log_rates)
    write_dataset(old, tmp_path / "old.nc")
    for before, after in zip(records, RateCurve.load(tmp_path / "old.nc").records, strict=True):
        known = [each for k, each in enumerate(before.log_rates) if k == 0 or each > -745]
        assert after.log_rates == pytest.approx(known, rel=1e-15)
        assert replace(after, log_rates=before.log_rates) == before


def test_an_empty_curve_can_be_saved(tmp_path):
    RateCurve([], "finite-differences", "x").save(tmp_path / "empty.nc")
    assert RateCurve.load(tmp_path / "empty.nc").records == ()


def test_load_refuses_what_is_no_rate_curve(tmp_path):
    text = tmp_path / "text.nc"
    text.write_text("not netCDF")
    foreign = tmp_path / "foreign.nc"
    xarray.Dataset({"a": ("x", [1.0])}).to_netcdf(foreign, engine="h5netcdf")
    partial = tmp_path / "partial.nc"
    xarray.Dataset(attrs={"witten_kind": "rate-curve"}).to_netcdf(partial, engine="h5netcdf")
    for path in (text, foreign, partial, tmp_path / "missing.nc", tmp_path):
        with pytest.raises(RequestError):
            RateCurve.load(path)


# ------------------------------------------------------------------------------------------------ barrier fits
@pytest.mark.parametrize("sweep", SWEEPS)
@pytest.mark.parametrize("b", [0.0, -0.75, 1.5])
def test_fit_holds_the_truth_on_synthetic_rates(sweep, b):
    s = SWEEPS[sweep]
    fit = curve_of(s, math.log(0.45) - 0.5 / s + np.log1p(b * s)).fit_barrier()
    assert abs(fit.barrier - 0.25) <= fit.barrier_error
    assert abs(fit.prefactor - 0.45) <= fit.prefactor_error


def test_fit_works_far_below_the_doubles():
    s = np.geomspace(1e-4, 1e-2, 6)
    fit = curve_of(s, math.log(0.45) - 0.5 / s + np.log1p(-0.75 * s), bar=1e-8).fit_barrier()
    assert abs(fit.barrier - 0.25) <= fit.barrier_error < 1e-9
    assert abs(fit.prefactor - 0.45) <= fit.prefactor_error < 1e-3


@pytest.mark.parametrize(
    ("name", "s", "rate"),
    [
        ("double well", 0.4, 1.3477798375e-1),
        ("double well", 0.05, 1.9589273000e-5),
        ("double well", 0.01, 8.616200742e-23),
        ("shi-su-jordan-1d", 0.1, 3.6128558845e-2),
        ("shi-su-jordan-1d", 0.01, 1.0956734777e-10),
        ("quadratic", 0.3, 1.0),
    ],
)
def test_the_references_of_these_tests(name, s, rate):
    assert math.exp(log_rate(name, s)) == pytest.approx(rate, rel=2e-9)


@pytest.mark.parametrize(
    ("name", "barrier", "prefactor", "sharpness"),
    [
        ("double well", 0.25, ALPHA, 2e-4),
        ("high double well", 1.0, 4 * ALPHA, 2e-5),
        ("shi-su-jordan-1d", 0.1093188456, 0.3479346925, 3e-3),
    ],
)
def test_fit_holds_the_truth_on_true_rates(name, barrier, prefactor, sharpness):
    for sweep, s in SWEEPS.items():
        log_rates = [log_rate(name, each) for each in s]
        for bar in (1e-10, 1e-4):
            fit = curve_of(s, log_rates, bar).fit_barrier()
            assert abs(fit.barrier - barrier) <= fit.barrier_error, sweep
            assert abs(fit.prefactor - prefactor) <= fit.prefactor_error, sweep
            if sweep == "twelve":
                assert fit.barrier_error < sharpness and fit.is_barrier


@pytest.mark.parametrize("name", ["quadratic", "convex quartic"])
def test_one_well_has_no_barrier(name):
    for s in SWEEPS.values():
        log_rates = [log_rate(name, each) for each in s]
        fit = curve_of(s, log_rates).fit_barrier()
        assert abs(fit.barrier) <= fit.barrier_error
        assert not fit.is_barrier


def test_fit_covers_rates_anywhere_in_their_error_bars():
    generator = np.random.default_rng(1)
    s = SWEEPS["twelve"]
    exact = math.log(ALPHA) - 0.5 / s + np.log1p(-0.75 * s)
    for _ in range(50):
        fit = curve_of(s, exact + generator.uniform(-1, 1, s.size) * 1e-3, bar=1e-3).fit_barrier()
        assert abs(fit.barrier - 0.25) <= fit.barrier_error


def test_fit_leaves_unresolved_points_out():
    s = SWEEPS["twelve"]
    log_rates = math.log(0.45) - 0.5 / s
    log_rates[:3] = -30.0
    fit = curve_of(s, log_rates, resolved=np.arange(12) >= 3).fit_barrier()
    assert abs(fit.barrier - 0.25) <= fit.barrier_error


def test_noise_scales_the_learning_rate_of_the_law():
    s = SWEEPS["small"]
    fit = curve_of(s, math.log(0.45) - 0.5 / (4 * s), noise=2.0).fit_barrier()
    assert abs(fit.barrier - 0.25) <= fit.barrier_error < 0.05


def test_fewer_than_three_resolved_points_are_refused():
    with pytest.raises(RequestError, match="at least 3 resolved learning rates, got 2"):
        curve_of([0.1, 0.2, 0.4], [-3.0, -2.0, -1.0], resolved=[True, True, False]).fit_barrier()
    with pytest.raises(RequestError, match="got 1"):
        curve_of([0.1, 0.1, 0.1], [-3.0, -3.0, -3.0]).fit_barrier()

"""The routes side by side: what counts as agreement, errors that are planted and found, and why a route is missing."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from launcher import cli, in_process
from properties import examples
from stand_ins import answer, off_by

import witten
from witten.dynamics.simulation import simulate_rate
from witten.errors import ConvergenceError, RequestError
from witten.landscape.barriers import barrier_pairs
from witten.landscape.landscape import Landscape
from witten.landscape.laws import first_order
from witten.number_format import scientific
from witten.objectives import resolve
from witten.rates import RateCurve
from witten.validation import routes, validate
from witten.validation.judgement import factor

S = (0.02, 0.04, 0.08)


def shifted_law(by):
    """Theory that is off by a factor."""

    def compute(f, s):
        law = witten.eyring_kramers(f, s)
        (record,) = law.records
        moved = {name: getattr(record, name) + by for name in ("log_rate", "lower", "upper")}
        return dataclasses.replace(law, records=(dataclasses.replace(record, **moved),))

    return compute


def refuse(f, s):
    raise ConvergenceError("it did not converge; ask for less")


# ------------------------------------------------------------------------------------------------ what agrees


def test_routes_that_agree():
    found = validate("double-well:tilt=0.1", S, monte_carlo=off_by(0.03))
    assert found.agree is True and all(c.agree for c in found.records)
    assert all(c.theory is not None for c in found.records)
    assert found.barrier == pytest.approx(0.15766496)
    assert abs(found.fit("spectral").barrier - found.barrier) < found.fit("spectral").barrier_error
    assert "agree at all 3 learning rates" in found.verdict and "H_f = 0.15766" in found.verdict


@given(log_factor=st.floats(-0.6, 0.6), width=st.floats(0.01, 0.3))
@examples(40)
def test_an_interval_misses_when_chance_would_not_do_that(log_factor, width):
    """One interval alone: 3.29 standard deviations, which chance exceeds once in a thousand."""
    found = validate(
        "double-well", 0.3, spectral=answer(-2.5, 0.001), theory=refuse, monte_carlo=answer(-2.5 + log_factor, width)
    )
    allowed = width * 3.2905 / 1.95996 + 0.001
    if abs(abs(log_factor) - allowed) > 1e-4:
        assert found.agree is (abs(log_factor) < allowed)


def test_theory_agrees_within_both_error_bars():
    (law,) = witten.eyring_kramers("double-well", 0.05).records
    for part, agree in ((0.99, True), (-0.99, True), (1.01, False), (-1.01, False)):
        spectral = answer(law.log_rate + part * (law.log_error + 1e-6), 1e-6)
        assert validate("double-well", 0.05, spectral=spectral, monte_carlo=refuse).agree is agree


def test_a_law_that_is_not_resolved_is_left_out():
    found = validate("double-well", 2.0, monte_carlo=refuse)
    assert found.records[0].theory is None and "wider than a factor of two" in found.records[0].why["theory"]


@pytest.mark.parametrize(("name", "s"), [("double-well", 0.02), ("mueller-brown", 0.02), ("shi-su-jordan-1d", 0.01)])
def test_an_error_of_three_percent_is_found(name, s):
    """Mueller-Brown is off by 0.6 s/H_f in leading order, which hid such errors; to first order it is not."""
    assert validate(name, s, monte_carlo=refuse).agree is True
    by = 0.03 if name == "mueller-brown" else -0.03
    assert validate(name, s, theory=shifted_law(by), monte_carlo=refuse).agree is False


def test_without_a_grid_theory_and_monte_carlo_are_compared():
    coupled = "(x1^2-1)^2/4 + (x2^2 + x3^2 + x4^2)/2 + x1^2*x2^2*x3^2*x4^2"
    law = witten.eyring_kramers(coupled, 0.05).log_rates[0]
    right, wrong = (validate(coupled, 0.05, monte_carlo=answer(law + shift, 0.05)) for shift in (-0.05, -0.2))
    assert right.agree is True and wrong.agree is False
    assert "three dimensions" in right.records[0].why["spectral"]
    assert "Spectral is left out: grids and meshes end at three dimensions" in right.verdict


def test_a_mode_that_no_path_of_equilibrium_sees_is_seen_by_paths_that_start_there():
    """On a plateau 60 s above the only minimum, where the measure is e^-120: its mode is four times slower."""
    found = validate("3*(1-exp(-2*x^2))+0.02*x^4", 0.05)
    (record,) = found.records
    assert record.spectral.rate == pytest.approx(2.601, rel=1e-3) and found.agree is True
    assert record.monte_carlo.rate == pytest.approx(2.601, rel=0.2)


def test_monte_carlo_that_knows_no_rate_is_left_out_with_its_reason():
    def unseen(f, s):
        (record,) = simulate_rate("double-well", 0.3, paths=256, width=0.9).records
        notes = ("a place is too narrow to be watched",)
        return RateCurve([dataclasses.replace(record, resolved=False, blind=True, notes=notes)], "monte-carlo", f.name)

    (record,) = validate("double-well", 0.3, monte_carlo=unseen).records
    assert record.monte_carlo is None and "too narrow" in record.why["monte_carlo"]


def test_noise_is_the_same_for_all_routes():
    found = validate("double-well", [0.01, 0.05], noise=2.0, monte_carlo=off_by(0.0))
    assert found.records[0].spectral.log_rate == pytest.approx(witten.gap("double-well", 0.04).log_rates[0], abs=1e-3)
    assert found.records[0].agree is False  # a Monte Carlo that forgets the noise
    assert found.records[1].theory.log_rate == pytest.approx(witten.eyring_kramers("double-well", 0.2).log_rates[0])


def test_a_miss_by_chance_is_looked_at_again_and_an_error_stays(monkeypatch):
    """The first paths are far off, others are right; or all are wrong."""
    exact, asked = float(witten.gap("double-well", 0.2).log_rates[0]), []

    def first_is_wrong(f, s, *, seed, width=0.24, **options):
        asked.append((seed, width))
        return answer(exact + (0.5 if len(asked) == 1 else 0.01), width / 2, notes=("seen",))(f, s)

    monkeypatch.setattr("witten.validation.routes.simulate_rate", first_is_wrong)
    found = validate("double-well", 0.2, seed=7)
    assert found.agree is True and len(asked) == 2
    assert asked[0][0] == 7 and asked[1] == (7 + 2**63, 0.12)
    seen, remark = found.records[0].monte_carlo.notes
    assert seen == "seen" and "second run with other paths" in remark and scientific(exact + 0.5, 3) in remark

    def all_are_wrong(f, s, *, seed, width=0.24, **options):
        return answer(exact + 0.5, width / 2)(f, s)

    monkeypatch.setattr("witten.validation.routes.simulate_rate", all_are_wrong)
    assert validate("double-well", 0.2).agree is False


# ------------------------------------------------------------------------------------------------ planted errors


def test_a_noise_of_the_wrong_strength_is_found():
    found = validate(
        "double-well", (0.06, 0.1), monte_carlo=lambda f, s: simulate_rate(f, s, noise=math.sqrt(2), width=0.4)
    )
    assert found.agree is False and not any(c.agree for c in found.records)
    assert "Monte Carlo stands apart" in found.verdict


def test_a_missing_factor_two_in_theory_is_found():
    found = validate("double-well", (0.02, 0.1), theory=shifted_law(-math.log(2)), monte_carlo=off_by(0.02))
    assert found.agree is False and not any(c.agree for c in found.records)
    assert "Theory stands apart" in found.verdict


def without_saddle(landscape: Landscape, k: int) -> Landscape:
    """The landscape of someone who has overlooked a saddle."""
    saddles = landscape.saddles[:k] + landscape.saddles[k + 1 :]
    connects = np.array([z.connects for z in saddles], dtype=int).reshape(-1, 2)
    pairs = barrier_pairs(
        np.array([m.value for m in landscape.minima]), np.array([z.value for z in saddles]), connects
    )
    return dataclasses.replace(landscape, saddles=saddles, pairs=pairs)


@pytest.mark.parametrize("text", ["double-well", "4*(x^2+y^2-1)^2 + x^2/2 - x^4/8"])
def test_a_saddle_left_out_is_found(text):
    """One of one, so that nothing joins the wells; and one of two, so that half of the way is missing."""
    f = resolve(text)
    whole = witten.describe_landscape(f)
    s = whole.barrier / 8
    found = validate(f, s, landscape=without_saddle(whole, 0), monte_carlo=off_by(0.0))
    assert found.agree is False and found.flaws
    assert "theory is not whole" in found.verdict.lower()
    assert validate(f, s, landscape=whole, monte_carlo=off_by(0.0)).agree is True


def test_a_saddle_left_out_of_a_list_without_proof_is_found_by_the_rates():
    f = resolve("4*(x^2+y^2-1)^2 + x^2/2 - x^4/8")
    whole = witten.describe_landscape(f)
    blind = dataclasses.replace(without_saddle(whole, 1), search=dataclasses.replace(whole.search, complete=False))
    found = validate(f, whole.barrier / 8, landscape=blind, monte_carlo=off_by(0.0))
    assert not found.flaws and found.agree is False and "Theory stands apart" in found.verdict


@pytest.mark.parametrize("factor", [math.sqrt(2), math.sqrt(0.5)])
def test_a_noise_of_the_wrong_strength_in_theory_is_found(factor):
    """At s = H_f/2, where rates are hardly small, and one of the two laws is hardly resolved: it moves them by 2."""
    found = validate(
        "double-well", 0.125, theory=lambda f, s: witten.eyring_kramers(f, s, noise=factor), monte_carlo=off_by(0.0)
    )
    assert found.agree is False and "Theory stands apart" in found.verdict
    assert validate("double-well", 0.125, monte_carlo=off_by(0.0)).agree is True


def test_a_third_derivative_of_wrong_sign_is_found_by_the_law_itself(monkeypatch):
    """One of them, since c is even in all together. The integrals know f and not its derivatives: the bar, 1 %, gets
    tens of times longer, so that what is printed is no wrong number."""
    f, right = resolve("(x^2-1)^2/4 + 0.7*(y - 0.8*x^2 + 0.3*x)^2"), first_order.expand
    (usual,) = witten.eyring_kramers(f, 0.025).records

    def wrong(*arguments):
        local = right(*arguments)
        third = local.third.copy()
        for place in ((0, 0, 1), (0, 1, 0), (1, 0, 0)):
            third[place] *= -1
        return dataclasses.replace(local, third=third)

    monkeypatch.setattr(first_order, "expand", wrong)
    landscape = witten.describe_landscape(f, seed=1)  # another one, of which nothing is known yet
    (record,) = witten.eyring_kramers(landscape, 0.025).records
    assert record.log_error > 30 * usual.log_error and usual.log_error < 0.01
    found = validate(f, 0.05, landscape=landscape, spectral=answer(-9.0, 0.01), monte_carlo=refuse)
    assert found.records[0].theory is None and found.agree is None


# ------------------------------------------------------------------------------------------------ what is missing


def test_one_minimum_has_no_theory_and_agrees():
    found = validate("convex-quartic", (0.05, 1.0), monte_carlo=off_by(0.02))
    assert found.agree is True and found.barrier is None and found.barrier_agrees is None
    assert all("one minimum" in c.why["theory"] for c in found.records)


def test_reasons_are_kept_for_every_route():
    found = validate(
        "x^4", (0.1, 0.2), spectral=answer(0.0, 3.0, resolved=False),
        monte_carlo=answer(math.nan, 0.1, resolved=False, notes=("all died",)),
    )  # fmt: skip
    assert found.agree is None and "Nothing could be compared" in found.verdict
    why = found.records[0].why
    assert "not resolved" in why["spectral"] and why["monte_carlo"] == "all died"
    assert "no rate is exponentially small" in why["theory"]
    degenerate = validate("(x^2-1)^4", 0.1, monte_carlo=refuse)
    assert "degenerate minimum" in degenerate.records[0].why["theory"]
    assert "did not converge" in degenerate.records[0].why["monte_carlo"]


def test_a_reason_to_stop_leaves_out_the_rest():
    calls = iter([None] * 3)  # each is asked for twice: by the ranks of a group, and by whoever deals
    found = validate("double-well", S, monte_carlo=refuse, stop=lambda: next(calls, "the time is over"))
    assert found.agree is None and found.stopped == "the time is over"
    assert found.records[0].spectral.resolved and found.records[1].why["spectral"] == "the time is over"
    assert all(c.why["theory"] == c.why["monte_carlo"] == "the time is over" for c in found.records)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("double-well", -0.1), "positive"), (("double-well", []), "no learning rates"), (("x+", 0.1), "x+")],
)
def test_wrong_requests_are_refused(arguments, words):
    with pytest.raises(RequestError, match=words.replace("+", r"\+")):
        validate(*arguments)


@given(st.floats(-5000, 5000), st.integers(2, 8))
def test_numbers_of_any_size_are_written(logarithm, digits):
    mantissa, _, exponent = scientific(logarithm, digits).partition("e")
    assert len(mantissa) == digits + 1 and 1 <= float(mantissa) < 10
    assert math.log(float(mantissa)) + int(exponent) * math.log(10) == pytest.approx(logarithm, abs=6 * 10.0**-digits)
    assert factor(0.0) == "1" and factor(-math.inf) == "0" and factor(46.0) == "10^20.0"


# ------------------------------------------------------------------------------------------------ the command line


def test_validate_as_json(tmp_path):
    page, picture = tmp_path / "page.html", tmp_path / "picture.svg"
    files = "--report", str(page), "--plot", str(picture)
    done = cli("validate", "double-well:tilt=0.1", "--lr", "0.2,0.03", "--json", *files)
    assert (done.returncode, done.stderr) == (0, ""), done
    found = json.loads(done.stdout)
    assert {"records", "barrier_fit", "barrier_fit_error", "barrier_theory", "agree"} <= set(found)
    assert found["agree"] is True and found["barrier_fit"] is None
    large, small = found["records"]
    assert {"learning_rate", "spectral", "spectral_error", "theory"} <= set(small)
    assert {"monte_carlo", "ci_low", "ci_high", "agree"} <= set(small)
    assert large["theory"] == pytest.approx(large["spectral"], rel=0.5) and large["why"] == small["why"] == {}
    assert small["ci_low"] < small["monte_carlo"] < small["ci_high"] and 1e-7 < small["spectral"] < 1e-4
    assert page.read_text().startswith("<!DOCTYPE html>") and picture.read_text().count("<svg") == 1


def test_a_disagreement_has_exit_status_3(monkeypatch):
    right = routes.simulate_rate

    def louder(f, s, noise, seed, width=0.5, **options):
        return right(f, s, noise=math.sqrt(2) * noise, seed=seed, width=0.5, **options)

    monkeypatch.setattr(routes, "simulate_rate", louder)
    done = in_process("validate", "double-well", "--lr", "0.1")
    assert done.returncode == 3 and done.stderr == "", done
    assert "The routes disagree at 1 of 1 learning rate." in done.stdout and "NO" in done.stdout
    assert "Monte Carlo stands apart" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("validate", "double-well", "--lr", "0.1", "--report", "page.pdf"), ".html"),
        (("validate", "double-well"), "--lr"),
        (("validate", "double-wel", "--lr", "0.1"), "double-well"),
    ],
)
def test_wrong_commands_are_refused_in_one_line(arguments, words):
    done = in_process(*arguments)
    assert (done.returncode, done.stdout) == (2, "") and words in done.stderr and done.stderr.count("\n") == 1


def test_a_walltime_ends_with_what_is_done():
    done = cli("validate", "double-well", "--lr", "0.1", "--walltime", "00:00:01", "--json")
    assert done.returncode == 4 and "walltime" in done.stderr
    (record,) = json.loads(done.stdout)["records"]
    assert record["monte_carlo"] is None and "walltime" in record["why"]["monte_carlo"]

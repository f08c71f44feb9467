"""Annealing against small steps: closed forms, the law, the command line; and the studies of two papers."""

import functools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from launcher import cli, in_process
from properties import examples

from witten.annealing import Losses, anneal, compare, follow, limit_ratio
from witten.errors import ConvergenceError, RequestError
from witten.plots import plot_annealing
from witten.risk import IdealisedRisk
from witten.schedules import Schedule
from witten.studies import study

SAMPLE = Losses(np.diag([2 / 3, 1 / 3]), np.eye(2) / 2)


def random_losses(rng, d):
    a, b = rng.normal(size=(2, d, d + 1))
    return Losses(a @ a.T / (d + 1), b @ b.T)


# ------------------------------------------------------------------------------------------------ descent by modes


@examples(30)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 60), st.floats(0.05, 1.05))
def test_steps_are_those_of_plain_descent(seed, d, steps, part_of_edge):
    rng = np.random.default_rng(seed)
    losses, start = random_losses(rng, d), rng.normal(size=d)
    s = part_of_edge * losses.edge
    found = follow(losses, start, Schedule.constant(s, steps))
    points = Schedule.constant(s, steps).descend(lambda x: 2 * losses.train @ x, start)
    assert found.end == pytest.approx(points[-1], rel=1e-9, abs=1e-11)
    assert found.time == pytest.approx(s * steps) and found.steps == steps and not found.stopped
    assert found.path()[:, steps] == pytest.approx(points[-1], rel=1e-9, abs=1e-11)


@examples(30)
@given(st.integers(0, 10_000), st.floats(0.05, 1.2), st.floats(-12, -0.1))
def test_descent_stops_where_the_train_loss_first_is_the_bound(seed, part_of_edge, digits):
    rng = np.random.default_rng(seed)
    losses, start = random_losses(rng, 2), rng.normal(size=2)
    eps, s = float(losses.train_loss(start)) * 10**digits, part_of_edge * losses.edge
    found = follow(losses, start, f"{s!r}:300 until loss<{eps!r}")
    points = Schedule.constant(s, 300).descend(lambda x: 2 * losses.train @ x, start)
    below = np.flatnonzero(losses.train_loss(points.T) <= eps)
    assert found.stopped == bool(below.size)
    if below.size:
        assert math.ceil(found.steps) == below[0] and found.train_loss == pytest.approx(eps, rel=1e-9)
        k = below[0] - 1
        line = points[k] + (found.steps - k) * (points[k + 1] - points[k])
        assert found.end == pytest.approx(line, rel=1e-7, abs=1e-9 * np.linalg.norm(points[k]))


def test_the_flow_is_the_limit_of_small_steps():
    losses, start = random_losses(np.random.default_rng(3), 3), np.array([1.0, -2.0, 0.5])
    flow = follow(losses, start, "1:3:flow")
    errors = [
        np.linalg.norm(follow(losses, start, Schedule.constant(3 / n, n)).end - flow.end) for n in (400, 800, 1600)
    ]
    assert np.log2(np.array(errors[:-1]) / errors[1:]) == pytest.approx([1, 1], abs=0.02)
    stopped = follow(losses, start, "0.5:1,1:100:flow until loss<1e-3")
    assert stopped.train_loss == pytest.approx(1e-3, rel=1e-12)
    assert stopped.end == pytest.approx(losses.flowed(losses.stepped(start, 0.5, 1), stopped.time - 0.5), rel=1e-10)


def test_a_step_so_large_that_it_only_climbs_is_never_stopped():
    assert not follow(SAMPLE, [1.0, 1.0], "4:50 until loss<0.5").stopped
    with pytest.raises(ConvergenceError, match="diverges"):
        follow(SAMPLE, [1.0, 1.0], "4:50000 until loss<0.5")
    # What grows has no part in it.
    assert follow(SAMPLE, [0.0, 1.0], "2:5000 until loss<1e-3").train_loss == pytest.approx(1e-3)


# ------------------------------------------------------------------------------------------------ the example


def test_ratio_two_with_probability_three_quarters():
    found = anneal()
    assert found.probability == 0.75 and found.ratio == pytest.approx(2.0, abs=1e-5)
    each = found.comparison
    assert each.annealed.train_loss == pytest.approx(1e-6, rel=1e-12)
    assert each.small.train_loss == pytest.approx(1e-6, rel=1e-12)
    # (2/3) u^2 + u/3 = eps for u = d_2^2 of the flow, d_1 = d_2^2.
    eps = 0.01
    u = (-1 + math.sqrt(1 + 24 * eps)) / 4
    assert anneal(3, eps).ratio == pytest.approx((u + u**2) / (1.5 * eps), rel=1e-12)


@pytest.mark.parametrize("samples", [1, 2, 3, 4, 5, 12, 1000])
def test_samples_of_every_size(samples):
    found = anneal(samples, 1e-4)
    assert sum(each.probability for each in found.outcomes) == pytest.approx(1.0, rel=1e-13)
    unbalanced = 1 - 2 * 0.5**samples - (0 if samples % 2 else math.comb(samples, samples // 2) / 2**samples)
    assert found.probability == pytest.approx(unbalanced, abs=1e-13)
    assert math.isnan(found.ratio) == (samples < 3)
    for each in found.outcomes:
        k, m = each.counts
        expected = max(k, m) / min(k, m) if each.mismatched else 1.0
        assert limit_ratio(each.losses) == pytest.approx(expected, rel=1e-9)


def test_ratios_tend_to_the_law_at_first_order():
    off = [2 - anneal(3, eps).ratio for eps in (1e-2, 1e-3, 1e-4)]
    assert np.array(off) / [6e-2, 6e-3, 6e-4] == pytest.approx([1, 1, 1], rel=0.12)
    assert off[2] == pytest.approx(6e-4, rel=2e-3)


def test_a_picture_of_both_ways(tmp_path):
    figure = plot_annealing(compare(SAMPLE, [1.0, 1.0], 1e-3), tmp_path / "paths.svg")
    whole, end = figure.axes
    ends = [line.get_xydata()[-1] for axes in (whole, end) for line in axes.lines[:4] if line.get_xydata().size]
    assert [float(SAMPLE.train_loss(each)) for each in ends] == pytest.approx([1e-3] * len(ends), rel=1e-9)
    assert len(ends) >= 6
    assert whole.get_xlim()[1] > 1 and (tmp_path / "paths.svg").stat().st_size > 1000
    with pytest.raises(RequestError, match="two directions"):
        plot_annealing(compare(Losses(np.eye(3), np.eye(3)), np.ones(3), 1e-3))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: anneal(0), "1 to 1000"),
        (lambda: anneal(3, 1.5), "between 1e-100 and the train loss"),
        (lambda: anneal(3, 1e-300), "between 1e-100 and the train loss"),
        (lambda: compare(SAMPLE, [1.0, 1.0], -1.0), "between 1e-100 and the train loss"),
        (lambda: compare(SAMPLE, [1.0, 1.0], 1e-3, small=2.0), "below 1.5"),
        (lambda: compare(SAMPLE, [1.0, 1.0], 1e-3, large=9.0, large_steps=2000), "diverge"),
        (lambda: follow(SAMPLE, [1.0], "1:5"), "2 numbers"),
        (lambda: follow(SAMPLE, [1.0, 1.0], "1:5 until risk<1"), "until loss"),
        (lambda: Losses(np.diag([1.0, -1.0]), np.eye(2)), "train loss must be"),
        (lambda: Losses(np.eye(2), np.eye(3)), "one size"),
    ],
)
def test_wrong_requests_say_what_to_do(call, words):
    with pytest.raises(RequestError, match=words):
        call()


def test_the_smallest_eps_is_none_too_small():
    found = anneal(3, 1e-100)
    assert found.ratio == pytest.approx(limit_ratio(found.comparison.losses), rel=1e-9)


# ------------------------------------------------------------------------------------------------ idealised risk


def test_the_idealised_risk_and_its_steps():
    risk = IdealisedRisk()
    assert 10 ** risk.log10_steps(0.1, 1e-2) == pytest.approx(2.5e2, rel=0.01)
    assert 10 ** risk.log10_steps(0.001, 1e-2) == pytest.approx(2.5e47, rel=0.02)
    for s in (0.02, 0.1, 0.7):
        k = 10 ** risk.log10_steps(s, 1e-2)
        assert float(risk(s, s * k)) == pytest.approx(s + 1e-2, rel=1e-9) and float(risk(s, 0.0)) == 100.0
    expected = 1e4 / math.log(10) + 5 + math.log10(math.log(1e4))
    assert risk.log10_steps(1e-5, 1e-2) == pytest.approx(expected, abs=1e-6)
    assert risk.log10_steps(0.1, 200.0) == -math.inf
    with pytest.raises(RequestError, match="barrier"):
        IdealisedRisk(barrier=-1.0)


# ------------------------------------------------------------------------------------------------ studies


@functools.cache
def quick(name):
    return study.run(name, quick=True)


@pytest.mark.parametrize("name", ["learning-rates-and-schroedinger", "annealing"])
def test_every_claim_is_observed(name):
    found = quick(name)
    assert len(found.checks) >= 25 and len(found.figures) >= 2
    assert [check for check in found.checks if not check.ok] == []
    json.dumps(found.as_dict(), allow_nan=False)


def test_figures_of_the_annealing_study():
    assert [len(each.draw().axes) for each in quick("annealing").figures] == [2, 3]


def test_a_wrong_claim_is_noticed(monkeypatch):
    from witten.studies import annealing

    monkeypatch.setattr(annealing, "_mismatched", lambda: Losses(np.diag([0.6, 0.4]), np.eye(2) / 2))
    assert [check.ok for check in annealing._ratio()].count(False) >= 2


# ------------------------------------------------------------------------------------------------ the command line


def test_witten_anneal_as_json(tmp_path: Path):
    picture = tmp_path / "paths.png"
    done = cli("anneal", "--json", "--plot", str(picture))
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["ratio"] == pytest.approx(2, abs=1e-4) and found["probability"] == 0.75
    assert found["ratio"] == found["test_small"] / found["test_large_then_small"]
    assert found["train_loss"] == pytest.approx(1e-6) and picture.read_bytes().startswith(b"\x89PNG")


def test_witten_anneal_for_a_person_without_a_gain_and_refused():
    done = in_process("anneal", "--samples", "2")
    assert (done.returncode, done.stderr) == (0, "") and "gain nothing" in done.stdout
    done = in_process("anneal", "--eps", "2")
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.count("\n") == 1 and "eps" in done.stderr

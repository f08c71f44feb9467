"""Schedules: text to value and back, their laws, refusals, descent along them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import witten
from witten.schedules import Run, Schedule, Stage, Stop

rates = st.floats(1e-6, 10, allow_nan=False)
counts = st.integers(1, 200)
stages = st.one_of(
    st.builds(Stage, st.sampled_from(["constant", "cosine", "log"]), rates, counts, st.just(()), st.booleans()),
    st.builds(Stage, st.just("poly"), rates, counts, st.tuples(st.floats(0.1, 3)), st.booleans()),
    st.builds(Stage, st.just("step"), rates, counts, st.tuples(st.floats(1.01, 20), st.floats(1, 90)), st.booleans()),
)
losses, risks = ((st.just("loss"), st.floats(-1, 1)), (st.just("risk"), st.floats(1e-9, 1)))
stops = st.none() | st.builds(Stop, *losses) | st.builds(Stop, *risks)
schedules = st.builds(Schedule, st.lists(stages, min_size=1, max_size=4).map(tuple), stops)


@given(schedules)
def test_text_reads_back(schedule):
    assert Schedule.parse(schedule.text) == schedule


@given(schedules)
def test_runs_are_the_steps(schedule):
    runs = list(schedule.runs())
    again = np.concatenate([np.full(run.steps, run.learning_rate) for run in runs])
    assert np.array_equal(again, schedule.learning_rates) and schedule.steps == again.size
    assert sum(run.time for run in runs) == pytest.approx(schedule.times[-1])
    assert (schedule.learning_rates > 0).all() and schedule.times.shape == (schedule.steps + 1,)


@pytest.mark.parametrize(
    ("text", "law"),
    [
        ("0.1:3,0.05:2", [0.1, 0.1, 0.1, 0.05, 0.05]),
        ("cosine:0.2:4", [0.2, 0.1 * (1 + 0.5**0.5), 0.1, 0.1 * (1 - 0.5**0.5)]),
        ("poly:0.3:3:1", [0.3, 0.15, 0.1]),
        ("poly:1:3:0.5", [1, 2**-0.5, 3**-0.5]),
        ("log:0.5:3", 0.5 / np.log([2, 3, 4])),
        ("step:1:5:10:2", [1, 1, 0.1, 0.1, 0.01]),
        ("1.5:1,0.1:2:flow", [1.5, 0.1, 0.1]),
        (" 1e-1 : 2 ", [0.1, 0.1]),
    ],
)
def test_laws(text, law):
    assert Schedule.parse(text).learning_rates == pytest.approx(np.array(law), rel=1e-15)


def test_made_in_python():
    made = Schedule.piecewise([(0.1, 500), (0.05, 500)])
    assert made == Schedule.constant(0.1, 500) + Schedule.constant(0.05, 500) == Schedule.of("0.1:500,0.05:500")
    assert Schedule.cosine(0.1, 9) == Schedule.parse("cosine:0.1:9")
    assert Schedule.polynomial(0.1, 9) == Schedule.parse("poly:0.1:9:1")
    assert Schedule.logarithmic(0.2, 9) == Schedule.parse("log:0.2:9")
    assert Schedule.step_decay(0.1, 9, 10, 3) == Schedule.parse("step:0.1:9:10:3")
    assert list(made.in_continuous_time().runs()) == [Run(0.1, 500, True), Run(0.05, 500, True)]
    assert made.until(Stop("risk", 0.01)).text == "0.1:500,0.05:500 until risk<0.01"
    with pytest.raises(witten.RequestError, match="nothing can follow"):
        made.until(Stop("risk", 0.01)) + made


def test_plain_descent_follows_the_schedule():
    schedule = Schedule.parse("0.5:2,0.25:1")
    points = schedule.descend(lambda x: 2 * x, [1.0, -3.0])
    assert points[:, 0] == pytest.approx([1, 0, 0, 0]) and points.shape == (4, 2)
    assert Schedule.parse("0.1:2,0.2:1").descend(lambda x: x, 1.0)[:, 0] == pytest.approx([1, 0.9, 0.81, 0.648])
    with pytest.raises(witten.RequestError, match="flow"):
        schedule.in_continuous_time().descend(lambda x: x, 1.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "number of steps"),
        ("0.1", "number of steps"),
        ("0.1:500,", "number of steps"),
        ("0.1:1.5", "whole number"),
        ("0.1:0", "1 to"),
        ("0.1:-4", "1 to"),
        ("-0.1:5", "must be positive"),
        ("0.1:nan", "not a number"),
        ("1e999:5", "not a number"),
        ("0.1:5:3", "takes none"),
        ("cosin:0.1:5", "'cosin' is not known"),
        ("poly:0.1:5", "takes 1 .power"),
        ("step:0.1:5:10", "factor, every"),
        ("poly:0.1:5:-1", "must be positive"),
        ("0.1:99999999999", "1 to"),
        ("0.1:20000000,0.1:20000000", "too long"),
        ("step:0.1:100:0.5:10", "write 2 for a decay to 0.5"),
        ("step:0.1:100:1:10", "above 1, got 1; write 2"),
        ("0.1:5 until risk<-1", "never stops"),
        ("0.1:5 until risk<0", "never stops"),
        ("0.1:5 until", "until risk"),
        ("0.1:5 until time<3", "by risk or by loss"),
        ("0.1:5 until risk<x", "not a number"),
    ],
)
def test_refusals_are_one_line_that_says_what_to_do(text, words):
    with pytest.raises(witten.RequestError, match=words) as refused:
        Schedule.parse(text)
    assert "\n" not in str(refused.value)

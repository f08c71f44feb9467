"""The options of momentum: what is printed, and what is refused."""

import json

import pytest
from launcher import in_process


def answer(*arguments):
    done = in_process(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_gap_with_momentum():
    found = answer("gap", "x^2/2", "--lr", "0.1", "--momentum", "0.5")
    (record,) = found["records"]
    assert found["momentum"] == record["momentum"] == 0.5
    assert record["rate_per_step"] == pytest.approx(record["rate"] * record["step_time"])
    assert record["rate_per_ks"] == pytest.approx(record["rate_per_step"] / 0.1)
    real, imaginary = record["eigenvalues"][0]
    assert real == pytest.approx(record["friction"] / 2) and imaginary > 0


def test_a_langevin_equation_has_no_steps():
    (record,) = answer("gap", "x^2/2", "--friction", "3", "--temperature", "0.1")["records"]
    assert record["rate"] == pytest.approx(0.381966011, rel=1e-8)
    assert record["learning_rate"] is record["rate_per_step"] is record["step_time"] is None


def test_the_turnover_and_its_picture(tmp_path):
    options = ("--temperature", "0.1", "--rtol", "1e-2", "--plot", tmp_path / "a.png")
    found = answer("gap", "x^2/2", "--friction-sweep", "4,3", *options)
    assert [record["friction"] for record in found["records"]] == [4, 3]
    assert found["optimum"] is None  # the largest rate is that of the least friction asked for
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_theory_and_stability():
    record = answer("theory", "double-well", "--lr", "0.01", "--momentum", "0.5")["records"][0]
    assert record["rates"][0] == pytest.approx(1.0522e-12, rel=1e-4, abs=0)
    found = answer("stability", "x^2/2", "--lr", "1.4,1.6", "--momentum", "0.5", "--nesterov")
    assert found["minima"][0]["stable"] == [True, False]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("gap", "x^2", "--momentum", "0.5"), "Missing option '--lr'"),
        (("gap", "x^2", "--lr", "0.1", "--momentum", "1"), "from 0 to below 1"),
        (("gap", "x^2", "--lr", "0.1", "--momentum", "0.5", "--friction", "1"), "--momentum"),
        (("gap", "x^2", "--lr", "0.1", "--friction", "1", "--temperature", "1"), "--lr"),
        *(
            (("gap", "x^2", "--friction", "1", "--temperature", "1", name, value), name)
            for name, value in {"--sde": "shi", "--groups": "2", "--walltime": "1:00:00", "--seed": "3"}.items()
        ),
        (("gap", "x^2", "--lr", "0.1", "--momentum", "0.5", "--seed", "3"), "--seed"),
        (("theory", "x^2", "--lr", "0.1", "--momentum", "0.5", "--walltime", "1:00:00"), "--walltime"),
        (("spectrum", "x^2", "--lr", "0.1", "--form", "1", "--seed", "3"), "--seed"),
        (("gap", "x^2", "--friction", "1"), "--temperature"),
        (("gap", "x^2", "--friction-sweep", "1:", "--temperature", "1"), "--friction-sweep"),
        (("gap", "x^2", "--lr", "0.1", "--momentum", "0.5", "--degree", "2"), "--degree"),
        (("gap", "x^2", "--lr", "0.1", "--sde", "shi"), "--sde"),
        (("theory", "x^2", "--lr", "0.1", "--momentum", "0.5", "--order", "2"), "--order"),
        (("stability", "x^2", "--nesterov"), "--momentum"),
        (("simulate", "x^2", "--lr", "0.1", "--momentum", "0.5", "--scheme", "euler-maruyama"), "sgd, bbk"),
        (("simulate", "x^2", "--lr", "0.1", "--momentum", "0.5", "--estimator", "splitting"), "hitting"),
        (("simulate", "x^2", "--lr", "0.1", "--momentum", "0.5", "--covariance", "2"), "covariance"),
        (("simulate", "x^2", "--lr", "0.1", "--momentum", "0.5"), "no second well"),
    ],
)
def test_refused(arguments, why):
    done = in_process(*arguments)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1 and why in done.stderr


def test_simulate_with_momentum():
    found = answer("simulate", "double-well", "--lr", "0.06", "--momentum", "0.5", "--nesterov", "--paths", "256")
    (record,) = found["records"]
    assert (found["momentum"], found["nesterov"], found["scheme"]) == (0.5, True, "sgd")
    assert record["rate_per_step"] == pytest.approx(record["rate"] * record["step_time"])
    assert record["ci_low"] < record["rate"] < record["ci_high"]

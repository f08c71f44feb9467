"""The chain of SGD with momentum: exact spectra of quadratics, SGD without momentum, values computed otherwise."""

import json
import math

import numpy as np
import pytest
from launcher import in_process

import witten


def multipliers(theta, s, alpha, nesterov):
    """Of the linear recursion on theta x^2/2."""
    force = 1 - s * theta
    trace, determinant = ((1 + alpha) * force, alpha * force) if nesterov else (alpha + force, alpha)
    return np.roots([1, -trace, determinant])


@pytest.mark.parametrize(
    "theta, s, alpha, nesterov",
    [
        (1, 0.5, 0.3, False),  # a pair of complex ones
        (4, 0.05, 0.2, False),  # real ones
        (1, 0.5, 0.3, True),
        (1, 2.3, 0.3, False),  # beyond what is stable without momentum
    ],
)
def test_spectra_of_quadratics_are_products_of_two_multipliers(theta, s, alpha, nesterov):
    a, b = multipliers(theta, s, alpha, nesterov)
    found = witten.momentum_chain(f"{theta}*(x-3)^2/2", s, alpha, 4, nesterov=nesterov)
    exact = np.sort([abs(a**i * b**j) for i in range(5) for j in range(5)])[::-1][:4]
    assert (abs(np.abs(found.eigenvalues) - exact) <= found.errors).all()
    assert found.errors.max() < 1e-7
    assert abs(found.gap - (1 - exact[1])) <= found.gap_error < 1e-8
    assert found.leak < 1e-10


def test_a_double_multiplier_is_known_to_a_root_of_rounding_and_the_bar_says_so():
    alpha = 0.25
    found = witten.momentum_chain("x^2/2", (1 - math.sqrt(alpha)) ** 2, alpha, 3)
    assert abs(found.gap - (1 - math.sqrt(alpha))) <= found.gap_error
    assert 1e-9 < found.gap_error < 1e-3


def test_without_momentum_it_is_the_chain_of_sgd():
    ours, sgd = witten.momentum_chain("double-well", 0.1, 0.0), witten.transfer_spectrum("double-well", 0.1)
    assert abs(ours.rate - sgd.rate) <= ours.rate_error + sgd.rate_error < 1e-8 * sgd.rate
    assert (abs(ours.eigenvalues - sgd.eigenvalues) <= ours.errors + sgd.errors).all()


def test_the_rate_over_a_barrier_is_the_one_of_another_program_and_moves_with_the_objective():
    found = witten.momentum_chain("((x-50)^2-1)^2/4", 0.05, 0.5)
    assert 0.05 * found.rate == pytest.approx(2.56603668e-4, rel=2e-9)
    assert found.rate_error < 1e-8 * found.rate
    # x = 10 z: the same chain in z
    wide = witten.momentum_chain("25*((x/10)^2-1)^2", 0.05 * 1.0, 0.5, noise=10.0)
    assert wide.rate == pytest.approx(found.rate, abs=wide.rate_error + found.rate_error)


def test_what_has_no_such_chain_is_refused():
    for objective, s, alpha, said in [
        ("x^2+y^2", 0.1, 0.5, "one variable"),
        ("double-well", 0.1, 1.0, "momentum must be"),
        ("double-well", 0.02, 0.999, "nodes"),
        ("double-well", 1e-6, 0.5, "nodes"),
        ("sqrt(1+x^2)", 0.1, 0.5, "grows so slowly"),
    ]:
        with pytest.raises(witten.RequestError, match=said):
            witten.momentum_chain(objective, s, alpha)
    with pytest.raises(witten.ConvergenceError, match="in one step from wherever"):
        witten.momentum_chain("double-well", 1e9, 0.5)
    with pytest.raises(witten.ConvergenceError, match="leaves every box"):
        witten.momentum_chain("double-well", 0.6, 0.5)


def test_the_command_shows_both_rates_per_step():
    done = in_process("chain", "double-well", "--lr", "0.05", "--momentum", "0.5", "--json")
    found = json.loads(done.stdout)
    (row,) = found["records"]
    assert (found["momentum"], found["nesterov"], found["why"]) == (0.5, False, None)
    assert row["chain_rate_per_step"] == pytest.approx(0.05 * row["chain_rate"]) == pytest.approx(2.56603668e-4)
    assert row["sde_rate_per_step"] == pytest.approx(2.4967e-4, rel=1e-4)
    assert row["ratio"] == pytest.approx(row["chain_rate_per_step"] / row["sde_rate_per_step"])
    table = in_process("chain", "x^2/2", "--lr", "0.5", "--momentum", "0.2", "--nesterov")
    assert "SGD rate per step" in table.stdout and "Nesterov" in table.stdout


def test_what_is_saved_is_resumed_and_drawn_and_a_chain_that_escapes_says_so(tmp_path):
    file, picture = tmp_path / "a.nc", tmp_path / "a.png"
    asked = ["chain", "(x^2-1)^2/4", "--lr", "0.2,0.4", "--momentum", "0.5", "-o", file]
    first = in_process(*asked, "--plot", picture)
    assert first.returncode == 0, first.stderr
    assert "SGD rate per step" in first.stdout and "leaves" in first.stdout
    assert picture.stat().st_size > 1000
    again = json.loads(in_process(*asked, "--resume", "--json").stdout)
    known, escaped = again["records"]
    assert known["ratio"] > 0 and escaped["chain_rate"] is None and escaped["sde_rate"] > 0
    assert "leaves" in again["why"]
    other = in_process("chain", "(x^2-1)^2/4", "--lr", "0.2", "--momentum", "0.4", "-o", file, "--resume")
    assert other.returncode == 2 and "momentum" in other.stderr


@pytest.mark.parametrize(
    "options, said", [(["--nesterov"], "--momentum"), (["--momentum", "1"], "below 1"),
                      (["--momentum", "0.5", "--resume"], "--resume")],
)  # fmt: skip
def test_bad_input_is_refused(options, said):
    done = in_process("chain", "double-well", "--lr", "0.1", *options)
    assert done.returncode == 2 and said in done.stderr

"""SGD with momentum by all routes: an equation that is too cold is found, and the recursion agrees with its chain."""

import json
from functools import partial

import pytest
from launcher import in_process

from witten.validation import momentum


def test_the_equation_of_the_literature_is_found_to_be_another_one(monkeypatch, tmp_path):
    colder = partial(momentum.momentum_gap, equation="shi")
    monkeypatch.setattr(momentum, "momentum_gap", colder)
    asked = ("validate", "double-well", "--lr", "0.06", "--momentum", "0.5", "-o", tmp_path / "a.nc", "--json")
    done = in_process(*asked, "--plot", tmp_path / "a.png")
    found = json.loads(done.stdout)
    (equation,), (recursion,) = found["records"], found["recursion"]
    assert done.returncode == 3 and found["agree"] is False and "disagree" in found["verdict"]
    assert equation["agree"] is False and equation["theory"] is not None
    assert json.loads(in_process(*asked, "--resume").stdout) == found  # nothing is computed again
    assert all((tmp_path / f"a{end}").exists() for end in (".png", "-recursion.png", "-recursion.nc"))
    assert recursion["agree"] is True and recursion["ci_low"] < recursion["spectral"] < recursion["ci_high"]


@pytest.mark.parametrize(("option", "value"), [("--box", "-2:2"), ("--report", "a.html"), ("--covariance", "2")])
def test_refused(option, value):
    done = in_process("validate", "double-well", "--lr", "0.06", "--momentum", "0.5", option, value)
    assert done.returncode == 2 and "not known with momentum" in done.stderr and done.stderr.count("\n") == 1

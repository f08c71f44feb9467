"""SGD with momentum by all routes: they agree, and an equation that is too cold is found."""

import json
from functools import partial

import pytest
from launcher import in_process

from witten.validation import momentum


def test_the_equation_of_the_literature_is_found_to_be_another_one(monkeypatch):
    colder = partial(momentum.momentum_gap, equation="shi")
    monkeypatch.setattr(momentum, "momentum_gap", colder)
    found = momentum.validate_momentum("double-well", 0.06, 0.5)
    assert found.equation.agree is False and found.recursion.agree is True and found.agree is False
    assert found.equation.records[0].theory is not None and "is left out" in found.verdict


def test_the_command_says_what_is_compared():
    done = in_process("validate", "double-well", "--lr", "0.06", "--momentum", "0.5", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["agree"] is True and found["momentum"] == 0.5
    # They differ by 3 %: the chain is that of the recursion, the operator that of its Langevin equation.
    assert 1.02 < found["recursion"][0]["spectral"] / found["records"][0]["spectral"] < 1.05


@pytest.mark.parametrize(("option", "value"), [("--box", "-2:2"), ("-o", "a.nc"), ("--covariance", "2")])
def test_refused(option, value):
    done = in_process("validate", "double-well", "--lr", "0.06", "--momentum", "0.5", option, value)
    assert done.returncode == 2 and "not known with momentum yet" in done.stderr and done.stderr.count("\n") == 1

"""What options may say, and what is said of what they may not."""

import re

import pytest
from launcher import in_process

from witten.cli.options import option_values
from witten.errors import RequestError


@pytest.mark.parametrize("text", ["1_0", "\u0663", "0.1,1_0", "0.1:1_0:3", "0.1:1:1_0"])
def test_numbers_that_nobody_means(text):
    done = in_process("gap", "x^2/2", "--lr", text)
    assert done.returncode == 2 and "number" in done.stderr
    with pytest.raises(RequestError):
        option_values.parse_point(text.replace(":", ","), text.replace(":", ",").count(",") + 1)


def test_nothing_can_be_refined_where_the_number_of_eigenvalues_is_limited():
    done = in_process("spectrum", "x^2/2", "--lr", "0.1", "-k", "51")
    assert done.returncode == 2 and done.stderr.endswith("ask for at most 50\n")


@pytest.mark.parametrize("name", ["lobpcg", "nonsense"])
def test_a_wrong_solver_of_slepc_is_told_to_be_left_out(name):
    pytest.importorskip("slepc4py")
    words = ("gap", "x^2/2+y^2/2", "--lr", "0.3", "--method", "fe", "--rtol", "0.1", "--json")
    done = in_process(*words, "--petsc", f"-eps_type {name}")
    assert done.returncode == 1 and '"method": "fe"' in done.stdout
    assert "--petsc" in done.stderr and "MUMPS" not in done.stderr
    assert re.search(r"failed \([A-Z][^()]*\)", done.stderr)  # whole sentences

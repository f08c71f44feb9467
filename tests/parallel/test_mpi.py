"""The tests that are marked `ranks` hold on any number of ranks: here they run again, on 2 and 3.

A test is marked where ranks can make a difference to it. What a rank computes by itself, as it does alone, is not.
"""

from pathlib import Path

import pytest
from launcher import needs_mpi, ranks

TESTS = Path(__file__).parents[1]
MARK = "ranks"
MARKED = [path for path in sorted(TESTS.rglob("test_*.py")) if f"pytest.mark.{MARK}" in path.read_text()]
# On 2 all in one run, since a start costs as much as many tests; on 3, where groups are of unequal size, those of
# `parallel` itself.
CASES = {2: MARKED, 3: [TESTS / "parallel" / "test_ranks.py"]}


@needs_mpi
@pytest.mark.slow
@pytest.mark.parametrize("n", CASES)
def test_under_mpiexec(n):
    options = ("-q", "-x", "-s", "-p", "no:cacheprovider", "-m", MARK)
    done = ranks(n, "-m", "pytest", *options, *CASES[n], cwd=TESTS.parent)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-8000:]}"
    assert done.stdout.count(" passed") == n

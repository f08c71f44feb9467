"""The test files that hold on any number of ranks, on 2 and 3 ranks."""

from pathlib import Path

import pytest
from launcher import needs_mpi, ranks

# Each runs by itself as well, on one rank.
CASES = (
    ("parallel/test_ranks.py", 2),
    ("parallel/test_ranks.py", 3),
    ("domains/test_mesh.py", 2),
    ("operators/test_finite_elements.py", 2),
    ("spectra/test_element_committors.py", 2),
)


@needs_mpi
@pytest.mark.slow
@pytest.mark.parametrize(("file", "n"), CASES)
def test_under_mpiexec(file, n, tmp_path):
    path = Path(__file__).parents[1] / file
    done = ranks(n, "-m", "pytest", "-q", "-x", "-s", "-p", "no:cacheprovider", path, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-8000:]}"
    assert done.stdout.count(" passed") == n

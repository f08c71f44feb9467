"""Accuracy on other processors: a few tests again, in processes that compute as an older one would.

OpenBLAS, NumPy and Numba choose their instructions by the processor and round differently with each. What they choose
is told by variables that are read when they are loaded.
"""

import os
import subprocess
import sys

import pytest
from launcher import PATIENCE

# Cores that OpenBLAS may take for its own, the first that works; whether NumPy leaves out AVX2; Numba's processor.
VARIANTS = {"avx2": (("Haswell", "Sandybridge"), False, None), "sse4": (("Nehalem",), True, "generic")}
TESTS = (
    "spectra/test_spectra.py::test_bars_of_ritz_values_hold_against_high_precision",
    "spectra/test_spectra.py::test_tiny_rates_keep_their_digits",
    "spectra/test_spectra.py::test_bars_hold_where_a_pair_that_is_known_well_stands_beside_one_that_is_not",
    "spectra/test_spectra.py::test_sweep_keeps_the_discretisation",
    "spectra/test_spectra.py::test_higher_rates_in_two_dimensions_lie_in_their_bars[shi-su-jordan-0.1]",
    "spectra/test_steep.py::test_rates_beside_a_steep_rim",
    "sgd/test_transfer.py::test_modes_where_hardly_any_measure_is_are_found[3*(1-exp(-2*x^2))+0.02*x^4-0.05-5.0]",
    "sgd/test_transfer.py::test_elimination_keeps_every_digit_of_a_small_eigenvalue",
    "sgd/test_transfer.py::test_a_quadratic_has_the_powers_of_its_factor",
)
# Products large enough for every kernel. OpenBLAS 0.3.34 crashes in them where it is told to be Haswell on a Zen 4 with
# AVX-512 (its issue 6021); on a real Haswell it does not.
PROBE = """
import numpy as np, scipy.linalg
a = np.random.default_rng(0).random((900, 900))
assert np.allclose(a @ a, scipy.linalg.blas.dgemm(1.0, a, a)) and np.isfinite(np.linalg.solve(a, a)).all()
scipy.linalg.eigh(a + a.T)
"""


def environment(core, without_avx2, numba_cpu):
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    left_out = [name for name in __cpu_dispatch__ if __cpu_features__[name] and (without_avx2 or "512" in name)]
    if not without_avx2 and __cpu_features__.get("X86_V4"):
        left_out.append("X86_V4")
    out = {**os.environ, "OPENBLAS_CORETYPE": core, "OPENBLAS_VERBOSE": "2", "OPENBLAS_NUM_THREADS": "1"}
    out |= {"NPY_DISABLE_CPU_FEATURES": " ".join(left_out)} if left_out else {}
    return out | ({"NUMBA_CPU_NAME": numba_cpu} if numba_cpu else {})


def works(core, env):
    """Whether NumPy and SciPy take this core, and it computes here."""
    done = subprocess.run([sys.executable, "-c", PROBE], env=env, capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode == 0 and f"Core: {core}" in done.stdout + done.stderr


@pytest.mark.parametrize("name", VARIANTS)
def test_bars_hold_as_an_older_processor_rounds(name):
    cores, *rest = VARIANTS[name]
    env = next((env for core in cores if works(core, env := environment(core, *rest))), None)
    if env is None:
        pytest.skip(f"NumPy's BLAS cannot be told to be {' or '.join(cores)} here")
    here = os.path.dirname(os.path.dirname(__file__))
    tests = [os.path.join(here, test) for test in TESTS]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    done = subprocess.run(command, env=env, cwd=os.path.dirname(here), capture_output=True, text=True, timeout=900)
    assert done.returncode == 0 and " passed" in done.stdout and "skipped" not in done.stdout, done.stdout[-5000:]

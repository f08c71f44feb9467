"""Profiles of hypothesis: `ci`, the same examples each time so that a change is judged by what it changes, and
`nightly` with twenty times as many, new ones each night (`--hypothesis-profile nightly`).

Under mpiexec a test that fails on one rank ends all ranks: the others would wait for it forever.
"""

import sys

import numba
from hypothesis import settings

from witten import parallel

# No test depends on how fast the machine is.
settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True)
settings.register_profile("nightly", max_examples=2000, deadline=None)
settings.load_profile("ci")


def pytest_configure(config):
    if hasattr(config, "workerinput"):  # one of several: the others have the other cores
        numba.set_num_threads(1)


def pytest_runtest_logreport(report):
    if report.failed and parallel.world().size > 1:
        sys.__stderr__.write(f"rank {parallel.world().rank}: {report.nodeid} failed\n{report.longreprtext}\n")
        parallel.abort(parallel.world(), 1)

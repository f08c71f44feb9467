"""Under mpiexec a test that fails on one rank ends all ranks: the others would wait for it forever."""

import sys

from witten import parallel


def pytest_runtest_logreport(report):
    if report.failed and parallel.world().size > 1:
        sys.__stderr__.write(f"rank {parallel.world().rank}: {report.nodeid} failed\n{report.longreprtext}\n")
        parallel.abort(parallel.world(), 1)

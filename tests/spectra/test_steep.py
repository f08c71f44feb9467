"""Solvers where f is so steep at the rim that A_ii there exceeds rates by more than a double holds; their bounds."""


import signal
import subprocess
import sys
import time

import mpmath as mp
import numpy as np
import pytest
from launcher import PATIENCE
from scipy.sparse.linalg import ArpackNoConvergence

from witten.domains.grid import Grid
from witten.errors import ConvergenceError
from witten.linalg import iteration_limits
from witten.linalg.gth_elimination import StateReduction
from witten.objectives import resolve
from witten.operators.differences.finite_differences import UNRESOLVED, FiniteDifferences
from witten.spectra import Dense, Lanczos, Multigrid
from witten.spectra.solvers import lanczos
from witten.spectra.solvers.lanczos import count_below


def steep(cells, objective="x^2/2 + 3*y^2/2 + 3*y^8", box=((-1.6, 1.6), (-1.5, 1.5)), s=0.2):
    return FiniteDifferences(resolve(objective), Grid.uniform(box, cells)).assemble(s)


def sums(k):
    """The k lowest rates of that on 16 x 12 cells, sums of those of its two lines, in 60 digits."""
    rates = []
    for f, width, n in ((lambda x: x**2 / 2, 3.2, 16), (lambda y: 3 * y**2 / 2 + 3 * y**8, 3.0, 12)):
        with mp.workdps(60):
            s, h = mp.mpf("0.2"), mp.mpf(width) / n
            values = [f(-mp.mpf(width) / 2 + h * (i + mp.mpf(1) / 2)) for i in range(n)]
            a = mp.zeros(n)
            for i in range(n - 1):
                middle = f(-mp.mpf(width) / 2 + h * (i + 1))
                coupling = s / 2 / h**2 * mp.exp(min((values[i] + values[i + 1] - 2 * middle) / s, UNRESOLVED))
                a[i, i + 1] = a[i + 1, i] = -coupling
                a[i, i] += coupling * mp.exp((values[i] - values[i + 1]) / s)
                a[i + 1, i + 1] += coupling * mp.exp((values[i + 1] - values[i]) / s)
            rates.append([float(x) for x in mp.eigsy(a, eigvals_only=True)])
    return np.sort(np.add.outer(*rates).ravel())[1 : k + 1]


@pytest.mark.parametrize("solver", [Dense(), Lanczos(), Multigrid()], ids=lambda solver: solver.name)
def test_rates_beside_a_steep_rim(solver):
    """A_ii reaches 1e68: a shift relative to that, or LAPACK on A as it is, leaves nothing of the rates."""
    operator = steep((16, 12))
    assert operator.matrix.diagonal().max() > 1e60 and operator.scale < 100
    found, exact = solver.solve(operator, 6), sums(3)
    assert (abs(found.rates[:3] - exact) <= found.errors(3)).all(), (found.rates[:3] - exact, found.errors(3))
    assert (found.errors(3) <= 1e-5 * exact).all()


def test_modes_beside_a_steep_rim_are_counted():
    operator, exact = steep((16, 12)), sums(4)
    middles = 0.5 * (exact[:-1] + exact[1:])
    assert [count_below(operator, rate) for rate in middles] == [1, 2, 3]


def test_a_steep_rim_takes_no_longer(monkeypatch):
    """ARPACK found every rate the same beside a shift of 1e-12 times the largest A_ii and iterated without end."""
    calls = []
    monkeypatch.setattr(lanczos, "bounded", lambda apply, *_: lambda x: calls.append(1) or apply(x))
    for rim in ("0", "y^8/2"):
        operator = steep((120, 90), f"x^2/2 + 3*y^2/2 + {rim}", ((-1.6, 1.6), (-2.2, 2.2)))
        found = Lanczos().solve(operator, 6)
        assert (found.errors(3) <= 1e-8 * found.rates[:3]).all()
        assert len(calls) < 100
        calls.clear()
    assert operator.matrix.diagonal().max() > 1e16


# ------------------------------------------------------------------------------------------------ bounds


def test_lanczos_gives_up_with_a_reason_and_a_remedy(monkeypatch):
    operator = steep((16, 12))
    with pytest.raises(ConvergenceError, match=r"Lanczos for 6 eigenvalues on 192 nodes .* in 3 products; ask for"):
        Lanczos(most=3).solve(operator, 6)
    monkeypatch.setattr(iteration_limits, "SECONDS", 0.0)
    for solver in (Lanczos(), Multigrid()):
        with pytest.raises(ConvergenceError, match=r"did not converge in 0 seconds; ask for fewer"):
            solver.solve(operator, 6)


def test_arpack_that_gives_up_is_an_error_of_ours(monkeypatch):
    def fails(*_, **__):
        raise ArpackNoConvergence("no convergence", np.zeros(0), np.zeros((0, 0)))

    monkeypatch.setattr(lanczos, "eigsh", fails)
    with pytest.raises(ConvergenceError, match="ask for fewer"):
        Lanczos().solve(steep((16, 12)), 6)


def test_arnoldi_on_a_chain_is_bounded(monkeypatch):
    chain = np.random.default_rng(0).random((40, 40))
    monkeypatch.setattr(iteration_limits, "SECONDS", 0.0)
    with pytest.raises(ConvergenceError, match="Arnoldi on a chain of 40 states did not converge in 0 seconds; ask"):
        StateReduction.of(chain / 80, 0).small_eigenvalues(2)


# A factorisation that makes nonsense slowly, so that ARPACK has no end, and a file that says that it has begun.
ENDLESS = """
import sys, time
import numpy as np
import witten.spectra.solvers.lanczos as lanczos
from witten.cli import main

begun = sys.argv.pop()

def nonsense(matrix, shift):
    open(begun, "w").close()
    rng = np.random.default_rng(0)
    return lambda x: time.sleep(0.1) or rng.standard_normal(x.shape)

lanczos.factorised = nonsense
lanczos.bounded = lambda apply, *_: apply
sys.exit(main())
"""


@pytest.mark.parametrize(("command", "number"), [("gap", signal.SIGTERM), ("spectrum", signal.SIGINT)])
def test_a_signal_ends_a_solver_within_seconds(tmp_path, command, number):
    begun = tmp_path / "begun"
    arguments = [command, "x^2/2 + y^2/2 + x^2*y^2", "--lr", "0.1", str(begun)]
    process = subprocess.Popen([sys.executable, "-c", ENDLESS, *arguments], stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + PATIENCE
        while not begun.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 4 and err.count("\n") == 1 and f"stopped by {number.name}" in err, err

"""Claim: one step of SGD in the plane is applied from windows of weights, a product of two short rows for each node, in
far less time and memory than as a matrix; and the smallest gaps of the chain keep their digits where LAPACK loses them.

On n x n nodes at two per standard deviation: seconds of one application by windows and by the dense matrix, where it
fits; the leading eigenvalues by Arnoldi on windows and by LAPACK (SciPy) on the dense kernel, with their difference.
For a sum of functions the kernel is a Kronecker product: two passes with the matrices of its terms.
Then 1 - rho_1 of a tilted double well down to 1e-22, by elimination without a subtraction and by LAPACK, against the
same elimination in numbers of 60 digits.
"""

from __future__ import annotations

from dataclasses import dataclass

import mpmath
import numpy as np
from measure import interleaved, table

from witten.domains.box import Box
from witten.linalg.gth_elimination import StateReduction
from witten.objectives import resolve
from witten.sgd.arnoldi import operator_spectrum
from witten.sgd.gradient_noise import GaussianNoise
from witten.sgd.steps.transfer_operator import TransferOperator, transfer_operator

NAME, HALF, DENSE_UP_TO = "triple-well", 2.6, 100
STEPS = (0.1, 0.05, 0.03, 0.02, 0.012)


@dataclass(frozen=True)
class Size:
    """One grid: seconds of an application each way, of the spectrum, and by how much the two spectra differ."""

    side: int
    windows: float
    dense: float
    two_passes: float
    arnoldi: float
    lapack: float
    difference: float


@dataclass(frozen=True)
class Gap:
    """One learning rate: 1 - rho_1, and the relative errors of two ways to it."""

    learning_rate: float
    truth: float
    reduction: float
    lapack: float


@dataclass(frozen=True)
class Result:
    sizes: list[Size]
    gaps: list[Gap]


def main(quick: bool = False) -> Result:
    sizes = [_size(side, 1 if quick else 5) for side in ((24, 32) if quick else (32, 48, 64, 96, 128))]
    gaps = [_gap(s) for s in (STEPS[::3] if quick else STEPS)]
    lines = [
        (row.side**2, *(_milliseconds(x) for x in (row.windows, row.dense, row.two_passes)), f"{row.arnoldi:.2f}",
         f"{row.lapack:.2f}" if np.isfinite(row.lapack) else "",
         f"{row.difference:.0e}" if np.isfinite(row.difference) else "")
        for row in sizes
    ]  # fmt: skip
    table(["nodes", "windows ms", "matrix ms", "two passes ms", "Arnoldi s", "LAPACK s", "difference"], lines)
    rows = [(g.learning_rate, f"{g.truth:.10e}", f"{g.reduction:.0e}", f"{g.lapack:.0e}") for g in gaps]
    table(["s", "1 - rho_1", "error, elimination", "error, LAPACK"], rows)
    return Result(sizes, gaps)


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.2f}" if np.isfinite(seconds) else ""


def _operator(side: int) -> TransferOperator:
    s = 2.0 * 2 * HALF / side  # two nodes per standard deviation
    box = Box.of([(-HALF, HALF)] * 2)
    return transfer_operator(resolve(NAME), 0.1, box, noise=GaussianNoise.isotropic(2, s))


def _size(side: int, repeats: int) -> Size:
    operator = _operator(side)
    u = np.random.default_rng(0).random(operator.n_dofs)
    line = np.random.default_rng(0).random((side, side))
    jobs = {"windows": lambda: operator.apply(u), "two passes": lambda: line @ u.reshape(side, side) @ line.T}
    small = side <= DENSE_UP_TO
    if small:
        matrix = operator.dense()
        jobs["matrix"] = lambda: matrix @ u
    seconds = {name: float(np.median(times)) for name, times in interleaved(jobs, repeats).items()}
    found: dict[str, np.ndarray] = {}
    jobs = {"arnoldi": lambda: found.update(arnoldi=operator_spectrum(operator, 6).eigenvalues)}
    if side <= 48:
        jobs["lapack"] = lambda: found.update(lapack=np.linalg.eigvals(matrix))
    slow = {name: float(np.median(times)) for name, times in interleaved(jobs, 1).items()}
    difference = np.nan
    if "lapack" in found:
        moduli = np.sort(abs(found["lapack"]))[::-1][:6]
        difference = float(abs(moduli - abs(found["arnoldi"])).max())
    return Size(side, seconds["windows"], seconds.get("matrix", np.nan), seconds["two passes"], slow["arnoldi"],
                slow.get("lapack", np.nan), difference)  # fmt: skip


def _gap(s: float) -> Gap:
    f = resolve("double-well:tilt=0.02")
    operator = transfer_operator(f, s, Box.of([(-1.5, 1.5)]), noise=GaussianNoise.isotropic(1, s), per_deviation=1.2)
    matrix, ground = operator.dense(), int(np.argmin(f(operator.points)))
    reduced = StateReduction.of(matrix, ground)
    gap = float(reduced.small_eigenvalues(1)[0].real)
    closed = matrix + np.diag(1.0 - matrix.sum(axis=1))
    plain = float(1 - np.sort(abs(np.linalg.eigvals(closed)))[-2])
    truth = _in_many_digits(matrix, ground)
    return Gap(s, truth, abs(gap / truth - 1), abs(plain / truth - 1))


def _in_many_digits(matrix: np.ndarray, ground: int, digits: int = 60) -> float:
    """1 - rho_1 of the chain with these off-diagonals: inverse iteration on x - pi x, by ordinary elimination."""
    with mpmath.workdps(digits):
        n = len(matrix)
        rows = [[mpmath.mpf(float(value)) for value in row] for row in matrix]
        for i in range(n):
            rows[i][i] = -mpmath.fsum(rows[i][j] for j in range(n) if j != i)
        rest = [i for i in range(n) if i != ground]
        factors = _factored([[-rows[i][j] for j in rest] for i in rest])
        x = [mpmath.mpf(1 if i > n // 2 else -1) for i in range(n)]
        left = _stationary(rows, rest, ground)
        value = mpmath.mpf(0)
        for _ in range(10):
            mean = mpmath.fsum(p * each for p, each in zip(left, x, strict=True))
            x = [each - mean for each in x]
            z = _solved(factors, [x[i] for i in rest])
            z.insert(ground, mpmath.mpf(0))
            mean = mpmath.fsum(p * each for p, each in zip(left, z, strict=True))
            z = [each - mean for each in z]
            value = max(map(abs, x)) / max(map(abs, z))
            top = max(map(abs, z))
            x = [each / top for each in z]
        return float(value)


def _factored(a: list[list[mpmath.mpf]]) -> list[list[mpmath.mpf]]:
    """L U in place; zeros are skipped, as the matrix is nearly banded."""
    n = len(a)
    for k in range(n):
        for i in range(k + 1, n):
            if a[i][k]:
                a[i][k] /= a[k][k]
                for j in range(k + 1, n):
                    if a[k][j]:
                        a[i][j] -= a[i][k] * a[k][j]
    return a


def _solved(a: list[list[mpmath.mpf]], b: list[mpmath.mpf]) -> list[mpmath.mpf]:
    n, x = len(a), list(b)
    for i in range(n):
        x[i] -= mpmath.fsum(a[i][j] * x[j] for j in range(i) if a[i][j])
    for i in range(n - 1, -1, -1):
        x[i] = (x[i] - mpmath.fsum(a[i][j] * x[j] for j in range(i + 1, n) if a[i][j])) / a[i][i]
    return x


def _stationary(rows: list[list[mpmath.mpf]], rest: list[int], ground: int) -> list[mpmath.mpf]:
    """pi with pi (P - 1) = 0, from pi_ground = 1."""
    transposed = _factored([[-rows[j][i] for j in rest] for i in rest])
    left = _solved(transposed, [rows[ground][i] for i in rest])
    left.insert(ground, mpmath.mpf(1))
    total = mpmath.fsum(left)
    return [each / total for each in left]


if __name__ == "__main__":
    main()

"""Rates below rounding by finite elements: against high precision, quadrature and finite differences, on any ranks."""

# ruff: noqa: E402  (the first line decides whether the rest can be imported)
import mpmath as mp
import numpy as np
import pytest

pytest.importorskip("dolfinx_solver", reason="finite elements need DOLFINx")
pytestmark = pytest.mark.fem

import basix
import dolfinx.mesh
from references import double_well, rates_1d

import witten
import witten.parallel.load_dolfinx
from witten.domains.meshes.mesh import grid_mesh
from witten.domains.sublevel import sublevel
from witten.objectives import resolve
from witten.operators.elements.finite_elements import FiniteElements
from witten.parallel import world
from witten.spectra.committors.elements import ElementCommittors, deep
from witten.spectra.meshes.adaptive_meshes import calibrated
from witten.spectra.solvers.distributed.krylov_schur import KrylovSchur

FE = {"method": "finite-elements"}
# Three wells on a line; the barriers out of the outer ones are 1.19 and 0.29.
THREE = "x^2*(x^2-4)^2/40 - 1.2*exp(-4*x^2) - exp(-4*(x+2)^2) - 0.06*exp(-8*(x-2)^2)"


def on_interval(spec, ends, cells, degree, s):
    mesh = dolfinx.mesh.create_interval(world().mpi, cells, list(ends))
    return FiniteElements(resolve(spec), mesh, degree).assemble(s)


def in_high_precision(spec, ends, cells, degree, s):
    """Logarithms of the positive rates of the same elements and quadrature, assembled and solved with 300 digits.

    The derivative of the first basis function of a cell is what makes the derivatives sum to zero.
    """
    f = resolve(spec)
    element = basix.create_element(
        basix.ElementFamily.P, basix.CellType.interval, degree, basix.LagrangeVariant.gll_warped
    )
    points, weights = basix.make_quadrature(basix.CellType.interval, 2 * degree + 4)
    table = element.tabulate(1, points)[:, :, :, 0]
    with mp.workdps(300):
        h, n = (mp.mpf(ends[1]) - mp.mpf(ends[0])) / cells, cells * degree + 1
        k, m = mp.zeros(n), mp.zeros(n)
        # basix numbers the ends of a cell first
        order = [0, degree, *range(1, degree)]
        for c in range(cells):
            for q, weight in enumerate(weights):
                x = mp.mpf(ends[0]) + h * (c + mp.mpf(float(points[q, 0])))
                w = mp.mpf(float(weight)) * h * mp.exp(-2 * mp.mpf(f.mpmath([x])) / s)
                slope = [mp.mpf(float(v)) / h for v in table[1, q]]
                slope[0] = -mp.fsum(slope[1:])
                value = [mp.mpf(float(v)) for v in table[0, q]]
                for a in range(degree + 1):
                    for b in range(degree + 1):
                        i, j = c * degree + order[a], c * degree + order[b]
                        k[i, j] += s / 2 * w * slope[a] * slope[b]
                        m[i, j] += w * value[a] * value[b]
        low = mp.cholesky(m)
        inverse = low**-1
        found = sorted(mp.eigsy(inverse * k * inverse.T, eigvals_only=True))
        return [float(mp.log(x)) for x in found[1:3]]


@pytest.mark.parametrize(
    ("spec", "ends", "cells", "degree", "s"),
    [
        ("double-well:tilt=0.03", (-1.75, 1.75), 25, 1, 0.01),
        ("double-well:tilt=0.03", (-1.75, 1.75), 20, 2, 0.008),
        ("double-well:tilt=0.03", (-1.75, 1.75), 16, 3, 0.01),
        (THREE, (-2.7, 2.7), 30, 2, 0.02),
    ],
    ids=["P1", "P2", "P3", "three-wells"],
)
def test_every_digit_of_the_discrete_rates(spec, ends, cells, degree, s):
    """Weights are known to about 1e-16 (max f)/s, and so are rates."""
    operator = on_interval(spec, ends, cells, degree, s)
    exact = in_high_precision(spec, ends, cells, degree, s)
    found = ElementCommittors().solve(operator, 2)
    off = np.array([abs(np.expm1(a - b)) for a, b in zip(found.log_rates, exact, strict=False)])
    assert off.size == (2 if spec == THREE else 1) and (off <= found.relative).all() and (off < 1e-10).all()
    assert found.counted == found.found == off.size + 1


def test_a_mode_is_flat_in_the_wells_and_what_is_left_of_its_slope_is_right():
    """K u = lambda M u node by node for both modes of three wells, though they differ by 25 decades: u from its
    differences within cells, where u itself has nothing left of them."""
    operator = on_interval(THREE, (-2.9, 2.9), 600, 1, 0.02)
    found = ElementCommittors(deepest=1000.0).solve(operator, 2)
    assert found.log_rates[1] - found.log_rates[0] > 50
    for j in range(2):
        flux = operator._flux(found.differences[:, j])
        left, size = operator._assembled(flux), operator._assembled(abs(flux))
        right = found.rates[j] * operator.times_mass(found.psi[:, [j]])[:, 0]
        assert (abs(left - right) <= 1e-9 * (size + abs(right)) + 1e-16 * abs(right).max()).all()
    energies = [operator.cell_energies(found.differences[:, [j]]).sum() for j in range(2)]
    np.testing.assert_allclose(energies, found.rates, rtol=1e-9)


TARGETS = [
    ("double-well", 0.01, lambda s: 8.6162007419e-23),
    ("double-well:dim=2", 0.01, lambda s: 8.6162007419e-23),
    ("shi-su-jordan-1d", 0.01, lambda s: 1.0956734777e-10),
    ("double-well:tilt=0.05", 0.002, lambda s: rates_1d(double_well(0.25, 0.05), s, 1)[0]),
]
# In the plane there are others.
ON_RANKS = {"double-well:tilt=0.05"}


@pytest.mark.parametrize(
    ("spec", "s", "truth"),
    [
        pytest.param(name, *rest, id=f"{name}@{rest[0]}", marks=[pytest.mark.ranks] if name in ON_RANKS else [])
        for name, *rest in TARGETS
    ],
)
def test_a_millionth(spec, s, truth):
    found = witten.spectrum(spec, s, 2, rtol=1e-6, **FE)
    assert found.gap == pytest.approx(truth(s), rel=1e-6) and abs(found.gap - truth(s)) <= found.errors[1]
    assert found.relative_errors[1] <= 1e-6


def test_no_seam_between_the_two_ways():
    """From s = 0.3 to 0.003 bars hold, by both ways of either method, and log lambda + 2H/s stays smooth."""
    rates = np.geomspace(0.3, 0.003, 15)
    truth = np.array([rates_1d(double_well(), s, 1)[0] for s in rates])
    for method in ("finite-elements", "finite-differences"):
        curve = witten.gap("double-well", rates, method=method)
        assert ((curve.lower <= np.log(truth)) & (np.log(truth) <= curve.upper)).all()
        assert curve.resolved.all()
        bend = np.diff(curve.log_rates + 0.5 / rates, 2)
        np.testing.assert_allclose(bend, np.diff(np.log(truth) + 0.5 / rates, 2), atol=4e-4)
        solvers = {record.solver for record in curve.records}
        assert method == "finite-differences" or {"fe P3 committors", "fe P3 krylov-schur"} <= solvers


@pytest.mark.parametrize(
    ("spec", "s", "k"),
    [pytest.param("triple-well:tilt_x=0.05", 0.01, 3, marks=pytest.mark.ranks), ("himmelblau", 0.02, 3)],
)
def test_all_small_rates_in_the_plane_agree_with_finite_differences(spec, s, k):
    elements, differences = (witten.spectrum(spec, s, k, **how) for how in (FE, {}))
    off = abs(np.expm1(elements.log_rates[1:] - differences.log_rates[1:]))
    assert (off <= elements.relative_errors[1:] + differences.relative_errors[1:]).all()
    assert (elements.relative_errors[1:] <= 1e-4).all() and elements.modes_counted >= k


def test_a_small_rate_beside_others():
    """One rate by committors, the others by Krylov-Schur with the first one deflated: a separable objective."""
    found = witten.spectrum("double-well:dim=2", 0.02, 4, rtol=1e-2, **FE)
    line = rates_1d(double_well(), 0.02, 3)
    exact = np.sort(np.concatenate([line, 1 + np.append(0.0, line[:1])]))[:3]
    assert found.solver == "fe P3 committors+krylov-schur"
    assert (abs(found.rates[1:] - exact) <= found.errors[1:]).all() and (found.relative_errors[1:] <= 1e-2).all()


@pytest.mark.parametrize("s", [pytest.param(0.04, marks=pytest.mark.ranks), 0.01])
def test_conjugate_gradients_give_what_a_factorisation_gives(s):
    f = resolve("double-well:dim=3,tilt=0.03")
    grid = sublevel(f, s, wells=2, margin=5.0).grid()
    operator = FiniteElements(f, grid_mesh(world().mpi, grid), 1).assemble(s)
    direct, iterative = (ElementCommittors(iterative=way).solve(operator, 1) for way in (False, True))
    assert np.expm1(iterative.log_rates - direct.log_rates) == pytest.approx(0.0, abs=float(iterative.relative[0]))
    assert iterative.relative[0] < 1e-6


@pytest.mark.ranks
def test_barriers_too_low_are_left_to_others():
    f = resolve("double-well")
    operator = FiniteElements(f, grid_mesh(world().mpi, sublevel(f, 0.2, wells=2, margin=8.0).grid()), 2).assemble(0.2)
    assert not deep(operator, 8.0)
    assert ElementCommittors().solve(operator, 1).rates.size == 0
    assert KrylovSchur().solve(operator, 4).rates[0] == pytest.approx(3.3545287308e-2, rel=1e-3)


def test_a_first_factor_is_not_trusted():
    """rate - truth = C eta^2 exactly: from two meshes 4 C, from three C."""
    c, truth = 0.003, 2.0
    rates, eta = np.array([2.3, 2.1, 2.01]), (np.array([2.3, 2.1, 2.01]) - truth) / c
    logs, relative = [np.log([r]) for r in rates], [np.array([e / r]) for e, r in zip(eta, rates, strict=True)]
    np.testing.assert_allclose(calibrated(logs[:2], relative[:2]), 4 * c)
    np.testing.assert_allclose(calibrated(logs, relative), c)
    np.testing.assert_allclose(calibrated(logs[:1], relative[:1]), 1)

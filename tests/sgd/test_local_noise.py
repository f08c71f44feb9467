"""One step of SGD with a covariance Sigma(x): closed forms, a quadrature of its own, refusals."""

import json

import numpy as np
import pytest
from launcher import in_process

import witten
from witten import noise as noises
from witten.domains.box import Box
from witten.errors import RequestError
from witten.objectives import resolve
from witten.sgd.steps.local_noise import LocalNoise
from witten.sgd.steps.local_operators import CorrelatedTransferOperator

FULL = "1 + tanh(x)/2, 0.4*cos(y); 0.4*cos(y), 0.8 + 0.3*sin(x)"


def by_quadrature(f, a, s, low, high, nodes=200):
    """|rho_1|/rho_0 by Gauss-Legendre, which shares nothing with the windows."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    x, w = (low + high) / 2 + (high - low) / 2 * x, (high - low) / 2 * w
    mean, deviation = x - s * resolve(f).gradient(x[None])[0], s * np.sqrt(a(x))[:, None]
    kernel = np.exp(-0.5 * ((x - mean[:, None]) / deviation) ** 2) / (np.sqrt(2 * np.pi) * deviation) * w
    values = np.sort(abs(np.linalg.eigvals(kernel)))
    return values[-2] / values[-1]


def test_a_line_agrees_with_another_quadrature():
    found = witten.transfer_spectrum("double-well", 0.2, 3, noise=noises.formula("1 + tanh(2*x)/2"))
    ratio = by_quadrature("double-well", lambda x: 1 + np.tanh(2 * x) / 2, 0.2, -3.2, 3.2)
    assert found.rate == pytest.approx(-np.log(ratio) / 0.2, abs=max(found.rate_error, 1e-12))
    assert found.rate_error < 1e-9
    potential = found.operator.guess  # of the SDE, whose Gibbs measure is near to order s
    gibbs = np.exp(potential) / np.exp(potential).sum()
    assert 0 < np.abs(found.stationary / found.stationary.sum() - gibbs).sum() / 2 < 0.1


@pytest.mark.parametrize(
    ("noise", "first"),
    [
        (noises.formula(FULL), 0.4),  # E x+ = (1 - s A) x whatever Sigma
        (noises.with_drift(("-y/2", "x/2")), 0.4 + 0.3j),  # 1 - s (A - C)
    ],
)
def test_linear_drift_has_the_eigenvalues_of_descent(noise, first):
    found = witten.transfer_spectrum("x^2/2 + y^2/2", 0.6, 3, noise=noise)
    assert abs(found.eigenvalues[1] - first) < found.errors[1] < 1e-4


def test_segments_hold_the_kernel():
    f, s = resolve("(x^2-1)^2/4 + x*y/2 + y^2/2"), 0.35
    noise = LocalNoise(noises.formula(FULL).bind(f), s)
    operator = noise.operator(Box.of([(-2, 2), (-1.5, 1.5)]), np.inf, s, 0.8)
    assert isinstance(operator, CorrelatedTransferOperator)
    x = operator.points
    step = x[:, None, :] - (x - s * f.gradient(x))[:, :, None]
    covariance = np.moveaxis(s**2 * noise.diffusion.sigma(x), 2, 0)
    exponent = np.einsum("ain,iab,bin->in", step, np.linalg.inv(covariance), step)
    kernel = np.exp(-exponent / 2) / (2 * np.pi * np.sqrt(np.linalg.det(covariance)))[:, None] * operator.volume
    u = np.random.default_rng(0).random(operator.n_dofs)
    assert operator.apply(u) == pytest.approx(kernel @ u, abs=1e-13)
    assert operator.adjoint(u) == pytest.approx(u @ kernel, abs=1e-13)
    assert operator.dense() == pytest.approx(kernel, abs=1e-13)
    well_inside = operator.killed < 1e-3
    assert operator.killed[well_inside] == pytest.approx(1 - kernel.sum(axis=1)[well_inside], abs=2e-3)
    assert well_inside.any() and not well_inside.all()


def test_equal_noise_takes_the_chain_of_unit_noise():
    same = witten.transfer_spectrum("double-well", 0.2, 3, noise=noises.formula("1 + 0*x"))
    nearly = witten.transfer_spectrum("double-well", 0.2, 3, noise=noises.formula("1 + 1e-9*x^2"))
    unit = witten.transfer_spectrum("double-well", 0.2, 3)
    assert same.rate == unit.rate
    assert nearly.rate == pytest.approx(unit.rate, rel=1e-8)


def test_a_sum_with_noise_of_its_own_along_each_axis_is_the_slowest_term():
    noise = noises.formula([["1 + tanh(x)/2", "0"], ["0", "1 + y^2/20"]])
    found = witten.transfer_spectrum("(x^2-1)^2/4 + (y^2-1)^2/4 + y/10", 0.3, 3, noise=noise)
    line = witten.transfer_spectrum("(x^2-1)^2/4 + x/10", 0.3, 3, noise=noises.formula("1 + x^2/20"))
    other = witten.transfer_spectrum("(x^2-1)^2/4", 0.3, 3, noise=noises.formula("1 + tanh(x)/2"))
    assert found.rate == min(line.rate, other.rate)


def test_the_command_says_both_rates_and_the_covariance():
    run = in_process("chain", "double-well", "--lr", "0.2", "--covariance", "1+tanh(2*x)/2", "--json")
    said = json.loads(run.stdout)
    record = said["records"][0]
    assert said["covariance"] == "1+tanh(2*x)/2"
    assert record["chain_rate"] == pytest.approx(0.0453009194837, rel=1e-9)
    assert record["sde_rate"] == pytest.approx(4.1628143343e-2, rel=1e-6)  # NOISE.md, A


@pytest.mark.parametrize("covariance", ["x", "sqrt(x - 2)", "(x - 0.5)^2 - 0.01"])
def test_noise_that_is_none_somewhere_is_refused_with_the_place(covariance):
    with pytest.raises(RequestError, match=r"covariance is not (positive definite|finite) at \("):
        witten.transfer_spectrum("double-well", 0.2, noise=noises.formula(covariance))

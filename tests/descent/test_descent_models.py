"""Losses of matrices and networks: derivatives against finite differences, closed forms against the full Hessian."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from witten.descent.gradient_map import DescentMap
from witten.errors import RequestError
from witten.objectives.losses.factorisation import DeepLinear, MatrixFactorisation, deep_scalar, scalar_factorisation
from witten.objectives.losses.matrix_loss import Model, joined
from witten.objectives.losses.networks import LeastSquares, TwoLayer
from witten.studies.relu_oscillation import train


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


MODELS = [
    MatrixFactorisation(normal(3, 4), 2, ridge=0.1),
    DeepLinear(normal(3, 2), (4, 3)),
    DeepLinear(normal(2, 2)),
    TwoLayer(normal(2, 6), normal(3, 6, seed=1), normal(4, seed=2), "tanh"),
    TwoLayer(normal(2, 6), normal(1, 6, seed=1), normal(5, seed=2), "relu", scale=0.1),
    LeastSquares(normal(3, 7), normal(7, seed=1), normal(3, 4, seed=2), normal(4, seed=3)),
]


def differences(function, w, h=2e-3):
    """Derivatives of a function (d, n) -> (..., n) along each axis, of fourth order in h."""
    columns = []
    for e in np.eye(len(w)):
        moved = {k: function(w + k * h * e[:, None]) for k in (-2, -1, 1, 2)}
        columns.append((moved[-2] - 8 * moved[-1] + 8 * moved[1] - moved[2]) / (12 * h))
    return np.stack(columns, axis=-2)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_derivatives_are_those_of_the_value(model: Model):
    w = 0.7 * normal(model.dimension, 3, seed=5)
    assert model.gradient(w) == pytest.approx(differences(model.value, w), rel=1e-6, abs=1e-6)
    hessian = model.hessian(w)
    assert hessian == pytest.approx(differences(model.gradient, w), rel=1e-6, abs=1e-6)
    assert hessian == pytest.approx(hessian.swapaxes(0, 1), abs=1e-12)
    v = normal(model.dimension, 3, seed=6)
    assert model.product(w, v) == pytest.approx(np.einsum("ijn,jn->in", hessian, v), abs=1e-11)
    assert model.sharpness(w[:, 0]) == pytest.approx(np.linalg.eigvalsh(hessian[:, :, 0])[-1])


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_model_is_an_objective(model: Model):
    f, w = model.objective(), normal(model.dimension, 4, seed=5)
    assert f(w[:, 0]) == pytest.approx(model.value(w)[0])
    step = DescentMap(f, 0.01)
    assert step(w) == pytest.approx(w - 0.01 * model.gradient(w))
    assert step.jacobian(w[:, 0]).shape == (model.dimension,) * 2


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
@examples(40)
def test_sharpness_of_a_factorisation_that_fits(seed, p, q, rank):
    left, right = normal(p, rank, seed=seed), normal(q, rank, seed=seed + 1)
    model, w = MatrixFactorisation(left @ right.T, rank), joined([left, right])
    assert model.value(w[:, None])[0] < 1e-25
    assert model.sharpness_at_fit(w) == pytest.approx(model.sharpness(w), rel=1e-9)
    assert model.imbalance(w) == pytest.approx(left.T @ left - right.T @ right)


@given(st.integers(0, 10_000), st.lists(st.integers(1, 3), min_size=2, max_size=5))
@examples(40)
def test_sharpness_of_a_deep_network_that_fits(seed, sizes):
    rng = np.random.default_rng(seed)
    layers = [rng.normal(size=(m, n)) for n, m in zip(sizes, sizes[1:], strict=False)]
    product = layers[0]
    for layer in layers[1:]:
        product = layer @ product
    model, w = DeepLinear(product, sizes[1:-1]), joined(layers)
    full = model.sharpness(w)
    assert model.sharpness_at_fit(w) == pytest.approx(full, rel=1e-9)
    assert model.top_sharpness(w) <= full * (1 + 1e-9)
    depth, rho = model.depth, np.linalg.norm(product, 2)
    assert depth * rho ** (2 * (depth - 1) / depth) <= model.top_sharpness(w) * (1 + 1e-9)


@given(st.integers(0, 1000), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4))
@examples(25)
def test_the_spectrum_of_a_balanced_network(seed, p, q, depth):
    target = normal(p, q, seed=seed)
    model = DeepLinear(target, (3,) * (depth - 1))
    w = model.balanced()
    assert model.value(w[:, None])[0] < 1e-25
    full = -np.sort(-np.linalg.eigvalsh(model.hessian(w[:, None])[:, :, 0]))
    expected = np.zeros(full.size)
    spectrum = model.balanced_spectrum()
    expected[: spectrum.size] = spectrum[: full.size]
    assert full == pytest.approx(expected, rel=1e-8, abs=1e-9)


def test_networks_of_one_number_are_the_formulas():
    w = normal(3, 5)
    assert DeepLinear([[1.5]], (1, 1)).value(w) == pytest.approx(deep_scalar(1.5, depth=3)(w))
    assert MatrixFactorisation([[0.5]], 1, ridge=0.2).value(w[:2]) == pytest.approx(
        scalar_factorisation(0.5, ridge=0.2)(w[:2])
    )
    five = normal(10, 4)
    inner = (five[:5] * five[5:]).sum(axis=0)
    assert scalar_factorisation(2.0, dim=5)(five) == pytest.approx((2 - inner) ** 2 / 2)


def test_lanczos_beyond_dense_sizes():
    model = MatrixFactorisation(normal(21, 20), 10)
    assert model.dimension > 400
    w = 0.3 * normal(model.dimension, 1)
    assert model.sharpness(w) == pytest.approx(np.linalg.eigvalsh(model.hessian(w)[:, :, 0])[-1], rel=1e-8)


def test_regression_knows_its_test_loss():
    model = MODELS[-1]
    w = normal(3, 2)
    expected = [0.5 * np.mean((model.test_inputs.T @ each - model.test_targets) ** 2) for each in w.T]
    assert model.test_loss(w) == pytest.approx(expected)
    assert model.sample_hessians().mean(axis=0) == pytest.approx(model.hessian(w)[:, :, 0])


def test_the_fast_loop_of_a_relu_network_is_descent():
    x = np.arange(200)[None] / 200
    bias, start = normal(3, 8, seed=1), normal(3, 16, seed=2)
    models = [TwoLayer(x, np.sin(k + 5 * x), b) for k, b in enumerate(bias)]
    w, v = start[:, :8].copy(), start[:, 8:].copy()
    train(x[0], np.array([m.targets[0] for m in models]), bias, w, v, 1e-4, 40)
    for k, model in enumerate(models):
        end = DescentMap(model.objective(), 1e-4).iterate(start[k], 40)
        assert np.concatenate([w[k], v[k]]) == pytest.approx(end, rel=1e-10)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MatrixFactorisation([1.0, 2.0], 1), "finite matrix"),
        (lambda: MatrixFactorisation([[1.0]], 0), "rank"),
        (lambda: DeepLinear([[1.0]], (0,)), "at least one neuron"),
        (lambda: DeepLinear(np.eye(2), (1,)).balanced(), "cannot hold rank 2"),
        (lambda: TwoLayer([[1.0]], [[1.0, 2.0]], [0.0]), "1 inputs but 2 targets"),
        (lambda: TwoLayer([[1.0]], [[1.0]], [0.0], "gelu"), "relu or tanh"),
        (lambda: LeastSquares([[1.0]], [1.0], [[1.0]], [1.0, 2.0]), "do not fit"),
    ],
)
def test_what_makes_no_sense_is_refused(make, words):
    with pytest.raises(RequestError, match=words):
        make()

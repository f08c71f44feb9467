"""Losses written in PyTorch: derivatives against differences, samples against their mean, and refusals."""

import numpy as np
import pytest

import witten
from witten.errors import RequestError
from witten.objectives.torch_functions import TorchLoss

torch = pytest.importorskip("torch", reason="needs the extra torch")


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Dropout(0.5), torch.nn.Linear(3, 1))


INPUTS = np.random.default_rng(0).normal(size=(12, 2))
TARGETS = INPUTS[:, :1] * INPUTS[:, 1:]


def test_derivatives_and_samples(monkeypatch):
    f = TorchLoss(network(), torch.nn.functional.mse_loss, INPUTS, TARGETS)
    x, v = f.start + 0.1, np.random.default_rng(1).normal(size=f.parameters)
    assert f.parameters == 13 and f.start.dtype == float
    slope = (f(x + 1e-6 * v) - f(x - 1e-6 * v)) / 2e-6
    assert f.gradient(x) @ v == pytest.approx(slope, rel=1e-7)
    bend = (f.gradient(x + 1e-6 * v) - f.gradient(x - 1e-6 * v)) / 2e-6
    assert f.product(x, v) == pytest.approx(bend, rel=1e-6, abs=1e-8)
    monkeypatch.setattr("witten.objectives.torch_functions.MOST_NUMBERS", 5 * 13)
    assert f.sample_gradients(x).mean(axis=0) == pytest.approx(f.gradient(x), rel=1e-12, abs=1e-14)


def test_probe_and_objective_take_one():
    f = TorchLoss(network(), torch.nn.functional.mse_loss, INPUTS, TARGETS)
    found = witten.probe(f, f.start, 0.1)
    exact = np.linalg.eigvalsh(f.hessian(f.start))
    assert found.products == "products" and abs(found.sharpness - exact[-1]) <= found.sharpness_error + 1e-14
    assert found.noise.samples == 12 and found.noise.difference < 1e-10
    objective = witten.Objective.from_torch(network(), torch.nn.functional.mse_loss, INPUTS, TARGETS)
    assert objective(f.start) == f(f.start)


def test_what_is_refused():
    with pytest.raises(RequestError, match="12 inputs and 11 targets"):
        TorchLoss(network(), torch.nn.functional.mse_loss, INPUTS, TARGETS[1:])
    with pytest.raises(RequestError, match="no parameters"):
        TorchLoss(torch.nn.Tanh(), torch.nn.functional.mse_loss, INPUTS, TARGETS)
    f = TorchLoss(network(), torch.nn.functional.mse_loss, INPUTS, TARGETS)
    with pytest.raises(RequestError, match="point of 3 numbers.*13 parameters"):
        witten.probe(f, np.ones(3), 0.1)
    unsteady = TorchLoss(network(), lambda y, t: (y**2).mean() + torch.rand(()), INPUTS, TARGETS)
    with pytest.raises(RequestError, match="another the second time"):
        witten.probe(unsteady, unsteady.start, 0.1)
    broken = TorchLoss(network(), lambda y, t: (y**2).mean() * np.nan, INPUTS, TARGETS)
    with pytest.raises(RequestError, match="not finite"):
        witten.probe(broken, broken.start, 0.1)

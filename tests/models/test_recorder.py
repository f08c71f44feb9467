"""What a training loop logs, its file and picture, and what is refused."""

import numpy as np
import pytest
from launcher import in_process

import witten
from witten.errors import RequestError
from witten.models.recorder import flat_parameters

INPUTS = np.random.default_rng(0).normal(size=(40, 6))
TARGETS = INPUTS @ np.arange(6.0) + np.random.default_rng(1).normal(size=40)
HESSIAN = INPUTS.T @ INPUTS / 40


def gradients(w):
    return (INPUTS @ w - TARGETS)[:, None] * INPUTS


def recorder(**given):
    options = {"gradient": lambda w: gradients(w).mean(axis=0), "sample_gradients": gradients, "every": 5, "batch": 4}
    return witten.Recorder(lambda w: 0.5 * np.mean((INPUTS @ w - TARGETS) ** 2), **(options | given))


def test_a_training_is_logged_saved_and_drawn(tmp_path):
    log, w, s = recorder(output=tmp_path / "log.nc"), np.zeros(6), 0.2
    for step in range(11):
        log(step, {"a": w[:2], "b": w[2:].reshape(2, 2)}, s)
        w = w - s * gradients(w).mean(axis=0)
    found = witten.TrainingRecord.load(tmp_path / "log.nc")
    assert found.steps.tolist() == [0, 5, 10]
    assert found.sharpness == pytest.approx(np.linalg.eigvalsh(HESSIAN)[-1], rel=1e-8)
    assert found.thresholds.tolist() == pytest.approx([10.0] * 3)
    covariance = np.cov(gradients(np.zeros(6)).T, bias=True)
    assert found.temperatures[0] == pytest.approx(s * np.trace(covariance) / (2 * 6 * 4))
    assert found.noise_scales[0] == pytest.approx(np.trace(covariance) / found.gradient_norms[0] ** 2)
    assert (np.diff(found.losses) < 0).all() and "3 looks" in found.summary
    drawn = in_process("plot", "log.nc", cwd=tmp_path)
    assert drawn.returncode == 0 and (tmp_path / "log.png").read_bytes().startswith(b"\x89PNG")


def test_parameters_in_any_form():
    class Tensor:
        """As PyTorch has them."""

        def __init__(self, values):
            self.values = values

        def detach(self):
            return self

        cpu = detach

        def numpy(self):
            return np.array(self.values)

    class Module:
        def named_parameters(self):
            return iter([("z", Tensor([1.0, 2.0])), ("a", Tensor([[3.0]]))])

    assert flat_parameters(Module()).tolist() == [1, 2, 3]
    assert flat_parameters({"b": [np.ones(1), (2.0,)], "a": np.zeros((1, 2))}).tolist() == [0, 0, 1, 2]


def test_what_is_refused(tmp_path):
    with pytest.raises(RequestError, match="every must be at least 1"):
        recorder(every=0)
    with pytest.raises(RequestError, match="point of 3 numbers"):
        recorder()(0, np.ones(3), 0.1)
    with pytest.raises(RequestError, match="learning rate must be positive"):
        recorder()(0, np.ones(6), 0.0)
    with pytest.raises(RequestError, match="nothing to plot"):
        recorder().record.plot()

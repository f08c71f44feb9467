"""Sharpness within its bound of a dense Hessian, the noise of the gradient against its definition, and refusals."""

import json
import sys

import numpy as np
import pytest
from launcher import in_process

import witten
from witten.errors import RequestError
from witten.models.checkpoint import read_checkpoint

INPUTS = np.linspace(-2, 2, 24)
TARGETS = np.sin(2.2 * INPUTS) * np.exp(-0.1 * INPUTS**2) + 0.3 * INPUTS
RIDGE = 2e-3


def outputs(w, h):
    hidden = np.tanh(np.outer(INPUTS, w[:h]) + w[h : 2 * h])
    return hidden, hidden @ w[2 * h : 3 * h] + w[-1] - TARGETS


class Network:
    """1-h-1 tanh on 24 points, with ridge: n = 3h + 1 weights."""

    def __init__(self, h):
        self.h = h

    def samples(self, w):
        return 0.5 * outputs(w, self.h)[1] ** 2 + 0.5 * RIDGE * w @ w

    def loss(self, w):
        return self.samples(w).mean()

    def gradients(self, w):
        hidden, off = outputs(w, self.h)
        first = off[:, None] * w[2 * self.h : 3 * self.h] * (1 - hidden**2)
        return np.hstack([first * INPUTS[:, None], first, off[:, None] * hidden, off[:, None]]) + RIDGE * w

    def gradient(self, w):
        return self.gradients(w).mean(axis=0)

    def hessian(self, w):
        """By complex steps, which subtract nothing."""
        step = 1e-30
        columns = [self.gradient(w + 1j * step * e).imag / step for e in np.eye(w.size)]
        return np.array(columns)


@pytest.mark.parametrize(("h", "scale"), [(4, 1.0), (4, 1e-3), (40, 1.0), (166, 0.3)])
def test_sharpness_is_within_its_bound_of_the_dense_hessian(h, scale):
    net = Network(h)
    w = scale * np.random.default_rng(h).normal(size=3 * h + 1)
    found = witten.probe(net.loss, w, 0.1, gradient=net.gradient)
    exact = np.linalg.eigvalsh(net.hessian(w))
    rounding = 1e-14 * np.abs(exact).max()
    assert abs(found.sharpness - exact[-1]) <= found.sharpness_error + rounding
    assert found.sharpness_error < 1e-7 * exact[-1]
    assert exact[-1] <= found.spectrum.upper + rounding <= exact[-1] + 0.02 * np.ptp(exact)
    for each in found.spectrum.largest:
        assert np.abs(exact - each.value).min() <= each.error + rounding
    assert found.spectrum.negative <= np.count_nonzero(exact < 0)


def test_a_given_hessian_and_differences_say_the_same():
    net, w = Network(4), np.random.default_rng(1).normal(size=13)
    one, other = (witten.probe(net.loss, w, 0.1, gradient=net.gradient, hessian=h) for h in (net.hessian, None))
    assert (one.products, other.products) == ("hessian", "differences")
    assert one.sharpness == pytest.approx(other.sharpness, abs=one.sharpness_error + other.sharpness_error)
    assert one.spectrum.negative == other.spectrum.negative == np.count_nonzero(np.linalg.eigvalsh(net.hessian(w)) < 0)


def test_an_objective_brings_what_it_knows_exactly():
    f = witten.Objective.from_callable(lambda x: (x**4).sum(axis=0), 2, gradient=lambda x: 4 * x**3)
    found = witten.probe(f, [1.0, 2.0], 0.1)
    assert found.products == "differences" and abs(found.sharpness - 48) <= found.sharpness_error
    assert witten.probe(witten.Objective.from_formula("x^4+y^4"), [1.0, 2.0], 0.1).products == "hessian"
    with pytest.raises(RequestError, match="without its gradient"):
        witten.probe(witten.Objective.from_callable(lambda x: (x**4).sum(axis=0), 2), [1.0, 2.0], 0.1)


def test_eigenvalues_are_found_once_for_each_multiplicity():
    found = witten.probe(lambda x: x @ x, np.ones(30), 1.1, gradient=lambda x: 2 * x, count=40)
    assert [each.value for each in found.spectrum.largest] == pytest.approx([2.0] * 30)
    assert found.stable is False


def test_between_the_bounds_stability_is_not_decided():
    curvatures = np.linspace(0, 1, 1000) ** 4
    found = [
        witten.probe(lambda x: 0.5 * x @ (curvatures * x), np.ones(1000), s, gradient=lambda x: curvatures * x).stable
        for s in (1.9, 2 / (1 + 1e-4), 2.1)
    ]
    assert found == [True, None, False]


def test_kinks_make_no_negative_eigenvalues():
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(60, 40))
    w = rng.normal(size=40) / 10

    def gradient(w):
        z = inputs @ w
        return inputs.T @ ((np.maximum(z, 0) - 1) * (z > 0)) / 60

    found = witten.probe(lambda w: 0.5 * np.mean((np.maximum(inputs @ w, 0) - 1) ** 2), w, 0.1, gradient=gradient)
    on = inputs[inputs @ w > 0]
    assert found.sharpness == pytest.approx(np.linalg.eigvalsh(on.T @ on / 60)[-1], abs=found.sharpness_error)
    assert found.spectrum.negative == 0


def test_noise_is_the_covariance_of_the_samples():
    net, w = Network(4), np.random.default_rng(2).normal(size=13)
    covariance = np.cov(net.gradients(w).T, bias=True)
    found = witten.probe(net.loss, w, 0.1, gradient=net.gradient, sample_gradients=net.gradients)
    noise, q = found.noise, found.spectrum.largest[0].vector
    assert noise.trace == pytest.approx(np.trace(covariance), rel=1e-12)
    assert noise.along[0] == pytest.approx(q @ covariance @ q, rel=1e-10)
    assert noise.leading == pytest.approx(np.linalg.eigvalsh(covariance)[:-6:-1], rel=1e-8)
    assert noise.scale == pytest.approx(np.trace(covariance) / found.gradient_norm**2, rel=1e-10)
    losses = witten.probe(net.loss, w, 0.1, gradient=net.gradient, sample_losses=net.samples).noise
    assert (losses.trace, *losses.along) == pytest.approx((noise.trace, *noise.along), rel=1e-6)


def test_intervals_of_the_noise_hold_what_samples_are_drawn_from():
    """g_i = c + e_i, e_i normal: tr Sigma = n, |g|^2 = n c^2, in 200 draws; random directions beyond 400 parameters."""
    from witten.models.gradient_noise import noise_of_gradients

    rng, missed = np.random.default_rng(0), np.zeros(2)
    for _ in range(200):
        drawn = 0.5 + rng.normal(size=(60, 20))
        noise = noise_of_gradients(drawn, drawn.mean(axis=0), drawn[:, :1])
        for i, (value, (low, high)) in enumerate([(20, noise.trace_interval), (4, noise.scale_interval)]):
            missed[i] += not low <= value <= high
    assert (missed <= 16).all()  # 10 are expected of 5 %
    directions = np.arange(500.0)[:, None] * rng.normal(size=(500, 12)) / 100

    def losses(x):
        return directions.T @ x

    found = witten.probe(
        lambda x: losses(x).mean() + 0.5 * x @ x, np.ones(500), 0.1,
        gradient=lambda x: directions.mean(axis=1) + x, sample_losses=losses,
    ).noise  # fmt: skip
    low, high = found.trace_interval
    assert low <= np.var(directions, axis=1).sum() <= high and found.difference > 0.1


# ------------------------------------------------------------------------------------------------ bad input

GOOD = {"loss": lambda x: x @ x, "x": np.ones(3), "learning_rate": 0.1, "gradient": lambda x: 2 * x}
CALLS = iter(range(10**6))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"loss": lambda x: np.nan}, "not finite"),
        ({"loss": lambda x: np.float32(x @ x)}, "float32.*float64"),
        ({"gradient": lambda x: np.float32(2 * x)}, "float32.*float64"),
        ({"gradient": None}, "without its gradient"),
        ({"gradient": lambda x: 3 * x}, "does not belong to its values"),
        ({"gradient": lambda x: 2 * x[:2]}, r"must have the shape \(3\), and has \(2,\)"),
        ({"loss": lambda x: x @ x + next(CALLS)}, "another the second time"),
        ({"loss": lambda x: x @ np.ones((4, 4)) @ x}, "point of 3 numbers.*fails"),
        ({"loss": lambda x: x @ x + 1j}, "no real numbers"),
        ({"hessian": lambda x: 3 * np.eye(3)}, "does not belong to its gradient"),
        ({"hessian": lambda x: np.triu(np.ones((3, 3)))}, "not symmetric"),
        ({"x": [1, np.inf]}, "finite numbers"),
        ({"learning_rate": 0}, "positive"),
        ({"count": 0}, "positive"),
        ({"sample_gradients": lambda x: np.ones((2, 3))}, "at least 8"),
    ],
)
def test_what_is_refused(change, why):
    given = GOOD | change
    with pytest.raises(RequestError, match=why) as refused:
        witten.probe(given.pop("loss"), given.pop("x"), given.pop("learning_rate"), **given)
    assert "\n" not in str(refused.value)


# ------------------------------------------------------------------------------------------------ the command

FILE = """
import numpy as np
from witten import Objective
def loss(x): return float(np.arange(1, 5) @ x**2)
def loss_gradient(x): return 2 * np.arange(1, 5) * x
def bare(x): return x @ x
formula = Objective.from_formula("x^2 + 3*y^2")
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model.py").write_text(FILE)
    np.savez(tmp_path / "a.npz", b=np.full(1, 4.0), a=np.array([[1.0], [2.0], [3.0]]))
    np.savez(tmp_path / "objects.npz", a=np.array([{}, 1], dtype=object))
    np.savez(tmp_path / "short.npz", a=np.ones(3))
    (tmp_path / "torn.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:100])
    return tmp_path


def test_arrays_of_a_checkpoint_are_taken_by_name(folder):
    assert read_checkpoint(folder / "a.npz").tolist() == [1, 2, 3, 4]


def safetensors(arrays):
    """The bytes of such a file: (kind, shape, numbers) by name."""
    entries, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (kind, shape, numbers) in arrays.items():
        entries[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(numbers)]}
        data += numbers
    header = json.dumps(entries).encode()
    return len(header).to_bytes(8, "little") + header + data


def test_safetensors_are_read_whatever_their_type(tmp_path):
    whole = {
        "w": ("F32", [2, 1], np.array([1.5, -2], "<f4").tobytes()),
        "b": ("BF16", [1], (np.array([0.5], "<f4").view("<u4") >> 16).astype("<u2").tobytes()),
    }
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors(whole))
    assert read_checkpoint(path).tolist() == [0.5, 1.5, -2]
    assert read_checkpoint(path, {"w": (2, 1), "b": (1,)}).tolist() == [1.5, -2, 0.5]
    for shapes, why in (({"w": (2, 1)}, "'b' is no parameter"), ({"w": (1, 2), "b": (1,)}, r"has the shape \(2, 1\)")):
        with pytest.raises(RequestError, match=why):
            read_checkpoint(path, shapes)
    kinds = {"kinds": whole | {"c": ("BOOL", [1], b"1")}, "sizes": {"w": ("F64", [2], b"12345678")}}
    damaged = [safetensors(each) for each in kinds.values()]
    for broken in (b"", path.read_bytes()[:30], path.read_bytes()[:-1], b"\x02" + bytes(7) + b"[]", *damaged):
        path.write_bytes(broken)
        with pytest.raises(RequestError, match="cannot read the checkpoint|holds no numbers") as refused:
            read_checkpoint(path)
        assert "\n" not in str(refused.value)


def test_state_dicts_are_read_by_pytorch_and_in_the_order_of_the_module(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch", None)
        with pytest.raises(RequestError, match=r"witten\[torch\]"):
            read_checkpoint(tmp_path / "a.pt")
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1)).to(torch.bfloat16)
    shapes = {name: tuple(each.shape) for name, each in module.named_parameters()}
    torch.save(dict(module.named_parameters()), tmp_path / "a.pt")
    expected = np.concatenate([each.detach().double().numpy().ravel() for each in module.parameters()])
    assert read_checkpoint(tmp_path / "a.pt", shapes) == pytest.approx(expected, abs=0)
    torch.save(module, tmp_path / "module.pt")
    (tmp_path / "torn.pth").write_bytes((tmp_path / "a.pt").read_bytes()[:200])
    for name in ("module.pt", "torn.pth", "none.pt"):
        with pytest.raises(RequestError, match="cannot read the checkpoint") as refused:
            read_checkpoint(tmp_path / name)
        assert "\n" not in str(refused.value)


def test_the_command(folder):
    done = in_process("probe", "model.py:loss", "--lr", "0.3", "--x0", "a.npz", "-k", "2", "--json", cwd=folder)
    found = json.loads(done.stdout)
    assert [each["value"] for each in found["eigenvalues"]] == pytest.approx([8, 6])
    assert (found["stable"], found["threshold"], found["loss"]) == (False, pytest.approx(20 / 3), 100)
    assert found["noise"] is found["noise_scale"] is None and "not known" in found["notes"][0]
    shown = in_process("probe", "model.py:formula", "--lr", "0.3", "--x0", "1,-1", cwd=folder)
    assert shown.returncode == 0 and "stable" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("double-well", "--x0", "1"), "FILE.py:LOSS"),
        (("model.py:bare", "--x0", "1,2"), "without its gradient"),
        (("model.py:nothing", "--x0", "1,2"), "defines no"),
        (("model.py:loss", "--x0", "short.npz"), "point of 3 numbers"),
        (("model.py:loss", "--x0", "objects.npz"), "cannot read the checkpoint"),
        (("model.py:loss", "--x0", "torn.npz"), "cannot read the checkpoint"),
        (("model.py:loss", "--x0", "none.npz"), "No such file"),
        (("model.py:loss", "--x0", "1,nan"), "finite"),
    ],
)
def test_what_the_command_refuses(folder, arguments, why):
    done = in_process("probe", *arguments, "--lr", "0.1", cwd=folder)
    assert done.returncode == 2 and why in done.stderr and done.stderr.count("\n") == 1 and done.stdout == ""

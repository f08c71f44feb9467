"""The edge of stability.

A network of 10 050 weights learns 200 handwritten digits of scikit-learn by full batches: its sharpness rises until it
comes to 2/s, and stays about there while the loss goes on falling [Cohen2021]. A `Recorder` in the loop sees it happen.
"""

import numpy as np
from sklearn.datasets import load_digits

import witten

SAMPLES, HIDDEN, S = 200, 134, 0.4
images, labels = (each[:SAMPLES] for each in load_digits(return_X_y=True))
inputs = np.column_stack([np.ones(SAMPLES), (images - images.mean(axis=0)) / 16])
targets = np.eye(10)[labels]


def forward(w):
    """What is hidden, the weights beyond it, and the error of what comes out."""
    first, second = w[: 65 * HIDDEN].reshape(65, HIDDEN), w[65 * HIDDEN :].reshape(HIDDEN, 10)
    hidden = np.tanh(inputs @ first)
    return hidden, second, hidden @ second - targets


def loss(w):
    return (forward(w)[2] ** 2).sum() / (2 * SAMPLES)


def gradient(w):
    hidden, second, error = forward(w)
    back = (error @ second.T) * (1 - hidden**2)
    return np.concatenate([(inputs.T @ back).ravel(), (hidden.T @ error).ravel()]) / SAMPLES


w = np.random.default_rng(0).normal(size=75 * HIDDEN) / np.repeat([8, np.sqrt(HIDDEN)], [65 * HIDDEN, 10 * HIDDEN])
log = witten.Recorder(loss, gradient=gradient, every=100, name="200 digits")
for step in range(1501):
    log(step, w, S)
    w = w - S * gradient(w)
figure = log.record.plot()
last = log.record.sharpness[-6:].mean()
print(f"sharpness {last:.2f} in the end, 2/s = {2 / S:.2f}")
assert abs(last * S / 2 - 1) < 0.1  # a mean: at the edge rounding decides what single looks see

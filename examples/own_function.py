"""An objective of your own.

Any Python function of points (d, n) will do; derivatives that are not given are taken numerically. Here the output
w tanh(w) of two tied weights fits a number, with either sign of w.
"""

import numpy as np

import witten


def loss(x):
    """Squared error, and a slope that prefers one of the two solutions."""
    w = x[0]
    return (w * np.tanh(w) - 1) ** 2 / 2 + 0.05 * w


f = witten.Objective.from_callable(loss, 1, name="two tied weights")
curve = witten.gap(f, np.geomspace(0.08, 0.4, 4), rtol=1e-3)
figure = curve.plot()
barrier = witten.barrier(f)
print(f"H = {barrier:.4f}")
assert abs(curve.fit_barrier().barrier - barrier) < 0.05

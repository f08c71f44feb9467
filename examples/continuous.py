"""A rate that is no eigenvalue.

f = |x| has no mode that decays: its spectrum is continuous from 1/(2s) on, which is then the rate, and marked so.
"""

import warnings

import numpy as np

import witten

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # says the same in words
    curve = witten.gap("abs(x)", (0.4, 1.0))
figure = curve.plot()
assert curve.continuous.all() and np.allclose(curve.rates * 2 * curve.learning_rates, 1.0)

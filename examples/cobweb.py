"""A cycle of period two.

At s = 1.15 gradient descent jumps to and fro around its minimum for ever, and f does not fall any more.
"""

import numpy as np

import witten
from witten.plots import plot_descent

f = witten.Objective.from_formula("(1-x^2)^2/4")
figure = plot_descent(witten.DescentMap(f, 1.15), np.array([0.3]), 60)
found = witten.fate(f, 1.15, (0.3,))
print(found.kind, found.period)
assert found.period == 2

"""On a circle there are two ways round.

A torsion angle: two wells, joined over two saddles like two resistances in parallel,
$\\lambda \\approx (1/m_1 + 1/m_2)(1/R_1 + 1/R_2)$.
"""

import numpy as np

import witten

s, n = 0.3, 40000
f = witten.periodic("cos(2*x) + 0.3*cos(x)", {"x": (0, 2 * np.pi)})
found = witten.spectrum(f, s, 2)
figure = found.plot()

x = (np.arange(n) + 0.5) * 2 * np.pi / n
cell, right = 2 * np.pi / n, x > np.pi
bottom = x[~right][np.argmin(f(x[None, ~right]))]  # the other well lies at 2π - bottom
inner = (x > bottom) & (x < 2 * np.pi - bottom)
mass = [cell * np.exp(-2 * f(x[None, half]) / s).sum() for half in (right, ~right)]
resistance = [2 / s * cell * np.exp(2 * f(x[None, arc]) / s).sum() for arc in (inner, ~inner)]
law = sum(1 / m for m in mass) * sum(1 / r for r in resistance)
print(f"{found.gap:.4e}, by resistances {law:.4e}")
assert abs(found.gap / law - 1) < 0.01

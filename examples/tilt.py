"""Tilting the double well.

The shallower well has the smaller barrier, so that a tilt makes convergence faster: leaving the bad minimum is what it
waits for.
"""

import numpy as np

import witten
from witten.plots.style import new_figure

tilts = np.linspace(0.0, 0.15, 7)
curves = [witten.gap(f"double-well:tilt={tilt:g}", 0.05) for tilt in tilts]
laws = [witten.eyring_kramers(f"double-well:tilt={tilt:g}", 0.05) for tilt in tilts]
figure, (axes,) = new_figure(1, 1, (6.4, 4.2))
axes.semilogy(tilts, [curve.rates[0] for curve in curves], "o", label="computed")
axes.semilogy(tilts, [law.rates[0] for law in laws], "-", label="Eyring-Kramers law")
axes.set_xlabel("tilt")
axes.set_ylabel(r"rate $\lambda_s$ at $s = 0.05$")
axes.legend(frameon=False)
assert abs(curves[-1].rates[0] / laws[-1].rates[0] - 1) < 0.05

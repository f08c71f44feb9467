"""Pieces instead of one call.

A grid, a discretisation and a solver of your choice; the error falls like h².
"""

import numpy as np

import witten
from witten.plots.style import new_figure

f, box = witten.gallery.double_well(tilt=0.05), witten.Box((-2.5,), (2.5,))
cells = np.array([100, 200, 400, 800])
grids = [witten.FiniteDifferences(f, witten.Grid(box, (int(n),))) for n in cells]
rates = np.array([witten.eigensolve(grid.assemble(0.1), 2).gap for grid in grids])
best = witten.gap(f, 0.1, rtol=1e-7).rates[0]
figure, (axes,) = new_figure(1, 1, (6.4, 4.2))
axes.loglog(5 / cells, np.abs(rates / best - 1), "o-")
axes.set_xlabel("spacing $h$")
axes.set_ylabel("relative error of the rate")
orders = np.log2(np.abs(rates[:-1] - best) / np.abs(rates[1:] - best))
print("orders", np.round(orders, 2))
assert abs(orders[-1] - 2) < 0.05

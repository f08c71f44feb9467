"""Which way noise leads out of a well.

f has two wells of the same depth. Where noise is the same in all directions, paths leave them against the gradient
(grey). Noise of minibatches is stronger along one line than across, and stronger on the right: the most likely paths
are others, and V says how rare they are, e^{-V/s}. To leave the left well is six times as hard as to leave the right
one, so that SGD ends on the left, which f does not tell.
"""

import numpy as np

import witten
from witten.landscape.critical.saddle_connections import descent_paths
from witten.landscape.laws.noisy_law import exits
from witten.plots.style import new_figure

f = "(x^2-1)^2/4 + y^2/2 + 3*x*y/10"
linear = [(0.9, 0.2), (-0.6, 0.6), (0.3, -0.7), (-0.6, -0.1)]
bends = [(0.7, 0.2), (-0.3, 0.3), (0.2, -0.3), (-0.6, -0.2)]
losses = [f"{f} + ({a})*x + ({b})*y + ({p})*x^2/2 + ({q})*x*y" for (a, b), (p, q) in zip(linear, bends, strict=True)]
wells = witten.describe_landscape(f)
ways = exits(wells, witten.noise.minibatch(losses).bind(wells.objective))
actions = [way.action for way in ways]
figure, (axes,) = new_figure(1, 1, (6.4, 4.4))
x, y = np.meshgrid(np.linspace(-1.7, 1.7, 201), np.linspace(-1.1, 1.1, 161))
heights = wells.objective(np.stack([x.ravel(), y.ravel()])).reshape(x.shape)
floor = wells.minima[0].value
axes.contour(x, y, heights, levels=floor + np.linspace(0.02, 1.4, 15), colors="0.8", linestyles="solid", linewidths=0.8)
for string in descent_paths(wells.objective, wells.saddles)[0]:
    axes.plot(*string, "--", color="0.4", label="noise alike in all directions")
for way, colour in zip(ways, ("C0", "C1"), strict=True):
    axes.plot(*way.path.points, color=colour, linewidth=2, label=f"minibatches, V = {way.action:.2f}")
    axes.plot(*way.path.points[:, 0], "o", color=colour)
axes.plot(*wells.saddles[0].x, "kx")
axes.set_xlabel("x")
axes.set_ylabel("y")
handles, labels = axes.get_legend_handles_labels()
axes.legend(handles[1:], labels[1:], frameon=True, framealpha=1, edgecolor="none", loc="upper center")
assert max(actions) > 2 * min(actions) and abs(wells.minima[0].value - wells.minima[1].value) < 1e-12

"""Which minima a step size can reach.

A minimum holds gradient descent up to the learning rate 2/sharpness: the sharp one at x = 2 is lost first [Nar2018].
"""

import numpy as np

import witten
from witten.plots.style import new_figure
from witten.stability import stability

found = stability("(x^2+1)*(x-1)^2*(x-2)^2")
figure, (axes,) = new_figure(1, 1, (6.4, 4.2))
x = np.linspace(0.4, 2.3, 400)
axes.plot(x, witten.Objective.from_formula("(x^2+1)*(x-1)^2*(x-2)^2")(x[None]), color="black")
for minimum in found.minima:
    label = f"x = {minimum.x[0]:g}: s up to {minimum.critical_learning_rate:.3g}"
    axes.plot(minimum.x, minimum.value, "o", label=label)
axes.set_xlabel("$x$")
axes.set_ylabel("objective $f$")
axes.set_ylim(-0.1, 2.0)
axes.legend(frameon=False)
sharpest = min(minimum.critical_learning_rate for minimum in found.minima)
assert abs(sharpest - 0.2) < 1e-9

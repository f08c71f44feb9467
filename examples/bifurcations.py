"""Large learning rates without noise.

Past s = 1 the minima of (1-x²)²/4 give way to cycles that double, and then to chaos: 2, 4, 8, ... visited points.
"""

import numpy as np

import witten

f = witten.Objective.from_formula("(1-x^2)^2/4")
found = witten.bifurcation_diagram(f, np.linspace(0.8, 1.99, 600), [[0.3]], burn=1500, keep=120)
figure = found.plot()
doubling = found.learning_rates[np.argmax(found.periods[:, 0] == 4)]
print(f"period four from s = {doubling:.3f}")
assert abs(doubling - (np.sqrt(5) - 1)) < 0.003

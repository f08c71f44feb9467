"""A convex objective has a floor.

Where f'' ≥ 1 the rate is at least 1 whatever the learning rate [Bakry1985], and tends to f'' at the minimum.
"""

import numpy as np

import witten

curve = witten.gap("convex-quartic", np.geomspace(0.01, 1.0, 8))
figure = curve.plot()
figure.axes[0].axhline(1.0, linestyle=":", color="black", label="proved")
figure.axes[0].legend(frameon=False)
assert np.all(curve.rates + curve.rate_errors > 1.0)

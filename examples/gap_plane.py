"""Step size and temperature apart.

x⁺ = x - h ∇f + √(2hT) ξ holds three cases: descent at T = 0, the SDE as h → 0, and SGD on the line T = h/2.
"""

import numpy as np

from witten.gap_plane import gap_plane

found = gap_plane("shi-su-jordan-1d", np.geomspace(0.03, 0.3, 8), np.geomspace(0.02, 0.2, 6))
figure = found.plot()
assert np.allclose(found.shares.sum(axis=2), 1.0, atol=1e-6, equal_nan=True)

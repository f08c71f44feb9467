"""Minima, saddles, and the ways down.

Every critical point of a formula is found, and proved to be all. Steepest descent tells which minima a saddle joins.
"""

import numpy as np

import witten

wells = witten.describe_landscape("himmelblau")
figure = wells.plot()
print(len(wells.minima), "minima,", len(wells.saddles), "saddles")
assert np.abs(wells.minima[0].value) < 1e-12

"""What the second eigenvector looks like.

It is nearly constant in each well and changes sign on the ridge between those that SGD confuses longest.
"""

import numpy as np

import witten

f = witten.gallery.mueller_brown()
found = witten.spectrum(f, 0.1, 3, rtol=1e-2)
figure = found.plot()
measure = np.exp(-2 / 0.1 * (f(found.grid.points) - f(found.grid.points).min()))
assert abs((measure * found.modes[1]).sum() / measure.sum()) < 1e-6  # orthogonal to the constant

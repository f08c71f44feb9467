"""The rate falls like exp(-2H/s).

Two wells, a barrier of H = 1/4 between them: log λ against 1/s is a straight line, and its slope is -2H.
"""

import numpy as np

import witten

curve = witten.gap("double-well", np.geomspace(0.03, 0.5, 10))
figure = curve.plot()
fit = curve.fit_barrier()
print(f"H = {fit.barrier:.4f}")
assert abs(fit.barrier - 0.25) < 0.002

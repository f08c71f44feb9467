"""A large step can generalise better.

Large steps forget the strong direction and small ones the rest [Nakkiran2020]. At equal train loss the test losses
differ by a factor of two.
"""

import numpy as np

import witten
import witten.annealing

losses = witten.annealing.Losses(np.diag([2 / 3, 1 / 3]), np.eye(2) / 2)
found = witten.annealing.compare(losses, (1.0, 1.0), 1e-2)
figure = found.plot()
print(f"ratio {found.ratio:.3f}")
assert abs(witten.annealing.limit_ratio(losses) - 2) < 1e-12

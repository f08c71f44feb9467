"""Where a start ends up.

Starts of gradient descent on a factorisation, (1-xy)²/2 with weight decay, coloured by the minimum they come to.
"""

import numpy as np

import witten
from witten.descent.basins import basins

f = witten.Objective.from_formula("(0.5-x*y)^2/2 + (x^2+y^2)/10")
found = basins(f, 1.0, ((-4, 4), (-4, 4)), (200, 200))
figure = found.plot()
share = np.mean(found.period == 1)
print(f"{share:.0%} of the starts converge")
assert np.array_equal(found.period, found.period[::-1, ::-1])  # f(-x) = f(x)

"""Where the transitions go.

Levels of the committor in the plane, and streamlines of the reactive current: paths cross where the pass is lowest.
"""

import witten

f = witten.Objective.from_formula("(x^2-1)^2/4 + (y - x^2/2)^2")
found = witten.committor(f, 0.15, (-1.0, 0.5), (1.0, 0.5), rtol=1e-2)
figure = found.plot()
assert abs(found.log_rate - found.log_rate_back) < 0.01  # equal wells

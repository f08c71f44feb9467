"""Why is it this slow?

The wells that the slowest mode exchanges, the saddle that limits, and the committor along the way over it.
"""

import witten

found = witten.explain("shi-su-jordan-1d", 0.06)
figure = found.plot()
print(f"over the saddle at x = {found.passage.saddle.x[0]:.4f}")
assert abs(found.passage.saddle.x[0] + 0.080741760) < 1e-6

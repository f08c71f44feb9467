"""Which well comes first?

The committor q(x) is how likely SGD from x comes to the right well before the left one. Between the wells it is steep,
inside them flat.
"""

import math

import witten

f = witten.gallery.double_well(tilt=0.05)
found = witten.committor(f, 0.1, (-1.0,), (1.0,))
figure = found.plot()
gap = witten.gap(f, 0.1).rates[0]
both = found.rate + math.exp(found.log_rate_back)
print(f"there and back: {both:.5f}, the gap: {gap:.5f}")
assert abs(both / gap - 1) < 0.05

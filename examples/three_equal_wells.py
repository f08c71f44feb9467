"""Three equal wells: a double rate.

Symmetry makes the two small rates equal. Their error bars overlap, and only the plane of both modes has a meaning.
"""

import witten

f = witten.gallery.triple_well()
found = witten.spectrum(f, 0.1, 4, rtol=1e-2)
figure = found.plot()
print("multiplets:", found.multiplets)
assert abs(found.rates[1] - found.rates[2]) <= found.errors[1] + found.errors[2]

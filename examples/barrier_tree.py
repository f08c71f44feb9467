"""The tree of barriers.

Each minimum hangs from the height at which it joins a deeper one; the highest such rise is the barrier H that decides
the rate.
"""

import witten
from witten.plots import plot_barrier_tree

wells = witten.describe_landscape("six-hump-camel")
figure = plot_barrier_tree(wells)
print(f"H = {wells.barrier:.4f}")
assert abs(wells.barrier - max(pair.barrier or 0.0 for pair in wells.pairs)) < 1e-12

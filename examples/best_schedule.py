"""The fewest steps to a target.

With three stages, and with one: the best constant learning rate has to be small from the start.
"""

import witten
from witten.plots import plot_risks

plan = witten.plan_schedule("shi-su-jordan-1d", 0.02, (-0.62,), stages=3)
text = ",".join(f"{s:.6g}:{steps}" for s, steps in plan.stages)
constant = f"{plan.constant[0]:.6g}:{plan.constant[1]}"
figure = plot_risks([witten.excess_risk("shi-su-jordan-1d", each, (-0.62,)) for each in (text, constant)])
print(f"{plan.total_steps} steps instead of {plan.constant[1]}: {text}")
assert plan.total_steps < plan.constant[1] and plan.risk <= 0.02

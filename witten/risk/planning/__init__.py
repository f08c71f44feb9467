"""How to reach a target risk in the fewest steps.

Start with `optimal_schedule`; `modal_model` gives the risk of any schedule of constant stages in microseconds,
`sgd_risk` the exact one, and `classical_schedules` has others to compare with.
"""

"""How to reach a target risk in the fewest steps.

Start with `optimal_schedule`; `modal_model` gives the risk of any schedule of constant stages in microseconds.
"""

"""From one minimum of a model to another: start with `transition_path`, polished to its saddle (`stationary_points`).

`escape_law` is the rate where its conditions hold, along a `passage`.
"""

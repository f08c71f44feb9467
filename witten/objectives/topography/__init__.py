"""Where f has its wells: critical points in all of space, lows at all scales, regions where modes may live.

Start with `critical_set`, which searches by interval subdivision where f is a formula, and over many scales where it
is a function alone.
"""

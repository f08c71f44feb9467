"""Rates from simulated paths, each with a confidence interval.

Start with `autocorrelation`, for rates that equilibrium paths see, and `hitting_times`, for residence times in wells;
`unvisited_regions` and `unvisited_rates` look after regions that equilibrium paths hardly ever visit.
"""

"""Critical points: found, polished to the last digit, and which minima the saddles join.

Start with `critical_points`: by subdivision with a proof where f is a formula of few variables (`degenerate_points` is
what that leaves open), from a grid of starts (`newton_on_grid`) or from random ones (`multistart`) otherwise.
`gradient_flow` leads down from the saddles (`saddle_connections`).
"""

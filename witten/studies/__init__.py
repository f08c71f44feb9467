"""One file per paper: its experiments, what it says and what is observed.

Start with `study`, which says what a claim and a figure are; what papers say stands in the others, `crossing_risks`,
`convex_descent` and `relu_oscillation` being parts of them.
"""

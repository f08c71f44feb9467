"""Linear algebra below machine epsilon, and graphs, on arrays alone: nothing here knows an objective.

`gth_elimination` solves Markov chains without a subtraction [Grassmann1985], `graded_eigenvalues` gives all rates of a
graph of wells (`WellGraph`), however far apart, `merge_tree` finds wells on grids and graphs, `nested_dissection`
orders sparse factorisations, `richardson` extrapolates from nested grids to h -> 0, with an error bar,
`linking_numbers` are those of polygons in space, and `iteration_limits` bounds what an iteration may take.
"""

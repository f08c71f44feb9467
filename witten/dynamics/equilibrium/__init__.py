"""What is known of e^{-2f/s} before paths run: wells, core sets, curvatures, the Gibbs measure, minimum-energy paths.

Start with `equilibrium`: one value that holds it, made from a grid in up to three dimensions (`gibbs_grid`) and from
descents and minimum-energy paths above (`minimum_energy_paths`, with the `string_method` of [E2002]). `wells` are the
minima and their depths, `core_sets` small sets around them.
"""

"""What is known of e^{-2f/s} before paths run: wells, core sets, the Gibbs measure, the ways over the saddles.

Start with `wells`; `gibbs_grid` puts the measure on a grid in up to three dimensions, `gibbs_samples` learns it from
paths above, `core_sets` are small sets around the minima, and `string_method` and `minimum_energy_paths` find saddles
between wells (E, Ren and Vanden-Eijnden 2002).
"""

"""How f behaves far out: whether there is a Gibbs measure, a gap, a continuous spectrum, and where it begins.

Start with `essential_spectrum`; it asks `separability`, `valleys` and `rays` for lines that lead to infinity,
`line_asymptotics` for how f rises along one, and `bloch_bands` where it rises in waves. `conditions` are those on f
that hold at every learning rate.
"""

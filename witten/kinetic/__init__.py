"""SGD with momentum: the spectrum of the Kramers-Fokker-Planck operator of Langevin dynamics, which it discretises.

`witten.langevin` says which Langevin equation a recursion is; `elements` is space, elements that are continuous for
even Hermite orders of the velocity and not for odd ones, on cells of a `domain`; `kramers_fokker_planck` is the
operator on both; `leading_modes` has its eigenvalues of the smallest real parts (`krylov_schur` on many ranks),
`saddle_flux` those that are exponentially small; `refinement` refines all of it on a line, with `line_cells`, and sets
the error bar, `plane` in the plane; `turnover` asks for the best friction. Start with `momentum_gap`.
"""

from witten.kinetic.momentum_gap import langevin_gap, momentum_gap
from witten.kinetic.turnover import FrictionSweep, friction_sweep

__all__ = ["FrictionSweep", "friction_sweep", "langevin_gap", "momentum_gap"]

"""Where the continuous spectrum of a step of SGD starts, from that of the SDE."""

from __future__ import annotations

from witten.objectives.growth.bottom import Bottom
from witten.objectives.growth.essential_spectrum import essential_spectrum, far_out
from witten.objectives.objective import Objective

__all__ = ["chain_bottom"]


def chain_bottom(f: Objective, unit: float) -> tuple[Bottom, bool]:
    """The bottom of the continuous spectrum of the SDE on f, and whether it is that of the chain as well.

    Where f' -> m a step x -> x - h m + e, e ~ N(0, v), takes e^{-theta x} to itself times
    exp(theta h m + theta^2 v/2), least where theta = -h m/v: the moduli far out go up to exp(-h^2 m^2/(2v)), which is
    that of the SDE with unit = v/h, exp(-h m^2/(2 unit)), to the letter. Known on a line without waves and with the
    same noise everywhere.

    Parameters
    ----------
    f : the objective, or the potential of its noise
    unit : v/h, the learning rate that has this noise

    Raises
    ------
    RequestError
        as `essential_spectrum`.
    """
    bottom = essential_spectrum(f, unit)
    same = f.dimension == 1 and not f.mobility and not f.periods
    return bottom, same and not any(end.in_waves for _, end in far_out(f).ends)

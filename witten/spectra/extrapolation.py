"""From nested grids to the limit h -> 0, with an error bar (Richardson, Romberg)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["extrapolated"]


def extrapolated(levels: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The limit of values with an error series in h^2, h^4, ... on grids h, h/2, h/4, ..., and its error bar.

    Romberg's table T_m = T_{m-1} + (T_{m-1} - T_{m-1}')/(4^m - 1), taken to m = 2. Half of its last step is the error:
    the step to T_2 itself on three grids, the change of T_2 from one grid to the next on more; and a thousandth of the
    step to T_1 (falling by four with every further grid), should that happen to vanish. Values that do not behave like
    h^2 yet, successive differences not being in a ratio of about four, are not extrapolated: the last difference is
    their error.

    Parameters
    ----------
    levels : at least two arrays of shape (k,), coarse to fine

    Returns
    -------
    values, errors : shape (k,)
    """
    t0 = np.array(levels)
    steps = np.diff(t0, axis=0)
    if len(steps) == 1:
        return t0[-1] + steps[-1] / 3, abs(steps[-1])
    t1 = t0[1:] + steps / 3
    t2 = t1[1:] + np.diff(t1, axis=0) / 15
    last = abs(t2[-1] - (t1[-1] if len(t2) == 1 else t2[-2]))
    errors = np.maximum(0.5 * last, abs(steps[-1]) / 3e3 / 4.0 ** (len(t2) - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = steps[-2] / steps[-1]
    second_order = (ratio > 3.3) & (ratio < 4.8)
    return np.where(second_order, t2[-1], t0[-1]), np.where(second_order, errors, abs(steps[-1]))

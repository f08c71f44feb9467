"""From nested grids to the limit h -> 0, with an error bar (Richardson, Romberg)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["extrapolated", "extrapolated_logs"]

# Rates further apart than this factor do not repel each other.
FAR = 4.0


def extrapolated(levels: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The limit of values with an error series in h^2, h^4, ... on grids h, h/2, h/4, ..., and its error bar.

    Romberg's table T_m = T_{m-1} + (T_{m-1} - T_{m-1}')/(4^m - 1), taken to m = 2. The error is twice the step to T_2
    on three grids, where nothing says yet that T_1 falls like h^4, and more where the two steps of T_0 are in a ratio
    further than 2.5 % from four: higher powers matter. On more grids it is half the change of T_2 from one grid
    to the next, a quarter where successive changes of T_1 are in a ratio of about 16, as they should be. It is at least
    1/300 of the step to T_1 (falling by 16 with every further grid), should the other happen to vanish. Values that do
    not behave like h^2 yet, successive differences not being in a ratio of about four, are not extrapolated: their
    error is thrice the last difference, or a quarter of the one before if that is more. Where the corrections would
    bring two eigenvalues much closer together, or past each other, they may repel instead: half of the difference of
    the corrections is added.

    Parameters
    ----------
    levels : at least two arrays of shape (k,), coarse to fine: all eigenvalues known, guards included

    Returns
    -------
    values, errors : shape (k,)
    """
    finest = np.asarray(levels[-1])
    values, errors = _limits(np.array(levels) / finest, np.log(finest))
    return values * finest, errors * finest


def extrapolated_logs(
    levels: Sequence[NDArray[np.float64]],
    *,
    corrections: Sequence[NDArray[np.float64]] | None = None,
    erratic: float = 0.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same for logarithms of values of any size: logarithms of the limits, and relative errors, (k,) each.

    Parameters
    ----------
    levels : natural logarithms of the values on each grid, coarse to fine
    corrections : the term in h^2 on each grid, relative to the value, where it is known: see `_of_fourth_order`
    erratic : above 0 where f is not smooth, and there is no series: see `_without_a_series`
    """
    t0 = np.exp(np.array(levels) - levels[-1])
    if corrections is None:
        values, errors = _limits(t0, levels[-1], erratic)
    else:
        values, errors = _of_fourth_order(t0, t0 * (1 - np.array(corrections)))
        errors = errors + _repulsion(levels[-1], values - t0[-1])
    # A correction by more than half says that the grids are too coarse for one.
    wild = values < 0.5
    change = abs(np.expm1(levels[-2] - levels[-1]))
    values, errors = np.where(wild, 1.0, values), np.where(wild, 3 * change + errors, errors)
    return levels[-1] + np.log(values), errors / values


def _limits(
    t0: NDArray[np.float64], log_finest: NDArray[np.float64], erratic: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Limits and error bars from values on all grids, coarse to fine, everything as parts of the finest values."""
    steps = np.diff(t0, axis=0)
    if len(steps) == 1:
        return t0[-1] + steps[-1] / 3, abs(steps[-1])
    values, errors = _without_a_series(t0, steps, erratic) if erratic else _on_a_series(t0, steps)
    return values, errors + _repulsion(log_finest, values - t0[-1])


def _on_a_series(
    t0: NDArray[np.float64], steps: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Limits and error bars for errors that are a series in h^2, from the values on three grids or more."""
    t1 = t0[1:] + steps / 3
    t2 = t1[1:] + np.diff(t1, axis=0) / 15
    if len(t2) == 1:
        with np.errstate(divide="ignore", invalid="ignore"):
            from_four = abs(steps[-2] / steps[-1] / 4 - 1)
        errors = np.fmax(2, 80 * from_four) * abs(t2[-1] - t1[-1])
    else:
        fourth_order = _between(t1[-2] - t1[-3], t1[-1] - t1[-2], 10.0, 25.0)
        errors = np.where(fourth_order, 0.25, 0.5) * abs(t2[-1] - t2[-2])
    errors = np.maximum(errors, abs(steps[-1]) / 900 / 16.0 ** (len(t2) - 1))
    second_order = _between(steps[-2], steps[-1], 3.3, 4.8)
    values = np.where(second_order, t2[-1], t0[-1])
    return values, np.where(second_order, errors, 3 * np.maximum(abs(steps[-1]), abs(steps[-2]) / 4))


def _of_fourth_order(
    t0: NDArray[np.float64], corrected: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Limits and error bars from values with errors of the order h^2, and the same less that term: of the order h^4.

    On two grids the limit of the corrected values is F + (F - F')/15, and its error half of the step from F' to F,
    or what Richardson's limit of the others differs by, if that is more. On three or more it follows from what that
    differs by, too, from the last change of the limit, which falls like h^6, by 64, and from the last step, so that
    none may vanish by accident: half, a twelfth and a thousandth of them where successive steps are in a ratio of about
    16, a 4000th where that is closer than 2.5 %, since the term in h^6 leaves a 2400th of the step then at most; a
    quarter of the change and a 120th of the step where the ratio is further off. Otherwise the finest value is taken,
    and its error is twice the last step or a quarter of the one before.
    """
    steps = np.diff(corrected, axis=0)
    limits = corrected[1:] + steps / 15
    last, t1 = abs(steps[-1]), t0[1:] + np.diff(t0, axis=0) / 3
    if len(steps) == 1:
        return limits[-1], np.maximum(last / 2, abs(t1[-1] - limits[-1]))
    before, change = abs(steps[-2]), abs(limits[-1] - limits[-2])
    other = t1[-1] + (t1[-1] - t1[-2]) / 15
    fourth_order = _between(steps[-2], steps[-1], 8.0, 32.0)
    asymptotic = _between(steps[-2], steps[-1], 13.0, 20.0)
    least = np.where(_between(steps[-2], steps[-1], 15.6, 16.4), last / 4000, last / 1000)
    sharp = np.maximum(np.maximum(change / 12, least), abs(other - limits[-1]) / 2)
    errors = np.where(asymptotic, sharp, np.maximum(change / 4, last / 120))
    otherwise = np.maximum(2 * last, before / 4)
    return np.where(fourth_order, limits[-1], corrected[-1]), np.where(fourth_order, errors, otherwise)


def _without_a_series(
    t0: NDArray[np.float64], steps: NDArray[np.float64], erratic: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Limits and error bars for errors of the order h^2 of which a part is erratic: where a kink lies in its cell is
    another on each grid.

    T_1 is as far as it goes, if the h^2 is there at all; else the last value, whose error is thrice the last
    difference. The error of T_1 is its last change, a quarter of the one before, or a 60th of the last step, whichever
    is most, so that it takes two accidents for all to be small; on three grids, which know one change, it is thrice
    that, and else as many times as `erratic` says: 1 where the erratic part falls faster than h^2, 2 where it does not.
    Where it falls faster and steps fell by more than 6.5 twice running, what is left of the last value is below the
    last step, even if the next were half of it, or half of what such a step should be, a 13th of the one before.
    """
    t1 = t0[1:] + steps / 3
    changes = abs(np.diff(t1, axis=0))
    known = len(changes) > 1
    earlier = changes[-2] / 4 if known else np.zeros_like(changes[-1])
    last, before = abs(steps[-1]), abs(steps[-2])
    errors = (erratic if known else 3) * np.maximum(np.maximum(changes[-1], earlier), last / 60)
    second_order = _between(steps[-2], steps[-1], 2.5, 6.5)
    otherwise = 3 * np.maximum(last, before / 4)
    if known and erratic == 1:
        faster = (abs(steps[-3]) > 6.5 * before) & (before > 6.5 * last)
        otherwise = np.where(faster, np.maximum(last, before / 13), otherwise)
    return np.where(second_order, t1[-1], t0[-1]), np.where(second_order, errors, otherwise)


def _repulsion(log_finest: NDArray[np.float64], corrections: NDArray[np.float64]) -> NDArray[np.float64]:
    """What eigenvalues on the finest grid may do to each other on the way to the limit, as parts of each."""
    factor = log_finest - log_finest[:, None]
    comparable = abs(factor) < np.log(FAR)
    factor = np.exp(np.where(comparable, factor, 0.0))
    apart = abs(1.0 - factor)
    closing = abs(corrections[:, None] - corrections * factor)
    repulsion: NDArray[np.float64] = np.where(comparable & (closing > 0.1 * apart), 0.5 * closing, 0.0).max(axis=1)
    return repulsion


def _between(above: NDArray[np.float64], below: NDArray[np.float64], low: float, high: float) -> NDArray[np.bool_]:
    """low < above/below < high."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = above / below
    return (ratio > low) & (ratio < high)

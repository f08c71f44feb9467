"""The rates of SGD, a chain, beside those of the SDE that stands for it: computed, and kept in one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, ClassVar, Self

from witten.io import netcdf
from witten.objectives import Objective, resolve
from witten.objectives.topography.convexity import separate
from witten.rates import KIND, RateCurve
from witten.spectra.gap import gap

if TYPE_CHECKING:
    import xarray

__all__ = ["BesideSDE", "gap_by_terms"]

# What a rate on a line is asked to, which costs next to nothing, and one in the plane.
RTOL = {1: 1e-6, 2: 1e-4, 3: 1e-4}


def gap_by_terms(objective: Objective | str, learning_rates: Sequence[float], *, noise: float = 1.0) -> RateCurve:
    """The gap of the SDE; of a sum of functions of one variable each the gap of its slowest term, each on a line.

    Parameters
    ----------
    objective : of up to three variables, or a sum of functions of one variable each, of any dimension
    learning_rates, noise : as in `gap`, with its errors
    """
    f = resolve(objective)
    parts = separate(f) if f.dimension > 1 else None
    if parts is None:
        return gap(f, learning_rates, rtol=RTOL.get(f.dimension, 1e-4), noise=noise)
    symbol = parts[0][1]
    lines = dict.fromkeys(part.subs(x, symbol) for part, x in parts)
    curves = [gap(Objective.from_sympy(line, [symbol]), learning_rates, rtol=RTOL[1], noise=noise) for line in lines]
    columns = zip(*(curve.records for curve in curves), strict=True)
    slowest = tuple(min(column, key=attrgetter("log_rate")) for column in columns)
    return replace(curves[0], records=slowest, objective=f.name)


@dataclass(frozen=True, eq=False)
class BesideSDE(netcdf.Saved):
    """Two curves at the same learning rates.

    Attributes
    ----------
    chain : the rates of SGD
    sde : those of the SDE; None where it has none
    """

    kind: ClassVar[str] = KIND

    chain: RateCurve
    sde: RateCurve | None

    def to_dataset(self) -> xarray.Dataset:
        """The rates of SGD as a `RateCurve` has them, and those of the SDE as sde_rate, sde_rate_error, ..."""
        dataset = self.chain.to_dataset()
        if self.sde is None:
            return dataset
        other = self.sde.to_dataset()
        for name in other.data_vars:
            about = dict(other[name].attrs)
            about["long_name"] = f"of the SDE: {about['long_name']}"
            # The largest number of rates at a learning rate may differ.
            dims = tuple("sde_index" if dim == "index" else dim for dim in other[name].dims)
            dataset[f"sde_{name}"] = (dims, other[name].values, about)
        for name in ("method", "options"):
            dataset.attrs[f"sde_{name}"] = other.attrs[name]
        return dataset

    @classmethod
    def from_dataset(cls, dataset: xarray.Dataset) -> Self:
        """What `to_dataset` described; a file of rates of one kind has no `sde`."""
        chain = RateCurve.from_dataset(dataset)
        if "sde_rate" not in dataset:
            return cls(chain, None)
        names = {name: str(name).removeprefix("sde_") for name in dataset.data_vars if str(name).startswith("sde_")}
        other = dataset[list(names)].rename({**names, "sde_index": "index"})
        other.attrs = {**dataset.attrs, "method": dataset.attrs["sde_method"], "options": dataset.attrs["sde_options"]}
        return cls(chain, RateCurve.from_dataset(other))

"""Curves of one objective in one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from witten.io import netcdf
from witten.rates.curve import KIND, RateCurve
from witten.rates.rate_dataset import ALONG
from witten.rates.record import RateRecord

if TYPE_CHECKING:
    import xarray

__all__ = ["CurveSet"]

MARK = "_log_rate_lower"


@dataclass(frozen=True, eq=False)
class CurveSet(netcdf.Saved):
    """Curves by name: a file has `sde_rate`, `sde_rate_error`, ... of the curve 'sde'.

    The first curve has no prefix: it is what `RateCurve.load` finds. A learning rate at which some curve has no record
    yet has an empty line there.
    """

    kind: ClassVar[str] = KIND

    curves: Mapping[str, RateCurve]

    def to_dataset(self) -> xarray.Dataset:
        """All curves along one axis of learning rates."""
        once = {name: curve.each_once() for name, curve in self.curves.items()}
        rates = list(dict.fromkeys(s for curve in once.values() for s in curve.learning_rates.tolist()))
        parts = {name: _on(curve, rates).to_dataset() for name, curve in once.items()}
        main = next(iter(parts))
        dataset = parts.pop(main)
        dataset.attrs |= {"curve": main} if main else {}
        for name, part in parts.items():
            dataset = dataset.assign(_prefixed(part, name))
            dataset.attrs |= {f"{name}_{each}": part.attrs[each] for each in ("method", "options")}
        return dataset

    @classmethod
    def from_dataset(cls, dataset: xarray.Dataset) -> Self:
        """What `to_dataset` described; a plain curve is a set of one."""
        names = [str(each).removesuffix(MARK) for each in dataset.data_vars if str(each).endswith(MARK)]
        main = str(dataset.attrs.get("curve", ""))
        return cls({main: RateCurve.from_dataset(dataset)} | {name: _curve(dataset, name) for name in names})


def _on(curve: RateCurve, learning_rates: list[float]) -> RateCurve:
    """The curve with an empty record where it has none."""
    known = {record.learning_rate: record for record in curve.records}
    return replace(curve, records=tuple(known.get(s, RateRecord.empty(s)) for s in learning_rates))


def _prefixed(part: xarray.Dataset, name: str) -> dict[str, tuple[Any, ...]]:
    """The variables of a curve under its name."""
    found = {}
    for variable, values in part.data_vars.items():
        dims = tuple(str(dim) if dim == ALONG else f"{name}_{dim}" for dim in values.dims)
        about = {**values.attrs, "long_name": f"{name.replace('_', ' ')}: {values.attrs['long_name']}"}
        found[f"{name}_{variable}"] = (dims, values.values, about)
    return found


def _curve(dataset: xarray.Dataset, name: str) -> RateCurve:
    """The curve of a name in a set."""
    prefix = f"{name}_"
    names = [str(each) for each in (*dataset.data_vars, *dataset.dims) if str(each).startswith(prefix)]
    own = dataset[[each for each in names if each in dataset.data_vars]].rename(
        {each: each.removeprefix(prefix) for each in names}
    )
    own.attrs = dataset.attrs | {each: dataset.attrs[f"{name}_{each}"] for each in ("method", "options")}
    return RateCurve.from_dataset(own)

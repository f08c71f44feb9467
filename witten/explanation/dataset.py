"""An explanation as an xarray Dataset: rates, wells, mean times, and the path that limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from witten.explanation.explanation import Explanation, Passage
from witten.explanation.words import in_words
from witten.io import netcdf

if TYPE_CHECKING:
    import xarray

__all__ = ["EXPLANATION", "explanation_dataset"]

# The kind of a file.
EXPLANATION = "explanation"
WELL = ("well_number", "value", "depth", "log_mass", "log_mass_error", "law_log_mass", "law_log_mass_error")


def explanation_dataset(found: Explanation, options: Mapping[str, Any] | None = None) -> xarray.Dataset:
    """Logarithms are natural, what is not known is nan; `words`, `why` and `notes` are JSON in the attributes."""
    import xarray

    numbers = [well.number for well in found.wells]
    columns = [numbers, *([getattr(well, name) for well in found.wells] for name in WELL[1:])]
    variables: dict[str, Any] = {
        name: ("well", np.array(column, dtype=float)) for name, column in zip(WELL, columns, strict=True)
    }
    d = found.objective.dimension
    variables["minimum"] = (("well", "axis"), np.array([well.x for well in found.wells]).reshape(-1, d))
    for name in ("spectral", "law", "simulated"):
        record = getattr(found, name)
        values = (np.nan, np.nan, np.nan) if record is None else (record.log_rate, record.lower, record.upper)
        variables[f"{name}_log_rate"] = ("bound", np.array(values))
    times = [(found.wells[t.start].number, found.wells[t.end].number, t.log_time, t.log_error) for t in found.times]
    variables["mean_times"] = (("time", "start_end_log_error"), np.array(times, dtype=float).reshape(-1, 4))
    variables["mean_time_route"] = ("time", np.array([t.route for t in found.times], dtype=object))
    if found.passage is not None and found.passage.points is not None:
        variables |= _path(found.passage)
    attributes = netcdf.provenance(EXPLANATION, "Why the rate is what it is", _about(found, options))
    return xarray.Dataset(variables, attrs=attributes)


def _path(way: Passage) -> dict[str, Any]:
    """The minimum-energy path from A to B."""
    assert way.lengths is not None
    nothing = np.full(way.lengths.size, np.nan)
    return {
        "length": ("along", way.lengths),
        "point": (("axis", "along"), way.points),
        "height": ("along", way.heights),
        "committor": ("along", nothing if way.q is None else way.q),
    }


def _about(found: Explanation, options: Mapping[str, Any] | None) -> dict[str, Any]:
    way = found.passage
    about = {
        "objective": found.objective.name, "learning_rate": found.learning_rate, "noise": found.noise,
        "kind_of_mode": found.kind, "words": json.dumps(in_words(found)), "why": json.dumps(dict(found.why)),
        "notes": json.dumps(found.notes), "options": netcdf.dump_options(options or {}),
    }  # fmt: skip
    if way is None:
        return about
    return about | {
        "start": found.name(way.start), "end": found.name(way.end), "saddle": way.saddle.x,
        "saddle_value": way.saddle.value, "saddle_error": way.saddle.error,
        "saddle_curvature": float(way.saddle.curvatures[0]), "saddle_at": way.saddle_at,
        "half": way.half, "half_error": way.half_error, "length_error": way.length_error,
    }  # fmt: skip

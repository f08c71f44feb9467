"""Results that show themselves: a line in a terminal, a table with bars in a notebook, a picture when asked for.

A result says its `summary`, the function of `witten.plots` that draws it, and the rows of its table. It knows no more
of pictures than that name: `witten.plots` is loaded when `plot` is called.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from html import escape
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Displayed", "Table", "same", "shortened"]

# Rows of a table beyond which only their number is told, and the width of a bar in pixels.
MOST_ROWS, WIDTH = 40, 120
STYLE = "text-align:left;padding:.15em .8em .15em 0;font-variant-numeric:tabular-nums"
# Of entries that are no longer: a number is not broken at its minus.
WHOLE, LONGEST = STYLE + ";white-space:nowrap", 24


@dataclass(frozen=True)
class Table:
    """What a notebook shows below the summary.

    Parameters
    ----------
    columns : names
    rows : as text, one entry for each column
    bars : (low, value, high) of each row on one axis, in any unit; empty for none
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    bars: Sequence[tuple[float, float, float]] = ()


class Displayed:
    """A result of a verb."""

    # a function of witten.plots
    picture: ClassVar[str]

    @property
    @abstractmethod
    def summary(self) -> str:
        """What a person wants to know, in a line."""

    def table(self) -> Table | None:
        """What a notebook shows below it; None for nothing."""
        return None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.summary}>"

    def _repr_html_(self) -> str:
        line, table = f"<div>{escape(self.summary)}</div>", self.table()
        return line if table is None else line + _html(table)

    def plot(self, path: str | Path | None = None, **options: Any) -> Figure:
        """The picture of it, also written to `path` if there is one; `options` of the function of `witten.plots`."""
        draw = getattr(import_module("witten.plots"), self.picture)
        figure: Figure = draw(self, path=path, **options)
        return figure


def _html(table: Table) -> str:
    bars = _bars(table.bars[:MOST_ROWS])
    head = "".join(f'<th style="{STYLE}">{escape(name)}</th>' for name in (*table.columns, *([""] if bars else [])))
    rows = []
    for i, row in enumerate(table.rows[:MOST_ROWS]):
        styles = [WHOLE if len(entry) <= LONGEST else STYLE for entry in row] + [STYLE]
        cells = [escape(entry) for entry in row] + ([bars[i]] if bars else [])
        columns = zip(styles, cells, strict=False)
        rows.append("<tr>" + "".join(f'<td style="{style}">{cell}</td>' for style, cell in columns) + "</tr>")
    more = len(table.rows) - MOST_ROWS
    rest = f"<div>and {more} more</div>" if more > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{rest}"


def _bars(bars: Sequence[tuple[float, float, float]]) -> list[str]:
    """A dot on a common axis for each value, and a line from low to high; nothing where a value is not finite."""
    known = [end for bar in bars if math.isfinite(bar[1]) for end in bar if math.isfinite(end)]
    left, right = min(known, default=0.0), max(known, default=0.0)
    return [_bar(bar, left, (right - left) or 1.0) for bar in bars]


def _bar(bar: tuple[float, float, float], left: float, width: float) -> str:
    if not math.isfinite(bar[1]):
        return ""
    low, at, high = (4 + (WIDTH - 8) * min(max((x - left) / width, 0.0), 1.0) if x == x else WIDTH / 2 for x in bar)
    return (
        f'<svg width="{WIDTH}" height="12" role="img" aria-label="error bar" style="vertical-align:middle">'
        f'<path d="M0 6H{WIDTH}" stroke="currentColor" stroke-opacity=".2"/>'
        f'<path d="M{low:.1f} 6H{high:.1f}" stroke="#2E8BC8" stroke-width="3"/>'
        f'<circle cx="{at:.1f}" cy="6" r="3.5" fill="#2E8BC8"/></svg>'
    )


def shortened(text: str, most: int = 60) -> str:
    """The beginning of a long text."""
    return text if len(text) <= most else text[: most - 1] + "…"


def same(a: Any, b: Any) -> bool:
    """Whether two values hold the same: arrays by their entries, values of one type by their fields; nan is nan."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.array_equal(a, b, equal_nan=a.dtype.kind in "fc" and b.dtype.kind in "fc")
    if type(a) is not type(b):
        return bool(a == b)
    if is_dataclass(a):
        return all(same(getattr(a, each.name), getattr(b, each.name)) for each in fields(a))
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) or (a != a and b != b)

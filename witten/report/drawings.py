"""A matplotlib figure as SVG in a page: what a pointer over a point is told, and the points themselves."""

from __future__ import annotations

import io
import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.container import ErrorbarContainer
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = ["Drawn", "Series", "picture"]

Array = NDArray[np.float64]

# What matplotlib writes before the picture and about it, and a style that would reach the whole page.
BESIDE = re.compile(r"\A.*?(?=<svg)|<metadata>.*?</metadata>\s*|<style[^>]*>.*?</style>\s*", re.DOTALL)
NAMES = re.compile(r'(\bid="|url\(#|href="#)')
WIDTH = re.compile(r' width="([0-9.]+pt)"')
# Outlines to a hundredth of a point.
OUTLINE = re.compile(r'(?<=\bd=")[^"]*')
DIGITS = re.compile(r"(\.\d\d)\d+")
# TeX of labels: spaces and fonts that say nothing to a reader of plain text, and names of letters.
SPACE, FONT = re.compile(r"\\[,;:! ]|[{}$]"), re.compile(r"\\(?:mathrm|mathbf|text|log)")
LETTER = re.compile(r"\\([A-Za-z]+)")
SIGNS = {"cdot": "·", "nabla": "∇", "pm": "±", "infty": "∞"}
# Points of a line that answer a pointer, evenly chosen: of one without markers, and of one with them.
PLAIN, MARKED = 60, 400
# Radius of the place that answers, in points.
REACH = 5.0


@dataclass(frozen=True)
class Series:
    """Points of a figure, in the units of its axes.

    Parameters
    ----------
    panel, label : title of the axes, and name in the legend; "" where there is none
    x_label, y_label : of the axes, as plain text
    x, y : shape (n,); nan where a line is interrupted
    low, high : ends of the error bars of y, shape (n,); None where there are none
    places : where the points are in the picture, in its points from its upper left corner, shape (2, n); nan outside
        of the axes
    marked : whether each point is drawn as one
    """

    panel: str
    label: str
    x_label: str
    y_label: str
    x: Array
    y: Array
    low: Array | None
    high: Array | None
    places: Array
    marked: bool

    def to_json(self) -> dict[str, object]:
        """Names and numbers; null for nan."""
        names = {name: getattr(self, name) for name in ("panel", "label", "x_label", "y_label")}
        values = {name: getattr(self, name) for name in ("x", "y", "low", "high")}
        return names | {name: _finite(each) for name, each in values.items() if each is not None}

    def told(self, i: int) -> str:
        """Point i in words."""
        here = f"{self.x_label or 'x'} = {self.x[i]:.6g}, {self.y_label or 'y'} = "
        name = f"{self.label}: " if self.label else ""
        if self.low is None or self.high is None:
            return f"{name}{here}{self.y[i]:.6g}"
        digits = _digits(self.y[i], self.high[i] - self.low[i])
        value, low, high = (f"{each:.{digits}g}" for each in (self.y[i], self.low[i], self.high[i]))
        return f"{name}{here}{value}, from {low} to {high}"

    def shown(self) -> list[int]:
        """The points that answer a pointer."""
        inside = np.flatnonzero(np.isfinite(self.places).all(axis=0))
        most = MARKED if self.marked else PLAIN
        if inside.size <= most:
            return [int(i) for i in inside]
        return [int(i) for i in inside[np.linspace(0, inside.size - 1, most).astype(int)]]


@dataclass(frozen=True)
class Drawn:
    """A figure as SVG, and its points."""

    svg: Markup
    series: tuple[Series, ...]


def picture(drawing: Figure) -> Drawn:
    """A matplotlib figure to put into a page: letters as outlines, names of its parts like no other figure's.

    A pointer over a point of a line is told its numbers.
    """
    import matplotlib
    from markupsafe import Markup

    image = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "witten", "svg.fonttype": "path"}):
        drawing.savefig(image, format="svg", metadata={"Date": None})
    series = tuple(each for axes in drawing.axes for each in _series(axes))
    text = OUTLINE.sub(lambda found: DIGITS.sub(r"\1", found[0]), BESIDE.sub("", image.getvalue()))
    own = f"f{sha256(text.encode()).hexdigest()[:10]}-"
    text = NAMES.sub(lambda found: found[1] + own, text)
    head, _, tail = WIDTH.sub(r' style="width:\1"', text, count=1).rpartition("</svg>")
    return Drawn(Markup(f"{head}{_answers(series)}</svg>{tail}"), series)


def _answers(series: tuple[Series, ...]) -> str:
    """Circles that are not seen, each with what is to be told of the point there; those drawn as points on top."""
    from markupsafe import escape

    rows = [
        f'<circle cx="{each.places[0, i]:.2f}" cy="{each.places[1, i]:.2f}" r="{REACH:g}" fill="none" '
        f'pointer-events="all" class="point"><title>{escape(each.told(i))}</title></circle>'
        for each in sorted(series, key=lambda one: one.marked)
        for i in each.shown()
    ]
    return "\n".join(rows)


# ------------------------------------------------------------------------------------------------ what is drawn


def _series(axes: Axes) -> Iterator[Series]:
    """Lines, points with bars and clouds of points; guides that belong to no data are left out."""
    from matplotlib.collections import PathCollection
    from matplotlib.container import ErrorbarContainer

    bars = [each for each in axes.containers if isinstance(each, ErrorbarContainer) and each.lines[0] is not None]
    of_bars = {part for each in bars for part in (each.lines[0], *each.lines[1])}
    for line in axes.lines:
        if line not in of_bars and line.get_transform() == axes.transData:
            yield _line(axes, line)
    for cloud in axes.collections:
        if isinstance(cloud, PathCollection) and cloud.get_offset_transform() == axes.transData:
            yield _cloud(axes, cloud)
    for each in bars:
        yield _with_bars(axes, each)


def _line(axes: Axes, line: Line2D) -> Series:
    marked = line.get_marker() not in (None, "None", "none", "", " ")
    return _placed(axes, line.get_label(), line.get_xdata(), line.get_ydata(), marked=marked)


def _cloud(axes: Axes, cloud: PathCollection) -> Series:
    x, y = np.ma.filled(np.ma.asarray(cloud.get_offsets(), dtype=float), math.nan).reshape(-1, 2).T
    return _placed(axes, cloud.get_label(), x, y, marked=True)


def _with_bars(axes: Axes, bars: ErrorbarContainer) -> Series:
    line, _, lengths = bars.lines
    ends = None
    if bars.has_yerr:
        ends = np.array([segment[:, 1] for segment in lengths[-1].get_segments()]).reshape(-1, 2).T
    return _placed(axes, bars.get_label(), line.get_xdata(), line.get_ydata(), ends, marked=True)


def _placed(axes: Axes, label: object, x: object, y: object, ends: Array | None = None, *, marked: bool) -> Series:
    x, y = (np.ma.filled(np.ma.asarray(each, dtype=float), math.nan) for each in (x, y))
    panel, name = _plain(axes.get_title()), _plain(str(label))
    along = _shared(each.get_xlabel() for each in (axes, *axes.get_shared_x_axes().get_siblings(axes)))
    up = _shared(each.get_ylabel() for each in (axes, *axes.get_shared_y_axes().get_siblings(axes)))
    known = ends is not None and ends.shape == (2, x.size)
    low, high = ends if known and ends is not None else (None, None)
    return Series(panel, name, along, up, x, y, low, high, _places(axes, x, y), marked)


def _places(axes: Axes, x: Array, y: Array) -> Array:
    """In points from the upper left corner of the picture; nan outside of the axes."""
    figure = axes.figure
    with np.errstate(invalid="ignore", divide="ignore"):
        pixels = axes.transData.transform(np.column_stack([x, y]))
        across, up = figure.transSubfigure.inverted().transform(pixels).T
        box = axes.get_position()
        inside = (box.x0 - 1e-9 <= across) & (across <= box.x1 + 1e-9) & (box.y0 - 1e-9 <= up) & (up <= box.y1 + 1e-9)
    width, height = 72 * np.array(figure.get_figure(root=True).get_size_inches())
    return np.where(inside, np.array([across * width, (1 - up) * height]), math.nan)


# ------------------------------------------------------------------------------------------------ numbers and words


def _plain(label: str | None) -> str:
    """A label without TeX; names that matplotlib made up are none."""
    if not label or label.startswith("_"):
        return ""
    words = FONT.sub(lambda found: "log" if found[0] == r"\log" else "", SPACE.sub("", label))
    return LETTER.sub(lambda found: _letter(found[1]), words).strip()


def _shared(labels: Iterator[str]) -> str:
    """The label of an axis, or that of a panel which shares it."""
    return next((_plain(label) for label in labels if label), "")


def _letter(name: str) -> str:
    try:
        return unicodedata.lookup(f"GREEK SMALL LETTER {name.replace('lambda', 'lamda').upper()}")
    except KeyError:
        return SIGNS.get(name, name)


def _digits(value: float, width: float) -> int:
    """As many as show the bar in its first two digits, 4 to 15."""
    if not (math.isfinite(value) and math.isfinite(width) and value and width > 0):
        return 6
    return min(max(math.ceil(math.log10(abs(value) / width)) + 2, 4), 15)


def _finite(values: Array) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]

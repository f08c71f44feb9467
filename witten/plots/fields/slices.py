"""What maps of modes are drawn on: a plane grid, plane simplices, or the plane through the deepest point of either.

matplotlib is loaded by the axes that are handed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.tri import Triangulation

__all__ = ["Sheet", "cut_off", "sheet"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
BANDS = 65
FIELDS = ("modes", "gibbs_density", "objective")


class Sheet(Protocol):
    """Values on a plane, and how they are drawn there."""

    @property
    def note(self) -> str:
        """Which plane it is, where there is more than one."""
        ...

    @property
    def values(self) -> dict[str, Array]:
        """`modes` (k, ...) and, where known, `gibbs_density` and `objective` (...); nan outside."""
        ...

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top of what is inside."""
        ...

    def fill(self, axes: Axes, values: Array, **style: Any) -> Any:
        """Colours for values (...), from vmin (0) to vmax (1)."""
        ...

    def contour(self, axes: Axes, values: Array, **style: Any) -> Any:
        """Level lines of values (...)."""
        ...


def sheet(dataset: xarray.Dataset) -> Sheet:
    """The plane to draw a two- or three-dimensional spectrum on; in 3-D z is held fixed, at the deepest point."""
    return _simplices(dataset) if "cells" in dataset else _lattice(dataset)


def cut_off(axes: Axes, x: Array, y: Array, f: Array, *pictures: Any) -> None:
    """Let pictures end at the highest level line of f (nx, ny), nan outside, and not at the steps of cells."""
    if np.isfinite(f).all():
        return
    inside = np.pad(np.isfinite(f), 1)  # beyond the lattice there is nothing
    core = inside[2:, 1:-1] & inside[:-2, 1:-1] & inside[1:-1, 2:] & inside[1:-1, :-2]
    level, lowest, highest = float(np.nanmin(np.where(core, np.nan, f))), float(np.nanmin(f)), float(np.nanmax(f))
    if level <= lowest:
        return
    whole = np.where(np.isfinite(f), f, highest).T
    lines = axes.contourf(x, y, whole, levels=[2 * lowest - highest, level])
    for each in pictures:
        each.set_clip_path(lines.get_paths()[0], axes.transData)
    lines.remove()


@dataclass(frozen=True, eq=False)
class Lattice:
    """Values at x_i, y_j, arrays (..., nx, ny)."""

    x: Array
    y: Array
    values: dict[str, Array]
    note: str = ""

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        inside = np.isfinite(self.values["modes"][0])
        columns, rows = self.x[inside.any(axis=1)], self.y[inside.any(axis=0)]
        return float(columns[0]), float(columns[-1]), float(rows[0]), float(rows[-1])

    def fill(self, axes: Axes, values: Array, **style: Any) -> Any:
        known = "objective" in self.values  # the picture then ends at a level line, and what is beyond is not seen
        image = axes.imshow(
            (_continued(values) if known else values).T, origin="lower", extent=(*_edges(self.x), *_edges(self.y)),
            aspect="auto", interpolation="bilinear" if known else "nearest", **style,
        )  # fmt: skip
        if known:
            cut_off(axes, self.x, self.y, self.values["objective"], image)
        return image

    def contour(self, axes: Axes, values: Array, **style: Any) -> Any:
        return axes.contour(self.x, self.y, values.T, **style)


def _edges(nodes: Array) -> tuple[float, float]:
    """Where the first and the last cell of a regular axis end."""
    half = (nodes[-1] - nodes[0]) / max(nodes.size - 1, 1) / 2
    return float(nodes[0] - half), float(nodes[-1] + half)


def _continued(values: Array) -> Array:
    """Outside, the value of the nearest node."""
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(~np.isfinite(values), return_distances=False, return_indices=True)
    return np.asarray(values[tuple(nearest)])


def _lattice(dataset: xarray.Dataset) -> Lattice:
    note = ""
    if "z" in dataset.coords:
        depth = dataset.sizes["z"] // 2
        if "objective" in dataset:
            f = dataset["objective"].values
            depth = int(np.unravel_index(np.nanargmin(f), f.shape)[2])
        dataset = dataset.isel(z=depth)
        note = _plane(float(dataset["z"]))
    values = {name: dataset[name].values for name in FIELDS if name in dataset}
    return Lattice(dataset["x"].values, dataset["y"].values, values, note)


@dataclass(frozen=True, eq=False)
class Triangles:
    """Values at the nodes of triangles (m, 3), arrays (..., n)."""

    x: Array
    y: Array
    triangles: Integers
    values: dict[str, Array]
    note: str = ""

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        return float(self.x.min()), float(self.x.max()), float(self.y.min()), float(self.y.max())

    def fill(self, axes: Axes, values: Array, vmin: float = 0.0, vmax: float = 1.0, **style: Any) -> Any:
        # Bands, where Gouraud shading would mix the colours of the nodes and not their values.
        bands = axes.tricontourf(self._joined, values, levels=np.linspace(vmin, vmax, BANDS), extend="both", **style)
        bands.set_rasterized(True)
        return bands

    def contour(self, axes: Axes, values: Array, **style: Any) -> Any:
        return axes.tricontour(self._joined, values, **style)

    @property
    def _joined(self) -> Triangulation:
        from matplotlib.tri import Triangulation

        return Triangulation(self.x, self.y, self.triangles)


def _simplices(dataset: xarray.Dataset) -> Triangles:
    points = np.array([dataset[name].values for name in ("x", "y", "z") if name in dataset.coords])
    cells, values = dataset["cells"].values, {name: dataset[name].values for name in FIELDS if name in dataset}
    if len(points) == 2:
        return Triangles(points[0], points[1], cells, values)
    z = points[2]
    height = z[np.argmin(values["objective"])] if "objective" in values else (z.min() + z.max()) / 2
    return _cut(points, cells, values, float(height))


def _cut(points: Array, cells: Integers, values: dict[str, Array], height: float) -> Triangles:
    """Where the plane z = height meets tetrahedra, with what is linear on them."""
    edges = _crossed_edges(points[2, cells] > height, cells)
    pairs, triangles = np.unique(edges.reshape(-1, 2), axis=0, return_inverse=True)
    low, high = pairs.T
    share = (height - points[2, low]) / (points[2, high] - points[2, low])
    x, y = (axis[low] + share * (axis[high] - axis[low]) for axis in points[:2])
    there = {name: v[..., low] + share * (v[..., high] - v[..., low]) for name, v in values.items()}
    return Triangles(x, y, triangles.reshape(-1, 3), there, _plane(height))


def _crossed_edges(above: NDArray[np.bool_], cells: Integers) -> Integers:
    """Triangles between a plane and tetrahedra, corners as the edges they lie on: shape (t, 3, 2), lower node first."""
    order = np.argsort(above, axis=1, kind="stable")
    sorted_cells = np.take_along_axis(cells, order, axis=1)  # those below come first
    count = above.sum(axis=1)
    ways = {
        1: [[(0, 3), (1, 3), (2, 3)]],
        2: [[(0, 2), (0, 3), (1, 3)], [(0, 2), (1, 3), (1, 2)]],
        3: [[(0, 1), (0, 2), (0, 3)]],
    }
    pieces = [sorted_cells[count == n][:, np.array(way)] for n, each in ways.items() for way in each]
    return np.concatenate(pieces)


def _plane(height: float) -> str:
    return f",  plane $z = {height:.3g}$"

"""Modes of forms: arrows where they are vectors, maps where they are densities."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from witten.domains.meshes.nodal_mesh import NodalMesh
from witten.errors import RequestError
from witten.plots.fields.paraview import save_fields
from witten.plots.style import Array, check_place, finished, new_figure, shortened, tex_number

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_form_modes", "save_form_modes"]

# Modes drawn at most, arrows along the longer side of a panel, and the part of the longest below which none is drawn.
MOST_PANELS, ARROWS, FAINT = 9, 24, 0.03
# Half the thickness of the slab that a picture of space is made of, as a part of its height.
SLAB = 0.08


def plot_form_modes(dataset: xarray.Dataset, path: str | Path | None = None) -> Figure:
    """A panel for each mode, from what `form_dataset` describes; in space of the cells around the plane of constant z
    through the middle of |mode|^2, with the arrows' parts in it.

    Raises
    ------
    RequestError
        if the dataset holds no modes, or `path` cannot be written.
    """
    check_place(path)
    points = _points(dataset)
    modes = _modes(dataset)[:MOST_PANELS]
    corners = points[:, dataset["cells"].values]
    columns = 2 if len(modes) == 4 else min(len(modes), 3)
    low, high = points.min(axis=1)[:2], points.max(axis=1)[:2]
    low, high = low - 0.06 * (high - low), high + 0.06 * (high - low)
    shape = float(np.clip((high[1] - low[1]) / (high[0] - low[0]), 0.4, 2.0))
    rows = -(-len(modes) // columns)
    figure, panels = new_figure(rows, columns, (3.2 * columns + 1, (2.9 * shape + 0.5) * rows + 0.7), True, True)
    image: Any = None
    for j, axes in enumerate(panels):
        axes.set_visible(j < len(modes))
        if j < len(modes):
            image = _panel(axes, corners, modes[j]) or image
            axes.set_title(_title(dataset, j), fontsize=10)
            axes.set_aspect("equal")
            axes.set_xlim(low[0], high[0])
            axes.set_ylim(low[1], high[1])
    for axes in panels[max(len(modes) - columns, 0) : len(modes)]:
        axes.set_xlabel("$x$")
        axes.tick_params(labelbottom=True)
    for axes in panels[::columns]:
        axes.set_ylabel("$y$")
    if image is not None:
        scale = "mode" if modes.shape[1] == 1 else "|mode|"
        figure.colorbar(image, ax=panels, shrink=0.75, aspect=30, pad=0.02).set_label(f"{scale}, of its largest")
    p, s = int(dataset.attrs["form"]), float(dataset.attrs["learning_rate"])
    figure.suptitle(f"{shortened(str(dataset.attrs['objective']))},  {p}-forms,  $s = {s:g}$", fontsize=11)
    return finished(figure, path)


def save_form_modes(dataset: xarray.Dataset, path: str | Path) -> None:
    """Write the modes as .xdmf, mode_0, mode_1, ...: numbers on the cells, or vectors, atomically.

    Raises
    ------
    RequestError
        if the dataset holds no modes, or `path` cannot be written.
    """
    fields = {f"mode_{j}": values for j, values in enumerate(_modes(dataset))}
    about = {name: dataset.attrs[name] for name in ("objective", "learning_rate", "form")}
    save_fields(NodalMesh(_points(dataset), dataset["cells"].values), {}, path, about=about, cell_fields=fields)


def _points(dataset: xarray.Dataset) -> Array:
    return np.array([dataset[name].values for name in ("x", "y", "z") if name in dataset])


def _modes(dataset: xarray.Dataset) -> Array:
    if "modes" not in dataset:
        raise RequestError("the file holds rates of forms and no modes; compute it again with --modes or --plot")
    return np.asarray(dataset["modes"].values)


def _title(dataset: xarray.Dataset, j: int) -> str:
    rate, partner = float(dataset["rate"][j]), int(dataset["partner_form"][j])
    if partner < 0:
        return rf"$\lambda_{{{j}}} = 0$"
    if not bool(dataset["resolved"][j]):
        return rf"$\lambda_{{{j}}}$ unresolved, also of {partner}-forms"
    return rf"$\lambda_{{{j}}} = {tex_number(rate)}$, also of {partner}-forms"


def _panel(axes: Axes, corners: Array, mode: Array) -> Any:
    """Colours and arrows of one mode, corners (d, m, d + 1) and values (c, m); None where it is not known."""
    size = np.linalg.norm(mode, axis=0)
    if not np.isfinite(size).all():
        axes.text(0.5, 0.5, "not computed", transform=axes.transAxes, ha="center")
        return None
    if len(corners) == 3:
        corners, mode, size = _slab(axes, corners, mode, size)
    faces = list(combinations(range(corners.shape[2]), 3))
    triangles = np.moveaxis(corners[:2][:, :, faces], 0, -1).reshape(-1, 3, 2)
    scalar = len(mode) == 1
    from matplotlib.collections import PolyCollection

    colours = np.repeat(mode[0] if scalar else size, len(faces)) / size.max()
    cmap = "RdBu_r" if scalar else "Blues"
    image = PolyCollection(list(triangles), array=colours, cmap=cmap, edgecolors="face", linewidths=0.2)
    image.set_clim(-1 if scalar else 0, 1)
    image.set_rasterized(True)
    axes.add_collection(image)
    if not scalar:
        _arrows(axes, corners.mean(axis=2)[:2], mode[:2])
    return image


def _slab(axes: Axes, corners: Array, mode: Array, size: Array) -> tuple[Array, Array, Array]:
    """The cells near the plane, those furthest from it first."""
    z = corners[2].mean(axis=1)
    plane = float(np.average(z, weights=size**2))
    near = abs(z - plane) <= max(SLAB * float(np.ptp(corners[2])), float(np.sort(abs(z - plane))[len(z) // 50]))
    order = np.flatnonzero(near)[np.argsort(-abs(z[near] - plane))]
    plane = 0.0 if abs(plane) < 1e-6 * float(np.ptp(corners[2])) else plane
    axes.text(0.02, 0.97, f"$z \\approx {plane:.3g}$", transform=axes.transAxes, va="top", fontsize=8)
    return corners[:, order], mode[:, order], size[order]


def _arrows(axes: Axes, centres: Array, vectors: Array) -> None:
    """Means of the vectors in square bins."""
    low, span = centres.min(axis=1), np.ptp(centres, axis=1)
    bins = np.floor((centres - low[:, None]) / (span.max() / ARROWS)).astype(int)
    _, number = np.unique(bins, axis=1, return_inverse=True)
    number = number.ravel()
    count = np.bincount(number)
    at, arrow = (np.array([np.bincount(number, row) / count for row in rows]) for rows in (centres, vectors))
    length = np.linalg.norm(arrow, axis=0)
    shown = length > FAINT * length.max()
    scale = length.max() / (1.8 * span.max() / ARROWS)
    axes.quiver(*at[:, shown], *arrow[:, shown], angles="xy", scale_units="xy", scale=scale, width=0.004, color="black")

"""Makes the meshes of this folder: `python meshes/make.py [NAME ...]`.

Needs gmsh's Python module (the extra `mesh`: `pip install witten[mesh]`). That loads the system's libGLU, libX11,
libXft, libXcursor, libXinerama and libXrender even where it opens no window (Debian: libglu1-mesa libxft2 libxcursor1
libxinerama1 libxrender1). The package itself never needs gmsh: it reads the files. The same version of gmsh gives the
same files.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import gmsh
import numpy as np
from numpy.typing import NDArray

import witten
from witten.domains.sublevel import sublevel

HERE = Path(__file__).parent
Array = NDArray[np.float64]


def disk() -> None:
    """Radius 2, second order: wells at |x| <= 1 lie inside."""
    gmsh.model.occ.addDisk(0, 0, 0, 2, 2)
    gmsh.model.occ.synchronize()
    _mesh(2, size=0.2, order=2)


def annulus() -> None:
    """Radii 1/2 and 3/2, second order: around the valley of (|x|^2 - 1)^2."""
    outer, inner = gmsh.model.occ.addDisk(0, 0, 0, 1.5, 1.5), gmsh.model.occ.addDisk(0, 0, 0, 0.5, 0.5)
    gmsh.model.occ.cut([(2, outer)], [(2, inner)])
    gmsh.model.occ.synchronize()
    _mesh(2, size=0.15, order=2)


def l_shape() -> None:
    """[-1, 1]^2 without its upper right quarter, finer at the corner, where solutions are singular."""
    corners = [(-1, -1), (1, -1), (1, 0), (0, 0), (0, 1), (-1, 1)]
    _polygon(np.array(corners, dtype=float).T)
    _mesh(2, size=lambda x: 0.01 + 0.12 * np.linalg.norm(x, axis=0), order=1)


def ball() -> None:
    """Radius 2, second order."""
    gmsh.model.occ.addSphere(0, 0, 0, 2)
    gmsh.model.occ.synchronize()
    _mesh(3, size=0.6, order=2)


def mueller_brown() -> None:
    """Mueller-Brown's sublevel set at learning rate 0.2, finest at its minima and saddles."""
    f, s = witten.gallery.mueller_brown(), 0.2
    inside = sublevel(f, s, wells=2)
    critical = _critical_points(f, inside.box)
    _polygon(_level_line(f, inside.box, inside.level, step=0.15))

    def size(x: Array) -> Array:
        distance = np.sqrt(((x[:, :, None] - critical[:, None, :]) ** 2).sum(axis=0)).min(axis=1)
        return np.minimum(0.03 + 0.16 * distance, 0.25)

    _mesh(2, size=size, order=1)


MESHES: dict[str, Callable[[], None]] = {
    "disk": disk,
    "annulus": annulus,
    "l-shape": l_shape,
    "ball": ball,
    "mueller-brown": mueller_brown,
}


def _mesh(dimension: int, *, size: float | Callable[[Array], Array], order: int) -> None:
    """Mesh the model with the given size of cells, a number or a function of points (d, n)."""
    if callable(size):
        function = size

        def at(dim: int, tag: int, x: float, y: float, z: float, lc: float) -> float:
            return float(function(np.array([[x], [y], [z]])[:dimension])[0])

        gmsh.model.mesh.setSizeCallback(at)
        gmsh.option.setNumber("Mesh.MeshSizeExtendFromBoundary", 0)
    else:
        gmsh.option.setNumber("Mesh.MeshSizeMax", size)
        gmsh.option.setNumber("Mesh.MeshSizeMin", size)
    gmsh.option.setNumber("Mesh.Algorithm", 6)  # frontal Delaunay: near equilateral
    gmsh.model.mesh.generate(dimension)
    if dimension == 3:
        gmsh.model.mesh.optimize("Netgen")
    gmsh.model.mesh.setOrder(order)
    # The cells of the highest dimension alone: nothing else is read.
    gmsh.model.addPhysicalGroup(dimension, [tag for _, tag in gmsh.model.getEntities(dimension)])


def _polygon(corners: Array) -> None:
    """The inside of a closed line through the corners (2, n)."""
    points = [gmsh.model.geo.addPoint(x, y, 0) for x, y in corners.T]
    lines = [gmsh.model.geo.addLine(a, b) for a, b in zip(points, points[1:] + points[:1], strict=True)]
    gmsh.model.geo.addPlaneSurface([gmsh.model.geo.addCurveLoop(lines)])
    gmsh.model.geo.synchronize()


def _level_line(f: witten.Objective, box: witten.Box, level: float, *, step: float) -> Array:
    """Points about `step` apart on the longest piece of {f = level}, shape (2, n)."""
    import contourpy

    axes = [np.linspace(a, b, 400) for a, b in box.intervals]
    x, y = np.meshgrid(*axes)
    lines = contourpy.contour_generator(x, y, f(np.array([x.ravel(), y.ravel()])).reshape(x.shape)).lines(level)
    line = max(lines, key=len).T
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=1), axis=0))])
    at = np.linspace(0.0, length[-1], round(length[-1] / step) + 1)[:-1]
    return np.array([np.interp(at, length, coordinate) for coordinate in line])


def _critical_points(f: witten.Objective, box: witten.Box) -> Array:
    """Minima and saddles in the box, by Newton's method from a lattice, shape (2, n)."""
    axes = [np.linspace(a, b, 60) for a, b in box.intervals]
    x = np.array([a.ravel() for a in np.meshgrid(*axes, indexing="ij")])
    lower, upper = np.array(box.lower)[:, None], np.array(box.upper)[:, None]
    for _ in range(50):
        step = np.linalg.solve(np.moveaxis(f.hessian(x), -1, 0), f.gradient(x).T[..., None])[..., 0].T
        length = np.linalg.norm(step, axis=0)
        x = np.clip(x - step * np.minimum(1.0, 0.05 / np.maximum(length, 1e-300)), lower, upper)
    good = x[:, np.linalg.norm(f.gradient(x), axis=0) < 1e-9]
    return np.unique(np.round(good, 6), axis=1)


def make(name: str) -> None:
    """Write NAME.msh, format 4.1 as text."""
    gmsh.initialize(["gmsh", "-v", "2"])
    try:
        gmsh.option.setNumber("General.NumThreads", 1)
        MESHES[name]()
        gmsh.option.setNumber("Mesh.MshFileVersion", 4.1)
        gmsh.write(str(HERE / f"{name}.msh"))
    finally:
        gmsh.finalize()


if __name__ == "__main__":
    for name in sys.argv[1:] or MESHES:
        make(name)

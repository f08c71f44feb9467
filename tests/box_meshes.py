"""Meshes of boxes for tests."""

import witten.parallel.load_dolfinx  # noqa: F401, I001  (comes first)
import dolfinx
import numpy as np


def box_mesh(comm, box, cells):
    """A box of `cells` small boxes along each axis, each cut into d! simplices."""
    corners = [np.array(box.lower), np.array(box.upper)]
    if box.dimension == 1:
        return dolfinx.mesh.create_interval(comm, cells[0], [box.lower[0], box.upper[0]])
    if box.dimension == 2:
        return dolfinx.mesh.create_rectangle(comm, corners, cells, ghost_mode=dolfinx.mesh.GhostMode.shared_facet)
    return dolfinx.mesh.create_box(comm, corners, cells)

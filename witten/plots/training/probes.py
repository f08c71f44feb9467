"""What `probe` found: the spectrum of the Hessian, noise along its eigenvectors, and the path to another minimum."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from witten.plots.style import BLUE, GREEN, GREY, VERMILION, check_place, finished, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from witten.models.probe import Probe
    from witten.models.transitions.passage import Passage

__all__ = ["plot_probe"]


def plot_probe(found: Probe, path: str | Path | None = None) -> Figure:
    """The share of eigenvalues below each, the noise along the sharpest, and loss and sharpness along a path.

    Raises
    ------
    RequestError
        if `path` cannot be written.
    """
    check_place(path)
    rows = 1 if found.path is None else 2
    figure, panels = new_figure(rows, 2, (9.6, 3.9 * rows))
    _draw_spectrum(panels[0], found)
    _draw_noise(panels[1], found)
    if found.path is not None:
        _draw_losses(panels[2], found.path)
        _draw_sharpness(panels[3], found.path, found.threshold)
    figure.suptitle(f"{found.parameters} parameters, s = {found.learning_rate:.4g}", fontsize=11)
    return finished(figure, path)


def _draw_spectrum(axes: Axes, found: Probe) -> None:
    spectrum = found.spectrum
    size = float(np.abs(spectrum.nodes).max()) or 1.0
    axes.step(spectrum.nodes, np.cumsum(spectrum.weights), where="post", color=BLUE)
    axes.plot(spectrum.nodes, np.cumsum(spectrum.weights), ".", color=BLUE, markersize=4)
    axes.axvline(found.threshold, color=VERMILION, linestyle="--", label=f"2/s = {found.threshold:.4g}")
    axes.set_xscale("symlog", linthresh=1e-4 * size)
    axes.set_xlabel("eigenvalue of the Hessian")
    axes.set_ylabel("share of eigenvalues up to it")
    axes.legend(frameon=False, fontsize=9)
    axes.grid(True, color="0.9", linewidth=0.6)


def _draw_noise(axes: Axes, found: Probe) -> None:
    axes.set_xlabel("eigenvalue of the Hessian")
    axes.set_ylabel(r"noise along its vector, $q\cdot\Sigma q$")
    if found.noise is None:
        axes.text(0.5, 0.5, "noise is not known", ha="center", va="center", transform=axes.transAxes, color=GREY)
        return
    values = [each.value for each in found.spectrum.largest]
    axes.plot(values, found.noise.along, "o", color=BLUE, label="sharpest directions")
    mean = found.noise.trace / found.parameters
    axes.axhline(mean, color=GREY, linestyle=":", label=f"mean of all directions, {mean:.3g}")
    if min(found.noise.along) > 0:
        axes.set_yscale("log")
    if min(values) > 0:
        axes.set_xscale("log")
    axes.legend(frameon=False, fontsize=9)
    axes.grid(True, color="0.9", linewidth=0.6)


def _draw_losses(axes: Axes, passage: Passage) -> None:
    path = passage.transition
    axes.plot(passage.positions, path.losses, color=BLUE)
    axes.axhline(path.highest, color=VERMILION, linestyle="--", label=f"highest: {path.barrier:.4g} above the first")
    kind = "over saddles" if path.connects else "by the band alone: no saddle joins the minima"
    axes.set_title(f"path {kind}", fontsize=10)
    axes.set_xlabel("length along the path")
    axes.set_ylabel("loss")
    axes.legend(frameon=False, fontsize=9, loc="center right")
    axes.grid(True, color="0.9", linewidth=0.6)


def _draw_sharpness(axes: Axes, passage: Passage, threshold: float) -> None:
    axes.plot(passage.places, passage.sharpness, "o-", color=GREEN, markersize=4)
    if threshold < 3 * float(passage.sharpness.max()):
        axes.axhline(threshold, color=VERMILION, linestyle="--", label=f"2/s = {threshold:.4g}")
        axes.legend(frameon=False, fontsize=9)
    axes.set_xlabel("length along the path")
    axes.set_ylabel("sharpness")
    axes.grid(True, color="0.9", linewidth=0.6)

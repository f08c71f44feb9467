"""A training as `Recorder` saw it: sharpness against 2/s, loss, noise scale and temperature."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from witten.errors import RequestError
from witten.plots.style import BLUE, GREEN, GREY, VERMILION, check_place, finished, new_figure, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from witten.models.recorder import TrainingRecord

__all__ = ["plot_training"]


def plot_training(record: TrainingRecord, path: str | Path | None = None) -> Figure:
    """Sharpness with 2/s above, loss below; and noise scale and temperature, where they are known.

    Raises
    ------
    RequestError
        if there is nothing to draw, or `path` cannot be written.
    """
    check_place(path)
    if not record.steps.size:
        raise RequestError("nothing to plot: no step of the training was looked at")
    noisy = bool(np.isfinite(record.temperatures).any())
    figure, panels = new_figure(2 + noisy, 1, (7.2, 2.6 * (2 + noisy)), sharex=True)
    edge, loss = panels[:2]
    edge.errorbar(record.steps, record.sharpness, record.sharpness_errors, fmt="o-", color=BLUE, markersize=3)
    edge.plot(record.steps, record.thresholds, "--", color=VERMILION, label="2/s")
    edge.set_ylabel("sharpness")
    edge.legend(frameon=False, fontsize=9)
    edge.set_title(shortened(record.name), fontsize=11)
    loss.plot(record.steps, record.losses, "o-", color=GREY, markersize=3)
    loss.set_ylabel("loss")
    if min(record.losses) > 0:
        loss.set_yscale("log")
    if noisy:
        panels[2].plot(record.steps, record.temperatures, "o-", color=GREEN, markersize=3)
        panels[2].set_yscale("log")
        panels[2].set_ylabel("temperature")
        scale = panels[2].twinx()
        scale.plot(record.steps, record.noise_scales, ":", color=VERMILION)
        scale.set_yscale("log")
        scale.set_ylabel("noise scale (dotted)")
    panels[-1].set_xlabel("step")
    for axes in panels:
        axes.grid(True, color="0.9", linewidth=0.6)
    return finished(figure, path)

"""Pictures of results, one file for each kind.

matplotlib and what computes the results are loaded inside the functions; of matplotlib the figures alone: no window, no
global state. With a path the picture is written atomically; every function returns the figure.
"""

from typing import Any

from witten.plots.annealings import plot_annealing
from witten.plots.chains import plot_chain
from witten.plots.committors import plot_committor
from witten.plots.curves import plot_curve
from witten.plots.descents import plot_basins, plot_bifurcation, plot_descent
from witten.plots.explanations import plot_passage
from witten.plots.form_modes import plot_form_modes, save_form_modes
from witten.plots.landscapes import plot_barrier_tree, plot_landscape
from witten.plots.laws import plot_law
from witten.plots.modes import plot_dataset, plot_spectrum
from witten.plots.planes import plot_plane
from witten.plots.probes import plot_probe
from witten.plots.ratios import plot_ratio
from witten.plots.risks import plot_risks
from witten.plots.style import check_plot
from witten.plots.trainings import plot_training
from witten.plots.turnovers import plot_turnover

__all__ = [
    "check_plot",
    "plot_annealing",
    "plot_barrier_tree",
    "plot_basins",
    "plot_bifurcation",
    "plot_chain",
    "plot_committor",
    "plot_curve",
    "plot_dataset",
    "plot_descent",
    "plot_form_modes",
    "plot_landscape",
    "plot_law",
    "plot_passage",
    "plot_plane",
    "plot_probe",
    "plot_ratio",
    "plot_risks",
    "plot_spectrum",
    "plot_training",
    "plot_turnover",
    "save_form_modes",
]


def __getattr__(name: str) -> Any:
    """`plot_validation`, which loads all three routes."""
    if name != "plot_validation":
        raise AttributeError(f"module 'witten.plots' has no attribute {name!r}")
    from witten.plots.validation import plot_validation

    return plot_validation

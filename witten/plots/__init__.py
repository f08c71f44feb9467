"""Pictures of results, one file for each kind: of `rates`, of `fields` over x, and of `training`.

matplotlib and what computes the results are loaded inside the functions; of matplotlib the figures alone: no window, no
global state. With a path the picture is written atomically; every function returns the figure.
"""

from typing import Any

from witten.plots.fields.committors import plot_committor
from witten.plots.fields.explanations import plot_passage
from witten.plots.fields.form_modes import plot_form_modes, save_form_modes
from witten.plots.fields.landscapes import plot_barrier_tree, plot_landscape
from witten.plots.fields.modes import plot_dataset, plot_spectrum
from witten.plots.rates.chains import plot_chain
from witten.plots.rates.curves import plot_curve
from witten.plots.rates.laws import plot_law
from witten.plots.rates.planes import plot_plane
from witten.plots.rates.ratios import plot_ratio
from witten.plots.rates.turnovers import plot_turnover
from witten.plots.style import check_plot
from witten.plots.training.annealings import plot_annealing
from witten.plots.training.descents import plot_basins, plot_bifurcation, plot_descent
from witten.plots.training.probes import plot_probe
from witten.plots.training.risks import plot_risks
from witten.plots.training.trainings import plot_training

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
    from witten.plots.rates.validation import plot_validation

    return plot_validation

"""How fast learning converges: the spectral gap of the Witten-Laplacian against the learning rate.

Names are loaded when first used, so that `import witten` stays light: no MPI, no DOLFINx, no matplotlib, no SymPy.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from witten.version import __version__

if TYPE_CHECKING:  # what _HOME below says, for type checkers and editors
    from witten import noise
    from witten.annealing.experiment import anneal
    from witten.certified.certified_gap import certified_gap
    from witten.descent.attractors.attractor import fate
    from witten.descent.bifurcation import bifurcation_diagram
    from witten.descent.gradient_map import DescentMap
    from witten.domains.box import Box
    from witten.domains.grid import Grid
    from witten.domains.meshes.mesh import read_mesh
    from witten.domains.sets import Ball
    from witten.dynamics.momentum import simulate_momentum
    from witten.dynamics.simulation import simulate_rate
    from witten.errors import ConvergenceError, RequestError
    from witten.explanation.explanation import Explanation
    from witten.explanation.routes import explain
    from witten.forms.form_spectrum import form_spectrum
    from witten.kinetic.momentum_gap import langevin_gap, momentum_gap
    from witten.kinetic.turnover import friction_sweep
    from witten.landscape.landscape import Landscape, barrier, describe_landscape
    from witten.landscape.laws.eyring_kramers import eyring_kramers
    from witten.landscape.laws.kramers_law import kramers_law
    from witten.landscape.poincare_bounds import rate_bounds
    from witten.langevin import Langevin
    from witten.models.probe import Probe, probe
    from witten.models.recorder import Recorder, TrainingRecord
    from witten.objectives import gallery
    from witten.objectives.objective import Objective
    from witten.objectives.periodicity import periodic
    from witten.operators.differences.finite_differences import FiniteDifferences
    from witten.operators.elements.finite_elements import FiniteElements
    from witten.operators.witten_laplacian import WittenLaplacian
    from witten.rates import RateCurve
    from witten.risk.excess_risk import excess_risk
    from witten.risk.planning.optimal_schedule import plan_schedule
    from witten.schedules import Schedule
    from witten.sgd.momentum_chain import momentum_chain
    from witten.sgd.transfer_spectrum import transfer_spectrum
    from witten.spectra.committor import Committor, committor
    from witten.spectra.fixed_discretisation import sweep
    from witten.spectra.gap import gap, spectrum
    from witten.spectra.solvers.eigensolve import eigensolve
    from witten.spectra.spectrum import Spectrum
    from witten.validation.routes import validate

# public name -> module that defines it
_HOME = {
    "Ball": "witten.domains.sets",
    "Box": "witten.domains.box",
    "Committor": "witten.spectra.committor",
    "ConvergenceError": "witten.errors",
    "DescentMap": "witten.descent.gradient_map",
    "Explanation": "witten.explanation.explanation",
    "FiniteDifferences": "witten.operators.differences.finite_differences",
    "FiniteElements": "witten.operators.elements.finite_elements",
    "Grid": "witten.domains.grid",
    "Landscape": "witten.landscape.landscape",
    "Langevin": "witten.langevin",
    "Objective": "witten.objectives.objective",
    "Probe": "witten.models.probe",
    "RateCurve": "witten.rates",
    "Recorder": "witten.models.recorder",
    "RequestError": "witten.errors",
    "Schedule": "witten.schedules",
    "Spectrum": "witten.spectra.spectrum",
    "TrainingRecord": "witten.models.recorder",
    "WittenLaplacian": "witten.operators.witten_laplacian",
    "anneal": "witten.annealing.experiment",
    "barrier": "witten.landscape.landscape",
    "certified_gap": "witten.certified.certified_gap",
    "committor": "witten.spectra.committor",
    "bifurcation_diagram": "witten.descent.bifurcation",
    "describe_landscape": "witten.landscape.landscape",
    "eigensolve": "witten.spectra.solvers.eigensolve",
    "excess_risk": "witten.risk.excess_risk",
    "explain": "witten.explanation.routes",
    "eyring_kramers": "witten.landscape.laws.eyring_kramers",
    "fate": "witten.descent.attractors.attractor",
    "form_spectrum": "witten.forms.form_spectrum",
    "friction_sweep": "witten.kinetic.turnover",
    "gallery": "witten.objectives",
    "gap": "witten.spectra.gap",
    "kramers_law": "witten.landscape.laws.kramers_law",
    "langevin_gap": "witten.kinetic.momentum_gap",
    "momentum_chain": "witten.sgd.momentum_chain",
    "momentum_gap": "witten.kinetic.momentum_gap",
    "noise": "witten.noise",
    "periodic": "witten.objectives.periodicity",
    "plan_schedule": "witten.risk.planning.optimal_schedule",
    "probe": "witten.models.probe",
    "rate_bounds": "witten.landscape.poincare_bounds",
    "read_mesh": "witten.domains.meshes.mesh",
    "simulate_momentum": "witten.dynamics.momentum",
    "simulate_rate": "witten.dynamics.simulation",
    "spectrum": "witten.spectra.gap",
    "sweep": "witten.spectra.fixed_discretisation",
    "transfer_spectrum": "witten.sgd.transfer_spectrum",
    "validate": "witten.validation.routes",
}

__all__ = [
    "Ball",
    "Box",
    "Committor",
    "ConvergenceError",
    "DescentMap",
    "Explanation",
    "FiniteDifferences",
    "FiniteElements",
    "Grid",
    "Landscape",
    "Langevin",
    "Objective",
    "Probe",
    "RateCurve",
    "Recorder",
    "RequestError",
    "Schedule",
    "Spectrum",
    "TrainingRecord",
    "WittenLaplacian",
    "__version__",
    "anneal",
    "barrier",
    "bifurcation_diagram",
    "certified_gap",
    "committor",
    "describe_landscape",
    "eigensolve",
    "excess_risk",
    "explain",
    "eyring_kramers",
    "fate",
    "form_spectrum",
    "friction_sweep",
    "gallery",
    "gap",
    "kramers_law",
    "langevin_gap",
    "momentum_chain",
    "momentum_gap",
    "noise",
    "periodic",
    "plan_schedule",
    "probe",
    "rate_bounds",
    "read_mesh",
    "simulate_momentum",
    "simulate_rate",
    "spectrum",
    "sweep",
    "transfer_spectrum",
    "validate",
]


# "." since access() is granted to what is no folder.
if not all(os.access(os.path.join(folder, "."), os.W_OK) for folder in (__path__[0], os.path.expanduser("~"))):
    import_module("witten.cache_folder").provide(__path__[0])


def __getattr__(name: str) -> Any:
    """Load a public name from its module, once."""
    if name not in _HOME:
        raise AttributeError(f"module 'witten' has no attribute {name!r}")
    module = import_module(_HOME[name])
    # gallery is a module of its package, noise one itself; everything else is defined in the module named.
    modules = {"gallery": f"{_HOME[name]}.{name}", "noise": _HOME[name]}
    value = import_module(modules[name]) if name in modules else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

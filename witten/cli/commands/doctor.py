"""`witten doctor`: what is installed, and which routes work here."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from typing import Any

from witten import parallel
from witten.cli.options import base_command, options
from witten.cli.output import print_json, print_table
from witten.version import __version__, version_of

EXAMPLES = base_command.examples("witten doctor", "witten doctor --json")

PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "sympy",
    "mpmath",
    "pyamg",
    "xarray",
    "h5netcdf",
    "h5py",
    "matplotlib",
    "typer",
    "rich",
    "mpi4py",
    "dolfinx-solver-real",
    "meshio",
)
# Seconds after which a probe counts as failed.
PATIENCE = 120
# A process started by mpiexec must not hand its place among the ranks to a probe.
MPI_VARIABLES = ("PMI", "PMIX", "OMPI", "HYDRA", "MPI_LOCAL", "MPIR", "MV2", "PALS", "SLURM")

# Each runs in a Python of its own, so that a crash of a library is a line in the report; it prints JSON.
PROBES = {
    "finite differences": """
import numba, witten
curve = witten.gap("quadratic", [0.5])
rate = float(curve.rates[0])
assert abs(rate - 1) < 1e-3, f"the rate of a quadratic is 1, computed {rate}"
# Large enough for threads.
witten.FiniteDifferences(witten.gallery.quadratic(dim=2), witten.Grid.uniform([(-1, 1)] * 2, 200)).assemble(0.5)
report = {"numba_threads": numba.config.NUMBA_NUM_THREADS, "threading_layer": numba.threading_layer()}
""",
    "multigrid": """
import pyamg
report = {"pyamg": pyamg.__version__}
""",
    "MPI": """
from mpi4py import MPI
library = MPI.Get_library_version().strip(chr(0)).splitlines()[0]
report = {"library": " ".join(library.split()), "standard": MPI.Get_version()}
""",
    "PETSc": """
try:
    import dolfinx_solver
except ImportError:
    pass
import numpy
from petsc4py import PETSc
packages = {name: bool(PETSc.Sys.hasExternalPackage(name)) for name in ("mumps", "hypre", "superlu_dist", "ptscotch")}
report = {"scalar": numpy.dtype(PETSc.ScalarType).name, "version": PETSc.Sys.getVersion(), **packages}
""",
    "SLEPc": """
try:
    import dolfinx_solver
except ImportError:
    pass
from slepc4py import SLEPc
report = {"version": SLEPc.Sys.getVersion()}
""",
    "finite elements": """
try:
    import dolfinx_solver
except ImportError:
    pass
import dolfinx
from mpi4py import MPI
mesh = dolfinx.mesh.create_unit_interval(MPI.COMM_SELF, 2)
report = {"dolfinx": dolfinx.__version__, "adios2": bool(getattr(dolfinx, "has_adios2", False))}
""",
}


def doctor(as_json: options.Json = False) -> None:
    """What is installed, and which routes work here: versions, ranks, threads."""
    found = diagnosis()
    if as_json:
        print_json(found)
    else:
        _show(found)


def diagnosis() -> dict[str, Any]:
    """Versions, machine, and every route tried out in a process of its own."""
    return {
        "witten": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "packages": {name: version_of(name) for name in PACKAGES},
        "routes": {name: _probe(code) for name, code in PROBES.items()},
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "ranks": parallel.launched()[1] or 1,
    }


def _probe(code: str) -> dict[str, Any]:
    """Run a probe: {'works': True, ...}, or {'works': False, 'why': one line}."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(MPI_VARIABLES)}
    script = f"{code}\nimport json\nprint(json.dumps(report))\n"
    try:
        ended = subprocess.run(
            [sys.executable, "-P", "-c", script],  # -P: nothing is imported from the folder it is asked in
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"works": False, "why": f"no answer within {PATIENCE} s"}
    except OSError as error:
        return {"works": False, "why": str(error)}
    if ended.returncode != 0:
        return {"works": False, "why": _last_line(ended.stderr) or f"ended with status {ended.returncode}"}
    try:
        return {"works": True, **json.loads(ended.stdout.strip().splitlines()[-1])}
    except (ValueError, IndexError):
        return {"works": False, "why": "gave no answer"}


def _last_line(text: str) -> str:
    """The line of a traceback that says what happened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""


def _show(found: dict[str, Any]) -> None:
    print_table(
        f"witten {found['witten']}, Python {found['python']}, {found['cores']} cores, {found['ranks']} rank(s)",
        ("route or library", "works", "details"),
        [(name, "yes" if probe["works"] else "no", _details(probe)) for name, probe in found["routes"].items()],
        left=("route or library", "works", "details"),
    )
    print_table(
        "Packages",
        ("package", "version"),
        [(name, number or "not installed") for name, number in found["packages"].items()],
        left=("package", "version"),
    )


def _details(probe: dict[str, Any]) -> str:
    """What a probe found, in words."""
    if not probe["works"]:
        return str(probe["why"])
    words = []
    for name, value in probe.items():
        if name == "works":
            continue
        text = {True: "yes", False: "no"}[value] if isinstance(value, bool) else _listed(value)
        words.append(f"{name.replace('_', ' ')} {text}")
    return ", ".join(words)


def _listed(value: Any) -> str:
    return ".".join(map(str, value)) if isinstance(value, list) else str(value)

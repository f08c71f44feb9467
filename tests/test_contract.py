"""What people rely on, as it stood when contract.json was written; modules may move and be renamed under it.

Public names with their signatures, the results that functions return, the commands and their options, JSON keys, what
is in netCDF files, exit statuses, and numbers to the bit. Everything is reached as users reach it: through `witten` and
through the entry point of setup.cfg. Additions are free; what is lost or changed fails, by name.

    python tests/test_contract.py --bits     the numbers that differ from contract.json in any bit
    python tests/test_contract.py --renew    the same, and contract.json is written anew

Bits depend on the processor and on threads: compare on one machine, with OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1.
"""

import argparse
import configparser
import contextlib
import dataclasses
import importlib
import importlib.util
import inspect
import json
import math
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import typer
import xarray
from launcher import in_process

import witten
from witten.cli import COMMANDS, load
from witten.cli import main as main_of_the_command_line

HERE = Path(__file__).parent
FILE = HERE / "contract.json"
FROZEN = json.loads(FILE.read_text()) if FILE.exists() else {}

# Relative tolerances that hold on every x86-64 processor, with every BLAS; bits are compared by --bits, on one machine.
# Elementwise arithmetic, and bisection.
EXACT = 1e-12
# Eigensolvers, quadrature, and random numbers: these are the same everywhere, what is done with them is rounded.
SOLVED = 1e-9
# Error bars, which are small differences of large numbers, and adaptive meshes, where a tie may be broken either way.
BAR = 0.05
MESHED = 1e-4
# Means over a chaotic run: a bit makes it another run with the same mean, roughly.
CHAOTIC = 0.3

# Parts of results that are tools, and no results.
MACHINERY = {"grid", "operator", "search"}

CURVE = {"records.*.rate": SOLVED, "records.*.rate_error": BAR}
LIAR = """
import numpy as np
from witten import Objective

f = Objective.from_callable(lambda x: x[0]**2 / 2, 1, gradient=lambda x: np.where(abs(x) > 1.6, 3 * x, x))
"""

# Command line -> the numbers of its JSON that are frozen, with tolerances. All run where liar.py and saved.nc are.
RUNS = {
    "gap double-well --lr 0.05,0.1,0.0001 -o result.nc": {
        "records.0.rate": SOLVED,
        "records.1.rate": SOLVED,
        "records.1.rate_error": BAR,
        "records.2.log10_rate": SOLVED,
    },
    'gap "x^2/2+log(1+x^2)" --lr 0.1 --noise 1.5': CURVE,
    'gap "sqrt(1+x^2)" --lr 0.5,5 --rtol 0.1': CURVE,
    "gap double-well:dim=2 --lr 0.2": CURVE,
    "gap quadratic:dim=3 --lr 0.5 --rtol 0.5": CURVE,
    "gap double-well --lr 0.2 --method fe --degree 2 -o result.nc": {"records.0.rate": MESHED},
    "gap double-well:dim=2 --lr 0.2 --rtol 1e-2 --method fe --degree 2": {"records.0.rate": 1e-3},
    "gap double-well --lr 0.1 -o /nowhere/curve.nc": {},
    "gap double-well --lr 0.1:0.5:2000 --walltime 00:00:01": {},
    "spectrum double-well --lr 0.1 -k 3 -o result.nc": {"rates.1": SOLVED, "rates.2": SOLVED, "rate_errors.2": BAR},
    "spectrum double-well:dim=2 --lr 0.2 -k 3 --rtol 1e-2": {"rates.1": SOLVED, "rates.2": SOLVED},
    "spectrum quadratic --lr 0.1 -k 2 --method fe -o result.nc": {"rates.1": MESHED},
    "explain double-well:tilt=0.1 --lr 0.1 -o result.nc": {
        "rate": SOLVED,
        "limiting.barrier": SOLVED,
        "limiting.curvature": SOLVED,
        "masses.*.law": SOLVED,
        "mean_times.*.time": SOLVED,
        "committor_half.law": SOLVED,
    },
    "landscape shi-su-jordan": {"barrier": SOLVED, "saddles.*.value": SOLVED, "minima.0.curvatures.*": SOLVED},
    "theory shi-su-jordan --lr 0.05,0.0001 -o result.nc": {
        "barrier": SOLVED,
        "prefactor": SOLVED,
        "records.0.rates.2": SOLVED,
        "records.1.log10_rates.0": SOLVED,
    },
    "simulate double-well --lr 0.3 --paths 128 --seed 7 -o result.nc": {
        "records.0.rate": SOLVED,
        "records.0.ci_low": SOLVED,
        "records.0.ci_high": SOLVED,
    },
    "simulate double-well --lr 0.1 --paths 128 --estimator hitting": {"records.0.rate": SOLVED},
    "simulate double-well --lr 0.3 --paths 128 --scheme sgd": {"records.0.rate": SOLVED},
    "chain double-well --lr 0.2 -o result.nc": {
        "records.0.chain_rate": SOLVED,
        "records.0.sde_rate": SOLVED,
        "records.0.eigenvalues.2.0": SOLVED,
    },
    "risk double-well:tilt=0.05 --schedule 0.1:50,0.05:50 --x0 -0.9 -o result.nc": {
        "excess_risk.-1": SOLVED,
        "plateau.0": SOLVED,
    },
    "risk double-well:tilt=0.05 --schedule 0.1:50 --x0 -0.9 --method spectral": {"excess_risk.-1": SOLVED},
    "risk double-well:tilt=0.05 --schedule 0.1:50 --x0 -0.9 --method simulate --paths 100": {"excess_risk.-1": SOLVED},
    "risk quadratic --schedule 3:500 --x0 1": {},
    "schedule quadratic --target 0.2 --stages 1 --x0 1 --paths 100 --compare": {
        "risk": SOLVED,
        "simulated.risk": SOLVED,
    },
    "anneal": {"ratio": EXACT, "test_small": EXACT},
    "stability double-well:tilt=0.05 --lr 0.1,0.6 --measure": {
        "minima.0.critical_lr": SOLVED,
        "minima.0.measured_lr": SOLVED,
    },
    "probe liar.py:f --lr 0.1 --x0 0.5": {"sharpness": SOLVED, "loss": EXACT},
    'descend "(1-x^2)^2/4" --lr 0.5,1.2,1.7 --x0 0.3 --steps 1000': {
        "records.1.orbit.0.0": SOLVED,
        "records.1.multipliers.0.0": SOLVED,
        "records.1.lyapunov.0": SOLVED,
        "records.2.lyapunov.0": CHAOTIC,
    },
    'bifurcate "(1-x^2)^2/4" --lr 0.8,1.2 --x0 0.3 --steps 300 --points 16 -o result.nc': {
        "records.1.lyapunov": SOLVED
    },
    "study annealing --quick": {"studies.0.checks.1.observed": SOLVED},
    "validate double-well --lr 0.12": {"records.0.monte_carlo": SOLVED, "records.0.theory": SOLVED},
    "validate liar.py:f --lr 3": {},
    "plot saved.nc": {},
    "objectives": {},
    "doctor": {},
}


# ------------------------------------------------------------------------------------------------- calls from Python
def objective():
    """f and its derivatives at a point."""
    f = witten.Objective.from_formula("(x^2-1)^2/4 + x*y/10 + y^2/2 + exp(-x^2)*cos(y)")
    point = np.array([[0.3], [-0.7]])
    return {name: getattr(f, name)(point).ravel() for name in ("gradient", "hessian", "laplacian")} | {"f": f(point)}


def gallery():
    return {"mueller-brown": witten.gallery.mueller_brown()(np.array([[0.3], [0.7]]))}


def gap():
    """The curve of which the README speaks, and the barrier in it."""
    curve = witten.gap(witten.gallery.double_well(barrier=0.25), [0.04, 0.05, 0.06, 0.08])
    return {"curve": curve, "fit": curve.fit_barrier()}


def finite_differences():
    f = witten.gallery.double_well(dim=2)
    discrete = witten.FiniteDifferences(f, witten.Grid.uniform([(-2, 2)] * 2, 40))
    return {
        "eigensolve": witten.eigensolve(discrete.assemble(0.2), 4),
        "sweep": witten.sweep(discrete, [0.2, 0.3]).rates,
    }


def finite_elements():
    parts = witten.FiniteElements  # first: it knows in which order DOLFINx and PETSc are loaded
    from dolfinx import mesh
    from mpi4py import MPI

    discrete = parts(witten.gallery.double_well(), mesh.create_interval(MPI.COMM_SELF, 60, [-2.5, 2.5]), degree=2)
    return witten.eigensolve(discrete.assemble(0.2), 3)


def landscape():
    found = witten.describe_landscape("double-well:tilt=0.05")
    return {
        "landscape": found,
        "law": witten.eyring_kramers(found, [0.05, 0.1]),
        "bounds": witten.rate_bounds("double-well", 0.2),
    }


def schedules():
    schedule = witten.Schedule.parse("cosine:0.1:20,poly:0.1:10:2,log:0.5:10")
    return {"learning_rates": schedule.learning_rates, "times": schedule.times, "stages": schedule.stages}


def descent():
    f = witten.Objective.from_formula("(1-x^2)^2/4")
    return {
        "fate": witten.fate(f, 1.2, [0.3]),
        "diagram": witten.bifurcation_diagram(f, [0.8, 1.2], [[0.3]], burn=300, keep=16),
    }


def risk():
    return {
        "risk": witten.excess_risk("quadratic", "0.1:20", [1.0]),
        "plan": witten.plan_schedule("quadratic", 0.2, [1.0], stages=1),
    }


def chain():
    return witten.transfer_spectrum("shi-su-jordan-1d", 0.1, 4)


def validation():
    return {"validate": witten.validate("double-well", 0.2), "anneal": witten.anneal(5, 1e-4)}


CALLS = {
    objective: {"f.0": EXACT, "gradient.*": EXACT, "hessian.1": EXACT, "laplacian.0": EXACT},
    gallery: {"mueller-brown.0": EXACT},
    gap: {"curve.rates.*": SOLVED, "curve.rate_errors.0": BAR, "fit.barrier": SOLVED, "fit.prefactor": SOLVED},
    finite_differences: {"eigensolve.rates.1": SOLVED, "eigensolve.rates.3": SOLVED, "sweep.*": SOLVED},
    finite_elements: {"rates.1": SOLVED, "rates.2": SOLVED},
    landscape: {"landscape.barrier": SOLVED, "law.log_rates.*": SOLVED, "bounds.*.lower": SOLVED},
    schedules: {"learning_rates.7": EXACT, "learning_rates.25": EXACT, "times.-1": EXACT},
    descent: {"fate.lyapunov.0": SOLVED, "diagram.exponents.0.0": SOLVED},
    risk: {"risk.final": SOLVED, "plan.risk": SOLVED},
    chain: {"rate": SOLVED, "errors.1": BAR},
    validation: {"validate.records.0.monte_carlo.log_rate": SOLVED, "anneal.ratio": EXACT},
}


# ----------------------------------------------------------------------------- what there is, as text under each name
def public(module=witten):
    """name() -> its parameters; a class -> its parameters under (), its builtin bases, and its members."""
    found = {}
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.ismodule(value):
            found[name] = public(value)
        elif inspect.isclass(value):
            found[name] = {"()": signature(value)} | bases(value) | members(value)
        else:
            found |= {f"{name}()": signature(value)} if callable(value) else {name: "attribute"}
    return found


def bases(kind):
    return {f"is {base.__name__}": "base" for base in kind.__mro__[1:-1] if base.__module__ == "builtins"}


def members(kind):
    """Fields and properties, which may take each other's place, and methods() with their parameters."""
    fields = [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []
    names = {*fields, *dir(kind)} - set(dir(Exception))
    return dict(member(kind, name) for name in names if not name.startswith("_"))


def member(kind, name):
    given = inspect.getattr_static(kind, name, None)
    if isinstance(given, classmethod | staticmethod) or inspect.isfunction(given):
        return f"{name}()", signature(getattr(kind, name), leave_out=int(inspect.isfunction(given)))
    return name, "attribute"


def signature(function, leave_out=0):
    """Each parameter with its place and its default; `self` is left out."""
    try:
        parameters = list(inspect.signature(function).parameters.values())[leave_out:]
    except ValueError:  # exceptions
        parameters = []
    return {each.name: parameter(place, each) for place, each in enumerate(parameters, 1)}


def parameter(place, given):
    if given.kind in (given.VAR_POSITIONAL, given.VAR_KEYWORD):
        return given.kind.description
    where = "by keyword" if given.kind is given.KEYWORD_ONLY else f"number {place}"
    if given.default is given.empty:
        return f"{where}, required"
    return f"{where}, {getattr(given.default, '__name__', None) or repr(given.default)}"


def results(value, above=()):
    """What a result has, and what its parts have; where its class is public itself, the parts alone."""
    kind = type(value)
    if isinstance(value, dict):
        return {name: results(each, above) for name, each in value.items()}
    if isinstance(value, tuple) and value:
        return {"[]": results(value[0], above)}
    is_public = kind.__name__ in witten.__all__
    if not kind.__module__.startswith("witten") or kind in above or (is_public and above):
        return "attribute"
    found = members(kind)
    for name in found.keys() - MACHINERY:
        if found[name] == "attribute":
            found[name] = results(getattr(value, name), (*above, kind))
    return {name: each for name, each in found.items() if is_nested(each)} if is_public else found


def is_nested(found):
    return isinstance(found, dict) and any(isinstance(each, dict) for each in found.values())


def entry_point():
    """The function behind the command `witten`, and the application that it runs."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(HERE.parent / "setup.cfg")
    (line,) = parser["options.entry_points"]["console_scripts"].split("\n")[1:]
    module, function = line.removeprefix("witten = ").split(":")
    return getattr(importlib.import_module(module), function), importlib.import_module(module).app


def commands():
    function, app = entry_point()
    assert function is main_of_the_command_line
    group = typer.main.get_command(app)
    return {"witten": options(group)} | {name: options(load(name)) for name in COMMANDS}


def options(command):
    found, place = {}, 0
    for given in command.params:
        needed = ", required" if given.required else "" if given.default is None else f", {given.default!r}"
        if given.param_type_name == "argument":
            place += 1
            found[f"argument {place}"] = f"{given.metavar or given.name}{needed}"
        else:
            kind = "flag" if given.is_flag else "values" if given.multiple else "value"
            found |= dict.fromkeys([*given.opts, *given.secondary_opts], kind + needed)
    return found


def shape(value):
    """The keys of JSON, and what is under them; items of a list go by their names, or are united into one."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        if value and all(isinstance(each, dict) and "name" in each for each in value):
            return {f"[{each['name']}]": shape(each) for each in value}
        return {"[]": united([shape(each) for each in value])} if value else "list"
    return "null" if value is None else {bool: "truth", str: "text"}.get(type(value), "number")


def united(shapes):
    found = shapes[0]
    for other in shapes[1:]:
        if isinstance(found, dict) and isinstance(other, dict):
            found = other | found | {key: united([found[key], other[key]]) for key in found if key in other}
        elif found == "null":
            found = other
    return found


def variables(path):
    with xarray.open_dataset(path) as data:
        return {
            "variables": {str(name): variable(each) for name, each in data.variables.items()},
            "attributes": {name: str(each) if name == "witten_kind" else "" for name, each in data.attrs.items()},
        }


def variable(given):
    kind = "text" if given.dtype.kind in "OUT" else given.dtype.name
    return f"{kind} ({', '.join(given.dims)}), units {given.attrs.get('units') or 'none'}"


# --------------------------------------------------------------------------------------------- running, and comparing
def probes_answer():
    """The probes of doctor, without the processes that they are."""
    return mock.patch("subprocess.run", return_value=subprocess.CompletedProcess((), 0, "{}", ""))


def run(line, folder):
    """Everything that one command line shows, and its JSON."""
    if "liar.py" in line:
        (folder / "liar.py").write_text(LIAR)
    if "saved.nc" in line:
        witten.eyring_kramers("double-well", 0.1).save(folder / "saved.nc")
    with probes_answer() if line == "doctor" else contextlib.nullcontext():
        done = in_process(*shlex.split(line), "--json", cwd=folder)
    told = json.loads(done.stdout or "null")
    found = {"status": str(done.returncode), "json": shape(told)}
    if (folder / "result.nc").exists():
        found["netcdf"] = variables(folder / "result.nc")
    return found, told


def numbers(value, paths):
    return {name: number for path in paths for name, number in dug(value, path.split("."))}


def dug(value, path, name=""):
    """The numbers under a path such as records.*.rate in JSON, in arrays, and in attributes."""
    if not path:
        yield name.removeprefix("."), float(value)
        return
    first, *rest = path
    for key in map(str, range(len(value))) if first == "*" else [first]:
        part = value[key] if isinstance(value, dict) else value[int(key)] if is_index(key) else getattr(value, key)
        yield from dug(part, rest, f"{name}.{key}")


def is_index(key):
    return key.lstrip("-").isdigit()


def written(number):
    return f"{number.hex()} = {number:.10g}"


def read(text):
    return float.fromhex(text.split()[0])


def flat(tree, path=()):
    if not isinstance(tree, dict) or (path and not tree):
        return {path: tree or ""}
    return {name: text for key, each in tree.items() for name, text in flat(each, (*path, key)).items()}


def broken(frozen, current):
    """What was lost, what changed, and what must be given now that was not there."""
    old, new = flat(frozen), flat(current)
    parents = {path[:-1] for path in old} | old.keys()
    lines = [f"{' / '.join(path)} is lost" for path in old.keys() - new.keys() if not opened(path, old, new)]
    lines += [
        f"{' / '.join(p)} was {old[p]!r}, is {new[p]!r}" for p in old.keys() & new.keys() if not same(old[p], new[p])
    ]
    lines += [
        f"{' / '.join(path)} is required, and was not there"
        for path in new.keys() - old.keys()
        if new[path].endswith("required") and path[:-1] in parents
    ]
    return sorted(lines)


def same(old, new):
    """null is what is not known here, which may be another thing there."""
    return old == new or "null" in (old, new)


def opened(path, old, new):
    """Whether there was nothing in particular (null, an empty list) where there is more now."""
    return old[path] in ("", "null", "list", "attribute") and any(other[: len(path)] == path for other in new)


def off(frozen, current, tolerances):
    """The numbers that are not what they were."""
    lines = []
    for path, tolerance in tolerances.items():
        names = [name for name in frozen if matches(name, path)]
        for name in names:
            old, new = read(frozen[name]), current.get(name, math.nan)
            if not math.isclose(old, new, rel_tol=tolerance, abs_tol=0.0):
                lines.append(f"{name} was {old!r}, is {new!r}, more than {tolerance:g} away")
    return lines


def matches(name, path):
    parts = name.split("."), path.split(".")
    return len(parts[0]) == len(parts[1]) and all(b in ("*", a) for a, b in zip(*parts, strict=True))


def needs_dolfinx(name):
    return "--method fe" in name or name == "finite_elements"


HERE_IS_DOLFINX = importlib.util.find_spec("dolfinx") is not None


def marked(names):
    skip = pytest.mark.skipif(not HERE_IS_DOLFINX, reason="needs DOLFINx")
    return [pytest.param(name, marks=[pytest.mark.fem, skip] if needs_dolfinx(name) else []) for name in names]


# ------------------------------------------------------------------------------------------------------------- tests
def stands(lines):
    """Every line in full: pytest shortens lists."""
    assert not lines, "\n".join(["contract.json has something else; --renew where that is meant:", *lines])


def test_public_names_and_signatures():
    stands(broken(FROZEN["python"], public()))


def test_commands_and_options():
    stands(broken(FROZEN["commands"], commands()))


@pytest.mark.parametrize("line", marked(RUNS))
def test_command(line, tmp_path):
    found, told = run(line, tmp_path)
    stands(broken(FROZEN["runs"][line], found))
    stands(off(FROZEN["numbers"].get(line, {}), numbers(told, RUNS[line]), RUNS[line]))


@pytest.mark.parametrize("name", marked([call.__name__ for call in CALLS]))
def test_call(name):
    (call,) = (each for each in CALLS if each.__name__ == name)
    value = call()
    stands(broken(FROZEN["results"][name], results(value)))
    stands(off(FROZEN["numbers"][name], numbers(value, CALLS[call]), CALLS[call]))


def test_every_number_is_looked_at():
    tolerances = RUNS | {call.__name__: paths for call, paths in CALLS.items()}
    assert {name for name, paths in tolerances.items() if paths} == FROZEN["numbers"].keys()
    for name, each in FROZEN["numbers"].items():
        assert [number for number in each if not any(matches(number, path) for path in tolerances[name])] == []
        assert [path for path in tolerances[name] if not any(matches(number, path) for number in each)] == []


FROZEN_F = {"x": "number 1, required", "y": "by keyword, 1.0"}


@pytest.mark.parametrize(
    ("current", "said"),
    [
        ({"f()": {"y": "by keyword, 1.0"}, "g()": {}}, ["f() / x is lost"]),
        ({"f()": {"x": "number 1, 2.0", "y": "by keyword, 1.0"}, "g()": {}}, ["f() / x was 'number 1, required'"]),
        ({"f()": {"x": "number 1, required", "y": "by keyword, 1.0"}}, ["g() is lost"]),
        ({"f()": FROZEN_F | {"z": "number 2, required"}, "g()": {}}, ["f() / z is required, and was not there"]),
        ({"f()": FROZEN_F, "g()": {"x": "number 1, required"}}, ["g() / x is required, and was not there"]),
        ({"f()": FROZEN_F | {"z": "number 2, 0"}, "g()": {"x": "number 1, None"}, "h()": {}}, []),
    ],
)
def test_what_is_taken_away_is_named_and_additions_are_free(current, said):
    lines = broken({"f()": FROZEN_F, "g()": {}}, current)
    assert len(lines) == len(said) and all(line.startswith(each) for line, each in zip(lines, said, strict=True))


def test_a_number_that_moved_is_named():
    frozen = {"records.0.rate": written(0.1), "records.1.rate": written(0.2)}
    moved = {"records.0.rate": 0.1, "records.1.rate": 0.2 * (1 + 1e-8)}
    assert len(off(frozen, moved, {"records.*.rate": 1e-9})) == 1 and off(frozen, moved, {"records.*.rate": 1e-7}) == []
    assert len(off(frozen, {"records.0.rate": 0.1}, {"records.*.rate": 1e-7})) == 1


# ------------------------------------------------------------------------------------------------ --bits and --renew
def contract():
    """Everything as it is now; what needs DOLFINx as it was, where that is not here."""
    found = {"python": public(), "commands": commands(), "runs": {}, "results": {}, "numbers": {}}
    jobs = [("runs", line, paths) for line, paths in RUNS.items()]
    for section, job, paths in [*jobs, *(("results", call, paths) for call, paths in CALLS.items())]:
        name = job if section == "runs" else job.__name__
        if needs_dolfinx(name) and not HERE_IS_DOLFINX:
            found[section][name], found["numbers"][name] = FROZEN[section][name], FROZEN["numbers"][name]
            continue
        with tempfile.TemporaryDirectory() as folder:
            found[section][name], value = run(job, Path(folder)) if section == "runs" else twice(job())
        if paths:
            found["numbers"][name] = {each: written(number) for each, number in numbers(value, paths).items()}
    return found


def twice(value):
    return results(value), value


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bits", action="store_true", help="the numbers that differ from contract.json in any bit")
    parser.add_argument("--renew", action="store_true", help="the same, and write contract.json anew")
    renew = parser.parse_args().renew
    found = contract()
    old, new = flat(FROZEN.get("numbers", {})), flat(found["numbers"])
    changed = {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}
    for path in sorted(changed):
        a, b = (read(each.get(path, "nan")) for each in (old, new))
        print(f"{' / '.join(path)}: {a!r} -> {b!r} ({b / a - 1:.1e})")
    print(f"{len(new)} numbers, {len(changed)} differ in their bits")
    if renew:
        FILE.write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return bool(changed) and not renew


if __name__ == "__main__":
    sys.exit(main())

"""The project agrees with itself: metadata, conda and pip lists, README and Makefile, and the direction of imports."""

import ast
import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from launcher import PATIENCE

import witten

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "witten"


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg")
    return parser


# ------------------------------------------------------------------------------------------------ metadata and lists

# pip name -> conda-forge names, where they differ (or where one wheel stands for several packages)
CONDA_NAMES = {
    "dolfinx-solver-real": ("fenics-dolfinx", "petsc", "slepc4py"),  # the wheel holds all three, real scalars
    "PyYAML": ("pyyaml",),
    "types-PyYAML": ("types-pyyaml",),
}
CONDA_ONLY = {"python", "pip"}
EXTRAS_IN_CONDA = ("fem", "certify", "test", "docs", "dev")  # mesh is left out: gmsh is wanted by one script only


def split_requirement(text: str) -> tuple[str, str]:
    """'numpy>=2.0; marker' -> ('numpy', '>=2.0')."""
    match = re.match(r"([A-Za-z0-9_.-]+)\s*(.*)", text.split(";")[0].strip())
    assert match, text
    return match[1], match[2]


def pip_requirements() -> dict[str, str]:
    cfg = setup_cfg()
    texts = [cfg["options"]["install_requires"], *(cfg["options.extras_require"][extra] for extra in EXTRAS_IN_CONDA)]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    return dict(split_requirement(line) for line in lines if line and not line.startswith("#"))


def conda_requirements() -> dict[str, str]:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    return dict(split_requirement(line) for line in environment["dependencies"])


def test_environment_yml_and_setup_cfg_ask_for_the_same_packages():
    conda = conda_requirements()
    expected = {name for pip in pip_requirements() for name in CONDA_NAMES.get(pip, (pip,))}
    assert set(conda) - CONDA_ONLY == expected


def test_environment_yml_and_setup_cfg_ask_for_the_same_versions():
    conda = conda_requirements()
    for pip, version in pip_requirements().items():
        assert conda[CONDA_NAMES.get(pip, (pip,))[0]] == version, pip
    assert conda["python"] == setup_cfg()["options"]["python_requires"]
    assert conda["petsc"] == "=*=real*"


def test_one_version_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert setup_cfg()["metadata"]["version"] == "attr: witten.version.__version__"
    assert citation["version"] == witten.__version__
    assert f"\n## {witten.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_licence_is_bsd_3():
    assert setup_cfg()["metadata"]["license_expression"] == "BSD-3-Clause"
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["license"] == "BSD-3-Clause"
    assert (ROOT / "LICENSE").read_text().startswith("BSD 3-Clause License")


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))


def test_commands_of_the_readme_are_in_the_makefile():
    named = set(re.findall(r"^make ([a-z]+)", (ROOT / "README.md").read_text(), re.M))
    assert {"demo", "test"} <= named <= make_targets()


def test_ci_runs_the_readme_command():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == "make test"


def test_files_the_readme_links_to_exist():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / "README.md").read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []


PAGES = (*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md")
DOCUMENTS = {path.relative_to(ROOT / "docs", walk_up=True).as_posix(): path.read_text() for path in PAGES}


def is_file(name: str) -> bool:
    """Whether `name` is a file or folder of the project: in full, of docs/, or a module of the package."""
    places = (ROOT / name, ROOT / "docs" / name, PACKAGE / name, PACKAGE / f"{name}.py")
    return any(place.exists() for place in places)


def is_name(name: str) -> bool:
    """Whether `name` is a module, `witten.a.b`, or stands in one, `witten.a.b.c`."""
    module, _, last = name.rpartition(".")
    return name in MODULES or (module in MODULES and bool(re.search(rf"\b{last}\b", MODULES[module].read_text())))


def test_files_and_names_in_the_documentation_exist():
    files = r"`([a-z_]+(?:/[a-z_]+)+(?:\.[a-z]+)?|[a-z_-]+\.(?:md|bib|py|cfg|toml|yml|json))`"
    for document, text in DOCUMENTS.items():
        assert [name for name in re.findall(files, text) if not is_file(name)] == [], document
        assert [name for name in re.findall(r"`(witten(?:\.\w+)+)`", text) if not is_name(name)] == [], document


def test_docstrings_name_what_exists():
    """What stands in backticks is a module, a name or a word of the code: renaming leaves nothing behind."""
    known = {part for module in MODULES for part in module.split(".")}
    known |= set(re.findall(r"\w+", (ROOT / "tests" / "contract.json").read_text()))  # variables of files
    named = {}
    for module, path in MODULES.items():
        docstring = re.compile(r'""".*?"""', re.S)
        text = path.read_text()
        named[module] = re.findall(r"`([A-Za-z_][\w.]*[A-Za-z0-9])`", " ".join(docstring.findall(text)))
        known |= set(re.findall(r"\w+", re.sub(r"#.*", "", docstring.sub("", text))))
    missing = {module: [name for name in names if not set(name.split(".")) <= known] for module, names in named.items()}
    assert {module: names for module, names in missing.items() if names} == {}


def test_every_station_of_a_rate_is_a_file():
    (page,) = re.findall(r"^## A rate, from formula to number\n(.*?)^## ", DOCUMENTS["design.md"], re.M | re.S)
    stations = re.findall(r"`([a-z_/]+)`", page)
    assert len(stations) > 20 and [name for name in stations if not (PACKAGE / f"{name}.py").exists()] == []


# ------------------------------------------------------------------------------------------------ finding a Python


def find_python(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "tools" / "find-python"], env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def test_find_python_passes_over_a_shim_that_fails(tmp_path):
    for name in ("python3.13", "python3.12", "python3"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    done = find_python(PATH=f"{tmp_path}:{tmp_path}/bin:/usr/bin:/bin", HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    version = subprocess.run([done.stdout.strip(), "--version"], capture_output=True, text=True, check=True).stdout
    assert tuple(map(int, version.split()[1].split(".")[:2])) >= (3, 12)


def test_find_python_refuses_a_wrong_choice_in_one_line():
    done = find_python(PATH="/usr/bin:/bin", PYTHON="/no/such/python")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("PYTHON=/no/such/python") and done.stderr.count("\n") == 1


# ------------------------------------------------------------------------------------------------ direction of imports

# layer (a module or folder of witten) -> the layers it may import besides itself
BASE = {"errors", "display", "version"}
FILES = {"io", "io.atomic_files", "io.netcdf", "io.spectrum_dataset"}
TOOLS = {
    "barrier_fit", "langevin", "linalg", "memory", "number_format", "parallel", "request", "schedules", "stopwatch"
}  # fmt: skip
SHARED = BASE | FILES | TOOLS | {"rates", "sweeps"}
SPECTRAL = {"operators", "spectra", "sgd", "kinetic"}
ROUTES = SPECTRAL | {"noise", "objectives", "domains", "landscape", "dynamics", "descent"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "display": set(),
    "version": set(),
    "cache_folder": set(),
    "parallel": BASE,  # the one package that knows mpi4py
    "linalg": BASE,  # arrays alone
    "memory": BASE,
    "io": set(),
    "io.atomic_files": BASE | {"io"},
    "io.netcdf": BASE | {"io", "io.atomic_files"},
    "io.spectrum_dataset": BASE | {"io", "io.netcdf"},
    "barrier_fit": BASE,
    "number_format": set(),
    "stopwatch": set(),
    "rates": BASE | {"io", "io.netcdf", "barrier_fit", "number_format"},
    "request": BASE,
    "langevin": BASE | {"request"},  # which equation momentum is: what every route asks
    "schedules": BASE | {"number_format"},
    "sweeps": BASE | {"io", "io.netcdf", "parallel", "rates"},  # below the routes, each of which is swept
    "objectives": BASE | {"linalg"},
    "noise": BASE | {"linalg", "objectives", "request"},  # the covariance of the gradient, beside f
    # the three routes: they share objectives and domains, and never each other
    "domains": SHARED | {"objectives"},
    "operators": SHARED | {"objectives", "domains"},
    "spectra": SHARED | {"noise", "objectives", "domains", "operators"},
    "sgd": SHARED | {"noise", "objectives", "domains", "operators", "spectra"},  # the chain itself, beside its SDE
    "kinetic": SHARED | {"objectives", "domains", "operators", "spectra"},  # momentum: x and its velocity
    "certified": BASE | {"objectives", "request"},  # shares no code with the routes whose rates it certifies
    "landscape": SHARED | {"noise", "objectives", "domains"},
    "dynamics": SHARED | {"noise", "objectives", "domains"},
    "descent": SHARED | {"objectives", "domains"},  # gradient descent without noise
    "models": BASE | FILES | {"noise", "objectives", "request", "landscape"},  # losses of many parameters
    # on top
    "risk": SHARED | ROUTES,
    "annealing": BASE | {"schedules"},
    "stability": SHARED | ROUTES,
    "gap_plane": SHARED | ROUTES,
    "explanation": SHARED | ROUTES,  # a question that uses several routes
    "forms": SHARED | ROUTES,  # critical points beside the rates that they make small
    "plots": SHARED | ROUTES | {"risk", "stability", "gap_plane", "annealing", "validation", "explanation", "models"},
    "validation": SHARED | ROUTES | {"risk", "stability"},
    "studies": SHARED | ROUTES | {"risk", "stability", "gap_plane", "annealing", "validation", "plots"},
    "report": SHARED | ROUTES | {"risk", "stability", "validation", "explanation", "studies", "plots"},
    "cli": SHARED
    | ROUTES
    | {"risk", "stability", "gap_plane", "annealing", "validation", "explanation", "studies", "plots", "report", ""}
    | {"certified", "forms", "models"},
    "__main__": {"cli"},
}

# The modules that need DOLFINx, PETSc or SLEPc. No other module imports one of them, or these, when it is imported.
NEEDS_DOLFINX = {
    "witten.parallel.load_dolfinx",
    "witten.domains.meshes.mesh",
    "witten.operators.elements.compiled_form",
    "witten.operators.distributed_laplacian",
    "witten.operators.elements.finite_elements",
    "witten.operators.elements.quadrature_estimator",
    "witten.operators.elements.residual_estimator",
    "witten.operators.differences.distributed_finite_differences",
    "witten.operators.elements.boundary_sensitivity",
    "witten.spectra.meshes.adaptive_meshes",
    "witten.forms.on_meshes.element_complex",
    "witten.forms.on_meshes.element_forms",
    "witten.forms.on_meshes.form_modes",
    "witten.forms.on_meshes.mesh_rates",
    "witten.spectra.solvers.distributed.eigensolve",
    "witten.spectra.solvers.distributed.rayleigh_ritz",
    "witten.spectra.committors.elements",
    "witten.spectra.committors.grounded_inverse",
    "witten.spectra.meshes.element_pairs",
    "witten.spectra.solvers.distributed.krylov_schur",
    "witten.spectra.solvers.distributed.petsc_options",
    "witten.spectra.solvers.distributed.lobpcg",
    "witten.kinetic.krylov_schur",
}
DOLFINX = {"dolfinx", "dolfinx_solver", "petsc4py", "slepc4py", "ufl", "basix", "ffcx"}
MPI_MODULE = "witten.parallel.communicators"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(path: Path, *, at_import_time: bool = False) -> set[str]:
    """The modules a file imports, by full name, inside functions too; `from a import b` counts as a.b, and as a where
    that is no module."""
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    found: set[str] = set()

    def absolute(level: int, module: str | None) -> str:
        if not level:
            return module or ""
        base = package.rsplit(".", level - 1)[0] if level > 1 else package
        return f"{base}.{module}" if module else base

    def visit(node: ast.AST) -> None:
        if at_import_time:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                return
            if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
                return
        match node:
            case ast.Import(names=names):
                found.update(alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = absolute(level, module)
                for name in (f"{base}.{alias.name}" for alias in names):
                    found.update({name} if name in MODULES or base == "witten" else {name, base})
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[ast.Constant(value=str(text)), *_]):
                if name in ("import_module", "__import__"):
                    stripped = text.lstrip(".")
                    found.add(absolute(len(text) - len(stripped), stripped))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(), str(path)))
    return found


# A result draws itself: `display` loads `witten.plots` when a picture is asked for, and then only.
UPWARD = {"witten.display": {"plots"}}


def layer(module: str) -> str:
    """'witten.spectra.solvers.lanczos' -> 'spectra', 'witten.io.netcdf' -> 'io.netcdf'; the package itself is ''."""
    parts = module.split(".")[1:]
    return next((name for name in (".".join(parts[:2]), *parts[:1]) if name in MAY_IMPORT), "".join(parts[:1]))


def layers_imported(path: Path) -> set[str]:
    """The layers a file imports. `from witten import gallery` is an import of the layer that defines gallery."""
    layers = set()
    for name in imported(path):
        if name != "witten" and not name.startswith("witten."):
            continue
        public = name.removeprefix("witten.")
        layers.add(layer(witten._HOME.get(public, name)))
    return layers  # "" is a plain `import witten`, which reaches everything


def test_every_module_has_a_layer():
    unknown = {layer(name) for name in MODULES} - set(MAY_IMPORT) - {""}
    assert not unknown, f"give {unknown} a place in MAY_IMPORT"


def test_imports_go_downwards():
    below = set(MODULES) - {"witten"}
    may = {name: MAY_IMPORT[layer(name)] | {layer(name)} | UPWARD.get(name, set()) for name in below}
    upward = {name: sorted(layers_imported(MODULES[name]) - allowed) for name, allowed in may.items()}
    wrong = {name: layers for name, layers in upward.items() if layers}
    assert not wrong, "these modules import layers that MAY_IMPORT does not allow them"


def test_the_table_of_layers_has_no_cycle():
    from graphlib import TopologicalSorter

    TopologicalSorter(MAY_IMPORT).prepare()


def modules_imported(module: str) -> set[str]:
    """The modules of the package that a module imports, in functions and for type checkers, too."""
    names = {name if name in MODULES else name.rpartition(".")[0] for name in imported(MODULES[module])}
    return {name for name in names & set(MODULES) if layer(name) not in UPWARD.get(module, ())}


def test_no_module_imports_itself_by_others():
    from graphlib import TopologicalSorter

    TopologicalSorter({name: modules_imported(name) for name in MODULES}).prepare()


def test_the_routes_do_not_know_each_other():
    assert not MAY_IMPORT["landscape"] & (SPECTRAL | {"dynamics"})
    assert not MAY_IMPORT["dynamics"] & (SPECTRAL | {"landscape"})
    assert not set.union(*(MAY_IMPORT[name] for name in SPECTRAL | {"domains"})) & {"landscape", "dynamics"}


def test_unmarked_modules_import_without_dolfinx():
    wrong = {}
    for module in set(MODULES) - NEEDS_DOLFINX:
        names = imported(MODULES[module], at_import_time=True)
        wrong[module] = {name for name in names if name.split(".")[0] in DOLFINX} | names & NEEDS_DOLFINX
    assert not {module: sorted(names) for module, names in wrong.items() if names}


def test_mpi4py_appears_in_one_module():
    users = {module for module, path in MODULES.items() if {"mpi4py", "mpi4py.MPI"} & imported(path)}
    assert users <= {MPI_MODULE}


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_unmarked_module_imports_where_dolfinx_and_mpi_are_absent():
    run_python(f"""
import importlib, sys
for name in {sorted(DOLFINX | {"mpi4py"})}:
    sys.modules[name] = None  # as if it were not installed
for name in {sorted(set(MODULES) - NEEDS_DOLFINX - {"witten.__main__"})}:
    importlib.import_module(name)
""")


def test_import_witten_is_light():
    heavy = {"mpi4py", "matplotlib", "xarray", "h5netcdf", "pandas", "sympy", "mpmath", "numba", "scipy", "numpy"}
    heavy |= DOLFINX | {"pyamg", "typer", "rich"}
    loaded = run_python("import sys, witten; print(*sys.modules)").split()
    assert not heavy & set(loaded)


# ------------------------------------------------------------------------------------------------ public names


def test_public_names_exist():
    assert not [name for name in witten.__all__ if getattr(witten, name, None) is None]
    assert set(witten.__all__) <= set(dir(witten))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'gpa'"):
        witten.gpa  # noqa: B018


def test_type_checkers_see_the_same_public_names():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    from_root = {"witten": "witten.noise"}  # a package itself
    seen = {alias.name: from_root.get(node.module, node.module)  # type: ignore[attr-defined]
            for node in block.body for alias in node.names}  # type: ignore[attr-defined]  # fmt: skip
    assert seen == witten._HOME
    assert set(witten.__all__) == set(seen) | {"__version__"}


# ------------------------------------------------------------------------------------------------ what is loaded

# All of these are used by some command, and none by all.
LARGE = {"numpy", "scipy", "sympy", "mpmath", "numba", "matplotlib", "xarray", "h5netcdf", "pyamg", "jinja2"} | DOLFINX
# What a table of rates on a line has no use for: pictures, files, other routes and laws.
NOT_FOR_A_TABLE = {"matplotlib", "xarray", "h5netcdf", "h5py", "pyamg", "scipy.stats"} | DOLFINX
NOT_FOR_A_TABLE |= {f"witten.{name}" for name in ("plots", "landscape", "dynamics", "descent", "sgd", "risk", "report")}


def loaded_by(*words: str) -> set[str]:
    """The modules that the command `witten WORDS` has loaded when it ends well."""
    run = f"""
import atexit, sys
atexit.register(lambda: print(*sys.modules, sep=chr(10)))
from witten.cli import main
main({list(words)})
"""
    return set(run_python(run).splitlines())


def commands_of(modules: set[str]) -> set[str]:
    prefix = "witten.cli.commands."
    return {name.removeprefix(prefix) for name in modules if name.startswith(prefix)}


def test_help_loads_no_command_and_nothing_large():
    modules = loaded_by("--help")
    assert not commands_of(modules) and not LARGE & modules


def test_a_table_of_rates_loads_what_it_needs():
    modules = loaded_by("gap", "double-well", "--lr", "0.1")
    assert commands_of(modules) == {"gap"} and not NOT_FOR_A_TABLE & modules
    assert "numba" in modules  # or this test would not see what is loaded


def test_a_law_on_a_line_loads_no_operator():
    modules = loaded_by("theory", "double-well", "--lr", "0.1")
    assert commands_of(modules) == {"theory"}
    assert not {"matplotlib", "xarray", "pyamg", "scipy.stats", "witten.plots", "witten.spectra"} & modules


def test_help_has_the_first_line_of_every_command():
    from witten.cli import COMMANDS, GROUPS

    folder = PACKAGE / "cli" / "commands"
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(COMMANDS)
    assert set(COMMANDS) == {path.stem for path in folder.glob("*.py")} - {"__init__"}
    for name, line in COMMANDS.items():
        functions = {f.name: f for f in ast.parse((folder / f"{name}.py").read_text()).body if hasattr(f, "args")}
        assert (ast.get_docstring(functions[name]) or "").split("\n\n")[0] == line

"""The command line as its users meet it: exit status, one line on standard error, JSON; as processes, signals."""

import importlib.util
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from unittest import mock

import mpmath
import pytest
import xarray
from launcher import PATIENCE, cli, in_process

import witten
from witten.cli import COMMANDS, load, sweeps
from witten.cli.commands.gap import _json_record as json_record
from witten.cli.options import learning_rate_spec, option_values
from witten.errors import ConvergenceError, RequestError
from witten.number_format import with_log_error
from witten.rates import RateCurve, RateRecord
from witten.sweeps import Sweep

WITTEN = [sys.executable, "-m", "witten"]
GAP_KEYS = {
    "learning_rate",
    "rate",
    "rate_error",
    "log10_rate",
    "witten_eigenvalue",
    "resolved",
    "solver",
    "n_dofs",
    "seconds",
}
MANY = "0.03:0.5:9"


def strict_json(text):
    def refuse(constant):
        raise AssertionError(f"{constant} in JSON")

    assert text.endswith("}\n") and text.count("\n") == 1
    return json.loads(text, parse_constant=refuse)


def refused(*arguments, run=in_process):
    """The one line on standard error of a request that is wrong."""
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert done.stderr.startswith("witten: ") and done.stderr.count("\n") == 1 and done.stderr.endswith("\n")
    return done.stderr


# -------------------------------------------------------------------------------------------------- what works
def test_noise_with_a_covariance(tmp_path):
    (tmp_path / "mine.py").write_text("import witten\nmine = witten.noise.loss(1, 0.2)\nnumber = 1\n")
    model = f"{tmp_path / 'mine.py'}:mine"
    ways = {"--noise-model": ("loss:c=1,floor=0.2", model), "--covariance": ("0.2+(x^2-1)^2/4",)}
    for option, text in ((option, text) for option, texts in ways.items() for text in texts):
        found = strict_json(in_process("gap", "double-well", "--lr", "0.2", option, text, "--json").stdout)
        (record,) = found["records"]
        assert abs(record["rate"] / 8.9865006484e-5 - 1) < 1e-6 and record["reversible"]
        assert record["eigenvalue"] == [record["rate"], 0.0] and found["noise"]
    done = in_process("spectrum", "x^2", "--lr", "0.2", "-k", "2", "--covariance", "1+x^2/9", "--json")
    assert strict_json(done.stdout)["noise"] == "1+x^2/9"
    assert "give one of them" in refused("gap", "x^2", "--lr", "0.1", "--noise", "2", "--covariance", "x")
    assert "not positive definite at (0)" in refused("gap", "x^2", "--lr", "0.1", "--covariance", "x^2")
    assert "of type int, no noise model" in refused("gap", "x^2", "--lr", "0.1", "--noise-model", f"{model[:-4]}number")


def test_the_entry_point_is_installed():
    script = shutil.which("witten", path=os.path.dirname(sys.executable))
    assert script, "the package is not installed: no witten beside python"
    done = subprocess.run([script, "--version"], capture_output=True, text=True)
    assert re.fullmatch(r"witten \d+\.\d+.*\n", done.stdout) and done.returncode == 0


def test_gap_gives_the_reference_rates_as_json():
    done = cli("gap", "double-well", "--lr", "0.4,0.1,0.2", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = strict_json(done.stdout)
    assert set(found) == {"objective", "method", "records"} and found["objective"] == "double-well"
    assert found["method"] == "fd"
    truth = {0.4: 1.3477798375e-1, 0.1: 2.7761406366e-3, 0.2: 3.3545287308e-2}
    assert [record["learning_rate"] for record in found["records"]] == list(truth)
    for record, (s, rate) in zip(found["records"], truth.items(), strict=True):
        assert set(record) == GAP_KEYS
        assert abs(record["rate"] - rate) <= record["rate_error"] <= 1e-4 * rate
        assert record["log10_rate"] == pytest.approx(math.log10(rate), abs=1e-4)
        assert record["witten_eigenvalue"] == pytest.approx(2 * s * record["rate"], rel=1e-12)
        assert record["resolved"] is True and record["n_dofs"] > 0 and record["seconds"] > 0 and record["solver"]


def test_what_is_not_resolved_is_null():
    found = json_record(RateRecord(0.1, -30.0, -math.inf, -29.0, False, "guess", 1, 0.0), 1.0)
    assert found["resolved"] is False
    assert [found[key] for key in ("rate", "rate_error", "log10_rate", "witten_eigenvalue")] == [None] * 4


def test_a_rate_below_the_doubles_is_known_by_its_logarithm():
    (record,) = strict_json(in_process("gap", "double-well", "--lr", "0.0001", "--json").stdout)["records"]
    assert record["resolved"] is True
    assert [record[key] for key in ("rate", "rate_error", "witten_eigenvalue")] == [None] * 3
    assert record["log10_rate"] == pytest.approx(-2171.8190765, abs=1e-4)
    found = strict_json(in_process("spectrum", "double-well", "--lr", "0.0001", "-k", "3", "--json").stdout)
    assert found["rates"][:2] == [0.0, None] and found["resolved"] == [True] * 3
    assert found["log10_rates"][0] is None and found["log10_rates"][1] == record["log10_rate"]
    assert "1.5167" in in_process("spectrum", "double-well", "--lr", "0.0001", "-k", "2").stdout


def test_a_person_gets_a_table_and_the_barrier(tmp_path):
    curve, picture = tmp_path / "curve.nc", tmp_path / "curve.svg"
    done = in_process("gap", "double-well", "--lr", "0.05:0.2:4", "-o", str(curve), "--plot", str(picture))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"\b0\.05 +1\.9589\d*\(\d+\)e-05", done.stdout)
    assert "barrier H = 0.2" in done.stdout
    assert f"saved in {curve}" in done.stdout and f"drawn in {picture}" in done.stdout
    assert len(RateCurve.load(curve).records) == 4
    assert picture.read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize("arguments", [("-x**2/2 + x**4/4", "--lr", "0.2"), ("--lr", "0.2", "--", "-x**2/2 + x**4/4")])
def test_a_formula_may_start_with_a_minus(arguments):
    (record,) = strict_json(in_process("gap", "--json", *arguments).stdout)["records"]
    assert record["rate"] == pytest.approx(3.3545287308e-2, rel=1e-4)


@pytest.mark.parametrize("box", [("--box", "-2.4:2.4"), ("--box=-2.4:2.4",)])
def test_a_box_may_start_with_a_minus(box):
    (record,) = strict_json(in_process("gap", "double-well", "--lr", "0.2", *box, "--json").stdout)["records"]
    assert record["rate"] == pytest.approx(3.3545287308e-2, rel=2e-4)


def test_noise_is_a_larger_learning_rate():
    loud = strict_json(in_process("gap", "double-well", "--lr", "0.05", "--noise", "2", "--json").stdout)["records"][0]
    assert loud["rate"] == pytest.approx(3.3545287308e-2, rel=1e-4)
    assert loud["witten_eigenvalue"] == pytest.approx(2 * 0.05 * 4 * loud["rate"], rel=1e-12)


def test_spectrum_gives_rates_and_modes(tmp_path):
    modes, picture = tmp_path / "modes.nc", tmp_path / "modes.png"
    arguments = ("spectrum", "quadratic", "--lr", "0.3", "-k", "3")
    done = cli(*arguments, "--modes", str(modes), "--plot", str(picture), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = strict_json(done.stdout)
    assert set(found) == {"learning_rate", "form", "rates", "rate_errors", "log10_rates", "resolved", "n_dofs"}
    assert found["form"] == 0 and found["learning_rate"] == 0.3 and found["resolved"] == [True] * 3
    for mode, (rate, error) in enumerate(zip(found["rates"], found["rate_errors"], strict=True)):
        assert abs(rate - mode) <= 1e-4 * mode and error <= 1e-4 * mode
    with xarray.open_dataset(modes) as saved:
        assert saved["rate"].values.tolist() == found["rates"] and saved["modes"].dims == ("mode", "x")
    assert picture.exists()
    done = in_process(*arguments, "-o", str(modes))  # the same kind of result may be replaced
    assert done.returncode == 0 and f"written {modes}" in done.stdout


def test_modes_for_paraview(tmp_path):
    meshio = pytest.importorskip("meshio")
    arguments = ("spectrum", "quadratic:dim=2", "--lr", "0.3", "-k", "3", "--rtol", "1e-2", "--modes", "modes.xdmf")
    for _ in range(2):  # its own files may be replaced
        done = in_process(*arguments, cwd=tmp_path)
        assert done.returncode == 0 and "written modes.xdmf" in done.stdout, done.stderr
    assert len(list(tmp_path.iterdir())) == 2
    read = meshio.read(tmp_path / "modes.xdmf")
    assert {"mode_0", "mode_1", "mode_2", "objective", "gibbs_density", "ground_state"} == set(read.point_data)
    assert abs(read.point_data["mode_0"] - 1).max() < 1e-6


@pytest.mark.fem
@pytest.mark.skipif(importlib.util.find_spec("dolfinx") is None, reason="needs DOLFINx")
def test_modes_as_vtx(tmp_path):
    done = in_process("spectrum", "quadratic", "--lr", "0.3", "-k", "3", "--modes", "modes.bp", cwd=tmp_path)
    assert done.returncode == 0 and "written modes.bp" in done.stdout, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["modes.bp"]
    assert b"ground_state" in (tmp_path / "modes.bp" / "mmd.0").read_bytes()


def test_saved_results_are_drawn_again(tmp_path):
    modes = tmp_path / "modes.nc"
    assert in_process("spectrum", "quadratic", "--lr", "0.3", "-k", "2", "-o", str(modes)).returncode == 0
    done = cli("plot", str(modes))
    assert (done.returncode, done.stdout) == (0, f"drawn in {tmp_path / 'modes.png'}\n")
    done = in_process("plot", str(modes), "--plot", str(tmp_path / "other.pdf"), "--json")
    assert strict_json(done.stdout)["kind"] == "spectrum"
    assert (tmp_path / "other.pdf").read_bytes().startswith(b"%PDF")


def test_objectives_lists_the_gallery():
    found = strict_json(cli("objectives", "--json").stdout)["objectives"]
    assert {"quadratic", "double-well", "mueller-brown", "shi-su-jordan"} <= {entry["name"] for entry in found}
    assert all(set(entry) == {"name", "dimension", "formula", "parameters", "about"} for entry in found)
    assert "double-well:barrier=0.25" in cli("objectives").stdout


def test_doctor_reports_every_route(tmp_path):
    (tmp_path / "witten").mkdir()  # the folder of a clone beside which the question is asked
    script = os.path.join(os.path.dirname(sys.executable), "witten")
    done = subprocess.run([script, "doctor", "--json"], capture_output=True, text=True, timeout=PATIENCE, cwd=tmp_path)
    found = strict_json(done.stdout)
    assert found["routes"]["finite differences"]["works"] is True
    assert all(route["works"] or route["why"] for route in found["routes"].values())
    assert found["packages"]["numpy"] and found["ranks"] == 1 and found["cores"] >= 1


def test_doctor_survives_what_is_broken(tmp_path):
    (tmp_path / "dolfinx.py").write_text("import os; os.abort()")
    (tmp_path / "slepc4py.py").write_text("raise ImportError('no library')")
    paths = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    done = cli("doctor", "--json", env={**os.environ, "PYTHONPATH": paths})
    routes = strict_json(done.stdout)["routes"]
    assert done.returncode == 0 and done.stderr == ""
    assert routes["finite elements"]["works"] is False and routes["SLEPc"]["works"] is False
    assert "cannot import name 'SLEPc'" in routes["SLEPc"]["why"] or "no library" in routes["SLEPc"]["why"]


@pytest.mark.parametrize("command", ["gap", "spectrum", "objectives", "plot", "doctor"])
def test_help_has_examples(command):
    done = in_process(command, "--help")
    assert done.returncode == 0 and f"$ witten {command}" in done.stdout


def test_shell_completion_knows_commands_and_objectives():
    environment = {**os.environ, "_WITTEN_COMPLETE": "complete_bash", "COMP_WORDS": "witten gap dou", "COMP_CWORD": "2"}
    assert "double-well" in cli(env=environment).stdout
    environment |= {"COMP_WORDS": "witten spec", "COMP_CWORD": "1"}
    assert "spectrum" in cli(env=environment).stdout


def test_starting_loads_nothing_heavy():
    code = "import sys, witten.cli; print({'numpy','scipy','numba','sympy','matplotlib','xarray'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


# Kernels of many nodes and wells in the plane, of functions in Python, of noise without a potential, and of matrices at
# random.
NOT_FOR_SMALL_REQUESTS = {
    "descent.kernels.grow",
    "dynamics.paths.philox._fill",
    "dynamics.paths.philox._fill_uniform",
    "dynamics.paths.schemes.observe",
    "linalg.gth_elimination._solve",
    "operators.selling._decompose",
    "operators.selling._decompose_serial",
    "risk.laws.semi_lagrangian._distribute_plane",
    "sgd.steps.transfer_operator._adjoint_of_heavy",
    "sgd.steps.transfer_operator._adjoint_plane",
    "sgd.steps.transfer_operator._apply_plane",
    "sgd.steps.transfer_operator._apply_plane_serial",
    "spectra.committors.graph._energies",
    "spectra.committors.grounded_laplacian._log_resistances",
    "spectra.committors.graph._energies_serial",
}
COMPILED = """
import atexit, sys
from numba.core.dispatcher import Dispatcher
from witten.cli import main
from witten.operators import kernels
made, kernel = [], Dispatcher.enable_caching
Dispatcher.enable_caching = lambda self: (made.append(self), kernel(self))[1]
def report():
    within = {name for each in made for name in each.py_func.__code__.co_names}  # compiled with those that call them
    left = [each.py_func for each in made if not each.signatures and each.py_func.__name__ not in within]
    print(kernels.SERIAL_BELOW, *(f"{kernel.__module__}.{kernel.__name__}" for kernel in left), file=sys.stderr)
atexit.register(report)
main(["warm"])
"""


def test_warm_compiles_the_kernels_of_every_command_and_prints_nothing():
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (0, "")
    rows, *left = done.stderr.split()
    assert int(rows) > 0
    assert {name.removeprefix("witten.") for name in left} <= NOT_FOR_SMALL_REQUESTS


# ---------------------------------------------------------------------------------------------- wrong requests
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "which command"),
        (("gap",), "OBJECTIVE"),
        (("gap", "double-well"), "--lr"),
        (("gap", "double-well", "--lr"), "requires an argument"),
        (("frobnicate",), "No such command 'frobnicate'"),
        (("gap", "double-well", "--lr", "0.1", "--walltime", "1:00"), "--walltime"),
        (("gap", "double-well", "--lr", "0.1", "--mesh", "a.msh"), "a.msh"),
        (("gap", "double-well", "another", "--lr", "0.1"), "another"),
        (("gap", "double-well", "--lr", "0"), "must be positive and finite, got 0"),
        (("gap", "double-well", "--lr", "-0.1"), "must be positive and finite, got -0.1"),
        (("gap", "double-well", "--lr", "nan"), "must be positive and finite, got nan"),
        (("gap", "double-well", "--lr", "0.1,inf"), "must be positive and finite, got inf"),
        (("gap", "double-well", "--lr", "ten"), "'ten' is not a number"),
        (("gap", "double-well", "--lr", ""), "a number is missing"),
        (("gap", "double-well", "--lr", "0.1,,0.2"), "a number is missing in '0.1,,0.2'"),
        (("gap", "double-well", "--lr", "0.5:0.1:3"), "reversed; the smaller end comes first: 0.1:0.5:3"),
        (("gap", "double-well", "--lr", "0.1:0.1:3"), "is empty"),
        (("gap", "double-well", "--lr", "0.1:0.5"), "start:stop:count"),
        (("gap", "double-well", "--lr", "0.1:0.5:1"), "asks for 1 learning rates; ask for 2"),
        (("gap", "double-well", "--lr", "0.1:0.5:2.5"), "'2.5' in '0.1:0.5:2.5' is not a whole number"),
        (("gap", "double-well", "--lr", "0.1:0.5:1000000000"), "ask for 2 to"),
        (("gap", "double-well", "--lr", "0.1", "--rtol", "0"), "--rtol must be positive"),
        (("gap", "double-well", "--lr", "0.1", "--rtol", "small"), "--rtol: 'small' is not a number"),
        (("gap", "double-well", "--lr", "0.1", "--noise", "-1"), "--noise must be positive"),
        (("theory", "double-well", "--lr", "0.1", "--noise", "1e-200"), "noise 1e-200 is too small"),
        (("gap", "double-well", "--lr", "1e-200"), "too small for a grid"),
        (("gap", "double-well", "--lr", "0.1", "--seed", "x"), "--seed: 'x' is not a whole number"),
        (("gap", "double-well", "--lr", "0.1", "--box", "2:-2"), "'2:-2' is empty or reversed"),
        (("gap", "double-well", "--lr", "0.1", "--box", "-2"), "low:high"),
        (("gap", "double-well", "--lr", "0.1", "--box", "-inf:2"), "must be finite"),
        (("gap", "double-well", "--lr", "0.1", "--box", "-2:2,-1:1"), "2 intervals"),
        (("gap", "double-well", "--lr", "0.1", "--method", "magic"), "'magic' is not known"),
        (("gap", "double-well", "--lr", "0.1", "--resume"), "--resume needs the file"),
        (("gap", "double-well", "--lr", "0.1", "--plot", "a.gif"), ".png or .svg or .pdf"),
        (("gap", "double-well", "--lr", "0.1", "-o", "a.txt"), "ends in .nc"),
        (("gap", "double-well", "--lr", "0.1", "-o", "/nowhere/a.nc"), "no directory"),
        (("gap", "dubble-well", "--lr", "0.1"), "double-well"),
        (("gap", "double-well:bariere=1", "--lr", "0.1"), "barrier"),
        (("gap", "x**2 + q", "--lr", "0.1"), "'q'"),
        (("gap", "__import__('os').system('true')", "--lr", "0.1"), "__import__"),
        (("gap", "9**9**9**9", "--lr", "0.1"), "witten: "),
        (("gap", "(" * 100_000, "--lr", "0.1"), "witten: "),
        (("gap", "1/(x-1)**2 + x**2\n+ 1", "--lr", "0.1", "--box", "0:2"), "witten: "),
        (("gap", "log(x)", "--lr", "0.1"), "not a number at"),
        (("gap", "sqrt(-1 - x**2)", "--lr", "0.1"), "complex"),
        (("gap", "3", "--lr", "0.1"), "constant"),
        (("gap", "-x**2", "--lr", "0.1"), "no Gibbs measure"),
        (("gap", "log(1 + x**2)", "--lr", "0.1"), "no spectral gap"),
        (("gap", "x1^4 + x4^4 + x1^2*x2^2*x3^2*x4^2", "--lr", "0.1"), "dimension 4"),
        (("spectrum", "double-well", "--lr", "0.1", "-k", "0"), "-k must be at least 1, got 0"),
        (("spectrum", "double-well", "--lr", "0.1", "-ksix"), "-k: 'six' is not a whole number"),
        (("spectrum", "double-well", "--lr", "0.1,0.2", "-k", "2"), "takes one learning rate"),
        (("spectrum", "double-well", "--lr", "0.1", "--form", "2"), "degrees from 0 to 1"),
        (("spectrum", "double-well", "--lr", "0.1", "--form", "1", "--plot", "a.png"), "two and three dimensions"),
        (("spectrum", "double-well", "--lr", "0.1", "--form", "1", "--boundary", "absorbing"), "a relative"),
        (("spectrum", "double-well", "--lr", "0.1", "--modes", "a.vtu"), "ends in .nc, .xdmf, .bp"),
        (("spectrum", "double-well", "--lr", "0.1", "--modes", "no/a.xdmf"), "there is no directory"),
        (("spectrum", "double-well", "--lr", "0.1", "-o", "a.bp"), "ends in .nc"),
        (("plot", "missing.nc"), "no file 'missing.nc'"),
        (("plot", __file__), "not a witten result"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else "",
)
def test_a_wrong_request_is_one_line_and_exit_2(arguments, said):
    assert said in refused(*arguments)


def test_a_foreign_file_is_refused_and_unchanged(tmp_path):
    path = tmp_path / "weather.nc"
    xarray.Dataset({"t": ("x", [1.0])}).to_netcdf(path, engine="h5netcdf")
    before = path.read_bytes()
    assert "not a witten result" in refused("gap", "double-well", "--lr", "0.1", "-o", str(path), run=cli)
    assert "not a witten result" in refused("spectrum", "double-well", "--lr", "0.1", "--modes", str(path))
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["weather.nc"]


def test_resume_onto_another_request_is_refused_and_the_file_unchanged(tmp_path):
    path = tmp_path / "curve.nc"
    arguments = ("gap", "double-well", "--lr", "0.2,0.4", "-o", str(path))
    assert in_process(*arguments).returncode == 0
    before = path.read_bytes()
    assert "made with rtol 0.0001, now it is 0.001" in refused(*arguments, "--resume", "--rtol", "1e-3")
    assert "made with objective" in refused("gap", "quadratic", "--lr", "0.2,0.4", "-o", str(path), "--resume")
    assert "not asked for now" in refused("gap", "double-well", "--lr", "0.2", "-o", str(path), "--resume")
    assert path.read_bytes() == before


# ------------------------------------------------------------------------------------------------ failed runs
@pytest.fixture
def failing_gap(monkeypatch):
    """Let `witten.gap` compute the first learning rate and then fail."""
    true_gap = witten.gap

    def fail(error):
        def gap(objective, learning_rates, **request):
            true_gap(objective, learning_rates[:1], **request)
            raise error

        monkeypatch.setattr(witten, "gap", gap)

    return fail


def test_a_computation_that_fails_keeps_what_is_done(tmp_path, failing_gap):
    failing_gap(ConvergenceError("no convergence after 100 steps; raise --rtol"))
    path = tmp_path / "curve.nc"
    done = in_process("gap", "double-well", "--lr", "0.2,0.1", "-o", str(path), "--json")
    assert (done.returncode, done.stderr) == (1, "witten: no convergence after 100 steps; raise --rtol\n")
    assert [record["learning_rate"] for record in strict_json(done.stdout)["records"]] == [0.2]
    assert RateCurve.load(path).learning_rates.tolist() == [0.2]


@pytest.mark.parametrize(
    ("options", "method"),
    [([], "fd"), (["--method", "fe"], "fe"), (["--degree", "2"], "fe"), (["--method", "fd"], "fd")],
)
def test_a_computation_that_fails_at_once_says_by_which_method(monkeypatch, options, method):
    monkeypatch.setattr(witten, "gap", mock.Mock(side_effect=ConvergenceError("no")))
    done = in_process("gap", "double-well", "--lr", "0.2", *options, "--json")
    assert done.returncode == 1
    assert strict_json(done.stdout) == {"objective": "double-well", "method": method, "records": []}


def test_an_unexpected_error_is_one_line_unless_asked_for_more(failing_gap):
    failing_gap(ZeroDivisionError("a bug"))
    done = in_process("gap", "double-well", "--lr", "0.2,0.1", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "witten: unexpected ZeroDivisionError: a bug (WITTEN_DEBUG=1 shows where)\n"
    done = in_process("gap", "double-well", "--lr", "0.2,0.1", "--debug")
    assert done.returncode == 1 and "Traceback" in done.stderr and done.stderr.endswith("shows where)\n")


def test_a_reader_that_leaves_is_no_error():
    with subprocess.Popen([*WITTEN, "objectives"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=PATIENCE) == 0


def test_processes_that_mpi_does_not_bring_together_are_refused_by_the_first():
    pytest.importorskip("mpi4py")
    first = cli("objectives", env={**os.environ, "OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"})
    assert (first.returncode, first.stdout) == (2, "") and "2 processes were started, but MPI sees 1" in first.stderr
    second = cli("objectives", env={**os.environ, "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"})
    assert (second.returncode, second.stdout, second.stderr) == (2, "", "")


# ------------------------------------------------------------------------------------------- stopped and resumed
def started(path, *more, count=2):
    """A sweep under way, with at least so many learning rates saved."""
    asked = () if "--lr" in more else ("--lr", MANY)
    command = [*WITTEN, "gap", "double-well", *asked, "-o", str(path), *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit and process.poll() is None:
        if path.exists() and len(RateCurve.load(path).records) >= count:
            return process
        time.sleep(0.1)
    raise AssertionError(f"no {count} learning rates within a minute: {process.communicate()}")


def test_a_killed_sweep_goes_on_and_repeats_nothing_nor_does_a_kill_while_resuming(tmp_path):
    path, whole = tmp_path / "killed.nc", tmp_path / "whole.nc"
    process = started(path)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=PATIENCE) == -signal.SIGKILL
    process.communicate()
    left = RateCurve.load(path)
    assert 2 <= len(left.records) < 9
    backwards = ",".join(repr(s) for s in reversed(learning_rate_spec.parse_learning_rates(MANY)))  # those come last
    process = started(path, "--lr", backwards, "--resume", count=len(left.records) + 2)
    process.kill()
    process.communicate()
    again = set(RateCurve.load(path).records)
    assert set(left.records) < again  # their seconds too: nothing was repeated
    assert in_process("gap", "double-well", "--lr", MANY, "-o", str(path), "--resume").returncode == 0
    assert in_process("gap", "double-well", "--lr", MANY, "-o", str(whole)).returncode == 0
    resumed, direct = RateCurve.load(path), RateCurve.load(whole)
    assert again <= set(resumed.records)
    assert resumed.learning_rates.tolist() == direct.learning_rates.tolist()
    assert resumed.log_rates.tolist() == pytest.approx(direct.log_rates.tolist(), abs=1e-12)
    assert resumed.options == direct.options
    assert sorted(os.listdir(tmp_path)) == ["killed.nc", "whole.nc"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_cleanly_and_says_how_to_go_on(tmp_path, number):
    path = tmp_path / "curve.nc"
    process = started(path, "--json")
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 4
    assert err.count("\n") == 1 and number.name in err and "--resume" in err and str(path) in err
    saved = RateCurve.load(path)
    assert len(strict_json(out)["records"]) == len(saved.records) < 9
    assert os.listdir(tmp_path) == ["curve.nc"]


def counted(monkeypatch, stop):
    """Let sweeps list the records that they keep, and send this process SIGUSR1 when they have `stop` of them."""
    keep, kept = Sweep._keep, []

    def keep_and_count(self, task, record):
        keep(self, task, record)
        if self.output is not None:  # not a sweep within a sweep
            kept.append(task)
            if len(kept) == stop:
                os.kill(os.getpid(), signal.SIGUSR1)

    monkeypatch.setattr(Sweep, "_keep", keep_and_count)
    return kept


@pytest.mark.parametrize(
    ("command", "left", "all_"),
    [
        (("theory", "double-well:tilt=0.1"), 1, 2),
        (("chain", "double-well"), 3, 4),
        (("validate", "double-well"), 5, 6),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_sweep_that_was_stopped_half_way_is_that_of_one_run_in_the_end(tmp_path, monkeypatch, command, left, all_):
    """Nothing is computed twice, and the file is the same but for the seconds that it took."""
    path, whole = tmp_path / "stopped.nc", tmp_path / "whole.nc"

    def run(file, *more, stop=-1):
        with monkeypatch.context() as patch:
            kept = counted(patch, stop)
            return in_process(*command, "--lr", "0.4,0.35", "-o", file, *more), kept

    cut, first = run(path, stop=left)
    assert cut.returncode == 4 and len(first) == left, cut.stderr
    assert "SIGUSR1" in cut.stderr and "--resume goes on" in cut.stderr
    resumed, rest = run(path, "--resume")
    direct, every = run(whole)
    assert resumed.returncode == direct.returncode == 0, resumed.stderr
    assert first + rest == every and len(every) == all_
    with xarray.open_dataset(path) as one, xarray.open_dataset(whole) as other:
        timed = [name for name in one.data_vars if str(name).endswith("seconds")]
        assert one.drop_vars(timed).identical(other.drop_vars(timed).assign_attrs(one.attrs))
        assert one.attrs["options"] == other.attrs["options"]
    assert in_process("plot", path).returncode == 0
    for column in (0, 1):  # what was printed, but for the file's name and the seconds
        assert resumed.stdout.split()[column] == direct.stdout.split()[column]


@pytest.mark.parametrize("command", ["theory", "chain", "validate"])
def test_a_walltime_that_is_over_begins_nothing(tmp_path, monkeypatch, command):
    monkeypatch.setattr(sweeps, "STARTED", time.monotonic() - 100)
    path = tmp_path / "curve.nc"
    arguments = (command, "double-well", "--lr", "0.3", "-o", str(path), "--walltime", "00:01:00", "--json")
    done = in_process(*arguments)
    assert done.returncode == 4 and "stopped at the walltime" in done.stderr
    assert strict_json(done.stdout)["objective"] == "double-well" and not path.exists()


# -------------------------------------------------------------------------------------------- reading and writing
def test_learning_rates_are_numbers_lists_and_ranges():
    assert learning_rate_spec.parse_learning_rates("0.1") == (0.1,)
    assert learning_rate_spec.parse_learning_rates("0.2, 0.1,5e-2") == (0.2, 0.1, 0.05)
    found = learning_rate_spec.parse_learning_rates("0.02:0.5:12")
    assert len(found) == 12 and (found[0], found[-1]) == (0.02, 0.5)
    assert found[6] / found[5] == pytest.approx(found[1] / found[0])
    with pytest.raises(RequestError):
        learning_rate_spec.parse_learning_rate("0.1:0.2:3")


def test_boxes_are_intervals():
    assert option_values.parse_box("-2:2,-1:3.5") == ((-2.0, 2.0), (-1.0, 3.5))
    assert option_values.parse_box(None) is None


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.9589273e-5, 3e-12, "1.9589273(3)e-05"),
        (1.9589273e-5, 1.2e-12, "1.95892730(12)e-05"),
        (9.99999, 2e-4, "1.00000(2)e+01"),
        (1.0, 0.0, "1.0000000000000(1)e+00"),
        (0.5, 0.6, "5.0e-01 (error above 100 %)"),
    ],
)
def test_numbers_carry_their_errors(value, error, text):
    assert with_log_error(math.log(value), 0.0, error / value) == text


def test_numbers_below_the_doubles_are_written_too():
    assert with_log_error(-4999.0, 1e-6) == f"{mpmath.nstr(mpmath.exp(-4999), 7).split('e')[0]}(10)e-2172"


def test_a_center_for_ones_own_objective_alone(tmp_path):
    own = tmp_path / "own.py"
    own.write_text("from witten import Objective\nf = Objective.from_callable(lambda p: (p[0] - 3) ** 2, 1)\n")
    found = in_process("gap", f"{own}:f", "--lr", "0.1", "--center", "2.9", "--scale", "0.5", "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["records"][0]["rate"] == pytest.approx(2, rel=1e-4)
    refused = in_process("gap", "(x-3)^2", "--lr", "0.1", "--center", "2.9")
    assert refused.returncode == 2 and "all of space" in refused.stderr
    assert in_process("gap", f"{own}:f", "--lr", "0.1", "--scale", "2").returncode == 2


HIDDEN = """
import numpy as np
from witten import Objective

def cup(p):
    u = (p[0] - 10000.3) / 1e-3
    with np.errstate(over="ignore"):
        return np.exp(u**2) - 2 * u**2

g = Objective.from_callable(cup, 1)
"""


def test_wells_that_only_a_center_shows(tmp_path):
    """At 1e7 times their width from the origin; the rate is that of exp(x^2) - 2 x^2, in another unit of length."""
    own = tmp_path / "m.py"
    own.write_text(HIDDEN)
    request = ("gap", f"{own}:g", "--lr", "0.1", "--json", "-o", str(tmp_path / "g.nc"))
    assert in_process(*request).returncode == 2
    found = in_process(*request, "--center", "10000.303", "--scale", "0.001")
    assert found.returncode == 0, found.stderr
    (record,) = strict_json(found.stdout)["records"]
    assert record["rate"] == pytest.approx(math.exp(-7.7253824) * 1e6, rel=1e-6)
    assert "around the given center (10000.303)" in record["examined"]
    other = in_process(*request, "--resume", "--center", "10000.302", "--scale", "0.001")
    assert other.returncode == 2 and "another" in other.stderr


def test_a_center_can_be_given_wherever_an_objective_is():
    options_of = [{each.name for each in load(name).params} for name in COMMANDS]
    takes = [known for known in options_of if "objective" in known]
    assert len(takes) >= 11 and all({"center", "scale"} <= known for known in takes)


@pytest.mark.parametrize(
    ("center", "scale", "why"),
    [
        ("1,2", None, "2 coordinates"),
        ("nan", None, "finite"),
        ("here", None, "cannot read"),
        ("0", "0", "positive"),
        ("0", "-1", "positive"),
        ("0", "inf", "positive"),
        ("0", "wide", "not a number"),
        (None, "2", "--center"),
    ],
)
def test_what_is_no_center_and_no_scale(tmp_path, center, scale, why):
    own = tmp_path / "own.py"
    own.write_text("from witten import Objective\nf = Objective.from_callable(lambda p: p[0] ** 2, 1)\n")
    with pytest.raises(RequestError, match=why):
        option_values.resolved(f"{own}:f", center, scale)


@pytest.mark.parametrize(("center", "scale"), [("1", None), ("1", "2"), (None, "2")])
def test_a_formula_is_searched_everywhere_already(center, scale):
    with pytest.raises(RequestError, match="searched in all of space: leave out"):
        option_values.resolved("double-well", center, scale)

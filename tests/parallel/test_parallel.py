"""Runs under mpiexec as their users meet them: one voice, failures that end all ranks, signals, the walltime."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import types
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from launcher import PATIENCE, command, environment, in_process, needs_mpi, patched, ranks

import witten
from witten import parallel
from witten.cli.options import learning_rate_spec, option_values
from witten.errors import RequestError
from witten.parallel import Communicator, task_farm
from witten.rates import RateCurve

needs_dolfinx = pytest.mark.skipif(find_spec("dolfinx") is None, reason="DOLFINx is not installed")
LEARNING_RATES = "0.4,0.3,0.2,0.15"
GAP = ("gap", "double-well", "--lr", LEARNING_RATES)


def one_line(done):
    """What a run that failed has said, once."""
    assert done.stdout == "" and done.stderr.startswith("witten: "), done
    assert done.stderr.count("\n") == 1 and done.stderr.endswith("\n"), done
    return done.stderr


# ------------------------------------------------------------------------------------------ one process, no launcher
def test_one_process_starts_no_mpi():
    code = "import sys; from witten import parallel as p; assert p.world().size == 1; print('mpi4py' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout == "False\n", done


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, (0, 1)),
        ({"PMI_RANK": "3", "PMI_SIZE": "4"}, (3, 4)),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, (1, 2)),
        ({"MV2_COMM_WORLD_RANK": "0", "MV2_COMM_WORLD_SIZE": "2"}, (0, 2)),
        ({"PMIX_RANK": "2"}, (2, None)),
        # a step that srun starts, MPI or not
        ({"SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "8"}, (1, 8)),
        ({"SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "8", "PMIX_RANK": "1"}, (1, 8)),
        # mpiexec inside a job, whose one step is the daemon that starts the ranks
        ({"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "1", "PMI_RANK": "1", "PMI_SIZE": "2"}, (1, 2)),
        # a batch script is one process, however many tasks its job may start
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, (0, 1)),
    ],
)
def test_launchers_say_how_many_they_started(monkeypatch, variables, found):
    for name in list(os.environ):
        if name.startswith(("PMI", "OMPI", "MV2", "SLURM", "PALS")):
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert parallel.launched() == found


# ----------------------------------------------------------------------------------------------- dealing and time
class Clock:
    """Time that passes only while tasks are at work."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


def dealt(monkeypatch, seconds, walltime):
    """What is done of tasks that take so many seconds, and why no more."""
    clock = Clock()
    monkeypatch.setattr(task_farm, "time", clock)
    done = []

    def compute(task, group):
        clock.now += task
        return task

    keep = lambda task, value: done.append(value)  # noqa: E731
    return done, task_farm.deal(seconds, compute, keep, comm=Communicator(), walltime=walltime)


@pytest.mark.parametrize(
    ("seconds", "walltime", "done"),
    [
        ([10, 10, 10], 30.1, 3),
        ([10, 10, 10], 29.9, 2),  # the third would not be finished
        ([10, 10, 10], 15.0, 1),
        ([100, 10], 50.0, 1),  # the first is begun in any case: nothing tells how long it takes
        ([100, 10], 100.0, 1),
        ([50, 1, 1, 1, 1, 1], 70.0, 1),  # 20 s are left, and a learning rate has taken 50
        ([50, 1, 1, 1, 1, 1], 110.0, 6),  # only the last three count
        ([10], 0.0, 0),
    ],
)
def test_nothing_is_begun_that_the_walltime_would_cut(monkeypatch, seconds, walltime, done):
    found, reason = dealt(monkeypatch, seconds, walltime)
    assert found == seconds[:done]
    assert reason == (None if done == len(seconds) else task_farm.WALLTIME)


def test_without_a_walltime_all_is_done(monkeypatch):
    assert dealt(monkeypatch, [1e9, 1e9, 1e9], None) == ([1e9, 1e9, 1e9], None)


UNEVEN = """
import os, sys, time
from pathlib import Path
from witten.parallel.task_farm import deal
from witten.parallel import world
here, slow = Path(sys.argv[1]), int(sys.argv[2])
def compute(task, group):
    if group.rank == 0 and task == slow:
        while len(os.listdir(here)) < 5:  # done by another group, or never
            time.sleep(0.01)
    return task
deal(list(range(6)), compute, lambda task, value: (here / str(task)).touch(), comm=world(), groups=2)
if world().rank == 0:
    print(sorted(os.listdir(here)))
"""


@needs_mpi
@pytest.mark.parametrize(("n", "slow"), [(2, 0), (2, 1), (3, 0), (4, 0)])
def test_a_long_task_idles_no_other_group(tmp_path, n, slow):
    done = ranks(n, "-c", UNEVEN, tmp_path, slow)
    assert done.stdout == f"{[str(task) for task in range(6)]}\n", done


# ------------------------------------------------------------------------------------------------------ one voice
@needs_mpi
def test_rank_0_alone_speaks():
    done = ranks(2, "-m", "witten", *GAP, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads(done.stdout)["records"]) == 4
    done = ranks(2, "-m", "witten", "--version")
    assert done.returncode == 0 and done.stdout.count("\n") == 1


@needs_mpi
def test_commands_for_one_rank_run_on_one_rank():
    code = "from witten.objectives import gallery\nif rank: gallery.ENTRIES = None"
    done = ranks(2, "-c", patched(code), "objectives", "--json")
    assert (done.returncode, done.stderr) == (0, "") and json.loads(done.stdout)["objectives"]


@needs_mpi
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gap", "dubble-well", "--lr", "0.1"), "double-well"),
        (("gap", "double-well"), "--lr"),
        ((*GAP, "--groups", "3"), "cannot make 3 groups: there are 2 ranks; ask for 1 to 2"),
        ((*GAP, "-o", "/nowhere/a.nc"), "no directory"),
        (("frobnicate",), "No such command"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_a_wrong_request_is_one_line_and_exit_2(arguments, said):
    done = ranks(2, "-m", "witten", *arguments)
    assert done.returncode == 2 and said in one_line(done)


@needs_mpi
@needs_dolfinx
@pytest.mark.parametrize(("n", "lr"), [(3, "0.4,0.2"), (2, "0.4")], ids=["rank 0 deals only", "a group without work"])
def test_groups_that_use_petsc_do_not_wait_for_a_rank_that_does_not(n, lr):
    done = ranks(n, "-m", "witten", "gap", "double-well", "--lr", lr, "--method", "fe", "--groups", 2, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    truth = {0.4: 1.3477798375e-1, 0.2: 3.3545287308e-2}
    for record in json.loads(done.stdout)["records"]:
        assert abs(record["rate"] - truth[record["learning_rate"]]) <= record["rate_error"]


# ------------------------------------------------------------------------------------------- one rank has failed
FAIL = """
class Unsendable(Exception):
    def __init__(self): self.nobody = lambda: None
    def __str__(self): return "injected"
from witten.errors import ConvergenceError
def fail(*_, **__): raise {error}
if rank == {rank}:
    {target} = fail
"""
ASSEMBLY = "from witten.operators.differences.finite_differences import FiniteDifferences\nFiniteDifferences.assemble"
SOLVE = "import witten.spectra.gap\n    witten.spectra.gap._spectrum"
SAVE = "import witten.sweeps.sweep\n    witten.sweeps.sweep.Sweep._save"
SHOW = "import witten.cli.commands.gap\n    witten.cli.commands.gap._show"


def failing(error="ConvergenceError('injected')", rank=1, target=SOLVE):
    return patched(FAIL.format(error=error, rank=rank, target=target.replace("\nFinite", "\n    Finite")))


@needs_mpi
@pytest.mark.parametrize(
    ("target", "rank", "groups"),
    [
        (ASSEMBLY, 1, 2),
        (SOLVE, 1, 1),
        (SOLVE, 1, 2),
        (SOLVE, 0, 1),
        (SOLVE, 0, 2),
        (SAVE, 0, 1),
        (SAVE, 0, 2),
        (SHOW, 1, 1),
        (SHOW, 0, 1),
    ],
    ids=["assembly", "solve", "solve-group", "solve-0", "solve-0-group", "save", "save-group", "show", "show-0"],
)
def test_a_failure_on_one_rank_ends_all_with_one_message(tmp_path, target, rank, groups):
    more = ("--groups", groups, "-o", tmp_path / "curve.nc", *(() if target == SHOW else ("--json",)))
    done = ranks(2, "-c", failing(rank=rank, target=target), *GAP, *more)
    assert done.returncode == 1 and done.stderr == "witten: injected\n", done
    assert not [name for name in os.listdir(tmp_path) if name != "curve.nc"]


@needs_mpi
@needs_dolfinx
@pytest.mark.parametrize("target", ["elements.FiniteElements.assemble", "krylov.distributed_ritz"])
def test_a_failure_in_finite_elements_on_one_rank_ends_all(target):
    # PETSc is started by all ranks, or by none.
    modules = (
        "import witten.operators.elements.finite_elements as elements\n"
        "import witten.spectra.solvers.distributed.krylov_schur as krylov\n"
    )
    code = modules + FAIL.format(error="ConvergenceError('injected')", rank=1, target=target)
    done = ranks(2, "-c", patched(code), *GAP, "--method", "fe")
    assert done.returncode == 1 and one_line(done) == "witten: injected\n"


@needs_mpi
@needs_dolfinx
def test_a_failure_in_writing_modes_ends_all(tmp_path):
    code = "import witten.plots.fields.paraview\n" + FAIL.format(
        error="ConvergenceError('injected')", rank=0, target="witten.plots.fields.paraview.save_modes"
    )
    command = ("spectrum", "double-well", "--lr", "0.4", "-k", "2", "--modes", tmp_path / "modes.xdmf")
    done = ranks(2, "-c", patched(code), *command)
    assert done.returncode == 1 and one_line(done) == "witten: injected\n"
    assert not os.listdir(tmp_path)


@needs_mpi
@pytest.mark.parametrize(
    ("n", "error"), [(2, "MemoryError()"), (3, "Unsendable()")]
)
def test_any_exception_on_the_last_rank_ends_all(n, error):
    done = ranks(n, "-c", failing(error, rank=n - 1), *GAP)
    said = {"MemoryError()": "out of memory"}.get(error, error.split("(")[0])
    assert done.returncode == 1 and said in one_line(done)


@needs_mpi
def test_the_same_failure_on_all_ranks_is_said_once():
    code = failing().replace("if rank == 1:", "if True:")
    done = ranks(3, "-c", code, *GAP)
    assert (done.returncode, done.stderr) == (1, "witten: injected\n")


@needs_mpi
def test_what_other_groups_have_done_is_kept(tmp_path):
    """The second group fails at its second learning rate, while the first has a long one in hand."""
    path = tmp_path / "curve.nc"
    code = """
import witten.spectra.gap as sweep
from witten.errors import ConvergenceError
true_spectrum = sweep._spectrum
def spectrum(f, s, *arguments, **options):
    if s == 0.4:
        time.sleep(1000)
    if s == 0.2:
        raise ConvergenceError("injected")
    return true_spectrum(f, s, *arguments, **options)
sweep._spectrum = spectrum
"""
    done = ranks(2, "-c", patched(code), *GAP, "--groups", "2", "-o", path)
    assert (done.returncode, done.stderr) == (1, "witten: injected\n")
    assert RateCurve.load(path).learning_rates.tolist() == [0.3]


# ------------------------------------------------------------------------------------------- stopped and resumed
SLOW = """
import os
import witten.spectra.gap as sweep
true_spectrum = sweep._spectrum
def spectrum(f, s, *arguments, **options):
    time.sleep({seconds})
    return true_spectrum(f, s, *arguments, **options)
sweep._spectrum = spectrum
"""
# However busy the machine: nobody loses patience.
PATIENT = """
from witten.cli import signals
signals.GRACE = signals.LIMIT = 1000
"""
# Both ranks are at work when they are to end, and one in a step that cannot be interrupted.
STUCK = """
import hashlib
from witten.cli import signals
import witten.spectra.gap as sweep
signals.GRACE = 0.1
true_spectrum = sweep._spectrum
def spectrum(f, s, *arguments, **options):
    if s > 0.15 and rank == 1:
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
    if s > 0.15:
        time.sleep(1000)
    return true_spectrum(f, s, *arguments, **options)
sweep._spectrum = spectrum
"""
SPEC = "0.1:0.5:12"
MANY = ("gap", "double-well", "--lr", SPEC)


@pytest.fixture(scope="module")
def serial():
    return witten.gap("double-well", learning_rate_spec.parse_learning_rates(SPEC))


def under_way(path, arguments):
    """A sweep with at least two learning rates saved."""
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), start_new_session=True
    )
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit and process.poll() is None:
        if path.exists() and len(RateCurve.load(path).records) >= 2:
            return process
        time.sleep(0.2)
    raise AssertionError(f"no two learning rates: {process.communicate()}")


@needs_mpi
@pytest.mark.parametrize(
    ("number", "groups", "again"),
    [
        (signal.SIGUSR1, 1, lambda *line: ranks(2, "-m", "witten", *line, "--groups", 2)),
        (signal.SIGTERM, 2, in_process),
    ],
    ids=["USR1", "TERM"],
)
def test_a_signal_stops_all_ranks_after_the_learning_rate_in_hand(tmp_path, serial, number, groups, again):
    path = tmp_path / "curve.nc"
    more = ("-o", path, "--groups", groups, "--json")
    process = under_way(path, command(2, "-c", patched(PATIENT + SLOW.format(seconds=0.5)), *MANY, *more))
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 4, err
    out = "".join(line for line in out.splitlines() if not line.startswith("[mpiexec@"))  # it has a word on Ctrl-C
    (line,) = err.splitlines()
    saved = RateCurve.load(path)
    assert re.match(rf"witten: stopped by {number.name}: {len(saved.records)} of 12 .* saved in .* --resume", line)
    assert len(json.loads(out)["records"]) == len(saved.records) < 12
    # The same sweep goes on, on another number of ranks and groups.
    done = again(*MANY, "-o", path, "--resume")
    assert (done.returncode, done.stderr) == (0, "")
    whole = RateCurve.load(path)
    assert whole.learning_rates.tolist() == serial.learning_rates.tolist()
    assert set(saved.records) <= set(whole.records)
    np.testing.assert_allclose(whole.log_rates, serial.log_rates, rtol=0, atol=1e-9)


@needs_mpi
@pytest.mark.parametrize(("groups", "number"), [(1, signal.SIGINT), (2, signal.SIGTERM)])
def test_a_signal_that_only_some_ranks_can_heed_ends_all_with_the_same_status(tmp_path, groups, number):
    path = tmp_path / "curve.nc"
    process = under_way(path, command(2, "-c", patched(STUCK), *MANY, "-o", path, "--groups", groups))
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 4
    # A rank that is ended in its step may say so before the others have ended it.
    assert 1 <= err.count("\n") <= 2
    assert all(line.startswith(f"witten: stopped by {number.name}") for line in err.splitlines()), err
    assert len(RateCurve.load(path).records) >= 2


@needs_mpi
def test_a_signal_to_one_rank_stops_all(tmp_path, monkeypatch):
    path = tmp_path / "curve.nc"
    code = SLOW.format(seconds=0.5) + "if rank == 1: open(os.environ['PID_FILE'], 'w').write(str(os.getpid()))"
    monkeypatch.setenv("PID_FILE", str(tmp_path / "pid"))
    process = under_way(path, command(2, "-c", patched(code), *MANY, "-o", path))
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGUSR1)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 4 and "stopped by SIGUSR1" in err and err.count("\n") == 1


def test_a_second_signal_ends_at_once(tmp_path):
    path = tmp_path / "curve.nc"
    code = SLOW.format(seconds="1000 if s > 0.12 else 0")
    process = under_way(path, [sys.executable, "-c", patched(code), *MANY, "-o", str(path)])
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):  # it waits for the learning rate in hand
        process.communicate(timeout=2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGINT
    assert len(RateCurve.load(path).records) == 2


@needs_mpi
def test_the_walltime_stops_all_ranks(tmp_path):
    path = tmp_path / "curve.nc"
    more = ("--groups", "2", "-o", path, "--walltime", "00:00:05")
    done = ranks(2, "-c", patched(SLOW.format(seconds=1.5)), *MANY, *more)
    assert done.returncode == 4 and "stopped at the walltime" in done.stderr and done.stderr.count("\n") == 1
    left = set(RateCurve.load(path).records) if path.exists() else set()
    assert len(left) < 12
    assert in_process(*MANY, "-o", path, "--resume").returncode == 0
    assert left < set(RateCurve.load(path).records)


# ----------------------------------------------------------------------------------------------------- the options
def test_walltimes_are_hours_minutes_seconds():
    assert option_values.parse_walltime(None) is None
    assert option_values.parse_walltime("00:50:00") == 3000
    assert option_values.parse_walltime("100:00:01") == 360_001
    assert option_values.parse_walltime("1-00:00:00") == 86_400


@pytest.mark.parametrize(
    "text", ["10:00", "50", "", "0:0:0", "00:00:00", "1:60:00", "-1:00:00", "1:00:00.5", "a:b:c", "٣:00:00"]
)
def test_other_walltimes_are_refused(text):
    with pytest.raises(RequestError, match="^--walltime"):
        option_values.parse_walltime(text)


def test_options_for_petsc_are_names_and_values():
    assert option_values.parse_petsc(None) == option_values.parse_petsc("") == {}
    found = option_values.parse_petsc("-eps_ncv 40 -st_pc_type cholesky -eps_target -0.1 -log_view --fancy 'two words'")
    assert found == {
        "eps_ncv": "40",
        "st_pc_type": "cholesky",
        "eps_target": "-0.1",
        "log_view": None,
        "fancy": "two words",
    }
    assert option_values.parse_petsc("-eps_ncv 20 -eps_ncv 40") == {"eps_ncv": "40"}
    assert option_values.parse_petsc("large -eps_ncv 40") == {"large": None, "eps_ncv": "40"}
    with pytest.raises(RequestError, match="'larger' is not an option"):
        option_values.parse_petsc("larger -eps_ncv 40")


@pytest.mark.parametrize("text", ["eps_ncv 40", "-eps_ncv 40 50", "40", "-eps_ncv 'open", "-", "--", "-eps_ncv=4"])
def test_what_is_no_option_for_petsc_is_refused(text):
    with pytest.raises(RequestError, match="^--petsc"):
        option_values.parse_petsc(text)


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_]*", fullmatch=True)
VALUES = st.none() | st.text(min_size=1).filter(lambda text: not text.startswith("-") and "\0" not in text)


@given(st.dictionaries(NAMES, VALUES))
def test_options_for_petsc_survive_the_shell(wanted):
    import shlex

    words = [word for name, value in wanted.items() for word in (f"-{name}", *([] if value is None else [value]))]
    assert option_values.parse_petsc(shlex.join(words)) == wanted


def test_without_an_mpi_library_one_line_says_what_to_do(monkeypatch):
    def init(arguments):
        raise ImportError("libmpi.so.12: cannot open shared object file\n/a/long/list of places")

    monkeypatch.setitem(sys.modules, "dolfinx_solver", types.ModuleType("dolfinx_solver"))
    monkeypatch.setitem(sys.modules, "petsc4py", types.SimpleNamespace(init=init))
    monkeypatch.delitem(sys.modules, "witten.parallel.load_dolfinx", raising=False)
    with pytest.raises(RequestError, match=r"needs MPI.*libmpi.so.12.*witten\[fem\].*witten doctor") as refused:
        import_module("witten.parallel.load_dolfinx")
    assert "\n" not in str(refused.value) and "/a/long" not in str(refused.value)

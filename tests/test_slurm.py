"""The documented job scripts on a Slurm of one node: limits, kills, arrays, and going on afterwards."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from launcher import environment, needs_mpi

import witten
from witten.cli.options.learning_rate_spec import parse_learning_rates
from witten.rates import RateCurve

ROOT = Path(__file__).parents[1]
TOOL = ROOT / "tools" / "slurm"
SWEEP, ARRAY = ROOT / "docs" / "slurm" / "sweep.sh", ROOT / "docs" / "slurm" / "array.sh"
# Seconds after which a job counts as lost.
PATIENCE = 600
SPEC = "0.1:0.5:26"
PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"))
MISSING = [name for name in ("slurmctld", "slurmd", "munged", "sbatch", "srun") if not shutil.which(name, path=PLACES)]

pytestmark = [
    needs_mpi,
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"Slurm is not installed ({', '.join(MISSING)} missing): make slurm"),
]

# What `witten` means in the jobs: learning rates that take a while, if the job asks for it.
SHIM = f"""#!{sys.executable}
import os, time
import witten.spectra.gap as sweep
true_spectrum = sweep._spectrum
def spectrum(*arguments, **options):
    time.sleep(float(os.environ.get("SLOW", 0)))
    return true_spectrum(*arguments, **options)
sweep._spectrum = spectrum
from witten.cli import main
main()
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The environment in which sbatch finds a Slurm of its own, and jobs find `witten`."""
    home = tmp_path_factory.mktemp("slurm")
    (home / "bin").mkdir()
    (home / "bin" / "witten").write_text(SHIM)
    (home / "bin" / "witten").chmod(0o755)
    path = os.pathsep.join((str(home / "bin"), str(Path(sys.executable).parent), PLACES))
    settings = {"SLURM_CONF": str(home / "slurm.conf"), "PYTHON": sys.executable, "PATH": path}
    clean = {name: value for name, value in environment().items() if not name.startswith(("SLURM_", "SBATCH_"))}
    subprocess.run([TOOL, "start", home], env=clean | settings, check=True, timeout=PATIENCE)
    yield clean | settings
    subprocess.run([TOOL, "stop", home], env=clean | settings, check=True, timeout=PATIENCE)


def run(cluster, *words):
    done = subprocess.run([*map(str, words)], env=cluster, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done
    return done.stdout


class Job:
    """A job of a script, from a directory."""

    def __init__(self, cluster, directory, script, *words, settings=(), **variables):
        self.cluster, self.directory = cluster, directory
        exported = ",".join(["ALL", *(f"{name}={value}" for name, value in variables.items())])
        line = ("sbatch", "--parsable", f"--export={exported}", "--chdir", directory, *settings, script, *words)
        self.number = run(cluster, *line).strip()

    def facts(self):
        """What Slurm knows of its tasks."""
        records = run(self.cluster, "scontrol", "--oneliner", "show", "job", self.number).splitlines()
        return [dict(word.split("=", 1) for word in record.split() if "=" in word) for record in records]

    def ended(self):
        """The (state, exit status) of its tasks when all have ended."""
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit:
            facts = self.facts()
            if not {fact["JobState"] for fact in facts} & {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING"}:
                return [(fact["JobState"], fact["ExitCode"].split(":")[0]) for fact in facts]
            time.sleep(0.2)
        raise AssertionError(f"still not ended: {self.facts()}\n{self.log()}")

    def log(self):
        return "".join(path.read_text() for path in sorted(self.directory.glob(f"*{self.number}*.log")))


def records(path):
    return RateCurve.load(path).records if path.exists() else ()


def wait_for(path, count):
    limit = time.monotonic() + PATIENCE
    while len(records(path)) < count:
        assert time.monotonic() < limit, f"{path} does not come"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def jobs(cluster, tmp_path_factory):
    """All jobs at once: each has to wait for a clock of Slurm's."""
    here = tmp_path_factory.mktemp("jobs")
    sweep = (SWEEP, "double-well", "--lr", SPEC, "--groups", "2")
    limited, killed, array = (here / name for name in ("limited", "killed", "array"))
    for directory in (limited, killed, array):
        directory.mkdir()
    # Slurm looks at limits every 30 s and signals up to a minute early: here after 20 to 50 s.
    at_limit = ("--time=1", "--signal=USR1@10", "--job-name=limited", "--ntasks=2")
    started = {
        "limited": Job(cluster, limited, *sweep, "-o", "curve.nc", settings=at_limit, SLOW=5),
        "after-limited": Job(
            cluster,
            limited,
            *sweep,
            "-o",
            "curve.nc",
            settings=("--time=10", "--signal=USR1@60", "--job-name=limited", "--ntasks=3"),
        ),
        "killed": Job(
            cluster, killed, *sweep, "-o", "curve.nc", settings=("--job-name=killed", "--ntasks=2"), SLOW=0.5
        ),
    }
    (array / "objectives.txt").write_text("double-well\nx**4/4 - x**2/2 + x/10\n")
    started["array"] = Job(cluster, array, ARRAY, "objectives.txt", "--lr", "0.2,0.4", settings=("--array=1-2",))
    plain = here / "plain.sh"
    plain.write_text("#!/bin/bash\nwitten --version\nsrun --mpi=none witten --version\nexit 0\n")
    started["plain"] = Job(cluster, here, plain, settings=("--ntasks=2", "--output=plain-%j.log"))
    yield started
    for job in started.values():
        subprocess.run(["scancel", job.number], env=cluster, capture_output=True, timeout=PATIENCE)


@pytest.fixture(scope="module")
def serial():
    return witten.gap("double-well", parse_learning_rates(SPEC))


def assert_whole(path, serial, before):
    whole = RateCurve.load(path)
    assert whole.learning_rates.tolist() == serial.learning_rates.tolist()
    np.testing.assert_allclose(whole.log_rates, serial.log_rates, rtol=0, atol=1e-9)
    assert set(before) <= set(whole.records)  # their seconds too: nothing was computed again


def test_every_task_of_an_array_has_its_objective(jobs):
    job = jobs["array"]
    assert job.ended() == [("COMPLETED", "0")] * 2, job.log()
    for task, objective in enumerate(("double-well", "x**4/4 - x**2/2 + x/10"), 1):
        found = RateCurve.load(job.directory / f"gap-{task}.nc")
        assert found.objective == objective
        np.testing.assert_allclose(found.rates, witten.gap(objective, [0.2, 0.4]).rates, rtol=1e-9)


def test_a_job_that_is_killed_outright_is_resumed(cluster, jobs, serial):
    job = jobs["killed"]
    path = job.directory / "curve.nc"
    wait_for(path, 3)
    run(cluster, "scancel", "--signal=KILL", "--full", job.number)
    assert job.ended()[0][0] in ("FAILED", "CANCELLED", "NODE_FAIL")
    left = records(path)
    assert 3 <= len(left) < 26
    line = (SWEEP, "double-well", "--lr", SPEC, "-o", "curve.nc")
    again = Job(cluster, job.directory, *line, settings=("--job-name=killed", "--ntasks=1"))
    assert again.ended() == [("COMPLETED", "0")], again.log()
    assert_whole(path, serial, left)


def test_a_job_at_its_limit_stops_cleanly_and_the_next_one_goes_on(jobs, serial):
    first, second = jobs["limited"], jobs["after-limited"]
    path = first.directory / "curve.nc"
    assert first.ended() == [("FAILED", "4")], first.log()  # 4: stopped early, everything saved
    assert "stopped by SIGUSR1" in first.log() and "--resume goes on" in first.log()
    left = records(path)
    assert second.ended() == [("COMPLETED", "0")], second.log()
    assert 1 <= len(left) <= 26
    assert_whole(path, serial, left)
    done = int(first.log().split("stopped by SIGUSR1: ")[1].split(" of 26")[0])
    assert 1 <= done < 26


def test_a_batch_script_may_start_witten_without_srun(jobs):
    job = jobs["plain"]
    assert job.ended() == [("COMPLETED", "0")]
    assert job.log().count(f"witten {witten.__version__}") == 1
    assert "2 processes were started, but MPI sees 1" in job.log()

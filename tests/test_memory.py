"""Memory: what limits leave, and what is refused before it is begun."""

import os
import subprocess
import sys

import numpy as np
import pytest
from launcher import PATIENCE, in_process

import witten
from witten import Box, Grid, memory
from witten.errors import ConvergenceError

GIB = 2**30


def limits(monkeypatch, tmp_path, cgroup, files=(), **environment):
    """All limits as they are on a machine whose control groups are in a folder, by whose they are."""
    for name, text in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "groups").write_text(cgroup)
    true_read = memory.Path.read_text

    def read(path, *arguments, **keywords):
        return true_read(tmp_path / "groups" if str(path) == "/proc/self/cgroup" else path, *arguments, **keywords)

    monkeypatch.setattr(memory.Path, "read_text", read)
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return sorted((left, whose) for left, whose in memory._limits() if "ulimit" not in whose)


def test_the_control_group_counts_its_parents_too(monkeypatch, tmp_path):
    files = (
        ("job/step/memory.max", "max\n"), ("job/step/memory.current", "1\n"), ("job/step/memory.stat", "anon 1\n"),
        ("job/memory.max", "1000\n"), ("job/memory.current", "600\n"),
        ("job/memory.stat", "anon 1\ninactive_file 100\n"),
    )  # fmt: skip
    left, whose = limits(monkeypatch, tmp_path, "0::/job/step\n", files)[0]
    assert left == 500 and "control group" in whose


def test_control_groups_of_the_first_version(monkeypatch, tmp_path):
    files = (
        ("memory/job/memory.limit_in_bytes", "1000\n"), ("memory/job/memory.usage_in_bytes", "600\n"),
        ("memory/job/memory.stat", "total_inactive_file 50\n"),
    )  # fmt: skip
    assert limits(monkeypatch, tmp_path, "9:cpu:/\n4:memory:/job\n", files)[0][0] == 450


@pytest.mark.parametrize(
    ("environment", "megabytes"),
    [
        ({"SLURM_MEM_PER_NODE": "4096", "SLURM_TASKS_PER_NODE": "2(x3)"}, 2048),
        ({"SLURM_MEM_PER_CPU": "1024", "SLURM_CPUS_ON_NODE": "3"}, 3072),
    ],
)
def test_what_slurm_gave_is_shared_by_the_tasks_of_a_node(monkeypatch, tmp_path, environment, megabytes):
    found = limits(monkeypatch, tmp_path, "", **environment)
    (left,) = (left for left, whose in found if "Slurm" in whose)
    assert megabytes * 2**20 - 2 * GIB < left < megabytes * 2**20


def test_this_machine_says_what_is_free():
    assert 0 < min(memory._limits())[0] < float("inf")
    memory.require_memory(1.0, "a byte", "")


@pytest.fixture
def small(monkeypatch):
    """A machine with 30 MB left."""
    monkeypatch.setattr(memory, "_limits", lambda: iter([(3e7, "this machine")]))


def test_grids_are_refused_beforehand_and_what_is_done_is_printed(small):
    done = in_process("gap", "(x^2-1)^2/4+(x-y)^2/2", "--lr", "0.3,0.3", "--rtol", "1e-10", "--json")
    assert done.returncode == 1 and done.stdout.count("\n") == 1
    assert "nodes would take about" in done.stderr and "rtol" in done.stderr and done.stderr.count("\n") == 1


def test_paths_are_refused_beforehand_where_all_must_be_held(small):
    pytest.importorskip("deeptime")
    with pytest.raises(ConvergenceError, match="1000000000 paths at once would take about 1e"):
        witten.simulate_rate("double-well", 0.2, estimator="msm", paths=10**9)
    with pytest.raises(ConvergenceError, match="observations of 16384 paths would take about"):
        witten.simulate_rate("double-well", 0.5, estimator="autocorrelation", paths=10**9)


def test_records_are_printed_though_memory_ends(monkeypatch):
    import witten.spectra.gap as gap

    true, done = gap._spectrum, []

    def spectrum(*arguments, **options):
        if done:
            raise MemoryError
        done.append(1)
        return true(*arguments, **options)

    monkeypatch.setattr(gap, "_spectrum", spectrum)
    found = in_process("gap", "x^2/2", "--lr", "0.2,0.1", "--json")
    assert found.returncode == 1 and '"learning_rate": 0.2' in found.stdout and "out of memory" in found.stderr


def test_a_box_that_is_mostly_empty_is_cropped_to_its_nodes():
    rng = np.random.default_rng(0)
    mask = np.zeros((30, 40), dtype=bool)
    mask[5:9, 20:27] = rng.random((4, 7)) < 0.8
    grid = Grid(Box((0.0, 0.0), (3.0, 4.0)), mask.shape, mask)
    around = Grid(Box((0.0, 0.0), (3.0, 4.0)), mask.shape, mask, periodic=(True, False))
    assert grid.cropped().mask.size <= 4 * 7 and around.cropped().mask.size <= 30 * 7
    for each in (grid, around):
        np.testing.assert_allclose(each.cropped().points, each.points, rtol=1e-14)
        np.testing.assert_allclose(each.cropped().spacing, each.spacing, rtol=1e-14)
    full = Grid(Box((0.0,), (1.0,)), (4,))
    assert full.cropped() is full


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="the system has no such device")
def test_a_mesh_without_end_is_refused():
    done = in_process("gap", "x^2/2+y^2/2", "--lr", "0.1", "--mesh", "/dev/zero")
    assert done.returncode == 2 and "not an ordinary file" in done.stderr


def test_a_limit_of_the_shell_is_known():
    code = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31)); from witten.memory import *; "
    code += "require_memory(2**32, 'it', 'nothing helps')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert "4 GiB" in done.stderr and "ulimit" in done.stderr

"""Where compiled code is kept: in a private temporary folder if nothing else can be written, and whole, however many
processes write it at once."""

import os
import subprocess
import sys

import pytest
from launcher import PATIENCE, python

from witten import cache_folder

NOWHERE = os.devnull


@pytest.fixture
def homeless(monkeypatch, tmp_path):
    """No home, no cache, and a temporary folder of its own."""
    monkeypatch.setattr(cache_folder.tempfile, "gettempdir", lambda: str(tmp_path))
    for name in ("NUMBA_CACHE_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", f"{NOWHERE}/cache")
    return tmp_path


def test_libraries_are_told_of_a_private_folder(homeless):
    for _ in range(2):  # the next process takes the same one
        cache_folder.provide(f"{NOWHERE}/witten")
        (folder,) = homeless.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert os.environ["XDG_CACHE_HOME"] == str(folder)
        assert os.environ["NUMBA_CACHE_DIR"] == f"{folder}/numba"
        os.environ["XDG_CACHE_HOME"] = f"{NOWHERE}/cache"


def test_kernels_stay_in_a_package_that_can_be_written(homeless, tmp_path_factory):
    cache_folder.provide(str(tmp_path_factory.mktemp("package")))
    assert "NUMBA_CACHE_DIR" not in os.environ and os.environ["MPLCONFIGDIR"].startswith(str(homeless))


def test_a_cache_that_can_be_written_is_left_to_the_libraries(homeless, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("home") / "cache"))
    cache_folder.provide(f"{NOWHERE}/witten")
    assert "NUMBA_CACHE_DIR" not in os.environ and not list(homeless.iterdir())


@pytest.mark.parametrize("taken", ["by a link", "by everybody", "by a file"])
def test_a_folder_that_others_can_write_is_not_used(homeless, monkeypatch, taken, tmp_path_factory):
    path = homeless / f"witten-{os.getuid()}"
    if taken == "by a link":
        path.symlink_to(tmp_path_factory.mktemp("other"))
    elif taken == "by a file":
        path.touch()
    else:
        path.mkdir()
        path.chmod(0o777)
    monkeypatch.setattr(cache_folder.tempfile, "mkdtemp", lambda prefix: str(homeless / "own"))
    cache_folder.provide(f"{NOWHERE}/witten")
    assert os.environ["XDG_CACHE_HOME"] == str(homeless / "own")


def test_matplotlib_does_not_complain_of_a_missing_home(tmp_path):
    nothing = {"HOME": NOWHERE, "XDG_CACHE_HOME": f"{NOWHERE}/cache", "XDG_CONFIG_HOME": f"{NOWHERE}/config"}
    environment = {name: value for name, value in os.environ.items() if name != "MPLCONFIGDIR"} | nothing
    environment["TMPDIR"] = str(tmp_path)
    words = [sys.executable, "-c", "import witten, matplotlib; print(matplotlib.get_cachedir())"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, env=environment)
    assert (done.stdout, done.stderr) == (f"{tmp_path}/witten-{os.getuid()}/matplotlib\n", "")


# A tree of so many nodes is built by a compiled kernel.
KERNEL = """
import numba, numpy
from witten import stopwatch
from witten.linalg.merge_tree import merge_tree

stopwatch.announce_compilation(lambda: print("compiling"))
stopwatch.seconds()  # listens to Numba
print(merge_tree(numpy.cos(numpy.arange(150.0))))
"""


def test_processes_that_meet_an_empty_cache_leave_a_whole_one(tmp_path):
    """Each may compile; the next one compiles nothing and finds the same."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    words = python("-c", KERNEL, environment=environment)
    at_once = [subprocess.Popen(words, stdout=-1, stderr=-1, text=True, env=environment) for _ in range(3)]
    ended = [each.communicate(timeout=PATIENCE) for each in at_once]
    later = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, env=environment)
    assert later.stderr == "" and later.stdout.startswith("MergeTree")
    assert {(out.removeprefix("compiling\n"), err) for out, err in ended} == {(later.stdout, "")}
    assert list(tmp_path.rglob("*.nbc")) and not list(tmp_path.rglob("*.tmp.*"))

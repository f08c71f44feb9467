"""Standard output and standard error that are closed, full, unread or in ASCII; and what the user's code prints."""

import json
import os
import subprocess
import sys

import pytest
from launcher import PATIENCE

from witten.rates import RateCurve

OBJECTIVE = """
import os
from witten import Objective
print("imported")
os.write(1, b"raw")
f = Objective.from_formula("x^2/2")
"""


def shell(tmp_path, line, **environment):
    """A line of sh in which WITTEN is the command line, ended."""
    words = ["sh", "-c", line.replace("WITTEN", f"'{sys.executable}' -m witten")]
    setting = {**os.environ, **environment}
    return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, env=setting)


def test_nobody_has_to_listen_to_standard_error(tmp_path):
    done = shell(tmp_path, "WITTEN gap x^2/2 --lr 0.1 -o a.nc 2>&-")
    assert done.returncode == 0 and "saved in a.nc" in done.stdout
    assert len(RateCurve.load(tmp_path / "a.nc").records) == 1
    assert shell(tmp_path, "WITTEN gap x^ --lr 0.1 2>/dev/full").returncode == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no full device")
@pytest.mark.parametrize("line", ["objectives --json >/dev/full", "objectives >&-", "--help >/dev/full"])
def test_an_output_that_cannot_be_written_is_said_in_a_line(tmp_path, line):
    done = shell(tmp_path, f"WITTEN {line}")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("witten: cannot write standard output: "), done.stderr


def test_standard_output_is_ours_alone(tmp_path):
    """The user's code prints to standard error; names that the encoding lacks are escaped."""
    (tmp_path / "ünï.py").write_text(OBJECTIVE)
    ascii_only = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = shell(tmp_path, "WITTEN theory ünï.py:f --lr 0.1 --json", **ascii_only)
    assert done.returncode == 0 and done.stdout.count("\n") == 1, done.stderr
    assert json.loads(done.stdout)["objective"] == "ünï.py:f"
    assert "imported" in done.stderr and "raw" in done.stderr

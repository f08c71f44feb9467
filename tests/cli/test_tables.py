"""--csv, --param and --learning-rate: options that all commands of their kind have."""

import csv
import json

import pytest
from launcher import in_process

from witten.cli import COMMANDS, load
from witten.cli.tables import table_rows


def read(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_table_has_the_numbers_of_the_json(tmp_path):
    words = ("gap", "a*x^4/4 - x^2/2", "--param", "a=1", "--learning-rate", "0.1,0.0001", "--csv", "rates.csv")
    done = in_process(*words, "--json", cwd=tmp_path)
    records = json.loads(done.stdout)["records"]
    rows = read(tmp_path / "rates.csv")
    assert [float(row["log10_rate"]) for row in rows] == [each["log10_rate"] for each in records]
    assert rows[1]["rate"] == "" and records[1]["rate"] is None
    assert "table in rates.csv" in done.stderr


def test_a_table_alone_prints_nothing(tmp_path):
    done = in_process("landscape", "double-well", "--param", "barrier=0.5", "--csv", "points.csv", cwd=tmp_path)
    rows = read(tmp_path / "points.csv")
    assert done.stdout == ""
    assert [(row["list"], row["x.0"]) for row in rows][:2] == [("minima", "-1.0"), ("minima", "1.0")]
    assert {row["barrier"] for row in rows if row["list"] == "pairs"} == {"", "0.5"}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--csv", "nowhere/a.csv"), "there is no directory"),
        (("--csv", "a.txt"), "ends in .csv"),
        (("--param", "a"), "write name=value"),
    ],
)
def test_wrong_requests_are_refused_at_once(tmp_path, words, why):
    done = in_process("gap", "double-well", "--lr", "0.1", *words, cwd=tmp_path)
    assert done.returncode == 2 and why in done.stderr


def test_lists_within_lists_and_columns():
    checks = [{"what": "x", "ok": True}, {"what": "y", "ok": False}]
    assert table_rows({"studies": [{"name": "a", "checks": checks}]}) == [
        {"name": "a", "what": "x", "ok": True},
        {"name": "a", "what": "y", "ok": False},
    ]
    assert table_rows({"ratio": 2.0, "one": [3.0]}) == [{"ratio": 2.0, "one.0": 3.0}]


def test_every_command_of_the_kind_has_them():
    options = {name: {option for each in load(name).params for option in each.opts} for name in COMMANDS}
    for name, own in options.items():
        assert ("--learning-rate" in own) == ("--lr" in own), name
        assert ("--csv" in own) == ("--json" in own and name not in ("plot", "doctor")), name
        assert ("--param" in own) == ("--center" in own), name

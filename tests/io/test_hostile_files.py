"""Files that are broken, have impossible names, or that several processes write at once."""

import contextlib
import gc
import io
import json
import os
import random
import subprocess
import sys
import zlib

import h5py
import pytest
import xarray
from hostile import broken
from launcher import PATIENCE, in_process

from witten.errors import ConvergenceError, RequestError
from witten.io import atomic_files, netcdf
from witten.rates import RateCurve, RateRecord

RATES = (0.1, 0.2)
LONG = "n" * 300


@pytest.fixture
def saved(tmp_path):
    """A curve on disk."""
    records = tuple(RateRecord(s, -1.0, -1.1, -0.9, True, "test", 1, 0.0) for s in RATES)
    RateCurve(records, "finite-differences", "f", {"noise": 1.0}).save(tmp_path / "a.nc")
    return tmp_path / "a.nc"


def reseal(path):
    """The sum of what a file holds now."""
    data = path.read_bytes()
    path.write_bytes(data + netcdf.SEAL % zlib.crc32(data))


@pytest.mark.parametrize(
    "options",
    ["[1,2]", "5", 5, [1.0, 2.0], "null", "x", '{"a": NaN}', '{"a": 1e400}', '{"noise": "x"}', '{"noise": []}',
     '{"noise": -1}', "[" * 100_000, '{"a":' * 1000 + "1" + "}" * 1000],
    ids=lambda value: str(value)[:12],
)  # fmt: skip
def test_options_that_cannot_be(saved, options):
    with h5py.File(saved, "a") as file:
        file.attrs["options"] = options
    reseal(saved)
    with pytest.raises(RequestError, match="not a whole rate curve"):
        RateCurve.load(saved)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 0.0])
def test_learning_rates_that_cannot_be(saved, value):
    with h5py.File(saved, "a") as file:
        file["learning_rate"][0] = value
    reseal(saved)
    with pytest.raises(RequestError, match="a learning rate is not positive"):
        RateCurve.load(saved)


def test_a_damaged_file_is_known_before_it_is_read(saved):
    """HDF5 does not end on one whose heap has become zeros."""
    whole = saved.read_bytes()
    heap = whole.index(b"GCOL")
    for begin, end in ((heap + 16, heap + 300), (len(whole) - 6, len(whole) - 4)):
        saved.write_bytes(whole[:begin] + bytes(end - begin) + whole[end:])
        with pytest.raises(RequestError, match="is damaged"):
            RateCurve.load(saved)
    saved.write_bytes(whole)
    with xarray.open_dataset(saved, engine="h5netcdf") as found:  # whoever does not know the sum reads it all the same
        assert found["learning_rate"].values.tolist() == list(RATES)
    with h5py.File(saved, "a") as file:
        file.attrs["note"] = "changed by somebody else"
    assert RateCurve.load(saved).learning_rates.tolist() == list(RATES)


def test_a_damaged_file_without_a_sum_is_read_by_another_process_first(saved, monkeypatch):
    """Where HDF5 does not end; it would hear no signal."""
    monkeypatch.setattr(netcdf, "READING", 1)
    whole = saved.read_bytes()[: -len(netcdf.SEAL % 0)]
    heap = whole.index(b"GCOL")
    saved.write_bytes(whole[: heap + 16] + bytes(284) + whole[heap + 300 :])
    with pytest.raises(RequestError, match="is damaged"):
        RateCurve.load(saved)


def test_names_that_are_no_words(saved):
    with h5py.File(saved, "a") as file:
        file.attrs["method"] = [1, 2]
    reseal(saved)
    with pytest.raises(RequestError, match="no words"):
        RateCurve.load(saved)


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_broken_files_are_refused_in_silence(saved):
    """The file may be cut, or some of its bits flipped; what is read then is another curve, or nothing."""
    whole, rng, printed = saved.read_bytes(), random.Random(0), io.StringIO()
    for _ in range(40):
        saved.write_bytes(broken(whole, rng))
        with contextlib.redirect_stderr(printed), contextlib.suppress(RequestError):
            RateCurve.load(saved)
    gc.collect()
    assert printed.getvalue() == ""


@pytest.mark.parametrize(
    "words",
    [("-o", f"{LONG}.nc"), ("-o", f"{'n' * 250}.nc"), ("--plot", f"{LONG}.png"), ("--mesh", f"{LONG}.msh"),
     f"{LONG}.py:f"],
    ids=lambda words: "-".join(words)[:10],
)  # fmt: skip
def test_names_that_are_too_long(tmp_path, words):
    objective, more = ("x^2/2+y^2/2", words) if isinstance(words, tuple) else (words, ())
    done = in_process("gap", objective, "--lr", "0.1", *more, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "unexpected" not in done.stderr


def test_a_circle_of_links_is_not_replaced(tmp_path):
    (tmp_path / "a.nc").symlink_to(tmp_path / "b.nc")
    (tmp_path / "b.nc").symlink_to(tmp_path / "a.nc")
    with pytest.raises(RequestError, match="lead in a circle"):
        atomic_files.check_writable(tmp_path / "a.nc", (".nc",))
    (tmp_path / "c.nc").symlink_to(tmp_path / "d.nc")  # leads to a file that is yet to come
    atomic_files.write_bytes(atomic_files.check_writable(tmp_path / "c.nc", (".nc",)), b"new")
    assert (tmp_path / "d.nc").read_bytes() == b"new"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with names")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.nc")
    with pytest.raises(RequestError, match="not an ordinary file"):
        RateCurve.load(tmp_path / "a.nc")


def test_two_processes_that_write_one_file_never_publish_half_of_one(tmp_path):
    code = (
        "import sys; from witten.io.atomic_files import write_bytes, check_writable\n"
        "for _ in range(60):\n"
        "    check_writable(sys.argv[1], ('.nc',))\n"
        "    write_bytes(sys.argv[1], sys.argv[2].encode() * int(sys.argv[3]))"
    )
    path = tmp_path / "a.nc"
    both = ("a", "2000000"), ("b", "1000000")
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), *each], stderr=-1, text=True) for each in both]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            content = path.read_bytes()
            seen.add((content[:1], len(content), len(set(content))))
    assert [writer.communicate(timeout=PATIENCE)[1] for writer in writers] == ["", ""]
    assert seen <= {(b"a", 2_000_000, 1), (b"b", 1_000_000, 1)} and os.listdir(tmp_path) == ["a.nc"]


def test_what_the_file_holds_is_printed_though_the_disk_is_full(tmp_path, monkeypatch):
    words = ("gap", "x^2/2", "-o", tmp_path / "a.nc", "--json", "--lr")
    assert in_process(*words, "0.1").returncode == 0

    def full(path, data):
        raise ConvergenceError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr(netcdf, "write_bytes", full)
    done = in_process(*words, "0.2,0.1", "--resume")
    assert done.returncode == 1 and "No space left" in done.stderr
    assert [record["learning_rate"] for record in json.loads(done.stdout)["records"]] == [0.1]

"""What must hold on any number of ranks: this file runs by itself, and under mpiexec (see test_mpi.py)."""

import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray

import witten
from witten import parallel
from witten.errors import ConvergenceError, RequestError, Stopped
from witten.parallel import agree, alone, collectively, communicator, world
from witten.parallel.task_farm import deal
from witten.rates import RateCurve
from witten.sgd.sde_comparison import SDE, chain_beside_sde

pytestmark = pytest.mark.ranks
RATES = {0.4: 1.3477798375e-1, 0.2: 3.3545287308e-2, 0.1: 2.7761406366e-3}


@pytest.fixture
def shared(tmp_path):
    """A directory that all ranks mean."""
    return Path(world().bcast(str(tmp_path)))


class Unsendable(Exception):
    def __init__(self):
        super().__init__("cannot be sent")
        self.function = lambda: None


# --------------------------------------------------------------------------------------------- the communicator
def test_every_rank_is_heard():
    comm = world()
    ranks = list(range(comm.size))
    assert comm.allgather(comm.rank) == ranks
    assert comm.bcast(("from", comm.rank), root=comm.size - 1) == ("from", comm.size - 1)
    assert [comm.allreduce(comm.rank + 1, name) for name in ("sum", "min", "max")] == [
        comm.size * (comm.size + 1) // 2,
        1,
        comm.size,
    ]
    np.testing.assert_array_equal(comm.allreduce(np.array([1.0, comm.rank])), [comm.size, sum(ranks)])
    comm.barrier()


def test_a_sum_has_the_same_bits_on_every_rank():
    comm = world()
    total = comm.allreduce(0.1 * (comm.rank + 1))
    assert len(set(comm.allgather(total))) == 1


def test_colours_part_the_ranks():
    comm = world()
    part = comm.split(comm.rank % 2)
    assert part.allgather(comm.rank) == [rank for rank in range(comm.size) if rank % 2 == comm.rank % 2]
    assert (part.raw is None) == (part.size == 1)
    part.free()
    assert comm.split(None) is None


def test_libraries_get_a_communicator_of_mpi():
    pytest.importorskip("mpi4py")
    comm = world()
    assert (comm.mpi.rank, comm.mpi.size) == (comm.rank, comm.size)
    again = communicator(comm.mpi)
    assert (again.rank, again.size) == (comm.rank, comm.size)
    assert communicator(comm.mpi).side is again.side  # one duplicate, however often it is asked for
    assert communicator(comm) is comm


def test_alone_is_one_rank():
    with alone():
        assert (world().rank, world().size) == (0, 1)
        assert witten.gap("double-well", 0.4).rates == pytest.approx(RATES[0.4], rel=1e-4)


# ------------------------------------------------------------------------------------- errors are the same on all
def test_what_rank_0_finds_is_known_to_all():
    comm = world()
    assert agree(comm, lambda: ("found by", comm.rank)) == ("found by", 0)


@pytest.mark.parametrize(
    "error", [RequestError("no such thing"), KeyError("x"), Unsendable()], ids=lambda error: type(error).__name__
)
def test_what_rank_0_raises_is_raised_on_all(error):
    def fail():
        raise error

    expected = type(error) if world().rank == 0 or not isinstance(error, Unsendable) else ConvergenceError
    with pytest.raises(expected, match="no such thing|x|cannot be sent"):
        agree(world(), fail)


def test_what_one_rank_raises_is_raised_on_all():
    comm = world()
    last = comm.size - 1

    def fail():
        if comm.rank == last:
            raise RequestError(f"wrong on rank {comm.rank}")

    with pytest.raises(RequestError, match=f"wrong on rank {last}"):
        collectively(comm, fail)
    assert collectively(comm, lambda: comm.rank) == comm.rank


def test_an_error_that_all_meet_is_no_reason_to_end_the_run():
    with pytest.raises(ConvergenceError, match="alike"), parallel.together(world()):
        raise ConvergenceError("alike")


# ----------------------------------------------------------------------------------------------------- dealing
def every_number_of_groups():
    return range(1, world().size + 1)


def test_every_task_is_done_once_by_some_group():
    comm = world()
    for groups in every_number_of_groups():
        done = {}

        def keep(task, value, done=done):
            assert task not in done
            done[task] = value

        reason = deal(list("abcdefg"), lambda task, group: (task, group.size), keep, comm=comm, groups=groups)
        assert reason is None
        if comm.rank == 0:
            assert sorted(done) == list("abcdefg") and all(value[0] == task for task, value in done.items())
            computing = comm.size - (groups > 1 and comm.size % groups == 1)
            assert {size for _, size in done.values()} <= {computing // groups, -(-computing // groups)}


def test_without_threads_the_result_is_the_same(monkeypatch):
    monkeypatch.setattr(parallel, "threads_may_call", lambda: False)
    test_every_task_is_done_once_by_some_group()


@pytest.mark.parametrize("groups", [0, -1, 1000])
def test_impossible_groups_are_refused(groups):
    with pytest.raises(RequestError, match=f"cannot make {groups} groups"):
        deal([1], lambda task, group: task, print, comm=world(), groups=groups)


@pytest.mark.parametrize("where", ["compute", "keep"])
def test_a_failure_is_raised_on_all_and_nothing_more_is_dealt(where):
    comm = world()
    for groups in every_number_of_groups():
        kept = []

        def compute(task, group):
            if where == "compute" and task == 3:
                raise ConvergenceError("task 3 fails")
            return task

        def keep(task, value, kept=kept):
            if where == "keep" and task == 3:
                raise ConvergenceError("task 3 fails")
            kept.append(task)

        with pytest.raises(ConvergenceError, match="task 3 fails"):
            deal(list(range(1000)), compute, keep, comm=comm, groups=groups)
        assert 3 not in kept and len(kept) < 1000


def test_a_reason_on_any_rank_stops_all():
    comm = world()
    for groups in every_number_of_groups():
        seen = []

        def compute(task, group, seen=seen):
            seen.append(task)
            time.sleep(1e-3)  # so that no group does all before another has asked
            return task

        # The last rank computes in every partition.
        stop = lambda: "enough" if comm.rank == comm.size - 1 and len(seen) >= 2 else None  # noqa: B023, E731
        assert deal(list(range(10_000)), compute, lambda *_: None, comm=comm, groups=groups, stop=stop) == "enough"
        assert len(seen) < 10_000


def test_warnings_of_all_groups_are_given_on_rank_0():
    comm = world()

    def compute(task, group):
        if group.rank == 0:
            warnings.warn(f"mind {task}", UserWarning, stacklevel=1)

    for groups in every_number_of_groups():
        if comm.rank == 0:
            with pytest.warns(UserWarning) as caught:
                deal(list(range(5)), compute, lambda *_: None, comm=comm, groups=groups)
            assert sorted(str(each.message) for each in caught) == [f"mind {task}" for task in range(5)]
        else:
            with warnings.catch_warnings(record=True):
                deal(list(range(5)), compute, lambda *_: None, comm=comm, groups=groups)


# -------------------------------------------------------------------------------------------------------- rates
def test_rates_are_those_of_one_rank():
    with alone():
        serial = witten.gap("double-well:dim=2", [0.4, 0.2])
    curve = witten.gap("double-well:dim=2", [0.4, 0.2])
    np.testing.assert_allclose(curve.rates, serial.rates, rtol=1e-9)
    assert len({tuple(rates) for rates in world().allgather(curve.rates.tolist())}) == 1


def test_the_file_does_not_depend_on_the_groups(shared):
    comm = world()
    asked = [0.2, 0.4, 0.1, 0.3]
    with alone():
        serial = witten.gap("double-well", asked)
    for groups in every_number_of_groups():
        path = shared / f"{groups}.nc"
        curve = witten.gap("double-well", asked, output=path, groups=groups, walltime=3600.0)
        for found in (curve, RateCurve.load(path)):
            assert found.learning_rates.tolist() == asked
            np.testing.assert_allclose(found.log_rates, serial.log_rates, rtol=0, atol=1e-9)
            assert found.options == serial.options and "walltime" not in found.options
        comm.barrier()
    with xarray.open_dataset(shared / "1.nc") as first, xarray.open_dataset(shared / f"{comm.size}.nc") as last:
        for name in set(first) - {"seconds"}:
            np.testing.assert_array_equal(first[name], last[name])


def test_a_stopped_sweep_goes_on(shared):
    asked = [0.4, 0.2, 0.1]
    done = []
    path = shared / "curve.nc"
    stop = lambda: "time for lunch" if done else None  # noqa: E731
    with pytest.raises(Stopped, match="time for lunch") as stopped:
        witten.gap("double-well", asked, output=path, progress=done.append, stop=stop)
    assert stopped.value.curve.learning_rates.tolist() == [0.4] == RateCurve.load(path).learning_rates.tolist()
    world().barrier()
    curve = witten.gap("double-well", asked, output=path, resume=True, groups=world().size)
    assert curve.rates == pytest.approx(list(RATES.values()), rel=1e-4)
    assert curve.records[0] == stopped.value.curve.records[0]


def test_spectra_are_the_same_on_all_ranks():
    found = witten.spectrum("double-well", 0.2, 3)
    assert found.gap == pytest.approx(RATES[0.2], rel=1e-4)
    assert len(set(world().allgather(found.rates.tobytes()))) == 1


def test_a_wrong_request_is_wrong_on_all_ranks(shared):
    with pytest.raises(RequestError, match="ends in .nc"):
        witten.gap("double-well", [0.1], output=shared / "curve.txt")
    with pytest.raises(RequestError, match="cannot make"):
        witten.gap("double-well", [0.1], groups=world().size + 1)
    with pytest.raises(RequestError, match="no Gibbs measure"):
        witten.gap("-x**2", [0.1])


def test_each_rank_takes_rates_of_a_chain_and_all_know_them():
    found = chain_beside_sde("x^2/2", [0.4, 0.2, 0.1])
    for name, truth in (("", -np.log1p([-0.4, -0.2, -0.1]) / [0.4, 0.2, 0.1]), (SDE, np.ones(3))):
        np.testing.assert_allclose(found.curves[name].rates, truth, rtol=1e-6)
    assert len(set(world().allgather(tuple(found.curves[""].rates)))) == 1


def test_each_rank_takes_laws_and_all_know_them(shared):
    asked, file = [0.02, 0.04, 0.03], shared / "law.nc"
    found = witten.eyring_kramers("double-well:tilt=0.1", asked, output=file)
    again = witten.eyring_kramers("double-well:tilt=0.1", [*asked, 0.05], output=file, resume=True)
    alone = witten.eyring_kramers("double-well:tilt=0.1", [*asked, 0.05], comm=parallel.Communicator())
    assert found.log_rates.tolist() == alone.log_rates.tolist()[:3] and found.learning_rates.tolist() == asked
    assert again.log_rates.tolist() == alone.log_rates.tolist()
    assert len(set(world().allgather(tuple(again.log_rates)))) == 1
    with pytest.raises(RequestError, match="confining"):
        witten.eyring_kramers("log(1+x^2)", asked)

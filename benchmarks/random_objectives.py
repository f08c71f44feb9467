"""Claim: 99 % of the rates of random objectives lie inside their bars, none takes a minute, and the median bar is
within 50 times the error.

Four hundred objectives of known rates - polynomials, Gaussians, waves, kinks, narrow, far and shallow wells, plateaus;
shifted, dilated, turned and added - by differences, and sixty of the plane and of space that are no sums by differences
and by elements of degrees 2 and 3, which must agree (`tests/random_cases.py`, `tests/random_coupled.py`). Each runs in
a process of its own with a limit of time and memory.

    random_objectives.py --table results/random.csv
    random_objectives.py --table results/random.csv --again outside,timeout
    random_objectives.py --table results/fresh.csv --seed 7 --kinds kinked,plane --count 20

The table is written after every case, and what it holds already is not computed again. Kinds come in turns, so that a
run that is broken off is a fair part of the whole.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields, replace
from itertools import groupby
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from measure import table

sys.path.append(str(Path(__file__).parents[1] / "tests"))

METHODS: dict[str, dict[str, Any]] = {
    "fd": {"method": "finite-differences"},  # on one grid, sums as well
    "fe2": {"method": "finite-elements", "degree": 2},
    "fe3": {"method": "finite-elements", "degree": 3},
}
SECONDS = 120.0  # of one case, on one processor
PATIENCE = 100.0  # times as long by the clock, on a busy machine
BYTES = 6 << 30
JOBS = 2
QUICK = ("quartic", "kinked", "plane")
OUTCOMES = ("inside", "outside", "refused", "unresolved", "timeout", "error")


@dataclass(frozen=True)
class Job:
    """One case by one method."""

    kind: str
    seed: int
    index: int
    method: str = "fd"

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.seed}-{self.index}"


@dataclass(frozen=True)
class Row:
    """What came of a job.

    Parameters
    ----------
    rate, bar : found, and its error as quoted
    truth, truth_error : the reference; where there is none, the other method that agrees least
    seconds : of the processor, for the rate alone
    outcome : one of OUTCOMES
    message : what was said
    """

    case: str
    kind: str
    method: str
    dimension: int = 0
    formula: str = ""
    learning_rate: float = float("nan")
    rate: float = float("nan")
    bar: float = float("nan")
    truth: float = float("nan")
    truth_error: float = float("nan")
    seconds: float = float("nan")
    outcome: str = "error"
    message: str = ""

    @property
    def error(self) -> float:
        return abs(self.rate - self.truth)

    @property
    def error_over_bar(self) -> float:
        return self.error / self.bar if self.bar > 0 else float("inf") if self.error else 0.0

    def judged(self) -> Row:
        """With the outcome that its numbers have, if it has any."""
        if not self.rate > 0 or self.outcome not in ("inside", "outside"):
            return self
        if not self.truth > 0:
            return replace(self, outcome="inside")  # nothing speaks against it
        return replace(self, outcome="inside" if self.error <= self.bar + self.truth_error else "outside")


# ------------------------------------------------------------------------------------------------ one case


def _made(job: Job) -> Any:
    from random_cases import COUNTS, case
    from random_coupled import coupled_case

    return (case if job.kind in COUNTS else coupled_case)(job.kind, job.seed, job.index)


def _child(pipe: Connection, job: Job, seconds: float) -> None:
    """Sends the row, with the truth alone at first, as the rate may never come."""
    case = _made(job)
    row = Row(job.name, job.kind, job.method, case.dimension, case.formula, case.learning_rate)
    if case.truth is not None:
        row = replace(row, truth=case.truth.rate, truth_error=case.truth.error)
    pipe.send(row)
    _limit(seconds)
    began = time.process_time()
    row = _computed(row)
    pipe.send(replace(row, seconds=round(time.process_time() - began, 2)))


def _limit(seconds: float) -> None:
    """Of this process from now on: time of the processor, and memory."""
    used = time.process_time()
    resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + 1, int(used + seconds) + 5))
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))


def _computed(row: Row) -> Row:
    from witten import gap
    from witten.errors import AccuracyWarning, ConvergenceError, RequestError

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AccuracyWarning)
        try:
            (found,) = gap(row.formula, row.learning_rate, **METHODS[row.method]).records
        except (RequestError, ConvergenceError) as refusal:
            return replace(row, outcome="refused", message=f"{type(refusal).__name__}: {refusal}")
        except Exception as error:
            return replace(row, outcome="error", message=f"{type(error).__name__}: {error}")
    said = "; ".join(str(each.message) for each in caught if issubclass(each.category, AccuracyWarning))
    if not found.resolved or found.rate is None or found.rate_error is None:
        return replace(row, outcome="unresolved", message=said)
    return replace(row, rate=found.rate, bar=found.rate_error, outcome="inside", message=said).judged()


def run(job: Job, seconds: float = SECONDS) -> Row:
    """In a process of its own."""
    receive, send = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_child, args=(send, job, seconds))
    process.start()
    send.close()
    row, ended = Row(job.name, job.kind, job.method, message="no truth"), False
    deadline = time.monotonic() + PATIENCE * seconds
    try:
        for _ in range(2):
            if not receive.poll(max(deadline - time.monotonic(), 0)):
                break
            row, ended = receive.recv(), row.message == ""
    except EOFError:
        pass
    if not ended and process.exitcode is None:
        process.join(1.0)
        process.kill()
    process.join()
    return row if ended else _broken_off(row, process.exitcode, seconds)


def _broken_off(row: Row, code: int | None, seconds: float) -> Row:
    over = code is not None and code in (-9, -24)  # SIGKILL, SIGXCPU
    return replace(row, outcome="timeout" if over else "error", message=f"ended with {code}", seconds=seconds)


CONTEXT = multiprocessing.get_context("forkserver")
MODULES = ["witten.spectra.gap", "witten.spectra.grids.nested_grids", "random_cases", "random_coupled"]
CONTEXT.set_forkserver_preload(MODULES)

# ------------------------------------------------------------------------------------------------ all of them


def jobs(seed: int, kinds: Sequence[str] = (), count: int | None = None) -> list[Job]:
    """Of every kind its share of 460, or so many."""
    from random_cases import COUNTS
    from random_coupled import COUNTS as COUPLED

    shares = {kind: (share, ("fd",)) for kind, share in COUNTS.items()}
    shares |= {kind: (share, tuple(METHODS)) for kind, share in COUPLED.items()}
    unknown = set(kinds) - set(shares)
    if unknown:
        raise SystemExit(f"no kind {', '.join(sorted(unknown))}; there are {', '.join(shares)}")
    return [
        Job(kind, seed, index, method)
        for kind, (share, methods) in shares.items()
        if not kinds or kind in kinds
        for index in range(share if count is None else count)
        for method in methods
    ]


def agreed(rows: Iterable[Row]) -> list[Row]:
    """With a truth for what has none: by the other method whose rate is furthest off in units of both bars."""
    out = []
    for _, group in groupby(rows, key=lambda row: (row.kind, row.case)):
        same = list(group)
        out += same if len(same) == 1 else [_beside(row, same) for row in same]
    return out


def _beside(row: Row, same: Sequence[Row]) -> Row:
    others = [other for other in same if other is not row and other.rate > 0]
    if not others or not row.rate > 0:
        return row
    worst = max(others, key=lambda other: abs(other.rate - row.rate) / (other.bar + row.bar))
    return replace(row, truth=worst.rate, truth_error=worst.bar).judged()


def read(path: Path) -> dict[tuple[str, str], Row]:
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        found = [_row(line) for line in csv.DictReader(file)]
    return {(row.case, row.method): row for row in found}


def _row(line: dict[str, str]) -> Row:
    kinds = {"float": float, "int": int, "str": str}
    return Row(**{each.name: kinds[str(each.type)](line[each.name]) for each in fields(Row)})


def write(path: Path, rows: Iterable[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*(each.name for each in fields(Row)), "error_over_bar"])
        writer.writeheader()
        writer.writerows(asdict(row) | {"error_over_bar": f"{row.error_over_bar:.3g}"} for row in rows)
    part.replace(path)


def compute(wanted: Sequence[Job], known: dict[tuple[str, str], Row], path: Path | None, number: int) -> list[Row]:
    """All rows asked for, in order, the known ones as they are."""
    found = dict(known)

    def one(job: Job) -> None:
        found[job.name, job.method] = row = run(job)
        print(f"{row.case} {row.method}: {row.outcome}, {row.seconds} s", file=sys.stderr, flush=True)

    def done() -> list[Row]:
        keys = [(job.name, job.method) for job in wanted]
        return agreed([found[key] for key in keys if key in found])

    left = sorted((job for job in wanted if (job.name, job.method) not in known), key=lambda job: job.index)
    with ThreadPoolExecutor(number) as pool:
        for ended in as_completed([pool.submit(one, job) for job in left]):
            ended.result()
            if path is not None:
                write(path, done())
    if path is not None:
        write(path, done())
    return done()


# ------------------------------------------------------------------------------------------------ what is said of it


def summary(rows: Sequence[Row]) -> None:
    lines = []
    for kind in [*dict.fromkeys(row.kind for row in rows), "all"]:
        some = [row for row in rows if kind in (row.kind, "all")]
        counts = [sum(row.outcome == outcome for row in some) for outcome in OUTCOMES]
        slowest = max((row.seconds for row in some), default=0.0)
        lines.append((kind, len(some), *counts, f"{median_excess(some):.3g}", f"{slowest:.1f}"))
    table(["kind", "cases", *OUTCOMES, "bar/error", "slowest"], lines)
    print(f"inside among the rates given: {100 * share_inside(rows):.1f} %")
    known = [replace(row, rate=row.truth + max(row.error, row.truth_error)) for row in rows]
    print(f"bar/error where no error counts as less than the truth's own: {median_excess(known):.3g}")
    for outcome in OUTCOMES[1:]:
        for row in (row for row in rows if row.outcome == outcome):
            print(_line(row))
    for row in (row for row in rows if row.seconds > 60 and row.outcome in ("inside", "outside")):
        print(f"slow, {row.seconds:.0f} s: {_line(row)}")


def _line(row: Row) -> str:
    """Name, method, formula, and what came of it."""
    text = f"{row.outcome}: {row.case} {row.method} '{row.formula}' --lr {row.learning_rate!r}: "
    if row.outcome == "outside":
        return f"{text}{row.rate:.8g} +- {row.bar:.1e}, truth {row.truth:.8g}, off by {row.error_over_bar:.3g} bars"
    return f"{text}truth {row.truth:.8g}; {row.message}"


def share_inside(rows: Iterable[Row]) -> float:
    """Of the rates that were given, those inside their bars."""
    given = [row.outcome == "inside" for row in rows if row.outcome in ("inside", "outside")]
    return sum(given) / max(len(given), 1)


def median_excess(rows: Iterable[Row]) -> float:
    """The median of bar/error."""
    given = [row for row in rows if row.outcome in ("inside", "outside") and row.truth > 0]
    ratios = [1 / max(row.error_over_bar, 1e-9) for row in given]
    return statistics.median(ratios) if ratios else float("nan")


def main(quick: bool = False, arguments: Sequence[str] = ()) -> list[Row]:
    """The rows of the table, after the summary is printed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", type=Path, help="a CSV file, gone on with where it exists")
    parser.add_argument("--kinds", default="", help="some, with commas")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, help="cases of each kind")
    parser.add_argument("--jobs", type=int, default=JOBS, help="processes at a time")
    parser.add_argument("--again", default="", help="outcomes to compute again, with commas")
    parser.add_argument("--quick", action="store_true", help="a few cases")
    asked = parser.parse_args(arguments)
    quick = quick or asked.quick
    kinds = [kind for kind in asked.kinds.split(",") if kind] or (QUICK if quick else ())
    wanted = jobs(asked.seed, kinds, 1 if quick and asked.count is None else asked.count)
    known = {} if asked.table is None else read(asked.table)
    known = {key: row for key, row in known.items() if row.outcome not in asked.again.split(",")}
    rows = compute(wanted, known, asked.table, asked.jobs)
    summary(rows)
    return rows


if __name__ == "__main__":
    main(arguments=sys.argv[1:])

"""Claim: nothing is lost and nothing is silent - formulas, files, arguments and signals of every kind are answered.

formulas: text, tokens and trees are read or refused in one line, in less than LIMIT CPU seconds, and nothing is run.
files: results that are cut or have bits flipped, with a sum at their end or without, are read or refused, and nothing
else is printed.
calls: arguments that cannot be, each in a process with limits of time and memory: an answer, or one line and a status.
kills: signals at random moments in sweeps on one rank and on two. The command ends within LIMIT seconds, its file is
whole, and the next run resumes it: whatever the file has held it keeps, to the bit.

    robustness.py --kinds formulas --count 1000000 --seed 1 --begin 0
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from measure import table

sys.path.append(str(Path(__file__).parents[1] / "tests"))

COUNTS = {"files": 500, "calls": 300, "kills": 200, "formulas": 1_000_000}
QUICK = {"files": 20, "calls": 6, "kills": 1, "formulas": 200}
# After so many of them a line says how it goes.
SAID = {"files": 250, "calls": 50, "kills": 10, "formulas": 50_000}
# Seconds that any of them may take; a kill is left as many again where others want the cores.
LIMIT = 30.0
MEMORY = 6 * 2**30
# Formulas that are read in one process.
BATCH = 10_000
# What most commands load, before processes are forked.
LOADED = ("typer.rich_utils", "witten.cli.commands.gap", "witten.spectra.grids.nested_grids",
          "witten.dynamics.simulation", "witten.validation.comparison", "witten.descent.bifurcation",
          "witten.sgd.sde_comparison", "launcher",
          )  # fmt: skip
# Events of Python's auditing that reading a formula must not cause.
EXECUTES = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect", "shutil.rmtree")


@dataclass
class Tried:
    """How many of a kind were tried, what failed and how, and the seconds of the slowest."""

    kind: str
    tried: int = 0
    failed: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def add(self, case: object, fault: str | None, seconds: float) -> None:
        """One more."""
        self.add_all(1, [] if fault is None else [(case, fault)], seconds)

    def add_all(self, size: int, faults: Sequence[tuple[object, str]], seconds: float) -> None:
        """Several more, of which these failed."""
        self.tried += size
        self.slowest = max(self.slowest, seconds)
        for case, fault in faults:
            self.failed.append(f"{self.kind}: {case}: {fault}")
            print(self.failed[-1], flush=True)
        if self.tried % SAID[self.kind] == 0:
            print(f"{self.kind}: {self.tried} tried, {len(self.failed)} failed", flush=True)


class TooLong(BaseException):
    """What nothing that reads a formula catches."""


def _too_long(number: int, frame: object) -> None:
    raise TooLong


# -- formulas ----------------------------------------------------------------------------------------------------------


def formulas(count: int, rng: random.Random, begin: int = 0) -> Tried:
    """Texts that are read or refused, from the text of number `begin` on; each batch has a process of its own, so that
    what crashes is one batch, and nothing that SymPy remembers grows."""
    import_module("witten.objectives")
    found, name = Tried("formulas"), rng.random()
    for first in range(begin, begin + count, BATCH):
        size = min(BATCH, begin + count - first)
        answer = confined(partial(_batch, f"{name} {first}", size), 2 * LIMIT * size)
        slowest, faults = (0.0, [(first, answer)]) if isinstance(answer, str) else answer
        found.add_all(size, faults, slowest)
    return found


def _batch(seed: str, size: int) -> tuple[float, list[tuple[str, str]]]:
    """Seconds of the slowest of some texts, and those that failed, with the reason."""
    import hostile

    executed: list[str] = []
    sys.addaudithook(lambda event, arguments: executed.append(event) if event in EXECUTES else None)
    signal.signal(signal.SIGPROF, _too_long)
    slowest, faults = 0.0, []
    for text in islice(hostile.formulas(random.Random(seed)), size):
        began = time.process_time()
        fault = _read_or_refused(text) or (f"executed {executed.pop()}" if executed else None)
        slowest = max(slowest, time.process_time() - began)
        if fault is not None:
            faults.append((repr(text), fault))
    return slowest, faults


def _read_or_refused(text: str) -> str | None:
    """What is wrong with how a text is read."""
    from witten.errors import RequestError
    from witten.objectives import resolve

    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    try:
        return None if resolve(text).dimension >= 1 else "no dimension"
    except RequestError as error:
        return None if "\n" not in str(error) and len(str(error)) < 400 else f"said {str(error)!r}"
    except (Exception, TooLong) as error:
        return repr(error)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)


# -- files -------------------------------------------------------------------------------------------------------------


def files(count: int, rng: random.Random) -> Tried:
    """Results on disk that are broken."""
    import hostile

    from witten.io.netcdf import SEAL
    from witten.rates import RateCurve, RateRecord

    found, folder = Tried("files"), Path(tempfile.mkdtemp())
    records = tuple(RateRecord(s, -1.0, -1.1, -0.9, True, "test", 1, 0.0) for s in (0.1, 0.2, 0.3))
    RateCurve(records, "finite-differences", "f", {"noise": 1.0}).save(folder / "a.nc")
    whole = (folder / "a.nc").read_bytes()
    for number in range(count):
        (folder / "a.nc").write_bytes(hostile.broken(whole[: -(number % 2) * len(SEAL % 0) or None], rng))
        began = time.perf_counter()
        found.add(number, confined(partial(_load, folder / "a.nc")), time.perf_counter() - began)
    shutil.rmtree(folder)
    return found


def _load(path: Path) -> str | None:
    """What is wrong with how a broken file is refused."""
    from witten.errors import RequestError
    from witten.rates import RateCurve

    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
            RateCurve.load(path)
    except RequestError as error:
        return f"said {str(error)!r}" if "\n" in str(error) else printed.getvalue() or None
    except Exception as error:
        return repr(error)
    return printed.getvalue() or None


# -- calls -------------------------------------------------------------------------------------------------------------


def calls(count: int, rng: random.Random) -> Tried:
    """Words of the command line that cannot be."""
    import hostile

    for module in LOADED:
        import_module(module)
    found, every = Tried("calls"), list(hostile.calls())
    for words in rng.sample(every, min(count, len(every))):
        began = time.perf_counter()
        found.add(words, confined(partial(_answer, words)), time.perf_counter() - began)
    return found


def _answer(words: Sequence[str]) -> str | None:
    """What is wrong with the answer of a command."""
    from launcher import in_process

    with tempfile.TemporaryDirectory() as folder:
        done = in_process(*words, cwd=folder)
    if done.returncode not in (0, 1, 2, 4):
        return f"status {done.returncode}"
    if "unexpected" in done.stderr or "Traceback" in done.stderr:
        return str(done.stderr)
    if done.returncode in (1, 2) and (done.stderr.count("\n") != 1 or len(done.stderr) > 1000):
        return f"not one line: {done.stderr[-1000:]!r}"
    return None


def confined(job: Callable[[], Any], limit: float = 2 * LIMIT) -> Any:
    """What a job says in a process of its own that has so many seconds and MEMORY bytes."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_report, args=(job, theirs))
    child.start()
    theirs.close()
    try:
        return ours.recv() if ours.poll(limit) else f"did not end within {limit:.0f} s"
    except EOFError:
        child.join()
        return f"died with status {child.exitcode}"
    finally:
        child.kill()
        child.join()


def _report(job: Callable[[], Any], pipe: Any) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        pipe.send(job())
    except BaseException as error:
        pipe.send(f"raised {error!r}")


# -- kills -------------------------------------------------------------------------------------------------------------

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)
# Sweeps, the seconds within which one is met, and whether it keeps a file.
SWEEPS = {
    "gap fd": (("gap", "double-well:dim=2", "--lr", "0.05:0.3:24"), 6.0),
    "gap fe": (("gap", "double-well:dim=2", "--lr", "0.1:0.3:12", "--method", "fe"), 15.0),
    "simulate": (("simulate", "double-well", "--lr", "0.3:0.5:6", "--paths", "512"), 15.0),
    "validate": (("validate", "double-well", "--lr", "0.3:0.5:3"), 25.0),
    "study": (("study", "large-learning-rate", "--quick"), 15.0),
}


def kills(count: int, rng: random.Random) -> Tried:
    """Signals at random moments, kinds of sweeps and numbers of ranks in turns; a file is gone on with until it is
    done."""
    from launcher import MPIEXEC

    found, folder = Tried("kills"), Path(tempfile.mkdtemp())
    turns = [(name, ranks) for name in SWEEPS for ranks in ((1, 2) if MPIEXEC.exists() else (1,))]
    for number in range(count):
        name, ranks = turns[number % len(turns)]
        sent, after = rng.choice(SIGNALS), rng.uniform(0.3, SWEEPS[name][1])
        began = time.perf_counter()
        fault = _killed(name, ranks, sent, after, folder / f"{name.replace(' ', '-')}-{ranks}.nc")
        found.add((name, ranks, sent.name, round(after, 3)), fault, time.perf_counter() - began - after)
    shutil.rmtree(folder)
    return found


def _killed(name: str, ranks: int, sent: signal.Signals, after: float, path: Path) -> str | None:
    """What is wrong with how a sweep ends, or with what it leaves."""
    from launcher import MPIEXEC, environment

    words = [sys.executable, "-m", "witten", *SWEEPS[name][0]]
    saved = name != "study"
    if saved:
        words += ["-o", str(path), *(["--resume"] if path.exists() else [])]
    launched = [str(MPIEXEC), "-n", str(ranks), *words] if ranks > 1 else words
    before = _records(path)
    with subprocess.Popen(launched, stdout=-1, stderr=-1, text=True, env=environment(), cwd=path.parent) as process:
        try:
            out, err = process.communicate(timeout=after)
            ended = True
        except subprocess.TimeoutExpired:
            ended = False
            _send(process, sent, ranks)
            try:
                out, err = process.communicate(timeout=2 * LIMIT)
            except subprocess.TimeoutExpired:
                _end(process.pid)
                return f"did not end within {2 * LIMIT:.0f} s"
    fault = _ending(process.returncode, err, sent, ranks, ended) or _kept(before, path)
    if ended or fault:
        path.unlink(missing_ok=True)
    return fault


def _send(process: subprocess.Popen[str], sent: signal.Signals, ranks: int) -> None:
    """The signal, to the launcher; SIGKILL to a rank, since whoever kills a launcher takes what comes."""
    if ranks > 1 and sent == signal.SIGKILL:
        leaves = [pid for pid, children in _tree(process.pid) if not children and pid != process.pid]
        with contextlib.suppress(ProcessLookupError):
            os.kill(leaves[-1] if leaves else process.pid, sent)
    else:
        process.send_signal(sent)


def _tree(root: int) -> Iterator[tuple[int, list[int]]]:
    """The processes that come from one, and the children of each."""
    with contextlib.suppress(OSError):
        children = [int(pid) for pid in Path(f"/proc/{root}/task/{root}/children").read_text().split()]
        yield root, children
        for child in children:
            yield from _tree(child)


def _end(root: int) -> None:
    for pid, _ in list(_tree(root)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _ending(status: int, err: str, sent: signal.Signals, ranks: int, ended: bool) -> str | None:
    """What is wrong with a status and what was printed. Before a command listens, Python's own handlers are heard."""
    if ended:
        return None if status == 0 else f"ended by itself with status {status}: {err[-500:]!r}"
    if "Exception ignored" in err or "unexpected" in err:
        return err[-1000:]
    if sent == signal.SIGKILL:
        return None if status else "status 0 after SIGKILL"
    # mpiexec joins the statuses of its ranks by or, and kills those that are left.
    early = status in (-sent, sent, 128 + sent, 255, *([sent | signal.SIGKILL] if ranks > 1 else []))
    if status not in (0, 4) and not early:
        return f"status {status}: {err[-500:]!r}"
    if status == 4 and sum(line.startswith("witten: ") for line in err.splitlines()) != 1:
        return f"not one line: {err[-500:]!r}"
    return None if "Traceback" not in err or early else err[-1000:]


def _records(path: Path) -> set[str]:
    """What a file holds, written out since no nan is equal to itself; nothing where there is none. Runs of paths that
    were stopped are done again."""
    from witten.rates import CurveSet

    if not path.exists():
        return set()
    found = [(name, record) for name, curve in CurveSet.load(path).curves.items() for record in curve.records]
    return {f"{name} {record!r}" for name, record in found if not getattr(record, "stopped", False)}


def _kept(before: set[str], path: Path) -> str | None:
    """Whether the file is whole and holds what it held."""
    try:
        lost = before - _records(path)
    except Exception as error:
        return f"the file is broken: {error!r}"
    return f"lost: {lost}" if lost else None


KINDS: dict[str, Callable[[int, random.Random], Tried]] = {
    "files": files,
    "calls": calls,
    "kills": kills,
    "formulas": formulas,
}


def main(quick: bool = False, arguments: Sequence[str] = ()) -> list[Tried]:
    """Tried and failed, by kind."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kinds", default=",".join(KINDS), help="some, with commas")
    parser.add_argument("--count", type=int, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--begin", type=int, default=0, help="the first formula, to go on where a run was stopped")
    parser.add_argument("--table", type=Path, help="a JSON file for tried, failed and seconds")
    asked = parser.parse_args(arguments)
    rows = []
    for kind in asked.kinds.split(","):
        count = asked.count or (QUICK if quick else COUNTS)[kind]
        kinds = KINDS | {"formulas": partial(formulas, begin=asked.begin)}
        rows.append(kinds[kind](count, random.Random(asked.seed)))
    lines = [(row.kind, row.tried, len(row.failed), f"{row.slowest:.1f} s") for row in rows]
    table(["kind", "tried", "failed", "slowest"], lines)
    if asked.table is not None:
        asked.table.write_text(json.dumps([vars(row) for row in rows]))
    return rows


if __name__ == "__main__":
    main(arguments=sys.argv[1:])

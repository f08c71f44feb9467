"""Rates computed one learning rate after the other, by one rank or many, kept in a file as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

from witten.errors import RequestError, Stopped
from witten.io import netcdf
from witten.parallel.communicators import Communicator, agree
from witten.parallel.task_farm import WALLTIME, deal
from witten.rates import KIND, CurveSet, RateCurve, RateRecord, SampledRate

__all__ = ["Part", "Stop", "Sweep", "run_sweep", "until"]

Stop = Callable[[], str | None]
Task = tuple[str, float]
# Options of a file that does not hold them.
UNSAID = {"seed": 0}
# The option that says what the objective is, whatever its name.
FINGERPRINT = "fingerprint"


@dataclass(frozen=True)
class Part:
    """One of the curves of a sweep: what computes a record at s on some ranks, its name, what it is asked with."""

    compute: Callable[[float, Communicator], RateRecord]
    method: str
    options: Mapping[str, Any]


@dataclass(eq=False)
class Sweep:
    """Curves of one objective, computed record by record.

    Parameters
    ----------
    objective : its name
    parts : the curves by name, as in a `CurveSet`; a plain sweep has one with the name ""
    asked : the learning rates
    comm : the ranks that share the work
    output : netCDF file, rewritten whole after each record; None for no file
    progress : called on rank 0 with the name of the part and each record as it comes, those of a resumed file included
    groups, walltime, stop : as in `deal`; the walltime counts from here
    known : the records there are; while it runs, on rank 0
    """

    objective: str
    parts: Mapping[str, Part]
    asked: Sequence[float]
    comm: Communicator
    output: str | PathLike[str] | None = None
    progress: Callable[[str, RateRecord], Any] = lambda name, record: None
    groups: int = 1
    walltime: float | None = None
    stop: Stop = lambda: None
    known: dict[Task, RateRecord] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.limit = None if self.walltime is None else time.monotonic() + self.walltime

    def open(self, resume: bool) -> None:
        """Check the file before anything is computed; with `resume`, start from what is there. Collective.

        Raises
        ------
        RequestError
            if the file cannot be written or holds something else; with `resume`, if there is none to be named, or it
            was made for another objective or with other options, or holds learning rates that are not asked for now
            and would be lost.
        """
        agree(self.comm, lambda: self._open(resume))

    def _open(self, resume: bool) -> None:
        if self.output is None:
            if resume:
                raise RequestError("nothing to resume: name the file of the stopped run (-o FILE.nc, output=)")
            return
        netcdf.check_output(Path(self.output), KIND)
        if not resume or not Path(self.output).exists():
            return
        found = CurveSet.load(Path(self.output)).curves
        for name, part in self.parts.items():
            self._require_same_request(part, found.get(name))
        rates = [s for curve in found.values() for s in curve.learning_rates.tolist()]
        lost = [s for s in rates if s not in self.asked]
        if lost:
            raise RequestError(
                f"cannot resume from {str(self.output)!r}: it holds learning rate {lost[0]:.6g}, which is not asked "
                "for now; ask for it too, or give another file"
            )
        # A run of paths that was stopped has an interval of some width, and is done again.
        done = [(name, r) for name, curve in found.items() for r in curve.records if not _is_stopped(r)]
        self.known = {(name, record.learning_rate): record for name, record in done if name in self.parts}
        for name in self.parts:
            for record in self.curve(name).records:
                self.progress(name, record)
        if self.known:
            self._save()

    def _require_same_request(self, part: Part, curve: RateCurve | None) -> None:
        """Refuse a file that answers another question, and say which option differs."""
        now = {**UNSAID, "objective": self.objective, "method": part.method, **part.options}
        before = {} if curve is None else {"objective": curve.objective, "method": curve.method, **curve.options}
        before = UNSAID | before
        for name in dict.fromkeys((*before, *now)):
            old, new = (netcdf.dump_options({name: request.get(name)}) for request in (before, now))
            if old != new:
                if name == FINGERPRINT:
                    raise RequestError(_another_objective(self.output, self.objective, name in before))
                raise RequestError(
                    f"cannot resume from {str(self.output)!r}: it was made with {name} {_said(before.get(name))}, "
                    f"now it is {_said(now.get(name))}; give the same options, or another file"
                )

    def run(self, tasks: Iterable[Task] | None = None) -> str | None:
        """Compute what is not known of the tasks, of all parts at all learning rates where left out; why it ended
        early, or None. Collective, the same on all ranks; it raises what `compute` raises."""
        given = [(name, s) for name in self.parts for s in self.asked] if tasks is None else tasks
        todo = self.comm.bcast([task for task in dict.fromkeys(given) if task not in self.known])
        left = None if self.limit is None else self.limit - time.monotonic()
        try:
            reason = deal(
                todo, lambda task, group: self.parts[task[0]].compute(task[1], group), self._keep,
                comm=self.comm, groups=self.groups, walltime=left, stop=self.stop,
            )  # fmt: skip
        except Stopped as early:
            reason = early.reason
        ended = reason is None and any(_is_stopped(record) for record in self.known.values())
        self.known = self.comm.bcast(self.known)
        return self.comm.bcast(self.stop() or "stopped" if ended else reason)

    def _keep(self, task: Task, record: RateRecord) -> None:
        """One more record, saved at once."""
        self.known[task] = record
        self._save()
        self.progress(task[0], record)

    def _save(self) -> None:
        if self.output is not None:
            curves = {name: self.curve(name) for name in self.parts}
            CurveSet(curves).save(Path(self.output))

    def curve(self, name: str = "") -> RateCurve:
        """The records there are of a part, in the order asked for."""
        order = dict.fromkeys(self.asked)
        records = tuple(self.known[name, s] for s in order if (name, s) in self.known)
        return RateCurve(records, self.parts[name].method, self.objective, self.parts[name].options)


def until(walltime: float | None, stop: Stop) -> Stop:
    """`stop`, or the end of the walltime, which counts from here: for a computation that can be ended under way."""
    limit = None if walltime is None else time.monotonic() + walltime

    def reason() -> str | None:
        return stop() or (WALLTIME if limit is not None and time.monotonic() >= limit else None)

    return reason


def run_sweep(
    objective: str,
    part: Part,
    asked: Sequence[float],
    *,
    resume: bool = False,
    progress: Callable[[RateRecord], Any] | None = None,
    **options: Any,
) -> RateCurve:
    """A sweep with one curve; `options` are the others of `Sweep`. Stopped with the curve so far, if it was stopped
    early; what `Sweep.open` and `Sweep.run` raise."""
    sweep = Sweep(objective, {"": part}, asked, **options)
    if progress is not None:
        sweep.progress = lambda name, record: progress(record)
    sweep.open(resume)
    reason = sweep.run()
    curve = replace(sweep.curve(), records=tuple(sweep.known["", s] for s in asked if ("", s) in sweep.known))
    if reason is not None:
        raise Stopped(reason, curve)
    return curve


def _is_stopped(record: RateRecord) -> bool:
    return isinstance(record, SampledRate) and record.stopped


def _another_objective(path: str | PathLike[str] | None, objective_name: str, known: bool) -> str:
    """Why rates of an objective of the same name are not gone on with."""
    why = "has been changed since its rates were computed" if known else "may be another one: the file holds no mark"
    return (
        f"cannot resume from {str(path)!r}: {objective_name} {why}, and old rates would stand beside new ones; restore "
        "the objective, or give another file"
    )


def _said(value: Any) -> str:
    """An option's value in words."""
    return "unset" if value is None else str(value)

"""What the commands that sweep over learning rates have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from witten.cli.options import option_values
from witten.cli.output import progress_bar
from witten.cli.signals import Interrupted, patiently
from witten.errors import ConvergenceError, Stopped

if TYPE_CHECKING:
    from witten.cli.options.groups import Sweep
    from witten.rates import RateCurve, RateRecord

__all__ = ["curve_of", "seconds_left", "stopped_line", "swept"]

# --walltime counts from here: what was loaded since is part of it.
STARTED = time.monotonic()


def seconds_left(walltime: str | None) -> float | None:
    """What is left of --walltime."""
    limit = option_values.parse_walltime(walltime)
    return None if limit is None else max(limit - (time.monotonic() - STARTED), 0.0)


def swept[Curve](
    sweep: Callable[..., Curve],
    kept: Callable[[Sequence[RateRecord]], Curve],
    files: Sweep,
    *,
    what: str,
    total: int,
    unit: str = "learning rates",
) -> tuple[Curve | None, BaseException | None]:
    """What `sweep(progress=, stop=, walltime=, output=, resume=)` finds; or as much of it as there is, with the reason
    why it ends there.

    `kept` makes of some records what the sweep would have made of all; `total` is how many these are, in `unit`.
    """
    done: list[RateRecord] = []
    with progress_bar(total, what) as advance, patiently() as stop:

        def progress(record: RateRecord) -> None:
            done.append(record)
            advance(f"s = {record.learning_rate:.4g}")

        try:
            left = seconds_left(files.walltime)
            return sweep(progress=progress, stop=stop, walltime=left, output=files.output, resume=files.resume), None
        except (ConvergenceError, MemoryError) as error:
            ending: BaseException = error
        except (Interrupted, Stopped) as cut:  # a learning rate that would have taken long, or a stop between two
            ending = Interrupted(stopped_line(str(cut), len(done), f"{total} {unit}", files.output))
    return (kept(done) if done else None), ending


def curve_of(
    method: str, objective: str, options: dict[str, Any], order: Sequence[float] = ()
) -> Callable[[Sequence[RateRecord]], RateCurve]:
    """A function that makes a curve of records: in the order of these learning rates, or in which they come."""
    from witten.rates import RateCurve

    def made(records: Sequence[RateRecord]) -> RateCurve:
        ordered = sorted(records, key=lambda record: order.index(record.learning_rate)) if order else records
        return RateCurve(tuple(ordered), method, objective, options)

    return made


def stopped_line(reason: str, done: int, asked: str, output: Path | None) -> str:
    """What a sweep that was stopped has kept, and how to go on."""
    finished = f"{reason}: {done} of {asked} finished"
    if output is None:
        return f"{finished}; with -o FILE.nc they would be saved, and --resume would go on"
    if not output.exists():
        return f"{finished}; run the same command again"
    return f"{finished}, saved in {output}; the same command with --resume goes on"

"""How much memory there is for this process, so that what needs more is refused before it is begun."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from witten.errors import ConvergenceError

__all__ = ["require_memory"]

GIB = 2**30
CGROUPS = Path("/sys/fs/cgroup")
# Files of a cgroup in versions 2 and 1: its limit, what it uses, and the line of `memory.stat` that can be given back.
FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def require_memory(needed: float, what: str, remedy: str) -> None:
    """Refuse what needs more bytes than there are; ConvergenceError with the size, the limit, and the remedy."""
    left, whose = min(_limits(), default=(float("inf"), ""))
    if needed > left:
        raise ConvergenceError(
            f"{what} would take about {needed / GIB:.2g} GiB of memory, and {whose} leaves {left / GIB:.2g}; {remedy}"
        )


def _limits() -> Iterator[tuple[float, str]]:
    """What each limit leaves, in bytes, and whose it is."""
    used, resident = _used()
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        yield soft - used, "the limit of the shell (ulimit -v)"
    for left in _cgroups():
        yield left, "the limit of the control group or container"
    if (job := _slurm()) is not None:
        yield job - resident, "the memory that Slurm gave"
    yield _physical(), "this machine"


def _used() -> tuple[float, float]:
    """Bytes of address space and of memory that this process has taken."""
    try:
        pages = Path("/proc/self/statm").read_text().split()
    except OSError:
        return 0.0, 0.0
    page = os.sysconf("SC_PAGE_SIZE")
    return float(pages[0]) * page, float(pages[1]) * page


def _cgroups() -> Iterator[float]:
    """What is left in the control groups that this process is in, from its own to the outermost."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = CGROUPS / "memory" if controllers else CGROUPS
        group = root / name.lstrip("/")
        for each in (group, *group.parents):
            if not each.is_relative_to(root):
                break
            left = _group(each)
            if left is not None:
                yield left


def _group(folder: Path) -> float | None:
    """What is left in one control group; None where it has no limit."""
    for limit, usage, cache in FILES:
        try:
            most, used = (float((folder / name).read_text()) for name in (limit, usage))
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # no such file, or "max"
            continue
        return most - used + float(stat.get(cache, 0))
    return None


def _slurm() -> float | None:
    """Bytes that a job may use on this node, for each of its tasks; None outside one, or without a limit."""
    node, cpu = (os.environ.get(f"SLURM_MEM_PER_{each}", "") for each in ("NODE", "CPU"))
    tasks = os.environ.get("SLURM_STEP_TASKS_PER_NODE", os.environ.get("SLURM_TASKS_PER_NODE", "1")).partition("(")[0]
    share = 1.0 / int(tasks) if tasks.isdigit() and int(tasks) else 1.0
    if node.isdigit() and int(node):
        return int(node) * 2**20 * share
    cpus = os.environ.get("SLURM_CPUS_ON_NODE", "")
    return int(cpu) * int(cpus) * 2**20 * share if cpu.isdigit() and cpus.isdigit() and int(cpu) else None


def _physical() -> float:
    """What the machine has free, or can free; all that it has where it does not say."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return float(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")

"""Forms of DOLFINx, compiled once for all processes that share a cache."""

# ruff: noqa: I001  (witten.parallel.load_dolfinx has to come first)
from __future__ import annotations

import re
import time
import traceback
from contextlib import suppress
from pathlib import Path

import witten.parallel.load_dolfinx  # noqa: F401
import ufl
from dolfinx import fem

__all__ = ["compiled_form"]

# How FFCx says that what another process has begun to compile was not ready after ten seconds.
WAITED = re.compile(r"JIT compilation timed out.*remove (?P<source>\S+\.c)\)", re.DOTALL)
# What rank 0 meets is told to the others without its reason.
ON_RANK_0 = "JIT compilation failed on rank 0"
# Seconds after which a process that is compiling has been killed, and how often it is waited for.
STALE, MOST_WAITS = 60.0, 12


def compiled_form(form: ufl.Form) -> fem.Form:
    """The form with its code, compiled or from the cache; collective over the mesh.

    A process that is killed while it compiles leaves its source behind, for which all others would wait in vain; one
    that is interrupted takes it away.
    """
    for _ in range(MOST_WAITS):
        try:
            return fem.form(form)
        except (TimeoutError, RuntimeError) as error:
            waited = WAITED.search(str(error))
            if waited is None and ON_RANK_0 not in str(error):
                raise
        except BaseException as stopped:  # FFCx itself does so for an Exception alone
            _remove_begun(stopped)
            raise
        if waited is not None:
            _remove_if_stale(Path(waited["source"]))
    return fem.form(form)


def _remove_begun(stopped: BaseException) -> None:
    """Remove the source that this process was compiling, if it was; who waits for another compiles nothing."""
    frames = {frame.f_code.co_name: frame for frame, _ in traceback.walk_tb(stopped.__traceback__)}
    if "_compile_objects" in frames:
        names = frames["compile_forms"].f_locals
        Path(names["cache_dir"], f"{names['module_name']}.c").unlink(missing_ok=True)


def _remove_if_stale(source: Path) -> None:
    with suppress(FileNotFoundError):
        if time.time() - source.stat().st_mtime > STALE:
            source.unlink()

"""Options of PETSc, set for as long as they are wanted."""

# ruff: noqa: I001  (witten.parallel.load_dolfinx has to come first)
from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import witten.parallel.load_dolfinx  # noqa: F401
from petsc4py import PETSc

__all__ = ["petsc_options"]


@contextmanager
def petsc_options(options: Mapping[str, str | None], **defaults: object) -> Iterator[None]:
    """Inside, PETSc's database holds these options, given by the user before defaults; afterwards what it held before.

    Names are those of PETSc without the leading minus; None stands for an option without a value.
    """
    database: Any = PETSc.Options()
    wanted = {name: value for name, value in {**defaults, **options}.items() if name in options or name not in database}
    before = {name: database.getString(name) for name in wanted if name in database}
    for name, value in wanted.items():
        database.setValue(name, value)
    try:
        yield
    finally:
        for name in wanted:
            database.delValue(name)
        for name, value in before.items():
            database.setValue(name, value)

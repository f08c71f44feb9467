"""`witten warm`: compile ahead of time."""

from __future__ import annotations

import contextlib
import os
from typing import Annotated

import typer

from witten.cli.options import base_command
from witten.cli.output import progress_bar
from witten.errors import RequestError

EXAMPLES = base_command.examples(
    "witten warm",
    "witten warm gap theory",
    "NUMBA_CACHE_DIR=/scratch/kernels witten warm",
    notes="Run it once after each installation or update. Kernels are kept beside the package, or in the user's cache "
    "where that cannot be written.",
)
Commands = Annotated[
    list[str] | None,
    typer.Argument(metavar="COMMAND", help="Commands to compile for (default: all).", show_default=False),
]
# Small requests that between them call the kernels of every command; kernels of rare requests are compiled by these.
REQUESTS = (
    "gap double-well --lr 0.1",
    "spectrum double-well:dim=2 --lr 0.5 -k 3 --rtol 1e-2",
    "gap (x^2-1)^2/4+(y-x)^2 --lr 0.03 --rtol 1e-2",
    "chain double-well --lr 0.4",
    "chain double-well:dim=2 --lr 0.5",
    "theory x^2/9+cos(4*x) --lr 0.1",
    "simulate double-well --lr 0.4",
    "simulate double-well --lr 0.03",
    "descend (1-x^2)^2/4 --lr 0.9,1.4 --x0 0.3",
    "bifurcate (1-x^2)^2/4 --lr 1.1,1.4 --x0 0.3",
    "risk double-well --schedule 0.1:30",
    "risk double-well:dim=2 --schedule 0.1:10 --x0 0.5,0.3 --method spectral",
)
# Those of them whose kernels exist for all threads, too.
THREADED = REQUESTS[:5]


def warm(commands: Commands = None) -> None:
    """Compile ahead what commands otherwise compile at first use; they then start in seconds."""
    known = sorted({_command(request) for request in REQUESTS})
    wanted = commands or known
    for name in wanted:
        if name not in known:
            raise RequestError(f"nothing is compiled ahead for {name!r}, but for {', '.join(known)}; leave it out")
    from witten.operators import kernels

    rows = kernels.SERIAL_BELOW
    asked = [(least, request) for least, requests in ((0, THREADED), (rows, REQUESTS))
             for request in requests if _command(request) in wanted]  # fmt: skip
    with progress_bar(len(asked), "compiling for") as advance:
        for kernels.SERIAL_BELOW, request in asked:
            advance(request)
            _run(*request.split())


def _command(request: str) -> str:
    return request.split()[0]


def _run(name: str, *words: str) -> None:
    from witten.cli import load

    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        load(name).main(args=list(words), prog_name=name, standalone_mode=False)

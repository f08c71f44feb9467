"""`witten warm`: compile ahead of time."""

from __future__ import annotations

import contextlib
import os

from witten.cli import options
from witten.cli.output import progress_bar

EXAMPLES = options.examples(
    "witten warm",
    "NUMBA_CACHE_DIR=/scratch/kernels witten warm",
    notes="Once after every installation or update, by whoever may write the package's folder, or for one's own cache.",
)
# Small requests that between them call the kernels of every command; kernels of rare requests are compiled by these.
REQUESTS = (
    "gap double-well --lr 0.1",
    "spectrum double-well:dim=2 --lr 0.5 -k 3 --rtol 1e-2",
    "gap (x^2-1)^2/4+(y-x)^2 --lr 0.03 --rtol 1e-2",
    "chain double-well --lr 0.4",
    "chain double-well:dim=2 --lr 0.5",
    "theory himmelblau --lr 0.1",
    "simulate double-well --lr 0.4",
    "simulate double-well --lr 0.03",
    "descend (1-x^2)^2/4 --lr 0.9,1.4 --x0 0.3",
    "bifurcate (1-x^2)^2/4 --lr 1.1,1.4 --x0 0.3",
    "risk double-well --schedule 0.1:30",
    "risk double-well:dim=2 --schedule 0.1:10 --x0 0.5,0.3 --method spectral",
)
# Those of them whose kernels exist for all threads, too.
THREADED = REQUESTS[:5]


def warm() -> None:
    """Compile what most commands compile when they first need it, and keep it: they then start in seconds."""
    from witten.operators import kernels

    rows = kernels.SERIAL_BELOW
    with progress_bar(len(REQUESTS) + len(THREADED), "compiling for") as advance:
        for kernels.SERIAL_BELOW, requests in ((0, THREADED), (rows, REQUESTS)):
            for request in requests:
                advance(request)
                _run(*request.split())


def _run(name: str, *words: str) -> None:
    from witten.cli import load

    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        load(name).main(args=list(words), prog_name=name, standalone_mode=False)

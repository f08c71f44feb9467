"""The command line: `witten COMMAND ...`.

Every command is one call of the Python API; here are only the words. The exit status, the one line on standard error
and the JSON are a contract with scripts (see `witten --help`).
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from witten import parallel
from witten.cli import signals
from witten.cli.errors import WRONG, exit_status
from witten.cli.options.base_command import ParallelCommand, WittenCommand, examples
from witten.cli.options.groups import flattened
from witten.cli.streams import mute, open_streams, say
from witten.errors import RequestError
from witten.stopwatch import announce_compilation
from witten.version import __version__

__all__ = ["COMMANDS", "GROUPS", "app", "load", "main"]

# command, the name of its module and of its function -> the first line of its help
COMMANDS = {
    "gap": "The rate - the spectral gap of the Witten-Laplacian - against the learning rate, with error bars.",
    "explain": "Why is it this slow? The slowest mode, wells, the limiting saddle, mean times, s halved and doubled.",
    "spectrum": "The K lowest rates at one learning rate, the zero of the ground state included, and their modes.",
    "committor": "Whether a path reaches B before A, how often and which way: committor, rates, reactive current.",
    "landscape": "Minima, saddles and what they join, the barrier H of each minimum, and the conditions on f.",
    "theory": "All exponentially small rates by the Eyring-Kramers law, exact as the learning rate goes to 0.",
    "simulate": "The rate by Monte Carlo: simulated paths of the SDE, with 95 % confidence intervals.",
    "chain": "The gap of discrete SGD, from its transfer operator, beside the gap of the SDE.",
    "risk": "The excess risk E f - min f along a schedule of learning rates, from a point.",
    "schedule": "The fewest steps to a target risk, with at most M constant learning rates.",
    "anneal": "Large steps, then small ones, against small ones alone in regression: test losses at equal train loss.",
    "stability": "Sharpness and critical learning rate 2/sharpness of every minimum; where gradient descent can stay.",
    "probe": "A model at a point: sharpness against 2/s, the Hessian, the noise of the gradient, a path to another.",
    "descend": "Run x+ = x - s grad f(x) from one start at each learning rate, and say where it ends.",
    "bifurcate": "The points that gradient descent visits in the long run, their period, and the Lyapunov exponent.",
    "study": "Run the experiments of a paper: what it claims beside what is observed.",
    "validate": "The rate by all three routes, and whether they agree within their error bars.",
    "objectives": "The gallery of objectives: names, formulas, parameters, purpose.",
    "plot": "Draw a saved result again, beside its file unless --plot says where.",
    "warm": "Compile ahead what commands otherwise compile at first use; they then start in seconds.",
    "doctor": "What is installed, and which routes work here: versions, ranks, threads.",
}
# What `--help` shows together.
GROUPS = {
    "the rate": ("gap", "spectrum", "theory", "simulate", "validate"),
    "why": ("explain", "landscape", "committor"),
    "discrete time": ("chain", "stability", "descend", "bifurcate"),
    "models": ("probe",),
    "schedules": ("risk", "schedule", "anneal"),
    "files and tools": ("study", "objectives", "plot", "warm", "doctor"),
}
# Commands that run on all ranks of `mpiexec -n N`.
PARALLEL = {"gap", "spectrum", "simulate", "validate", "chain", "theory"}
ALL_RANKS = "Under mpiexec -n N it uses all ranks."
ONE_RANK = "Under mpiexec -n N one rank does the work; the others exit."
# Objects made before Python looks for garbage. What libraries make when they are loaded stays, and looking through it
# at the usual 2,000 takes as long as a short computation.
SELDOM = (100_000, 10, 10)


def load(name: str) -> TyperCommand:
    """A command, its module imported now."""
    module = import_module(f"witten.cli.commands.{name}")
    kind, ranks = (ParallelCommand, ALL_RANKS) if name in PARALLEL else (WittenCommand, ONE_RANK)
    alone = typer.Typer(rich_markup_mode="rich", add_completion=False)
    alone.command(name, cls=kind, epilog=f"{module.EXAMPLES}\n\n[dim]{ranks}[/dim]")(flattened(getattr(module, name)))
    command: TyperCommand = typer.main.get_command(alone)  # type: ignore[assignment]
    return command


class Commands(TyperGroup):
    """All commands by their first lines, which is what `--help` and shells ask for; the one that runs is loaded."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {
            name: TyperCommand(name, help=COMMANDS[name], rich_help_panel=group)
            for group, names in GROUPS.items()
            for name in names
        }

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, None if name is None else load(name), rest


app = typer.Typer(
    name="witten",
    cls=Commands,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "witten gap double-well --lr 0.02:0.5:12",
        'witten gap "(x**2-1)**2/4 + y**2/2" --lr 0.05,0.1 -o a.nc --plot a.png',
        "witten explain mueller-brown --lr 0.1 --report why.html",
        "witten validate shi-su-jordan-1d --lr 0.05,0.1",
        notes="Exit status: 0 success; 1 failure; 2 bad request; 3 disagreement; 4 stopped early, --resume continues.",
    ),
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"witten {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def witten(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (or set WITTEN_DEBUG=1).")
    ] = False,
) -> None:
    """How fast learning converges: the spectral gap of the Witten-Laplacian against the learning rate.

    Start with gap (how fast), explain (why) and validate (whether to believe it).
    """
    if context.invoked_subcommand is None:
        raise RequestError(f"which command? give one of {', '.join(COMMANDS)}; witten --help explains them")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit status."""
    signals.end_at_once()
    open_streams()
    gc.set_threshold(*SELDOM)
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given or os.environ.get("WITTEN_DEBUG", "") not in ("", "0")
    given = [word for word in given if word != "--debug"]
    command = typer.main.get_command(app)
    ranks = _ranks()
    if ranks.rank:
        mute()
    elif sys.stderr.isatty() and given[:1] != ["warm"]:
        announce_compilation(lambda: say("compiling kernels (once; `witten warm` does it ahead for all commands)"))
    status = exit_status(
        lambda: command.main(args=given, prog_name="witten", standalone_mode=False), debug=debug, ranks=ranks
    )
    gc.freeze()  # the interpreter ends without looking through all of it again
    sys.exit(status)


def _ranks() -> parallel.Communicator:
    """The ranks of this run; where they cannot work together, the first alone says why."""
    try:
        return parallel.world()
    except RequestError as error:
        if parallel.launched()[0] == 0:
            say(str(error))
        sys.exit(WRONG)

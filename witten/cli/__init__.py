"""The command line: `witten COMMAND ...`.

Every command is one call of the Python API; here are only the words. The exit status, the one line on standard error
and the JSON are a contract with scripts (see `witten --help`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from witten import __version__, parallel
from witten.cli.commands import (
    anneal,
    bifurcate,
    chain,
    committor,
    descend,
    doctor,
    explain,
    gap,
    landscape,
    objectives,
    plot,
    risk,
    schedule,
    simulate,
    spectrum,
    stability,
    study,
    theory,
    validate,
)
from witten.cli.errors import WRONG, exit_status, mute, say
from witten.cli.options import ParallelCommand, WittenCommand, examples
from witten.errors import RequestError

__all__ = ["app", "main"]

app = typer.Typer(
    name="witten",
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "witten gap double-well --lr 0.02:0.5:12",
        'witten gap "(x**2-1)**2/4 + y**2/2" --lr 0.05,0.1 -o a.nc --plot a.png',
        "witten spectrum mueller-brown --lr 0.2 -k 6 --modes modes.nc",
        "witten plot a.nc",
        notes="Exit status: 0 fine; 1 it failed; 2 request wrong; 3 disagreement; 4 stopped early, --resume goes on.",
    ),
)

app.command("gap", cls=ParallelCommand, epilog=gap.EXAMPLES)(gap.gap)
app.command("explain", cls=WittenCommand, epilog=explain.EXAMPLES)(explain.explain)
app.command("spectrum", cls=ParallelCommand, epilog=spectrum.EXAMPLES)(spectrum.spectrum)
app.command("committor", cls=WittenCommand, epilog=committor.EXAMPLES)(committor.committor)
app.command("landscape", cls=WittenCommand, epilog=landscape.EXAMPLES)(landscape.landscape)
app.command("theory", cls=WittenCommand, epilog=theory.EXAMPLES)(theory.theory)
app.command("simulate", cls=ParallelCommand, epilog=simulate.EXAMPLES)(simulate.simulate)
app.command("chain", cls=WittenCommand, epilog=chain.EXAMPLES)(chain.chain)
app.command("risk", cls=WittenCommand, epilog=risk.EXAMPLES)(risk.risk)
app.command("schedule", cls=WittenCommand, epilog=schedule.EXAMPLES)(schedule.schedule)
app.command("anneal", cls=WittenCommand, epilog=anneal.EXAMPLES)(anneal.anneal)
app.command("stability", cls=WittenCommand, epilog=stability.EXAMPLES)(stability.stability)
app.command("descend", cls=WittenCommand, epilog=descend.EXAMPLES)(descend.descend)
app.command("bifurcate", cls=WittenCommand, epilog=bifurcate.EXAMPLES)(bifurcate.bifurcate)
app.command("study", cls=WittenCommand, epilog=study.EXAMPLES)(study.study)
app.command("validate", cls=WittenCommand, epilog=validate.EXAMPLES)(validate.validate)
app.command("objectives", cls=WittenCommand, epilog=objectives.EXAMPLES)(objectives.objectives)
app.command("plot", cls=WittenCommand, epilog=plot.EXAMPLES)(plot.plot)
app.command("doctor", cls=WittenCommand, epilog=doctor.EXAMPLES)(doctor.doctor)


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
    """How fast learning converges: the spectral gap of the Witten-Laplacian against the learning rate."""
    if context.invoked_subcommand is None:
        commands: dict[str, object] = getattr(context.command, "commands", {})
        raise RequestError(f"which command? give one of {', '.join(commands)}; witten --help explains them")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given or os.environ.get("WITTEN_DEBUG", "") not in ("", "0")
    given = [word for word in given if word != "--debug"]
    command = typer.main.get_command(app)
    ranks = _ranks()
    if ranks.rank:
        mute()
    sys.exit(
        exit_status(
            lambda: command.main(args=given, prog_name="witten", standalone_mode=False), debug=debug, ranks=ranks
        )
    )


def _ranks() -> parallel.Communicator:
    """The ranks of this run; where they cannot work together, the first alone says why."""
    try:
        return parallel.world()
    except RequestError as error:
        if parallel.launched()[0] == 0:
            say(str(error))
        sys.exit(WRONG)

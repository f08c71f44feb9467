"""The options that commands have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def complete_objective(incomplete: str) -> list[str]:
    """Gallery names for the shell."""
    from witten.objectives import gallery

    return [name for name in gallery.ENTRIES if name.startswith(incomplete)]


ObjectiveText = Annotated[
    str,
    typer.Argument(
        metavar="OBJECTIVE",
        help="A gallery name (double-well), a name with parameters (double-well:barrier=0.5,dim=2), a formula in "
        'x, y, z or x1, x2, ... ("(x**2-1)**2/4", "a*x^2:a=0.3"), or your own file.py:name, objective or function.',
        autocompletion=complete_objective,
        show_default=False,
    ),
]
Param = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="NAME=VALUE",
        help='A parameter of the objective: a in "a*x**4 - x**2", of a gallery name, or of your own function.',
    ),
]
LearningRates = Annotated[
    str,
    typer.Option(
        "--lr",
        "--learning-rate",
        metavar="SPEC",
        help="Learning rates: a number 0.1, a list 0.05,0.1, or a geometric range 0.02:0.5:12, ends included.",
        show_default=False,
    ),
]
MomentumLearningRates = Annotated[
    str | None,
    typer.Option(
        "--lr",
        "--learning-rate",
        metavar="SPEC",
        help="Learning rates: a number 0.1, a list 0.05,0.1, or a geometric range 0.02:0.5:12, ends included. "
        "Required, except with --friction.",
        show_default=False,
    ),
]
Momentum = Annotated[
    str | None,
    typer.Option("--momentum", metavar="ALPHA", help="Of SGD, 0 <= ALPHA < 1: x+ = x + ALPHA (x - x-) - s grad f."),
]
Nesterov = Annotated[
    bool, typer.Option("--nesterov", help="With --momentum: the gradient is taken at x + ALPHA (x - x-).")
]
Friction = Annotated[
    str | None,
    typer.Option("--friction", metavar="G", help="Friction of a Langevin equation; with --temperature, without --lr."),
]
Temperature = Annotated[
    str | None,
    typer.Option("--temperature", metavar="T", help="Of a Langevin equation, whose density is e^{-(f + v^2/2)/T}."),
]
FrictionSweep = Annotated[
    str | None,
    typer.Option(
        "--friction-sweep", metavar="A:B:N", help="With --temperature: the rate at N frictions, and the optimal one."
    ),
]
Sde = Annotated[
    str,
    typer.Option("--sde", metavar="bbk|shi", help="With --momentum: bbk, which SGD integrates, or shi, of [Shi2024]."),
]
LearningRate = Annotated[
    str, typer.Option("--lr", "--learning-rate", metavar="S", help="The learning rate.", show_default=False)
]
Method = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="fd|fe",
        help="fd: finite differences, the default, on one grid if given; fe: finite elements, with --mesh or --degree.",
    ),
]
Degree = Annotated[
    str | None,
    typer.Option(
        "--degree", metavar="P", help="Degree of the finite elements, 1 to 3 (default: 3 in 1-D and 2-D, 2 in 3-D)."
    ),
]
Mesh = Annotated[
    Path | None,
    typer.Option(
        "--mesh", metavar="FILE.msh", help="A gmsh mesh as the domain, its boundary reflecting (finite elements)."
    ),
]
Rtol = Annotated[str, typer.Option("--rtol", metavar="R", help="Ask for rate_error <= R * rate.")]
NoiseScale = Annotated[
    str, typer.Option("--noise", metavar="SIGMA", help="Scale of the gradient noise: gap(s, SIGMA) = gap(s SIGMA^2).")
]
Covariance = Annotated[
    str | None,
    typer.Option(
        "--covariance",
        metavar="MATRIX",
        help='Covariance of the gradient noise: "1,0.8;0.8,1", formulas in the coordinates; a single one is times I.',
    ),
]
NoiseModel = Annotated[
    str | None,
    typer.Option(
        "--noise-model",
        metavar="MODEL",
        help="loss:c=1,floor=0.2 for noise proportional to the loss, or file.py:name for one of witten.noise.",
    ),
]
NoiseLearningRate = Annotated[
    str | None,
    typer.Option(
        "--lr",
        "--learning-rate",
        metavar="S",
        help="With noise that has a potential at this learning rate: wells and barriers of that, in place of f.",
        show_default=False,
    ),
]
Drift = Annotated[
    str | None,
    typer.Option("--drift", metavar="FORMULAS", help='A drift added to -grad f, one formula per axis: "-3*y,3*x".'),
]
Box = Annotated[
    str | None,
    typer.Option(
        "--box", metavar="BOX", help='The domain, "-2:2,-1:3", one interval per axis (default: found from f).'
    ),
]
Boundary = Annotated[
    str,
    typer.Option(
        "--boundary",
        metavar="reflecting|absorbing",
        help="Boundary of the --box; with absorbing, rates are those of leaving it, the exit rate first.",
    ),
]
Periodic = Annotated[
    list[str] | None,
    typer.Option(
        "--periodic",
        metavar="X=LOW:HIGH",
        help='Periodic axes, "x=0:2*pi,y=-1:1": f and grad f must be the same at both ends.',
    ),
]
Center = Annotated[
    str | None,
    typer.Option(
        "--center", metavar="X", help="For file.py:name: roughly where its wells are, if they are not found."
    ),
]
Scale = Annotated[
    str | None, typer.Option("--scale", metavar="L", help="With --center: a length over which the objective changes.")
]
Seed = Annotated[
    str, typer.Option("--seed", metavar="N", help="Seed of the random numbers; finite differences use none.")
]
Order = Annotated[
    str, typer.Option("--order", metavar="N", help="Order of the law in s: 1, or in one dimension up to 40.")
]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE.nc", help="Save the result (netCDF), atomically."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue from the file of -o: what it holds is not repeated.")]
Groups = Annotated[
    str,
    typer.Option(
        "--groups", metavar="G", help="Under mpiexec -n N: G learning rates at a time, each on N/G ranks."
    ),
]
Walltime = Annotated[
    str | None,
    typer.Option(
        "--walltime", metavar="HH:MM:SS", help="Stop cleanly within this time; --resume continues."
    ),
]
Petsc = Annotated[
    str | None,
    typer.Option(
        "--petsc", metavar="OPTIONS", help='Options for PETSc and SLEPc: "-eps_ncv 40"; large: a preset for large runs.'
    ),
]
Certify = Annotated[
    bool,
    typer.Option("--certify", help="Also prove lower and upper bounds (one variable, reflecting; needs python-flint)."),
]
Plot = Annotated[Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw the result: .png, .svg or .pdf.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else.")]



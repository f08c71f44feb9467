"""What commands have in common: their options, and how the texts behind them are read."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from witten import parallel
from witten.cli.streams import keep_output, say
from witten.cli.tables import check_table, tables
from witten.errors import RequestError
from witten.number_format import as_number

__all__ = [
    "METHODS",
    "ParallelCommand",
    "WittenCommand",
    "about_noise",
    "examples",
    "from_zero_to_one",
    "parse_boundary",
    "parse_box",
    "parse_degree",
    "parse_learning_rate",
    "parse_learning_rates",
    "parse_method",
    "parse_momentum",
    "parse_noise",
    "parse_noise_learning_rate",
    "parse_periodic",
    "parse_petsc",
    "parse_point",
    "parse_walltime",
    "positive",
    "required_learning_rates",
    "resolved",
    "whole",
]

# --method on the command line -> `method` of the results
METHODS = {"fd": "finite-differences", "fe": "finite-elements"}
# More learning rates than this in one sweep are a slip of the keyboard.
MOST_LEARNING_RATES = 10_000
# The name of the options for large runs, in `witten.spectra.solvers.petsc_options`.
PETSC_PRESET = "large"
# A minus and a letter: -0.1 is the value of an option.
PETSC_OPTION = re.compile(r"--?[A-Za-z][A-Za-z0-9_.:-]*", re.ASCII)
LONG_OPTION = re.compile(r"--[A-Za-z][A-Za-z0-9-]*(=.*)?", re.DOTALL)


Param = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="NAME=VALUE",
        help='A parameter of the objective: a in "a*x**4 - x**2", of a gallery name, or of your own function.',
    ),
]
Csv = Annotated[
    str | None,
    typer.Option("--csv", metavar="FILE.csv", help="Save the numbers of --json as a table, instead of printing any."),
]
# Their JSON is no table.
NO_TABLES = ("plot", "doctor")


class WittenCommand(TyperCommand):
    """A command whose arguments may start with a minus, as formulas do: `-x**2/2 + x**4/4`.

    A word is an option if this command knows it, or if it is spelt like one (--word), so that slips are reported;
    everything else is an argument. Who takes an objective takes parameters of it, too; who prints JSON writes tables.
    """

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        own = {parameter.name for parameter in self.params}
        param, table = _common_options()
        self.params += [param] if "objective" in own else []
        self.params += [table] if "as_json" in own and self.name not in NO_TABLES else []

    def invoke(self, ctx: Any) -> Any:
        """Run on one rank, which knows nothing of the others."""
        if parallel.world().rank:
            return None
        with parallel.alone():
            return self.run(ctx)

    def run(self, ctx: Any) -> Any:
        """The command, once what all commands have in common is done."""
        parameters, table = ctx.params.pop("param", None), ctx.params.pop("csv", None)
        if parameters:
            ctx.params["objective"] = with_parameters(ctx.params["objective"], parameters)
        if table is None:
            return super().invoke(ctx)
        path = parallel.agree(parallel.world(), lambda: check_table(table))
        with tables(path, printed=ctx.params["as_json"]):
            ctx.params["as_json"] = True
            return super().invoke(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._sorted(ctx, args))

    def _sorted(self, ctx: Any, args: list[str]) -> list[str]:
        """The options first, then `--`, then the arguments."""
        takes_value = self._options(ctx)
        options: list[str] = []
        arguments: list[str] = []
        rest = iter(args)
        for word in rest:
            if word == "--":
                arguments.extend(rest)
            elif takes_value.get(word, False):
                value = next(rest, None)
                if value is None:
                    return [word]  # typer says what is missing
                options += [word, value]
            elif word in takes_value or LONG_OPTION.fullmatch(word) or takes_value.get(word[:2], False):
                options.append(word)  # a flag, --name=value, a misspelt option, or -k6
            else:
                arguments.append(word)
        return [*options, "--", *arguments]

    def _options(self, ctx: Any) -> dict[str, bool]:
        """The options of this command, and whether a value follows."""
        found: dict[str, bool] = {}
        for parameter in self.get_params(ctx):
            if parameter.param_type_name == "option":
                flag = bool(getattr(parameter, "is_flag", False)) or bool(getattr(parameter, "count", False))
                found.update(dict.fromkeys((*parameter.opts, *parameter.secondary_opts), not flag))
        return found


def _common_options() -> list[Any]:
    """--param and --csv, as typer makes options."""
    alone = typer.Typer(add_completion=False)

    @alone.command()
    def common(param: Param = None, csv: Csv = None) -> None: ...

    return typer.main.get_command(alone).params


class ParallelCommand(WittenCommand):
    """A command that runs on all ranks of `mpiexec -n N`."""

    def invoke(self, ctx: Any) -> Any:
        return self.run(ctx)


def with_parameters(objective: str, parameters: Sequence[str]) -> str:
    """`a*x^2` with ("a=0.3",) as `a*x^2:a=0.3`, which is the same objective as text.

    Raises
    ------
    RequestError
        for what is no name=value.
    """
    for each in parameters:
        if not re.fullmatch(r"\s*\w+\s*=[^=]+", each):
            raise RequestError(f"--param: cannot read {_quoted(each)}; write name=value, as in a=0.3")
    path, suffix, rest = objective.rpartition(".py:")
    head = objective if not suffix else rest
    return objective + ("," if ":" in head else ":") + ",".join(each.strip() for each in parameters)


def examples(*lines: str, notes: str = "") -> str:
    """The end of a help page: examples, one to a line."""
    shown = [f"[dim]$[/dim] {line.replace('[', chr(92) + '[')}" for line in lines]
    return "\n\n".join(["[bold]Examples[/bold]", *shown, *([f"[dim]{notes}[/dim]"] if notes else [])])


def complete_objective(incomplete: str) -> list[str]:
    """Gallery names for the shell."""
    from witten.objectives import gallery

    return [name for name in gallery.ENTRIES if name.startswith(incomplete)]


Objective = Annotated[
    str,
    typer.Argument(
        metavar="OBJECTIVE",
        help="A gallery name (double-well), a name with parameters (double-well:barrier=0.5,dim=2), a formula in "
        'x, y, z or x1, x2, ... ("(x**2-1)**2/4", "a*x^2:a=0.3"), or your own file.py:name, objective or function.',
        autocompletion=complete_objective,
        show_default=False,
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
        help="fd: finite differences, the default; fe: finite elements, the default with --mesh or --degree.",
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
Noise = Annotated[
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


def resolved(objective: str, center: str | None, scale: str | None) -> Any:
    """The objective that is meant, to be searched from a center where one is given.

    Raises
    ------
    RequestError
        for what is no objective, point or length, and for a center of a formula.
    """
    from witten.objectives import resolve
    from witten.objectives.resolve import is_file

    if is_file(objective):
        keep_output()
    f = resolve(objective)
    if words := getattr(f, "taken", ""):
        say(f"note: {words}")
    if center is None and scale is None:
        return f
    if f.formula is not None:
        given = " and ".join(name for name, text in (("--center", center), ("--scale", scale)) if text is not None)
        raise RequestError(f"{given}: {f.name} is a formula, searched in all of space: leave out {given}")
    if center is None:
        raise RequestError(f"--scale {scale}: it goes with a --center; give that, too: about where the wells are")
    length = 1.0 if scale is None else positive("--scale", scale)
    return f.searched_from(parse_point(center, f.dimension, "--center"), length)


def parse_noise(sigma: str, covariance: str | None, model: str | None, drift: str | None = None) -> Any:
    """The noise that is meant: a number, or one of `witten.noise`.

    Raises
    ------
    RequestError
        where several are given, and for what is none.
    """
    strength = positive("--noise", sigma)
    if drift is not None:
        from witten.noise import with_drift

        return with_drift(drift, parse_noise(sigma, covariance, model))
    if covariance is None and model is None:
        return strength
    if (covariance is not None) + (model is not None) + (strength != 1) > 1:
        raise RequestError("--noise, --covariance and --noise-model each say what the noise is: give one of them")
    from witten import noise
    from witten.objectives.resolve import from_file

    if covariance is not None:
        return noise.formula(covariance)
    if re.fullmatch(r".+\.py:[^:]*", model or ""):
        return from_file(str(model), noise.Noise, "noise model", "see witten.noise")
    return noise.parse(str(model))


def parse_noise_learning_rate(text: str | None) -> float | None:
    """The learning rate of a potential; None where there is none."""
    return None if text is None else positive("--lr", text)


def about_noise(noise: Any) -> dict[str, Any]:
    """What a curve says of its noise: a number, or one of `witten.noise`."""
    return {"noise": noise} if isinstance(noise, float) else {"noise": 1.0, "covariance": noise.text}


def parse_learning_rates(text: str) -> tuple[float, ...]:
    """`0.1`, `0.05,0.1,0.2` or `0.02:0.5:12` (geometric, ends included), in the order given.

    Raises
    ------
    RequestError
        for anything else, and for what is not positive and finite.
    """
    if ":" in text:
        return _geometric_range(text)
    words = text.split(",")
    if len(words) > MOST_LEARNING_RATES:
        raise RequestError(f"--lr: {len(words)} learning rates are too many; ask for at most {MOST_LEARNING_RATES}")
    return tuple(_learning_rate(word, text) for word in words)


def required_learning_rates(text: str | None) -> str:
    """The text of --lr; RequestError where there is none."""
    if text is None:
        raise RequestError("Missing option '--lr'; see witten gap --help")
    return text


def parse_learning_rate(text: str) -> float:
    """A single learning rate.

    Raises
    ------
    RequestError
        for a list or a range.
    """
    rates = parse_learning_rates(text)
    if len(rates) != 1:
        raise RequestError(
            f"--lr: this command takes one learning rate, got {_quoted(text)}; give one number, as in 0.1"
        )
    return rates[0]


def _geometric_range(text: str) -> tuple[float, ...]:
    words = text.split(":")
    if len(words) != 3 or "," in text:
        raise RequestError(f"--lr: cannot read the range {_quoted(text)}; write start:stop:count, as in 0.02:0.5:12")
    start, stop = (_learning_rate(word, text) for word in words[:2])
    try:
        count = as_number(words[2], int)
    except ValueError:
        raise RequestError(
            f"--lr: {_quoted(words[2])} in {_quoted(text)} is not a whole number; write start:stop:count"
        ) from None
    if not 2 <= count <= MOST_LEARNING_RATES:
        raise RequestError(
            f"--lr: the range {_quoted(text)} asks for {words[2]} learning rates; ask for 2 to {MOST_LEARNING_RATES}"
        )
    if start == stop:
        raise RequestError(f"--lr: the range {_quoted(text)} is empty; start and stop must differ")
    if start > stop:
        ordered = f"{words[1]}:{words[0]}:{words[2]}"
        raise RequestError(f"--lr: the range {_quoted(text)} is reversed; the smaller end comes first: {ordered}")
    import numpy as np

    return tuple(np.geomspace(start, stop, count).tolist())


def _learning_rate(word: str, text: str) -> float:
    """One positive number of a specification."""
    if not word.strip():
        raise RequestError(f"--lr: a number is missing in {_quoted(text)}; give a number, a list or start:stop:count")
    try:
        value = as_number(word, float)
    except ValueError:
        raise RequestError(
            f"--lr: {_quoted(word)} is not a number; give a number (0.1), a list (0.05,0.1) or a range (0.02:0.5:12)"
        ) from None
    if not (math.isfinite(value) and value > 0):
        raise RequestError(f"--lr: learning rate must be positive and finite, got {word.strip()}")
    return value


def parse_box(text: str | None) -> tuple[tuple[float, float], ...] | None:
    """`-2:2,-1:3` as one (low, high) per axis.

    Raises
    ------
    RequestError
        for anything else, and for an interval that is empty or reversed.
    """
    return None if text is None else tuple(_interval(piece, text) for piece in text.split(","))


def parse_boundary(text: str) -> str:
    """`reflecting` or `absorbing`."""
    if text not in ("reflecting", "absorbing"):
        raise RequestError(f"--boundary: {_quoted(text)} is not known; use reflecting or absorbing")
    return text


def parse_periodic(texts: list[str] | None) -> dict[str, tuple[float, float]] | None:
    """`x=0:2*pi,y=-1:1`, or several such texts, as {"x": (0, 2 pi), "y": (-1, 1)}.

    Raises
    ------
    RequestError
        for anything else, an interval that is empty or reversed, and an axis that is named twice.
    """
    found: dict[str, tuple[float, float]] = {}
    for piece in ",".join(texts or []).split(",") if texts else []:
        name, _, interval = (part.strip() for part in piece.partition("="))
        ends = interval.split(":")
        if not name or len(ends) != 2:
            raise RequestError(f'--periodic: cannot read {_quoted(piece)}; write name=low:high, as in "x=0:2*pi"')
        if name in found:
            raise RequestError(f"--periodic: {name} is named twice; give one interval for each axis")
        low, high = (_constant("--periodic", end) for end in ends)
        if not low < high:
            raise RequestError(f"--periodic: {_quoted(piece)} is empty or reversed; the smaller end comes first")
        found[name] = low, high
    return found or None


def _constant(name: str, text: str) -> float:
    """A number that may be written as a formula: 2*pi."""
    from witten.objectives.symbolic.formula import parse

    formula, _ = parse(text)
    if formula.free_symbols:
        raise RequestError(f"{name}: {_quoted(text)} is not a number; write one, as in 2*pi")
    return float(formula)


def parse_point(text: str, dimension: int, name: str = "--x0") -> tuple[float, ...]:
    """`-0.9,0.9` as coordinates.

    Raises
    ------
    RequestError
        for anything else, and for another number of coordinates than `dimension`.
    """
    try:
        point = tuple(as_number(word, float) for word in text.split(","))
    except ValueError:
        raise RequestError(f"{name}: cannot read {_quoted(text)}; give one number per axis, as in -0.9,0.9") from None
    if not all(map(math.isfinite, point)):
        raise RequestError(f"{name}: the coordinates must be finite, got {_quoted(text)}")
    if len(point) != dimension:
        raise RequestError(
            f"{name}: {_quoted(text)} has {len(point)} coordinate{'s' * (len(point) != 1)}, "
            f"the objective has {dimension} variable{'s' * (dimension != 1)}"
        )
    return point


def _interval(piece: str, text: str) -> tuple[float, float]:
    how = 'write low:high for each axis, as in "-2:2,-1:3"'
    ends = piece.split(":")
    if len(ends) != 2:
        raise RequestError(f"--box: cannot read {_quoted(piece)} in {_quoted(text)}; {how}")
    try:
        low, high = (as_number(end, float) for end in ends)
    except ValueError:
        raise RequestError(f"--box: {_quoted(piece)} is not an interval; {how}") from None
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RequestError(f"--box: the ends must be finite, got {_quoted(piece)}; {how}")
    if low >= high:
        raise RequestError(f"--box: {_quoted(piece)} is empty or reversed; the smaller end comes first")
    return low, high


def parse_method(text: str | None) -> str | None:
    """The name that `--method` means in Python, None for the default.

    Raises
    ------
    RequestError
        for a method that is not known.
    """
    if text is None:
        return None
    if text not in METHODS:
        raise RequestError(f"--method: {_quoted(text)} is not known; use fd or fe")
    return METHODS[text]


def parse_degree(text: str | None) -> int | None:
    """1, 2 or 3, None for the default."""
    if text is None:
        return None
    degree = whole("--degree", text, 1)
    if degree > 3:
        raise RequestError(f"--degree: finite elements have degree 1, 2 or 3, got {degree}")
    return degree


def parse_walltime(text: str | None) -> float | None:
    """`HH:MM:SS`, or `D-HH:MM:SS` as batch systems write it, in seconds.

    Raises
    ------
    RequestError
        for anything else: 10:00 might be minutes or hours.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)", text.strip(), re.ASCII)
    if found is None:
        raise RequestError(f"--walltime: cannot read {_quoted(text)}; write HH:MM:SS, as in 00:50:00 (or D-HH:MM:SS)")
    days, hours, minutes, seconds = (float(each or 0) for each in found.groups())
    total = ((24 * days + hours) * 60 + minutes) * 60 + seconds
    if not (total > 0 and math.isfinite(total)):
        raise RequestError(f"--walltime must be positive, got {text.strip()}")
    return total


def parse_petsc(text: str | None) -> dict[str, str | None]:
    """`-eps_ncv 40 -log_view` as {'eps_ncv': '40', 'log_view': None}; quotes hold a value with spaces together.

    A first word `large` stands for the options of large runs, and is handed on as it is.

    Raises
    ------
    RequestError
        for a word that is neither an option (a minus and a letter) nor the value of the one before it.
    """
    try:
        words = shlex.split(text or "")
    except ValueError as error:
        raise RequestError(f"--petsc: cannot read {_quoted(text or '')}: {str(error).lower()}") from None
    found: dict[str, str | None] = {}
    last = None
    if words[:1] == [PETSC_PRESET]:
        found[words.pop(0)] = None
    for word in words:
        if PETSC_OPTION.fullmatch(word):
            last = word.lstrip("-")
            found[last] = None
        elif last is not None and not word.startswith("--"):
            found[last], last = word, None
        else:
            raise RequestError(
                f'--petsc: {_quoted(word)} is not an option; options start with a minus: "-eps_ncv 40 -eps_view"'
            )
    return found


# --scheme of `simulate`: SGD as it is, with and without momentum.
SGD_ITSELF = "sgd"


def parse_momentum(momentum: str | None, nesterov: bool) -> float:
    """alpha, 0 where left out; RequestError for none of [0, 1), and for --nesterov without it."""
    if momentum is None and nesterov:
        raise RequestError("--nesterov is a way to use --momentum: give that, too")
    return 0.0 if momentum is None else from_zero_to_one("--momentum", momentum)


def require_known_with_momentum(given: Mapping[str, Any], noise: Any = 1.0) -> None:
    """RequestError for options that are given, none of which is known with momentum, and for a covariance."""
    named = {**given, "a covariance": not isinstance(noise, float)}
    for name, value in named.items():
        if value:
            raise RequestError(f"{name} is not known with momentum or friction yet; leave it out")


def from_zero_to_one(name: str, text: str) -> float:
    """A number from 0 to below 1; RequestError for anything else."""
    try:
        value = as_number(text, float)
    except ValueError:
        raise RequestError(f"{name}: {_quoted(text)} is not a number; give one from 0 to below 1") from None
    if not 0 <= value < 1:
        raise RequestError(f"{name} must be from 0 to below 1, got {text.strip()}")
    return value


def positive(name: str, text: str) -> float:
    """A number that must be positive and finite.

    Raises
    ------
    RequestError
        if it is not.
    """
    try:
        value = as_number(text, float)
    except ValueError:
        raise RequestError(f"{name}: {_quoted(text)} is not a number; give a positive number") from None
    if not (math.isfinite(value) and value > 0):
        raise RequestError(f"{name} must be positive and finite, got {text.strip()}")
    return value


def whole(name: str, text: str, least: int) -> int:
    """A whole number, `least` or more.

    Raises
    ------
    RequestError
        if it is not.
    """
    try:
        value = as_number(text, int)
    except ValueError:
        raise RequestError(f"{name}: {_quoted(text)} is not a whole number; give {least} or more") from None
    if value < least:
        raise RequestError(f"{name} must be at least {least}, got {value}")
    return value


def _quoted(text: str) -> str:
    """A piece of the user's text, short enough for one line."""
    text = text.strip()
    return repr(text if len(text) <= 60 else text[:57] + "...")

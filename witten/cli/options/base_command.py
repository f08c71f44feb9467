"""Commands as typer knows them: arguments that start with a minus, and --csv, which most have."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from witten import parallel
from witten.cli.tables import check_table, tables

__all__ = ["ParallelCommand", "WittenCommand", "examples"]

LONG_OPTION = re.compile(r"--[A-Za-z][A-Za-z0-9-]*(=.*)?", re.DOTALL)
Csv = Annotated[
    str | None,
    typer.Option("--csv", metavar="FILE.csv", help="Save the numbers of --json as a table, instead of printing any."),
]
# Their JSON is no table.
NO_TABLES = ("plot", "doctor")


class WittenCommand(TyperCommand):
    """A command whose arguments may start with a minus, as formulas do: `-x**2/2 + x**4/4`.

    A word is an option if this command knows it, or if it is spelt like one (--word), so that slips are reported;
    everything else is an argument. Who prints JSON writes tables.
    """

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        if self.name not in NO_TABLES and "as_json" in {parameter.name for parameter in self.params}:
            self.params += _options_of_tables()

    def invoke(self, ctx: Any) -> Any:
        """Run on one rank, which knows nothing of the others."""
        if parallel.world().rank:
            return None
        with parallel.alone():
            return self.run(ctx)

    def run(self, ctx: Any) -> Any:
        """The command, once what all commands have in common is done."""
        table = ctx.params.pop("csv", None)
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


def _options_of_tables() -> list[Any]:
    """--csv, as typer makes options."""
    alone = typer.Typer(add_completion=False)

    @alone.command()
    def common(csv: Csv = None) -> None: ...

    return typer.main.get_command(alone).params


class ParallelCommand(WittenCommand):
    """A command that runs on all ranks of `mpiexec -n N`."""

    def invoke(self, ctx: Any) -> Any:
        return self.run(ctx)


def examples(*lines: str, notes: str = "") -> str:
    """The end of a help page: examples, one to a line."""
    shown = [f"[dim]$[/dim] {line.replace('[', chr(92) + '[')}" for line in lines]
    return "\n\n".join(["[bold]Examples[/bold]", *shown, *([f"[dim]{notes}[/dim]"] if notes else [])])

"""What commands print: one JSON object for scripts, tables and a progress bar for people."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from witten.cli.streams import output
from witten.cli.tables import to_be_printed

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

__all__ = ["print_json", "print_line", "print_table", "progress_bar"]

# The width of a table that goes to a file or a pipe.
FILE_WIDTH = 120
# Two columns of a table, with the spaces around.
BETWEEN = 3


def print_json(values: Mapping[str, Any]) -> None:
    """One JSON object on standard output; what is not a finite number is null. A table, where one is asked for."""
    plain = _plain(values)
    if to_be_printed(plain):
        print_line(json.dumps(plain, allow_nan=False))


def _plain(value: Any) -> Any:
    """NumPy values as Python's, nan and infinities as None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, str | bool | int) or value is None:
        return value
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, Iterable):
        return [_plain(each) for each in value]
    return float(value) if math.isfinite(value) else None


def console() -> Console:
    """Standard output, as wide as the terminal, or wide enough when it is none."""
    from rich.console import Console

    return Console(file=output(), soft_wrap=False, width=None if output().isatty() else FILE_WIDTH, highlight=False)


def print_line(text: str) -> None:
    """A line on standard output."""
    output().write(text + "\n")
    output().flush()


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[str] = ()) -> None:
    """A table on standard output; columns are aligned to the right unless named in `left`."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    cells, screen = [list(row) for row in rows], console()
    widths = _widths([columns, *cells], screen.width - BETWEEN * len(columns))
    screen.width = max(screen.width, sum(widths) + BETWEEN * len(widths))  # where no word is broken, lines may be
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, width in zip(columns, widths, strict=True):
        table.add_column(column, justify="left" if column in left else "right", width=width)
    for row in cells:
        table.add_row(*(Text(cell, style="yellow" if cell.startswith("unresolved") else "") for cell in row))
    screen.print(Text(title, style="bold"))
    screen.print(table)


def _widths(rows: Sequence[Sequence[str]], room: int) -> list[int]:
    """Of the columns of a table: as wide as their texts where there is room, else the widest is broken between words;
    never narrower than a word, and a number is one."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    words = [max(map(len, " ".join(column).split()), default=0) for column in zip(*rows, strict=True)]
    while sum(widths) > room and widths != words:
        widest = max((width, i) for i, width in enumerate(widths) if width > words[i])[1]
        widths[widest] -= 1
    return widths


@contextmanager
def progress_bar(total: int, what: str) -> Iterator[Callable[[str], None]]:
    """A bar on standard error, when that is a terminal; calling what it yields moves it on by one."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)

        def advance(text: str) -> None:
            progress.update(task, advance=1, description=f"{what} {text}")

        yield advance

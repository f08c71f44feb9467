"""What `--json` prints as one table, for `--csv`: a row for each record, a column for each number."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

from witten.cli.streams import say

__all__ = ["check_table", "table_rows", "tables", "to_be_printed"]

Row = dict[str, Any]


class Wanted(NamedTuple):
    """Where the table goes, and whether JSON is printed, too."""

    path: Path
    printed: bool


_wanted: ContextVar[Wanted | None] = ContextVar("wanted", default=None)


def check_table(path: str) -> Path:
    """The file of a table, refused if it could not be written."""
    from witten.io.atomic_files import check_writable

    return check_writable(path, (".csv",))


@contextmanager
def tables(path: Path, *, printed: bool) -> Iterator[None]:
    """Within, what a command prints as JSON goes into a table."""
    token = _wanted.set(Wanted(path, printed))
    try:
        yield
    finally:
        _wanted.reset(token)


def to_be_printed(values: Mapping[str, Any]) -> bool:
    """Write the table of these values, if one is wanted; whether they are to be printed as JSON."""
    wanted = _wanted.get()
    if wanted is None:
        return True
    from witten import parallel
    from witten.io.atomic_files import write_bytes

    if parallel.world().rank == 0:
        write_bytes(wanted.path, _text(table_rows(values)).encode())
        say(f"table in {wanted.path}")
    return wanted.printed


def _text(rows: list[Row]) -> str:
    """CSV with a line of names; what is unknown is empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def table_rows(values: Mapping[str, Any]) -> list[Row]:
    """JSON values as rows: those of its lists of objects, of which several are told apart by a column `list`; else its
    lists of one length as columns; else one row. Lists in a row are numbered: x.0, x.1.

    >>> table_rows({"records": [{"s": 0.1, "x": [1, 2]}], "barrier": 0.25})
    [{'s': 0.1, 'x.0': 1, 'x.1': 2}]
    >>> table_rows({"objective": "f", "rates": [0.0, 1.0], "errors": [0.0, None]})
    [{'rates': 0.0, 'errors': 0.0}, {'rates': 1.0, 'errors': None}]
    """
    lists = {key: value for key, value in values.items() if _is_list_of_objects(value)}
    if lists:
        several = len(lists) > 1
        return [
            ({"list": key} if several else {}) | row
            for key, items in lists.items()
            for item in items
            for row in _rows(item)
        ]
    columns = {key: value for key, value in values.items() if isinstance(value, list) and value}
    longest = max(map(len, columns.values()), default=0)
    if longest > 1:
        columns = {key: value for key, value in columns.items() if len(value) == longest}
        return [
            _flat(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)
        ]
    return [_flat(values)]


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _rows(item: Mapping[str, Any]) -> Iterator[Row]:
    """A row for each object of a list within, with what they have in common; or one."""
    inner = next((key for key, value in item.items() if _is_list_of_objects(value)), None)
    if inner is None:
        yield _flat(item)
        return
    for each in item[inner]:
        yield _flat({key: value for key, value in item.items() if key != inner} | each)


def _flat(item: Mapping[str, Any]) -> Row:
    """{"x": [1, 2]} as {"x.0": 1, "x.1": 2}."""
    found: Row = {}
    for key, value in item.items():
        if isinstance(value, list):
            value = dict(enumerate(value))
        if isinstance(value, Mapping):
            found |= {f"{key}.{name}": each for name, each in _flat(value).items()}
        else:
            found[str(key)] = value
    return found

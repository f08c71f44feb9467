"""One HTML page that needs nothing but itself: sections of text, figures, tables and verdicts in one style.

    page("Title", [Section("Rates", [Text("..."), Figure(picture(figure), "Caption."), Table(("s", "rate"), rows)])])

All text is escaped. The page may not load anything, its own policy forbids it; figures are SVG inside it, tables are
HTML with a button that copies them, tab between columns, for a spreadsheet.
"""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from witten.io import atomic_files
from witten.report.drawings import Drawn
from witten.version import __version__

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

    from witten.objectives import Objective

__all__ = [
    "Block",
    "Facts",
    "Figure",
    "Row",
    "Section",
    "Table",
    "Text",
    "Verdict",
    "check_page",
    "formula",
    "page",
    "typeset",
    "write_page",
]

SUFFIXES = (".html", ".htm")
# e^( ... ), with brackets within.
EXPONENT = re.compile(r"(?<=\w)\^\(((?:[^()]|\([^()]*\))*)\)")
# H_f, c_0: a letter with an index of one character.
INDEX = re.compile(r"\b([A-Za-zλΣ])_(\w)\b")
# What XML does not know by name.
ENTITY = re.compile(r"&(?!lt;|gt;|amp;)\w+;")
# A formula of more letters is not typeset.
LONGEST = 400


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Verdict:
    """What came out, in words: good, bad, or neither where `ok` is None."""

    ok: bool | None
    text: str
    kind: ClassVar[str] = "verdict"

    @property
    def tone(self) -> str:
        """A class of the style sheet."""
        return {True: "good", False: "bad", None: "open"}[self.ok]


@dataclass(frozen=True)
class Facts:
    """Short answers to short questions, in two columns."""

    facts: Mapping[str, str]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Row:
    """A row of a table: cells, and whether it is good, bad, or neither."""

    cells: tuple[str, ...]
    ok: bool | None = None

    @property
    def tone(self) -> str:
        """A class of the style sheet."""
        return {True: "good", False: "bad", None: ""}[self.ok]


@dataclass(frozen=True)
class Table:
    """Rows under headings; columns named in `words` hold words and are set to the left, all others numbers."""

    headings: tuple[str, ...]
    rows: Sequence[Row | Sequence[str]]
    caption: str = ""
    words: tuple[str, ...] = ()
    kind: ClassVar[str] = "table"

    @property
    def lines(self) -> list[Row]:
        """All rows as `Row`."""
        return [row if isinstance(row, Row) else Row(tuple(row)) for row in self.rows]

    @property
    def columns(self) -> list[str]:
        """For each column a class of the style sheet."""
        return ["words" if heading in self.words else "" for heading in self.headings]


@dataclass(frozen=True)
class Figure:
    """What `picture` drew, and what it shows; a wide one is not squeezed on a narrow screen but scrolls."""

    drawn: Drawn
    caption: str
    wide: bool = False
    kind: ClassVar[str] = "figure"


Block = Text | Verdict | Facts | Table | Figure


@dataclass(frozen=True)
class Section:
    """A heading, and what stands under it."""

    title: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        """The name by which links find it."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-") or "section"


def page(title: str, sections: Sequence[Section], *, lead: str | Markup = "") -> str:
    """The whole page as text; sections follow in order, with links to them where there are more than two."""
    return _template().render(
        title=title, lead=lead, sections=list(sections), version=__version__,
        tables=_tables(sections), points=_points(sections),
    )  # fmt: skip


def _tables(sections: Sequence[Section]) -> str:
    """All tables, for a link that holds them; "" where there is none."""
    return _embedded(
        {"section": section.title, "caption": block.caption, "headings": block.headings,
         "rows": [row.cells for row in block.lines]}
        for section in sections
        for block in section.blocks
        if isinstance(block, Table)
    )  # fmt: skip


def _points(sections: Sequence[Section]) -> str:
    """The points of all figures, as `_tables`."""
    return _embedded(
        {"section": section.title, "caption": block.caption,
         "series": [series.to_json() for series in block.drawn.series]}
        for section in sections
        for block in section.blocks
        if isinstance(block, Figure)
    )  # fmt: skip


def _embedded(found: Iterable[Mapping[str, object]]) -> str:
    """JSON in base64."""
    values = list(found)
    return b64encode(json.dumps(values, allow_nan=False).encode()).decode() if values else ""


def raised(text: str) -> Markup:
    """Escaped text in which e^(-2f/s) has its exponent raised, and H_f its index lowered; markup is left as it is."""
    from markupsafe import Markup, escape

    if isinstance(text, Markup):
        return text
    return Markup(INDEX.sub(r"\1<sub>\2</sub>", EXPONENT.sub(r"<sup>\1</sup>", str(escape(text)))))


def formula(objective: Objective, rest: str = "", *, name: bool = True) -> Markup:
    """f = ..., in MathML, or as text where there is no formula or a long one; and what is said of it."""
    from markupsafe import Markup
    from sympy import mathml

    shown: str | Markup = objective.text if len(objective.text) <= LONGEST else objective.text[:LONGEST] + " …"
    if objective.formula is not None and len(objective.text) <= LONGEST:
        markup = mathml(objective.formula.doit(), printer="presentation").replace("&ExponentialE;", "e")
        shown = Markup(f'<math displaystyle="true">{ENTITY.sub(lambda found: html.unescape(found[0]), markup)}</math>')
    return Markup("{}{}{}").format("f = " if name else "", shown, rest)


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters["raised"] = raised
    source = resources.files("witten.report").joinpath("page.html").read_text(encoding="utf-8")
    return environment.from_string(source)


def typeset(words: str) -> str:
    """Words made for a terminal, with the signs that a page has: ±, ≤, ≥, →."""
    for typed, sign in ((" +- ", " ± "), ("<=", "≤"), (">=", "≥"), (" -> ", " → ")):
        words = words.replace(typed, sign)
    return words


def check_page(path: str | Path) -> Path:
    """Refuse the name of a page that could not be written, before anything is computed for it.

    Raises
    ------
    RequestError
        for a suffix other than .html, or a place that cannot be written.
    """
    return atomic_files.check_writable(path, SUFFIXES)


def write_page(path: str | Path, text: str) -> None:
    """Write a page atomically; `ConvergenceError` if the disk refuses."""
    atomic_files.write_bytes(path, text.encode())

"""Directives that run things: `run` in a page, `gallery` of examples, `paper` of a study's kept results."""

from __future__ import annotations

import ast
import hashlib
import html
import json
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from execution import ROOT, Ran, example, run
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from witten.studies.study import words

PAPERS = ROOT / "docs" / "papers"


class Page(SphinxDirective):
    """What the directives of this file have in common."""

    def code(self, text: str) -> nodes.Node:
        """Python as it is shown."""
        return nodes.literal_block(text.strip(), text.strip(), language="python")

    def picture(self, png: bytes, alt: str) -> list[nodes.Node]:
        """A picture, in a file named after what is in it."""
        if not png:
            return []
        folder = Path(self.env.app.outdir) / "_images"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{hashlib.sha256(png).hexdigest()[:20]}.png"
        (folder / name).write_bytes(png)
        up = "../" * self.env.docname.count("/")
        width, height = (int.from_bytes(png[at : at + 4]) for at in (16, 20))
        what = f'width="{width}" height="{height}" alt="{html.escape(alt, quote=True)}" loading="lazy"'
        image = f'<img class="drawn" src="{up}_images/{name}" {what}/>'
        return [nodes.raw("", image, format="html")]

    def outcome(self, ran: Ran, alt: str) -> list[nodes.Node]:
        """What was printed, shown and drawn."""
        printed = ran.printed.rstrip()
        found: list[nodes.Node] = []
        if printed:
            found.append(nodes.literal_block(printed, printed, language="text", classes=["output"]))
        if ran.html:
            found.append(nodes.raw("", f'<div class="shown">{ran.html}</div>', format="html"))
        return found + self.picture(ran.picture, alt)

    def markdown(self, text: str) -> list[nodes.Node]:
        """Text of a docstring or a table."""
        return self.parse_text_to_nodes(text)


class Run(Page):
    """Code of a page, run with the names that earlier blocks of the page have made; `alt` describes a picture."""

    has_content = True
    option_spec = {"alt": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        kept = self.env.temp_data.setdefault("names of the page", {"__name__": "__main__"})
        code = "\n".join(self.content)
        ran = run(code, kept, self.env.docname)
        return [self.code(code), *self.outcome(ran, self.options.get("alt", "what the code draws"))]


class Gallery(Page):
    """Thumbnails of the examples that are named, and then each with its text, its picture and its code."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        sections, thumbs = [], []
        for name in self.content:
            self.env.note_dependency(str(ROOT / "examples" / f"{name}.py"))
            code, ran = example(name)
            title, section = self._section(name, code, ran)
            sections.append(section)
            (image,) = self.picture(ran.picture, title)
            thumbs.append(f'<a href="#{section["ids"][0]}">{image.astext()}<span>{html.escape(title)}</span></a>')
        return [nodes.raw("", f'<div class="thumbnails">{"".join(thumbs)}</div>', format="html"), *sections]

    def _section(self, name: str, code: str, ran: Ran) -> tuple[str, nodes.section]:
        tree = ast.parse(code)
        title, _, text = (ast.get_docstring(tree) or "").partition("\n")
        title = title if title.endswith("...") else title.removesuffix(".")
        section = nodes.section(ids=[f"example-{name.replace('_', '-')}"], names=[name])
        section += nodes.title("", title)
        section += self.markdown(text.strip())
        body = code.split('"""', 2)[2]
        section += self.outcome(ran, title)
        section += nodes.paragraph("", "", nodes.literal("", f"examples/{name}.py"), classes=["file"])
        section += self.code(body)
        return title, section


class Paper(Page):
    """What a paper says beside what was observed, from the kept output of `witten study NAME --json`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        file = PAPERS / f"{self.arguments[0]}.json"
        self.env.note_dependency(str(file))
        checks = json.loads(file.read_text())["checks"]
        agree = sum(check["ok"] for check in checks)
        return [
            nodes.paragraph("", f"{agree} of {len(checks)} claims agree."),
            nodes.raw("", f'<div class="scroll">{_table(checks)}</div>', format="html"),
        ]


def _table(checks: list[dict[str, Any]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in ("claim", "expected", "observed", "within", "agrees"))
    return f'<table class="claims"><thead><tr>{head}</tr></thead><tbody>{"".join(map(_row, checks))}</tbody></table>'


def _row(check: dict[str, Any]) -> str:
    tolerance = check["tolerance"]
    cells = (
        check["what"], words(check["expected"]), words(check["observed"]),
        "" if tolerance is None else f"{tolerance:.2g}", words(check["ok"]),
    )  # fmt: skip
    return f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"


def setup(app: Sphinx) -> dict[str, bool]:
    """For Sphinx."""
    app.add_directive("run", Run)
    app.add_directive("gallery", Gallery)
    app.add_directive("paper", Paper)
    return {"parallel_read_safe": True}

"""What plain texts become in a page: links for names, pages and citations; docstrings; formulas as MathML."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from docutils import nodes
from execution import ROOT
from latex2mathml.converter import convert
from sphinx.application import Sphinx

NAMES = ROOT / "docs" / "python.md"
ENTRY = re.compile(r"^@\w+\{(\w+),\n(.*?)^\}", re.M | re.S)
FIELD = re.compile(r"^ +(\w+) *= \{(.*?)\},?\n", re.M | re.S)
ENTRIES = dict(ENTRY.findall((ROOT / "docs" / "references.bib").read_text()))
CITED = re.compile(rf"\[({'|'.join(ENTRIES)})\](?!\()")


# ------------------------------------------------------------------------------------------------ pages


def public_names() -> list[str]:
    """The names that docs/python.md tells of, in its order, as far as what they need is installed."""
    found = re.findall(r"`(witten\.[\w.]+)`", NAMES.read_text())
    return [name for name in dict.fromkeys(found) if name != "witten.plots" and _is_there(name)]


def _is_there(name: str) -> bool:
    module, _, last = name.rpartition(".")
    try:
        getattr(import_module(module), last)
    except ImportError:
        return False
    return True


def link(app: Sphinx, docname: str, source: list[str]) -> None:
    """Names, pages and citations of a page become links; the pages of the reference are written."""
    text = source[0]
    if docname == "api":
        text = text.replace("<!-- names -->", "\n\n".join(map(_reference, public_names())))
    if docname == "bibliography":
        text = text.replace("<!-- entries -->", "\n\n".join(_entry(key) for key in sorted(ENTRIES)))
    known = set(public_names())
    text = re.sub(r"`(witten\.[\w.]+)`", lambda m: f"{{py:obj}}{m[0]}" if m[1] in known else m[0], text)
    text = re.sub(r"`(?:docs/)?([a-z_-]+)\.md`", lambda m: f"{{doc}}`/{m[1]}`" if _is_page(m[1]) else m[0], text)
    source[0] = CITED.sub(r"{ref}`[\1] <\1>`", text)


def _is_page(name: str) -> bool:
    return (ROOT / "docs" / f"{name}.md").exists()


def _reference(name: str) -> str:
    value = getattr(import_module(name.rpartition(".")[0]), name.rpartition(".")[2])
    kind = "class" if isinstance(value, type) else "function" if callable(value) else "module"
    if isinstance(value, type) and issubclass(value, Exception):
        kind = "exception"
    path = value.__name__ if kind == "module" else name
    # What a module holds is written once: where python.md names it, or else with the module.
    listed = any(other.startswith(f"{name}.") for other in public_names())
    members = "" if kind in ("function", "exception") or listed else "\n   :members:"
    return f"## {name}\n\n```{{eval-rst}}\n.. auto{kind}:: {path}{members}\n```"


# ------------------------------------------------------------------------------------------------ bibliography


def _entry(key: str) -> str:
    """A target and a line for one entry of the bibliography."""
    fields = {name: _plain(value) for name, value in FIELD.findall(ENTRIES[key])}
    people = fields.get("author") or fields.get("editor", "")
    where = ", ".join(fields[name] for name in ("journal", "booktitle", "series", "publisher") if name in fields)
    where += f" {fields['volume']}" if "volume" in fields else ""
    where += f", {fields['pages']}" if "pages" in fields else ""
    parts = [_people(people), f"*{fields['title']}*", where, fields["year"], _identifier(fields)]
    return f"({key})=\n**\\[{key}\\]** {'. '.join(part for part in parts if part)}."


def _people(names: str) -> str:
    parts = [" ".join(reversed(re.split(r",\s+", name))) for name in re.split(r"\s+and\s+", names)]
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]


def _identifier(fields: dict[str, str]) -> str:
    if "doi" in fields:
        return f"doi:[{fields['doi']}](https://doi.org/{fields['doi']})"
    if "eprint" in fields:
        return f"arXiv:[{fields['eprint']}](https://arxiv.org/abs/{fields['eprint']})"
    return fields.get("isbn", "")


ACCENTS = {"'": "\u0301", "`": "\u0300", '"': "\u0308", "^": "\u0302", "~": "\u0303", "c": "\u0327", "v": "\u030c"}


def _plain(value: str) -> str:
    """BibTeX without its braces and accents."""
    import unicodedata

    value = re.sub(r"\{?\\(['`\"^~]|[cv](?=[ {]))\s*\{?\\?([A-Za-z])\}?\}?", lambda m: m[2] + ACCENTS[m[1]], value)
    for tex, letter in (("{\\ss}", "ß"), ("{\\o}", "ø"), ("{\\l}", "ł"), ("--", "–"), ("\\&", "&")):
        value = value.replace(tex, letter)
    return unicodedata.normalize("NFC", value.replace("{", "").replace("}", ""))


# ------------------------------------------------------------------------------------------------ docstrings


def docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """The project's docstrings as reStructuredText: formulas are not markup, `names` are code."""
    lines[:] = _restructured(lines)


def _restructured(lines: list[str]) -> list[str]:
    out: list[str] = []
    section = example = False
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if re.fullmatch("-{3,}", line):
            continue
        if re.fullmatch("-{3,}", following):
            section = True
            out += ["", f"**{line}**", ""]
            continue
        example = bool(line.strip()) and (example or line.startswith(">>>"))
        if example:
            out.append(line)
        elif section:
            out += _in_section(line)
        else:
            out.append(_escaped(line))
    return out


def _in_section(line: str) -> list[str]:
    """`name : what it is` as an entry of a definition list; what is indented goes on with it."""
    if not line.strip() or line.startswith(" "):
        return [_escaped(line)]
    term, colon, text = line.partition(" : ")
    return ["", f"``{term}``", f"    {_escaped(text)}"] if colon else ["", f"``{term}``"]


def _escaped(line: str) -> str:
    bullet = re.match(r"\s*\* ", line)
    start = bullet[0] if bullet else ""
    parts = re.split(r"(`[^`]+`)", line[len(start) :])
    whole = "".join(f"`{part}`" if re.fullmatch("`[^`]+`", part) else _safe(part) for part in parts)
    return start + re.sub(r"``(?=\w+)(?<=\w``)", r"``\\ ", whole)  # markup must end with a word


def _safe(text: str) -> str:
    return CITED.sub(r":ref:`[\1] <\1>`", re.sub(r"([\\*|_`])", r"\\\1", text))


# ------------------------------------------------------------------------------------------------ formulas


FUNCTION = r"(?<!<munder>)(?<!<msub>)<m([io])[^>]*>(log|det|exp|cos|sin|max|min)</m\1>"
THIN = '<mspace width=".17em"/>'


def _mathml(text: str, display: str) -> str:
    """MathML as TeX would set it: bars as high as letters, thin spaces around names of functions, signs close to what
    they belong to, Greek capitals and single letters of \\mathrm upright."""
    markup = convert(re.sub(r"\\mathrm\{(\w)\}", r"\\text{\1}", text), display=display)
    bar = r'<mo stretchy="false" lspace="0" rspace="0">\1</mo>'
    markup = re.sub("<mo>(&#x0007C;|&#x02016;)</mo>", bar, markup)
    markup = re.sub(FUNCTION, r"<mi>\2</mi>", markup)
    name = "<mi>(?:log|det|exp|cos|sin|max|min)</mi>"
    markup = re.sub(rf"({name})(?=<m(?!o))", rf"\1{THIN}", markup)
    markup = re.sub(rf"(</mi>|</mn>|</mfrac>|&#x00029;</mo>)(?={name})", rf"\1{THIN}", markup)
    markup = re.sub(r"(&#x00028;</mo>)<mo>(&#x02212;)</mo>", r'\1<mo form="prefix">\2</mo>', markup)
    return re.sub(r"<mi>(&#x003[9A][0-9A-F];)</mi>", r'<mi mathvariant="normal">\1</mi>', markup)


def _inline(self: Any, node: nodes.math) -> None:
    self.body.append(_mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def _display(self: Any, node: nodes.math_block) -> None:
    self.body.append(f'<div class="formula">{_mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


NUMBER = re.compile(r"([\d.]+(?:\(\d+\))?e-\d+)")
# Letters of code in a line of a page that is 400 pixels wide.
LONG = 36


def unbroken(app: Sphinx, tree: nodes.document, docname: str) -> None:
    """1e-4 is not broken after its e-, nor words of code but those that a narrow page has no room for."""
    for code in tree.findall(nodes.literal):
        if max(map(len, code.astext().split()), default=0) > LONG:
            code["classes"].append("long")
    for text in [node for node in tree.findall(nodes.Text) if NUMBER.search(node)]:
        if not isinstance(text.parent, nodes.FixedTextElement | nodes.literal | nodes.raw | nodes.math | nodes.title):
            parts = enumerate(NUMBER.split(text))
            inline = [nodes.inline("", part, classes=["number"]) if k % 2 else nodes.Text(part) for k, part in parts]
            text.parent.replace(text, inline)


def signature(*asked: Any) -> tuple[str | None, str | None]:
    """The signature with defaults that a factory makes written so that Sphinx can read them."""
    *_, given, returned = asked
    return given and given.replace("<factory>", "..."), returned


def setup(app: Sphinx) -> dict[str, bool]:
    """For Sphinx."""
    app.connect("source-read", link)
    app.connect("doctree-resolved", unbroken)
    app.connect("autodoc-process-docstring", docstring)
    app.connect("autodoc-process-signature", signature)
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    return {"parallel_read_safe": True}

"""Python in pages and examples, run where it stands: what it prints, what its last line is, and what it draws."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import io
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["EXAMPLES", "Ran", "example", "run"]

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
KEPT = ROOT / "build" / "examples"


@dataclass(frozen=True)
class Ran:
    """printed : standard output, and the value of the last line; html : that value as HTML, if it has such a form;
    picture : a PNG, if that value, or `figure`, is a matplotlib figure."""

    printed: str
    html: str = ""
    picture: bytes = b""


def run(code: str, names: dict[str, Any], where: str) -> Ran:
    """Execute `code` in the namespace `names`."""
    tree = ast.parse(code, where)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    before = names.get("figure")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(tree, where, "exec"), names)
        value = None if last is None else eval(compile(ast.Expression(last.value), where, "eval"), names)
    figure = value if hasattr(value, "savefig") else names.get("figure")
    picture = _png(figure) if figure is not None and (figure is value or figure is not before) else b""
    if value is None or hasattr(value, "savefig"):
        return Ran(out.getvalue(), picture=picture)
    html = value._repr_html_() if hasattr(value, "_repr_html_") else ""
    return Ran(out.getvalue() + ("" if html else f"{value!r}\n"), html, picture)


def _png(figure: Any) -> bytes:
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=110)
    return image.getvalue()


def example(name: str, *, again: bool = False) -> tuple[str, Ran]:
    """The code of `examples/NAME.py` and what came of it; kept while neither it nor the package changes."""
    code = (EXAMPLES / f"{name}.py").read_text()
    digest = hashlib.sha256((code + _package()).encode()).hexdigest()
    kept, picture = KEPT / f"{name}.json", KEPT / f"{name}.png"
    if not again and kept.exists() and picture.exists():
        found = json.loads(kept.read_text())
        if found["digest"] == digest:
            return code, Ran(found["printed"], picture=picture.read_bytes())
    ran = run(code, {"__name__": "__main__"}, f"examples/{name}.py")
    KEPT.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(ran.picture)
    kept.write_text(json.dumps({"digest": digest, "printed": ran.printed}))
    return code, ran


@cache
def _package() -> str:
    """A digest of the package's text."""
    whole = hashlib.sha256()
    for path in sorted((ROOT / "witten").rglob("*.py")):
        whole.update(path.read_bytes())
    return whole.hexdigest()

"""The gallery: every script of examples/ runs, draws, and holds its one assertion; every page has its place."""

import ast
import json
import re
from pathlib import Path

import pytest
from execution import EXAMPLES, example

from witten.studies.study import STUDIES

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))
PAGES = list((ROOT / "docs").rglob("*.md"))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", NAMES)
def test_an_example_holds_and_draws(name):
    code, ran = example(name, again=True)
    assert ran.picture.startswith(b"\x89PNG") and len(ran.picture) > 5000
    tree = ast.parse(code)
    assert sum(isinstance(node, ast.Assert) for node in ast.walk(tree)) == 1
    assert (ast.get_docstring(tree) or "").partition("\n\n")[2] and len(code.splitlines()) < 45


def test_the_gallery_shows_each_once():
    blocks = re.findall(r"```\{gallery\}\n(.*?)```", (ROOT / "docs" / "gallery.md").read_text(), re.S)
    assert sorted("".join(blocks).split()) == NAMES and len(NAMES) >= 25


def test_every_page_is_in_the_table_of_contents():
    trees = re.findall(r"```\{toctree\}(.*?)```", (ROOT / "docs" / "index.md").read_text(), re.S)
    listed = re.findall(r"^([a-z-]+(?:/[a-z-]+)?)$", "".join(trees), re.M)
    there = sorted(page.relative_to(ROOT / "docs").with_suffix("").as_posix() for page in PAGES)
    assert sorted([*listed, "index"]) == there


def test_every_study_has_its_page_with_claims_that_agree():
    assert sorted(path.stem for path in (ROOT / "docs" / "papers").glob("*.json")) == sorted(STUDIES)
    table = (ROOT / "docs" / "papers.md").read_text()
    for name in STUDIES:
        checks = json.loads((ROOT / "docs" / "papers" / f"{name}.json").read_text())["checks"]
        assert all(check["ok"] for check in checks)
        assert re.search(rf"^\| `{name}` \|.*\| {len(checks)} \|$", table, re.M)
        assert f"{{paper}} {name}\n" in (ROOT / "docs" / "papers" / f"{name}.md").read_text()

"""The example in the docstring of each public name: those of `witten`, and those that docs/python.md tells of."""

import doctest
import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import witten

ROOT = Path(__file__).parents[1]
PUBLIC = {f"witten.{name}" for name in witten.__all__} - {"witten.__version__"}
PAGE = (ROOT / "docs" / "python.md").read_text()
DOCUMENTED = set(re.findall(r"`(witten\.[\w.]+)`", PAGE)) - {"witten.plots"}
ON_MESHES = {"witten.FiniteElements", "witten.read_mesh", "witten.spectra.KrylovSchur", "witten.spectra.Preconditioned"}


def defined(name: str) -> Any:
    module, _, last = name.rpartition(".")
    return getattr(import_module(module), last)


@pytest.mark.parametrize("name", sorted(PUBLIC | DOCUMENTED))
def test_its_example_holds(name, monkeypatch):
    if name in ON_MESHES:
        pytest.importorskip("witten.domains.meshes.mesh", reason="needs DOLFINx", exc_type=ImportError)
    monkeypatch.chdir(ROOT)  # meshes/
    text = inspect.getdoc(defined(name))
    example = doctest.DocTestParser().get_doctest(text, {"np": np, "witten": witten}, name, None, None)
    assert example.examples, f"{name} has no example"
    said: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.append)
    assert said == [], "".join(said)


def test_the_page_tells_of_all_that_is_public():
    assert sorted(PUBLIC - DOCUMENTED) == []


def test_the_pieces_of_the_page_fit_together():
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    names: dict[str, Any] = {"witten": witten}
    exec(block.replace("witten.eigensolve", "found = witten.eigensolve"), names)
    assert names["found"].gap == pytest.approx(2.776e-3, rel=1e-2)

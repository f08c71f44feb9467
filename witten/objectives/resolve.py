"""The text forms of an objective: a gallery name, a name with parameters, a formula, or a file of the user's own."""

import importlib.util
import keyword
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import sympy as sp

from witten.errors import RequestError
from witten.objectives import gallery
from witten.objectives.objective import Objective
from witten.objectives.symbolic import formula
from witten.objectives.symbolic.grammar import NAMES, nearest, quoted

__all__ = ["from_file", "is_file", "resolve"]

FILE = re.compile(r"(?P<path>.+\.py):(?P<name>[^:]*)")
WORDS = re.compile(r"[A-Za-z]\w*(-\w+)*")  # what could be meant as a name
FORMULA_WORD = re.compile(rf"[xyz]|x[0-9]+|[0-9]+|{'|'.join(NAMES)}")


def resolve(text: str | Objective, *, on_torus: bool = False) -> Objective:
    """The objective that is meant by "double-well", "double-well:barrier=0.5,dim=2", "(x^2-1)^2/4" or "path.py:name".

    An Objective passes through. RequestError, in one line, for anything else; a misspelt name gets the nearest one
    suggested. The file is run as Python: the one place where a user's code is executed.

    An objective with periodic axes is refused unless `on_torus` says that the caller knows what to do with them."""
    if isinstance(text, Objective):
        if text.periods and not on_torus:
            raise RequestError(
                f"{text.name} has periodic axes, which gap, spectrum and committor know, and nothing else does yet; "
                "leave the periods out"
            )
        return text
    if not isinstance(text, str):
        raise RequestError(f"an objective is a gallery name, a formula, or path.py:name, got {type(text).__name__}")
    text = text.strip()
    if found := FILE.fullmatch(text):
        return _from_file(Path(found["path"]), found["name"])
    if re.fullmatch(r"\S+\.py", text):
        raise RequestError(f"which objective of {text}? write {text}:name")
    head = text.partition(":")[0].strip()
    if text in gallery.ENTRIES or (head != text and WORDS.fullmatch(head) and not keyword.iskeyword(head)):
        return _from_gallery(text)
    if _is_meant_as_name(text):
        hint = nearest(text, gallery.ENTRIES)
        raise RequestError(
            f"unknown objective {quoted(text)}{hint}; `witten objectives` lists them; variables are x, y, z or x1, ..."
        )
    return Objective.from_formula(text)


def is_file(text: str) -> bool:
    """Whether the text names an objective in a file of the user's, which is run."""
    return FILE.fullmatch(text.strip()) is not None


def _is_meant_as_name(text: str) -> bool:
    """Whether text like dubble-well is a misspelt name rather than a difference of variables."""
    if not WORDS.fullmatch(text):
        return False
    known = [bool(FORMULA_WORD.fullmatch(word)) for word in text.split("-")]
    return not any(known) or (not all(known) and bool(nearest(text, gallery.ENTRIES)))


def _from_gallery(text: str) -> Objective:
    name, _, rest = text.partition(":")
    name = name.strip()
    if name not in gallery.ENTRIES:
        return gallery.make(name)
    parameters: dict[str, sp.Rational] = {}
    for item in filter(None, map(str.strip, rest.split(","))):
        key, equals, value = (piece.strip() for piece in item.partition("="))
        if not equals or not key:
            raise RequestError(
                f"{name}: cannot read the parameter {item[:60]!r}; write name=value, as in {name}:{_example(name)}"
            )
        if key in parameters:
            raise RequestError(f"{name}: {key} is given twice")
        parameters[key] = _number(name, key, value)
    return gallery.make(name, **parameters)


def _example(name: str) -> str:
    return ",".join(f"{key}={value:g}" for key, value in gallery.ENTRIES[name].parameters.items()) or "(it has none)"


def _number(name: str, key: str, value: str) -> sp.Rational:
    """An exact number: 0.5, 1e-3, also 1/3."""
    try:
        number, _ = formula.parse(value)
    except RequestError:
        number = sp.nan
    if not number.is_Rational:
        raise RequestError(f"{name}: {key} must be a number, got {value[:60]!r}")
    return number


def _from_file(path: Path, name: str) -> Objective:
    found: Objective = from_file(f"{path}:{name}", Objective, "objective", "see Objective.from_formula")
    return found


def from_file(text: str, kind: type, what: str, remedy: str) -> Any:
    """What `name` stands for in the user's file, "path.py:name", which is run.

    Raises
    ------
    RequestError
        if there is no such file or name, or it is not of this kind.
    """
    location, _, name = text.rpartition(":")
    path = Path(location)
    if not os.path.isfile(path):
        raise RequestError(f"there is no file {location!r}; one of your own is given as path.py:name")
    module = _run(path)
    if not hasattr(module, name):
        own = [key for key, value in vars(module).items() if isinstance(value, kind) and not isinstance(value, type)]
        raise RequestError(f"{path} defines no {name!r}; the {what}s in it: {', '.join(own) or 'none'}")
    found = getattr(module, name)
    if not isinstance(found, kind):
        raise RequestError(f"{name} in {path} is of type {type(found).__name__}, no {what}; {remedy}")
    return found


def _run(path: Path) -> ModuleType:
    """The user's file as a module; registered by name, so that what it defines can be pickled."""
    title = f"witten_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(title, path)
    if spec is None or spec.loader is None:
        raise RequestError(f"cannot read {path} as a Python file")
    module = sys.modules[title] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[title]
        reason = " ".join(str(error).split())[:200]
        raise RequestError(f"running {path} failed: {type(error).__name__}: {reason}") from error
    return module

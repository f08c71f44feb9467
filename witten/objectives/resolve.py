"""The forms of an objective: a gallery name or a formula, with parameters, a file of the user's own, or a function."""

import importlib.util
import inspect
import keyword
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import sympy as sp

from witten.errors import RequestError
from witten.objectives import gallery
from witten.objectives.callables import Function
from witten.objectives.from_function import from_function
from witten.objectives.objective import Objective
from witten.objectives.symbolic import formula
from witten.objectives.symbolic.grammar import NAMES, nearest, quoted

__all__ = ["beside", "from_file", "is_file", "resolve"]

FILE = re.compile(r"(?P<path>.+\.py):(?P<name>[^:]*)(:(?P<parameters>.*))?")
WITH_PARAMETERS = re.compile(r"(?P<formula>[^:]*):(?P<parameters>[^:]*)")
WORDS = re.compile(r"[A-Za-z]\w*(-\w+)*")  # what could be meant as a name
FORMULA_WORD = re.compile(rf"[xyz]|x[0-9]+|[0-9]+|{'|'.join(NAMES)}")


def resolve(
    text: str | Objective | Function,
    *,
    on_torus: bool = False,
    dimension: int | None = None,
    gradient: Function | None = None,
    hessian: Function | None = None,
) -> Objective:
    """The objective that is meant by "double-well", "double-well:barrier=0.5,dim=2", "(x^2-1)^2/4", "a*x^2 - x:a=0.3",
    "path.py:name" (a function there may have parameters, too: "path.py:name:a=0.3,dim=2"), or by a function of points.

    An Objective passes through. RequestError, in one line, for anything else; a misspelt name gets the nearest one
    suggested. The file is run as Python: the one place where a user's code is executed.

    Dimension, gradient and Hessian are those of a function (see `from_function`), and refused with anything else.

    An objective with periodic axes is refused unless `on_torus` says that the caller knows what to do with them."""
    if callable(text) and not isinstance(text, Objective):
        return from_function(text, dimension, gradient=gradient, hessian=hessian)
    if not (dimension is None and gradient is None and hessian is None):
        raise RequestError(f"dimension, gradient and hessian go with a Python function, not with {str(text)[:60]!r}")
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
        return _from_file(Path(found["path"]), found["name"], found["parameters"])
    if re.fullmatch(r"\S+\.py", text):
        raise RequestError(f"which objective of {text}? write {text}:name")
    head = text.partition(":")[0].strip()
    named = head != text and not keyword.iskeyword(head) and _is_meant_as_name(head)
    if head in gallery.ENTRIES or named:
        return _from_gallery(text)
    if _is_meant_as_name(text):
        hint = nearest(text, gallery.ENTRIES)
        raise RequestError(
            f"unknown objective {quoted(text)}{hint}; `witten objectives` lists them; variables are x, y, z or x1, ..."
        )
    found = WITH_PARAMETERS.fullmatch(text)
    if found is None or keyword.iskeyword(head):
        return Objective.from_formula(text)
    return Objective.from_formula(head, name=text, parameters=_parameters(head, found["parameters"], _constant))


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
    return gallery.make(name, **_parameters(name, rest, _number))


def _parameters(name: str, text: str, read: Callable[[str, str, str], sp.Expr]) -> dict[str, sp.Expr]:
    """`a=0.3,b=1/2` as exact numbers."""
    found: dict[str, sp.Expr] = {}
    for item in filter(None, map(str.strip, text.split(","))):
        key, equals, value = (piece.strip() for piece in item.partition("="))
        if not equals or not key:
            raise RequestError(
                f"{quoted(name)}: cannot read the parameter {item[:60]!r}; write name=value, as in {_example(name)}"
            )
        if key in found:
            raise RequestError(f"{quoted(name)}: {_word(key)} is given twice")
        found[key] = read(name, key, value)
    return found


def _example(name: str) -> str:
    known = gallery.ENTRIES[name].parameters if name in gallery.ENTRIES else {"a": 0.3}
    return ",".join(f"{key}={value:g}" for key, value in known.items()) or "(it has none)"


def _number(name: str, key: str, value: str) -> sp.Rational:
    """An exact number: 0.5, 1e-3, also 1/3."""
    number = _constant(name, key, value)
    if not number.is_Rational:
        raise RequestError(f"{quoted(name)}: {_word(key)} must be a number, got {value[:60]!r}")
    return number


def _constant(name: str, key: str, value: str) -> sp.Expr:
    """A constant: 0.5, 1/3, also 2*pi."""
    try:
        number, _ = formula.parse(value)
    except RequestError:
        number = sp.nan
    if number is sp.nan or number.free_symbols:
        raise RequestError(f"{quoted(name)}: {_word(key)} must be a number, got {value[:60]!r}")
    return number


def _from_file(path: Path, name: str, text: str | None) -> Objective:
    """An objective, or a function with its parameters, beside which its gradient and Hessian may stand."""
    where, parameters = f"{path}:{name}", _parameters(name, text or "", _number)
    found = from_file(where, Callable, "objective", "see Objective.from_formula")  # an Objective can be called, too
    if isinstance(found, Objective):
        if parameters:
            raise RequestError(f"{where} is an objective and takes no parameters; a function in a file may have some")
        return found
    dimension = parameters.pop("dim", None)
    derivatives = beside(where, "gradient", "hessian")
    return from_function(found, dimension, parameters=parameters, name=where, **derivatives)


def beside(text: str, *suffixes: str) -> dict[str, Any]:
    """What stands beside `name` in "path.py:name", which has been run: "gradient" is its name_gradient, or None."""
    location, _, name = text.rpartition(":")
    module = sys.modules[_title(Path(location))]
    return {suffix: getattr(module, f"{name}_{suffix}", None) for suffix in suffixes}


def from_file(text: str, kind: Any, what: str, remedy: str) -> Any:
    """What `name` stands for in the user's file, "path.py:name", which is run; RequestError if there is no such file or
    name, or it is not of this kind."""
    location, _, name = text.rpartition(":")
    path = Path(location)
    if not os.path.isfile(path):
        raise RequestError(f"there is no file {location!r}; one of your own is given as path.py:name")
    module = _run(path)
    if not hasattr(module, name):
        own = [key for key, value in vars(module).items() if isinstance(value, kind) and _is_own(value, module)]
        raise RequestError(f"{path} defines no {name!r}; the {what}s in it: {', '.join(own) or 'none'}")
    found = getattr(module, name)
    if not isinstance(found, kind):
        raise RequestError(f"{name} in {path} is of type {type(found).__name__}, no {what}; {remedy}")
    return found


def _is_own(value: Any, module: ModuleType) -> bool:
    """Whether it is neither a class nor a function from elsewhere."""
    elsewhere = inspect.isroutine(value) and value.__module__ != module.__name__
    return not (isinstance(value, type) or elsewhere)


def _title(path: Path) -> str:
    """Under which name the module of a file is registered."""
    return f"witten_user_{path.stem}"


def _run(path: Path) -> ModuleType:
    """The user's file as a module; registered by name, so that what it defines can be pickled."""
    title = _title(path)
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


def _word(key: str) -> str:
    """A parameter as it is shown: what could not be one in quotes, since it may hold anything."""
    return key if key.isidentifier() and len(key) <= 60 else quoted(key)

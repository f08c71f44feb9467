"""What nobody should send: text that is no formula, reckless formulas, broken files, and arguments that cannot be; for
the tests and, in numbers, for `benchmarks/robustness.py`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product

TOKENS = r"""x y z x1 x2 e E pi 0 1 2 9 99 1e9 .5 1e308 + - * / ** ^ ( ) ( ) , . : = == < [ ] { } ' " @ ! \ #
exp log sqrt sin tan abs min max lambda import __import__ os if else for in not and yield double-well :""".split()  # noqa: SIM905
NUMBERS = ["x", "y", "2", "9", "1e9", "0.5", "pi", "E", "(-1)"]
OPERATORS = ["+", "-", "*", "/", "^", "^"]
FUNCTIONS = ["exp", "log", "sqrt", "tan", "cosh", "abs"]
GOOD = ["(x^2-1)^2/4", "x^2/2+y^2-cos(3*x*y)", "log(1+exp(x))+x^2", "max(x,-x)^1.5", "double-well:barrier=0.5,dim=2"]


def formulas(rng: random.Random) -> Iterator[str]:
    """Without end: letters of any kind, tokens, reckless trees, good formulas with a letter wrong."""
    kinds = (_letters, _tokens, _tree, _misspelt)
    while True:
        yield rng.choice(kinds)(rng)


def _letters(rng: random.Random) -> str:
    ranges = (range(32, 127), range(256), range(0x600, 0x700), range(0xD7FF))
    return "".join(chr(rng.choice(rng.choice(ranges))) for _ in range(rng.randrange(60)))


def _tokens(rng: random.Random) -> str:
    return rng.choice(("", " ")).join(rng.choices(TOKENS, k=rng.randrange(25)))


def _tree(rng: random.Random, leaves: int = 8) -> str:
    """Correct syntax, reckless numbers."""
    if leaves < 2 or rng.random() < 0.2:
        return rng.choice(NUMBERS)
    if rng.random() < 0.3:
        return f"{rng.choice(FUNCTIONS)}({_tree(rng, leaves - 1)})"
    left = rng.randrange(1, leaves)
    return f"({_tree(rng, left)}){rng.choice(OPERATORS)}({_tree(rng, leaves - left)})"


def _misspelt(rng: random.Random) -> str:
    text = rng.choice(GOOD)
    at = rng.randrange(len(text))
    return text[:at] + rng.choice(["", *TOKENS]) + text[at + rng.randrange(3) :]


def broken(whole: bytes, rng: random.Random) -> bytes:
    """A file that is cut, or some of whose bits are flipped, or both."""
    content = bytearray(whole[: rng.randrange(1, len(whole))] if rng.random() < 0.3 else whole)
    for _ in range(rng.choice((1, 5, 50))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


NO_NUMBERS = ["", " ", "nan", "inf", "-inf", "-1", "0", "1e400", "1e-400", "1_0", "0x1", "\u0661", "1j", "a", "--", "-",
              "0.1,,0.2", "0.1:0.2", "0.2:0.1:3", "0.1:0.2:1e9", "9" * 400, "n" * 300, "0.1;0.2", "$(id)"]  # fmt: skip
NO_FILES = ["/dev/zero", "/dev/null", "/", ".", "", "n" * 300 + ".nc", "missing/a.nc", "a.txt", "a", "~", "\xfc" * 200]
NO_OBJECTIVES = ["", "-", "x^", "n" * 5000, "missing.py:f", "double-wel", "-x^2", "\0"]
COMMANDS = {"gap": (), "spectrum": (), "theory": (), "simulate": (), "validate": (), "chain": (), "explain": (),
            "descend": ("--x0", "1"), "bifurcate": (), "stability": (), "landscape": ()}  # fmt: skip
# Options that are given each of the values above, beside an objective and a learning rate that are fine.
NUMERIC = {"gap": ("--rtol", "--noise", "--seed", "--walltime", "--box", "--groups", "--momentum"),
           "spectrum": ("-k", "--degree"), "simulate": ("--dt", "--paths", "--scheme", "--estimator")}  # fmt: skip
FILES = {"gap": ("-o", "--plot", "--mesh"), "theory": ("-o",)}


def calls() -> Iterator[tuple[str, ...]]:
    """Words of the command line, each of them wrong in one place."""
    for (command, more), value in product(COMMANDS.items(), NO_NUMBERS):
        if command not in ("stability", "landscape"):
            yield command, "x^2/2", *more, "--lr", value
    for command, options in NUMERIC.items():
        for option, value in product(options, NO_NUMBERS):
            yield command, "x^2/2", "--lr", "0.1", option, value
    for command, options in FILES.items():
        for option, value in product(options, NO_FILES):
            yield command, "x^2/2", "--lr", "0.1", option, value
    for command, objective in product(COMMANDS, NO_OBJECTIVES):
        rate = () if command in ("stability", "landscape") else ("--lr", "0.1")
        yield command, objective, *COMMANDS[command], *rate

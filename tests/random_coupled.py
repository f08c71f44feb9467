"""Random objectives of the plane and of space that are no sums: what differences and elements are compared on.

Each family gives a formula in u, v (and w), and learning rates from and to; `coupled_case` shifts, dilates and turns
it as `random_cases` does. Nobody knows the rates: `truth` is None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from zlib import crc32

from random_cases import placed, turned_axes
from random_shapes import Dice, less, number, rounded, total

Family = tuple[str, float, float]
COUNTS = {
    "banana": 8,
    "channel": 8,
    "ring": 6,
    "product": 7,
    "spirals": 4,
    "valley": 6,
    "bells": 8,
    "oblique": 5,
    "coupled-space": 8,
}


@dataclass(frozen=True)
class Coupled:
    """An objective whose rate nobody knows."""

    name: str
    kind: str
    formula: str
    learning_rate: float
    dimension: int
    truth: None = None


def coupled_case(kind: str, seed: int, index: int) -> Coupled:
    d = Dice(seed, crc32(kind.encode()), index)
    text, low, high = FAMILIES[kind](d)
    names = "uvw" if kind.endswith("space") else "uv"
    axes, _ = turned_axes(d, len(names), far=d.whole(0, 3) == 0)
    formula = placed(text, dict(zip(names, axes, strict=True)), 1.0)
    return Coupled(f"{kind}-{seed}-{index}", kind, formula, d.log(low, high), len(names))


def banana(d: Dice) -> Family:
    """A parabola for a valley, with two wells or one."""
    a, c, b, t = d.log(0.5, 8), d.uniform(0.4, 1.3), d.log(0.1, 1), d.uniform(-0.1, 0.1)
    along = d.choice(
        [total(f"{number(b)}*(u**2-1)**2", f"{number(t)}*u"), f"{number(b)}*u**2", f"{number(b)}*log(1+u**2)"]
    )
    return total(f"{number(a)}*(v-{number(c)}*u**2)**2", along), b / 5, b


def channel(d: Dice) -> Family:
    """A valley whose width changes: entropy makes the barrier, or moves it."""
    k, c, b = d.log(0.5, 5), d.log(0.5, 10), d.log(0.1, 1)
    along = d.choice([f"{number(b)}*(u**2-1)**2", f"{number(b)}*u**4", f"{number(b)}*u**2/2"])
    gate = d.choice([f"{number(c)}*u**2", f"{number(c)}*exp(-4*u**2)", f"{number(c)}*(1+tanh(2*u))"])
    return total(f"{number(k)}*v**2*(1+{gate})/2", along), b / 5, 2 * b


def ring(d: Dice) -> Family:
    a, t, e = d.log(0.5, 5), d.log(0.01, 0.5), d.uniform(-0.2, 0.2)
    return total(f"{number(a)}*(u**2+v**2-1)**2", f"{number(t)}*u", f"{number(e)}*u*v"), t / 4, 2 * t


def product(d: Dice) -> Family:
    a, b, c = d.log(0.2, 2), d.log(0.1, 1), d.uniform(0.8, 2.5)
    text = d.choice(
        [
            f"{number(a)}*u**2*v**2+{number(b)}*(u**2+v**2)/2",
            f"{number(a)}*(u**2-1)**2*(v**2+{number(b)})+v**2/2",
            f"{number(a)}*sin({number(c)}*u)*sin({number(c)}*v)+{number(b)}*(u**2+v**2)/2",
            f"{number(a)}*(u*v-1)**2+{number(b)}*(u**2+v**2)/4",
        ]
    )
    return text, a / 4, a


def spirals(d: Dice) -> Family:
    """Two arms wound around the origin."""
    a, b, k = d.uniform(0.3, 1), d.uniform(0.3, 1), d.uniform(0.1, 0.4)
    q = "(u**2+v**2)"
    arms = f"((u**2-v**2)*cos({number(b)}*{q})+2*u*v*sin({number(b)}*{q}))*exp(-{q}/3)"
    return total(f"{number(k)}*{q}", f"-{number(a)}*{arms}"), a / 5, a


def valley(d: Dice) -> Family:
    """A sine for a valley."""
    a, c, b, e, g = d.log(0.5, 5), d.uniform(0.6, 2), d.log(0.1, 0.6), d.uniform(0.1, 0.6), d.uniform(1, 3)
    text = total(f"{number(a)}*(v-sin({number(c)}*u))**2", f"{number(b)}*u**2/2", f"{number(e)}*cos({number(g)}*u)")
    return text, b / 3, 2 * b


def bells(d: Dice) -> Family:
    """Gaussians with axes of their own, as in Mueller and Brown's surface."""
    return total(f"{number(d.log(0.1, 0.6))}*(u**2+v**2)/2", *(_bell(d) for _ in range(d.whole(2, 4)))), 0.12, 0.6


def _bell(d: Dice) -> str:
    height, m, n = d.uniform(-2, 0.5), d.uniform(-1.5, 1.5), d.uniform(-1.5, 1.5)
    a, c = d.uniform(0.5, 3), d.uniform(0.5, 3)
    b = rounded(d.uniform(-1.6, 1.6) * (a * c) ** 0.5)
    u, v = less("u", m), less("v", n)
    return f"{number(height)}*exp({total(f'-{number(a)}*{u}**2', f'{number(b)}*{u}*{v}', f'-{number(c)}*{v}**2')})"


def oblique(d: Dice) -> Family:
    """Kinks along curves of the plane."""
    a, b, c = d.uniform(0.5, 2), d.uniform(0.5, 2), d.uniform(0, 0.4)
    text = d.choice(
        [
            f"min((u+1)**2+{number(a)}*v**2, (u-1)**2+{number(b)}*v**2+{number(c)})",
            f"{number(a)}*sqrt(u**2+v**2)+{number(b)}*(u**2+v**2)/4",
            f"{number(a)}*abs(u**2+v**2-1)+{number(c)}*u",
            f"max({number(a)}*u**2+v**2/4, abs(v-u))+{number(c)}*v",
        ]
    )
    return text, 0.15, 0.8


def in_space(d: Dice) -> Family:
    a, k, c, b, t = d.log(0.5, 3), d.log(0.5, 3), d.uniform(0.3, 1), d.log(0.2, 0.8), d.uniform(-0.1, 0.1)
    text = d.choice(
        [
            total(f"{number(a)}*(v-{number(c)}*u**2)**2", f"{number(k)}*(w-{number(c)}*u)**2",
                  f"{number(b)}*(u**2-1)**2", f"{number(t)}*u"),
            f"{number(k)}*(v**2+w**2)*(1+{number(a)}*u**2)/2+{number(b)}*(u**2-1)**2",
            f"{number(a)}*(u**2+v**2+w**2-1)**2+{number(b)}*u",
            f"{number(a)}*(v-{number(c)}*u*w)**2+{number(b)}*(u**2-1)**2+{number(k)}*w**2/2",
        ]
    )  # fmt: skip
    return text, b / 2, 2 * b


FAMILIES: dict[str, Callable[[Dice], Family]] = {
    "banana": banana,
    "channel": channel,
    "ring": ring,
    "product": product,
    "spirals": spirals,
    "valley": valley,
    "bells": bells,
    "oblique": oblique,
    "coupled-space": in_space,
}

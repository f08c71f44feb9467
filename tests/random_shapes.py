"""Random functions of one variable, each stated twice: as a formula in u, and in NumPy for the references.

Coefficients are decimals of few digits, so that both say the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import exp, pi, sqrt

import numpy as np
from numpy.polynomial import Polynomial
from references import Array, Function, climb, scan_grid
from scipy.optimize import brentq

SCAN = 30.0


@dataclass(frozen=True)
class Shape:
    """f(u).

    Parameters
    ----------
    text : the formula, in the variable u
    f : the same in NumPy
    points : where f has kinks or is narrow
    reach : far places that matter
    heights : learning rates that suit it where it has no barrier, from and to
    hot : the highest learning rate at which it is used
    """

    text: str
    f: Function
    points: tuple[float, ...] = ()
    reach: tuple[float, ...] = ()
    heights: tuple[float, float] = (0.05, 1.0)
    hot: float = np.inf

    def barrier(self) -> tuple[float, float]:
        """The highest barrier that keeps a well apart from a deeper one, and how far its top is above the deepest."""
        y = self.f(scan_grid(SCAN, self.points, 20_000))
        lowest, climbed = climb(y)
        highest = int(np.argmax(climbed - y))
        barrier = float(climbed[highest] - y[highest])
        return barrier, float(climbed[highest] - y[lowest]) if barrier else 0.0


class Dice:
    """Random decimals of few digits."""

    def __init__(self, *seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def uniform(self, low: float, high: float, digits: int = 3) -> float:
        return rounded(self.rng.uniform(low, high), digits)

    def log(self, low: float, high: float, digits: int = 3) -> float:
        """Uniform in the logarithm."""
        return rounded(float(np.exp(self.rng.uniform(np.log(low), np.log(high)))), digits)

    def sign(self) -> int:
        return int(self.rng.integers(2)) * 2 - 1

    def whole(self, low: int, high: int) -> int:
        """low <= n <= high."""
        return int(self.rng.integers(low, high + 1))

    def choice[T](self, options: Sequence[T]) -> T:
        return options[int(self.rng.integers(len(options)))]


def rounded(value: float, digits: int = 3) -> float:
    return float(f"{value:.{digits}g}")


def number(value: float) -> str:
    """A decimal that reads back as the same double."""
    return repr(int(value)) if value == int(value) and abs(value) < 1e6 else repr(value)


def total(*terms: str) -> str:
    """The sum of terms that may begin with a minus, but for those of factor 0."""
    return "+".join(term for term in terms if not re.match(r"-?0(\*|$)", term)).replace("+-", "-")


def less(u: str, value: float) -> str:
    """(u - value)."""
    if value == 0:
        return u
    return f"({u}{'+' if value < 0 else '-'}{number(abs(value))})"


def crossings(g: Function) -> tuple[float, ...]:
    """Where g changes its sign."""
    x = np.linspace(-SCAN, SCAN, 30_001) + 1e-7
    y = np.sign(g(x))
    return tuple(brentq(g, x[i], x[i + 1], xtol=1e-15, rtol=1e-14) for i in np.flatnonzero(y[1:] != y[:-1]))


# ------------------------------------------------------------------------------------------------ smooth


def quartic(d: Dice) -> Shape:
    a, b, c = d.log(0.1, 4), d.uniform(-1, 1), d.uniform(-0.3, 0.3)
    b = rounded(a * b)
    return Shape(
        total(f"{number(a)}*(u**2-1)**2", f"{number(b)}*u", f"{number(c)}*u**3"),
        lambda u: a * (u**2 - 1) ** 2 + b * u + c * u**3,
    )


def polynomial(d: Dice) -> Shape:
    """A sextic of random coefficients."""
    c = [d.uniform(-1, 1) for _ in range(5)]
    top = d.log(0.1, 0.6)
    p = Polynomial([0.0, *c, top])
    terms = [f"{number(value)}*u**{k}" for k, value in enumerate([*c, top], start=1)]
    return Shape(total(*terms), lambda u: p(u))


def wells(d: Dice) -> Shape:
    """A product of parabolas: two or three wells, and a tilt."""
    n = d.whole(2, 3)
    roots = [rounded((i - (n - 1) / 2) * d.uniform(1.2, 2.2)) for i in range(n)]
    lifts = [d.choice([0.0, d.log(0.01, 0.5)]) for _ in range(n)]
    a, b = d.log(0.1, 1), d.uniform(-0.2, 0.2)
    factors = "*".join(f"({less('u', r)}**2+{number(e)})" for r, e in zip(roots, lifts, strict=True))

    def f(u: Array) -> Array:
        return a * np.prod([(u - r) ** 2 + e for r, e in zip(roots, lifts, strict=True)], axis=0) + b * u

    return Shape(total(f"{number(a)}*{factors}", f"{number(b)}*u"), f)


def bump(a: float, m: float, w: float) -> tuple[str, Function]:
    """a exp(-((u - m)/w)^2)."""
    return f"{number(a)}*exp(-({less('u', m)}/{number(w)})**2)", lambda u: a * np.exp(-(((u - m) / w) ** 2))


def added(*parts: tuple[str, Function]) -> tuple[str, Function]:
    return total(*(text for text, _ in parts)), lambda u: sum(f(u) for _, f in parts)


def parabola(k: float, m: float = 0.0) -> tuple[str, Function]:
    """k (u - m)^2/2."""
    return f"{number(k)}*{less('u', m)}**2/2", lambda u: k * (u - m) ** 2 / 2


def gaussians(d: Dice) -> Shape:
    bumps = [bump(d.uniform(-2, 0.7), d.uniform(-4, 4), d.uniform(0.3, 1.2)) for _ in range(d.whole(2, 5))]
    return Shape(*added(parabola(d.log(0.05, 1)), *bumps))


def narrow(d: Dice) -> Shape:
    """A well as wide as a hair in a parabola."""
    m, w, a = d.uniform(-2, 2, 6), d.log(2e-5, 0.05), d.uniform(0.5, 3)
    fine = tuple(m + w * j for j in (-8, -4, -2, -1, 0, 1, 2, 4, 8))
    return Shape(*added(parabola(d.log(0.3, 3)), bump(-a, m, w)), points=fine, reach=(m,))


def trigonometric(d: Dice) -> Shape:
    a, b, c = d.uniform(0.1, 1), d.uniform(1, 5), d.uniform(-2, 2)
    e, g = d.uniform(-0.5, 0.5), d.uniform(0.5, 3)
    text = f"{number(a)}*sin({number(b)}*u{'+' if c >= 0 else '-'}{number(abs(c))})"
    waves = (text, lambda u: a * np.sin(b * u + c))
    others = (f"{number(e)}*cos({number(g)}*u)", lambda u: e * np.cos(g * u))
    return Shape(*added(parabola(d.log(0.1, 2)), waves, others))


def far_well(d: Dice) -> Shape:
    """A shallow well far above a deep one: the slope is just undone by a bump, or f' has two close roots far up."""
    if d.whole(0, 1):
        k, m, w = d.log(0.3, 2), d.uniform(2, 6), d.uniform(0.2, 0.8)
        a, m = rounded(d.uniform(1.02, 2) * k * m * w * sqrt(exp(1) / 2)), d.sign() * m
        return Shape(*added(parabola(k), bump(-a, m, w)), reach=(m,))
    m, gap = d.uniform(0.8, 1.6), d.uniform(0.02, 0.4)
    slope = Polynomial([0, 1]) * Polynomial([m**2 - gap, -2 * m, 1]) * Polynomial([d.uniform(0.3, 1), 0, 1])
    coefficients = [rounded(value, 5) for value in slope.integ().coef]
    p = Polynomial(coefficients)
    text = total(*(f"{number(value)}*u**{k}" for k, value in enumerate(coefficients) if value))
    return Shape(text, lambda u: p(u), heights=(0.01, 0.3))


def plateau(d: Dice) -> Shape:
    h, c, k, tilt = d.uniform(0.5, 4), d.log(0.3, 6), d.log(1e-4, 0.05), d.choice([0.0, d.uniform(-0.05, 0.05)])
    text, top = d.choice(
        [
            (f"{number(h)}*(1-exp(-{number(c)}*u**2))", lambda u: h * (1 - np.exp(-c * u**2))),
            (f"{number(h)}*tanh({number(c)}*u**2)", lambda u: h * np.tanh(c * u**2)),
            (f"{number(h)}*u**2/(u**2+{number(c)})", lambda u: h * u**2 / (u**2 + c)),
        ]
    )
    rest = (total(f"{number(k)}*u**4", f"{number(tilt)}*u"), lambda u: k * u**4 + tilt * u)
    return Shape(*added((text, top), rest), heights=(0.1 * h, 0.8 * h))


def degenerate(d: Dice) -> Shape:
    """Wells that are nearly, or exactly, equally deep."""
    kind = d.whole(0, 2)
    a, tilt = d.log(0.2, 2), d.choice([0.0, d.log(1e-8, 1e-2)])
    if kind == 0:
        q, a = d.uniform(3.2, 6.8), rounded(a / 4)
        text = f"{number(a)}*(u**2-1)**2*(u**2-{number(q)})**2/10"
        return Shape(total(text, f"{number(tilt)}*u"), lambda u: a * (u**2 - 1) ** 2 * (u**2 - q) ** 2 / 10 + tilt * u)
    if kind == 1:
        text = f"{number(a)}*u**2*(u**2-2)**2"
        return Shape(total(text, f"{number(tilt)}*u"), lambda u: a * u**2 * (u**2 - 2) ** 2 + tilt * u)
    b, k = d.uniform(1, 2), d.log(1e-3, 0.03)
    wave = (f"{number(a)}*sin({number(b)}*u)**2", lambda u: a * np.sin(b * u) ** 2)
    return Shape(*added(wave, parabola(k), (f"{number(tilt)}*u", lambda u: tilt * u)))


def perturbed(d: Dice) -> Shape:
    """A quadratic, and next to nothing beside."""
    eps, w, k = d.sign() * d.log(1e-7, 0.2), d.uniform(0.5, 3), d.log(0.3, 3)
    text, g = d.choice(
        [
            (f"sin({number(w)}*u)", lambda u: np.sin(w * u)),
            (f"exp(-{number(w)}*u**2)", lambda u: np.exp(-w * u**2)),
            ("log(1+u**2)", lambda u: np.log1p(u**2)),
            ("tanh(u)", lambda u: np.tanh(u)),
        ]
    )
    return Shape(*added(parabola(k), (f"{number(eps)}*{text}", lambda u: eps * g(u))), heights=(0.02, 3))


def steep(d: Dice) -> Shape:
    """Exponential growth."""
    a, b, c = d.uniform(0.5, 2), d.uniform(0.2, 2), d.uniform(0.5, 3)
    kind = d.whole(0, 2)
    if kind == 0:
        return Shape(f"exp({number(a)}*u)-{number(b)}*u+u**2/50", lambda u: np.exp(a * u) - b * u + u**2 / 50)
    if kind == 1:
        waves = (f"{number(b)}*sin({number(c)}*u)", lambda u: b * np.sin(c * u))
        return Shape(*added((f"cosh({number(a)}*u)", lambda u: np.cosh(a * u)), waves))
    return Shape(
        f"exp(-2*{number(a)}*u)-{number(rounded(2 * b, 6))}*exp(-{number(a)}*u)+u**2/{number(rounded(10 * c, 6))}",
        lambda u: np.exp(-2 * a * u) - 2 * b * np.exp(-a * u) + u**2 / (10 * c),
    )


def linear(d: Dice) -> Shape:
    """Growth like |u|, with an eigenvalue below the continuous spectrum."""
    a, c = d.log(0.5, 3), d.log(0.5, 2)
    slope = a * c  # of the flatter side
    m, h = d.uniform(-2, 2), d.choice([0.0, d.uniform(-1.5, 1.5)])
    kind = d.whole(0, 2)
    if kind == 0:
        wall = (
            f"{number(a)}*log(cosh({number(c)}*u))",
            lambda u: a * (np.logaddexp(c * u, -c * u) - np.log(2)),
        )
    elif kind == 1:
        wall = (f"{number(a)}*sqrt(1+({number(c)}*u)**2)", lambda u: a * np.hypot(1, c * u))
    else:
        b = rounded(slope * d.uniform(0.2, 0.8))
        slope = min(slope - b, b)
        wall = (
            total(f"{number(a)}*log(1+exp({number(c)}*u))", f"-{number(b)}*u"),
            lambda u: a * np.logaddexp(0, c * u) - b * u,
        )
    hot = 0.35 * slope / c
    return Shape(*added(wall, bump(h, m, 0.7)), heights=(hot / 8, hot), hot=hot)


# ------------------------------------------------------------------------------------------------ kinks


def kinked(d: Dice) -> Shape:
    return d.choice([modulus, rectified, lower, upper, corner, cubed, lowest])(d)


def modulus(d: Dice) -> Shape:
    a, b, r = d.log(0.2, 2), d.uniform(-0.3, 0.3), d.uniform(0.5, 2)
    b = rounded(a * b)
    text = total(f"{number(a)}*abs(u**2-{number(r)})", f"{number(b)}*u")
    return Shape(text, lambda u: a * abs(u**2 - r) + b * u, points=(-sqrt(r), sqrt(r)))


def rectified(d: Dice) -> Shape:
    a, b, c = d.uniform(0.1, 0.8), d.uniform(1.5, 4), d.uniform(0, 3)
    wave = (f"{number(a)}*abs(sin({number(b)}*u+{number(c)}))", lambda u: a * abs(np.sin(b * u + c)))
    n = int(SCAN * b / pi) + 2
    return Shape(*added(parabola(d.log(0.2, 2)), wave), points=tuple((k * pi - c) / b for k in range(-n, n)))


def chosen(name: str, *parts: tuple[str, Function]) -> Shape:
    """The smaller or the larger of some."""
    choose = {"min": np.minimum, "max": np.maximum}[name]

    def f(u: Array) -> Array:
        return choose.reduce([g(u) for _, g in parts])

    pairs = [(g, h) for i, (_, g) in enumerate(parts) for _, h in parts[:i]]
    met = sorted({p for g, h in pairs for p in crossings(lambda u, g=g, h=h: g(u) - h(u))})
    return Shape(f"{name}({', '.join(text for text, _ in parts)})", f, points=tuple(met))


def lifted(part: tuple[str, Function], c: float) -> tuple[str, Function]:
    return total(part[0], number(c)), lambda u: part[1](u) + c


def lower(d: Dice) -> Shape:
    """Two parabolas, the lower one."""
    m = d.uniform(0.7, 3)
    return chosen("min", parabola(d.log(0.5, 3), -m), lifted(parabola(d.log(0.5, 3), m), d.uniform(-0.4, 0.4)))


def lowest(d: Dice) -> Shape:
    """Three parabolas, the lowest one."""
    places = [-d.uniform(1.5, 3), d.uniform(-0.5, 0.5), d.uniform(1.5, 3)]
    return chosen("min", *(lifted(parabola(d.log(0.5, 3), m), d.uniform(-0.4, 0.4)) for m in places))


def upper(d: Dice) -> Shape:
    a, m, c = d.log(0.3, 2), d.uniform(-1, 1), d.uniform(-0.3, 0.5)
    line = (total(f"{number(a)}*abs{less('u', m)}", number(c)), lambda u: a * abs(u - m) + c)
    shape = chosen("max", parabola(d.log(0.3, 3)), line)
    return replace(shape, points=tuple(sorted({*shape.points, m})))


def corner(d: Dice) -> Shape:
    """|u - m|, as it is or as a root, in a parabola with waves."""
    a, m, b, c = d.log(0.1, 2), d.uniform(-1, 1), d.uniform(0.1, 0.7), d.uniform(1, 4)
    text = d.choice([f"{number(a)}*abs{less('u', m)}", f"{number(a)}*sqrt({less('u', m)}**2)"])
    waves = (f"{number(b)}*sin({number(c)}*u)", lambda u: b * np.sin(c * u))
    return Shape(*added(parabola(d.log(0.2, 2)), (text, lambda u: a * abs(u - m)), waves), points=(m,))


def cubed(d: Dice) -> Shape:
    """|u - m|^3 or |u - m|^1.5, whose second derivative has a kink or a pole."""
    a, b, c = d.log(0.3, 2), d.uniform(0.3, 1), d.uniform(1, 4)
    power = d.choice([1.5, 3])
    waves = (f"{number(b)}*cos({number(c)}*u)", lambda u: b * np.cos(c * u))
    return Shape(*added((f"{number(a)}*abs(u)**{number(power)}", lambda u: a * abs(u) ** power), waves), points=(0.0,))


KINDS: dict[str, Callable[[Dice], Shape]] = {
    "quartic": quartic,
    "polynomial": polynomial,
    "wells": wells,
    "gaussians": gaussians,
    "narrow": narrow,
    "trigonometric": trigonometric,
    "far-well": far_well,
    "plateau": plateau,
    "degenerate": degenerate,
    "perturbed": perturbed,
    "steep": steep,
    "linear": linear,
    "kinked": kinked,
}

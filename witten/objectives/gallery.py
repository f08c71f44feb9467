"""Named objectives with parameters: the landscapes this subject keeps coming back to.

Every function returns an `Objective`; its docstring starts with the formula. Parameters are exact: 0.1 means 1/10. A
name with its parameters, "double-well:barrier=0.5,dim=2", is made by `make`; `ENTRIES` lists what there is.

>>> witten.gallery.double_well(barrier=0.5)(np.array([0.0]))
0.5
"""

import sympy as sp

from witten.objectives.registry import ENTRIES, Entry, entry, make, names
from witten.objectives.symbolic.functions import Cos, Exp
from witten.objectives.symbolic.grammar import variables

__all__ = [
    "ENTRIES",
    "Entry",
    "convex_quartic",
    "double_well",
    "himmelblau",
    "make",
    "mueller_brown",
    "names",
    "quadratic",
    "rastrigin",
    "rosenbrock",
    "rugged",
    "shi_su_jordan",
    "shi_su_jordan_1d",
    "six_hump_camel",
    "styblinski_tang",
    "triple_well",
]


@entry(positive="theta")
def quadratic(theta: float = 1.0, dim: int = 1) -> sp.Expr:
    """theta (x_1^2 + ... + x_d^2)/2

    One convex well, rates theta {0, 1, 2, ...} at every learning rate: the exact check of everything but the noise
    strength."""
    return theta * sp.Add(*(x**2 for x in variables(dim))) / 2


@entry(positive="barrier")
def double_well(barrier: float = 0.25, tilt: float = 0.0, dim: int = 1) -> sp.Expr:
    """barrier (x_1^2 - 1)^2 + tilt x_1 + (x_2^2 + ... + x_d^2)/2

    Two wells at x_1 = -1 and 1 with a barrier between them, the simplest non-convex objective; the tilt makes one of
    them the deeper."""
    x, *others = variables(dim)
    return barrier * (x**2 - 1) ** 2 + tilt * x + sp.Add(*(y**2 for y in others)) / 2


@entry()
def triple_well(tilt_x: float = 0.0, tilt_y: float = 0.0) -> sp.Expr:
    """r^4/4 - r^2/2 - (x^3 - 3 x y^2)/10 + tilt_x x + tilt_y y, r^2 = x^2 + y^2

    Three wells around a maximum, threefold symmetric without tilt: a double second eigenvalue, and ties between
    barriers."""
    x, y = variables(2)
    r2 = x**2 + y**2
    return r2**2 / 4 - r2 / 2 - (x**3 - 3 * x * y**2) / 10 + tilt_x * x + tilt_y * y


@entry()
def shi_su_jordan() -> sp.Expr:
    """[(x + 0.7)^2 + 0.1] (x - 0.7)^2 + (y + 0.7)^2 [(y - 0.7)^2 + 0.1]

    The non-convex example of Shi, Su and Jordan [Shi2023]: four minima. It is g(x) + g(-y) with the g of
    shi-su-jordan-1d, so its barriers tie and its smallest rate is double."""
    x, y = variables(2)
    a, c = sp.Rational(7, 10), sp.Rational(1, 10)
    return ((x + a) ** 2 + c) * (x - a) ** 2 + (y + a) ** 2 * ((y - a) ** 2 + c)


@entry()
def shi_su_jordan_1d() -> sp.Expr:
    """[(x + 0.7)^2 + 0.1] (x - 0.7)^2

    The one-dimensional factor of the example of Shi, Su and Jordan [Shi2023]: a bad minimum at -0.619, a saddle at
    -0.081 and the global minimum at 0.7."""
    (x,) = variables(1)
    a, c = sp.Rational(7, 10), sp.Rational(1, 10)
    return ((x + a) ** 2 + c) * (x - a) ** 2


@entry(positive="scale")
def mueller_brown(scale: float = 0.005) -> sp.Expr:
    """scale sum_k A_k exp(a_k (x - X_k)^2 + b_k (x - X_k)(y - Y_k) + c_k (y - Y_k)^2), k = 1, ..., 4

    The test surface of computational chemistry [Mueller1979]: three wells, two saddles, strongly curved valleys. The
    lowest well has depth 146.7 scale."""
    x, y = variables(2)
    rows = [  # A, a, b, c, X, Y
        ("-200", "-1", "0", "-10", "1", "0"),
        ("-100", "-1", "0", "-10", "0", "1/2"),
        ("-170", "-13/2", "11", "-13/2", "-1/2", "3/2"),
        ("15", "7/10", "3/5", "7/10", "-1", "1"),
    ]
    terms = [[sp.Rational(number) for number in row] for row in rows]
    wells = [A * Exp(a * (x - X) ** 2 + b * (x - X) * (y - Y) + c * (y - Y) ** 2) for A, a, b, c, X, Y in terms]
    return scale * sp.Add(*wells)


@entry()
def convex_quartic() -> sp.Expr:
    """x^2/2 + x^4/4

    One strongly convex well (f'' >= 1) that is not quadratic: the rate is above 1 and tends to 1 as the learning rate
    goes to 0."""
    (x,) = variables(1)
    return x**2 / 2 + x**4 / 4


@entry(positive="scale")
def himmelblau(scale: float = 0.01) -> sp.Expr:
    """scale [(x^2 + y - 11)^2 + (x + y^2 - 7)^2]

    Four global minima of value 0, one at (3, 2), with four saddles of different heights [Himmelblau1972]."""
    x, y = variables(2)
    return scale * ((x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2)


@entry(positive="scale")
def six_hump_camel(scale: float = 1.0) -> sp.Expr:
    """scale [(4 - 2.1 x^2 + x^4/3) x^2 + x y + (4 y^2 - 4) y^2]

    Six minima in three symmetric pairs, the lowest -1.0316 scale at (0.0898, -0.7127) and its mirror image
    [Dixon1978]."""
    x, y = variables(2)
    return scale * ((4 - sp.Rational(21, 10) * x**2 + x**4 / 3) * x**2 + x * y + (4 * y**2 - 4) * y**2)


@entry(positive="scale")
def rastrigin(scale: float = 0.05, dim: int = 2) -> sp.Expr:
    """scale [10 d + sum_i (x_i^2 - 10 cos(2 pi x_i))]

    A grid of many minima in a shallow bowl, the global one 0 at the origin; separable [Rastrigin1974]."""
    return scale * (10 * dim + sp.Add(*(x**2 - 10 * Cos(2 * sp.pi * x) for x in variables(dim))))


@entry(positive="scale")
def styblinski_tang(scale: float = 0.05, dim: int = 2) -> sp.Expr:
    """scale sum_i (x_i^4 - 16 x_i^2 + 5 x_i)/2

    2^d unequal wells, the lowest -39.166 d scale at x_i = -2.9035; separable [Styblinski1990]."""
    return scale * sp.Add(*(x**4 - 16 * x**2 + 5 * x for x in variables(dim))) / 2


@entry(positive="scale")
def rosenbrock(scale: float = 0.01) -> sp.Expr:
    """scale [(1 - x)^2 + 100 (y - x^2)^2]

    One minimum 0 at (1, 1) at the end of a long curved valley: no barrier, but stiff [Rosenbrock1960]."""
    x, y = variables(2)
    return scale * ((1 - x) ** 2 + 100 * (y - x**2) ** 2)


@entry(nonnegative="eps")
def rugged(eps: float = 0.05) -> sp.Expr:
    """(x^2 - 1)^2/4 + eps cos(2 pi x/0.2)/2

    The double well under a ripple of period 0.2 and height eps: many shallow minima, one slow transition (after
    [Zwanzig1988])."""
    (x,) = variables(1)
    return (x**2 - 1) ** 2 / 4 + eps * Cos(10 * sp.pi * x) / 2

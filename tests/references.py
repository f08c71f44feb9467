"""Reference rates for the accuracy tests. They share no code with the library, and no method.

One dimension (`rates_1d`)
--------------------------
With w = exp(-2 f/s) and F the distribution function of w/int w, the solution u of -L u = g (mean of g zero) has flux

    (s/2) w(x) u'(x) = -int_{-inf}^x g w,

and for any g

    int_{-inf}^x (g - mean g) w = int [1{y < x} - F(x)] g(y) w(y) dy.

So the operator A with kernel

    A(x, y) = sqrt(2/s) w(x)^{-1/2} [1{y < x} - F(x)] w(y)^{1/2}

has A^* A = (-L)^{-1} on functions of mean zero, and the positive eigenvalues of -L are 1/sigma^2, sigma the singular
values of A. No entry is a difference of large numbers: it holds -F where y > x, and 1 - F, summed from the other end,
where y < x. A is written down at the Gauss-Legendre nodes of panels on which the weights are polynomials to double
precision. One-sided Jacobi rotations (LAPACK's gejsv) find the smallest rate, 1e-300 say, to full relative accuracy.

Rates beside a tiny first one (`rates_beside_a_tiny_one`)
---------------------------------------------------------
A is then dominated by one singular value, and the others drown in its rounding. Let z be the saddle, e the difference
of the normalised indicators of its two sides, and S the functions of mean zero on either side. On S, A is
block-diagonal: each side is a problem of its own, whose F belongs to that side. With q = A e/|A e|, the rest of the
spectrum is that of (1 - q q^T) A on S, up to a relative error of the order of the first rate; q, the flux of e, has no
cancellation either.

`shooting_rate` finds a single rate in a second way: the Prüfer angle, integrated from both ends by Runge-Kutta.

More dimensions: the spectrum of f(x) + g(y) consists of the sums of eigenvalues of the factors (`separable_rates`).
The objectives are written here once more by hand.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from math import pi
from typing import Any

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.linalg import block_diag
from scipy.linalg.lapack import dgejsv
from scipy.optimize import brentq

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

# ------------------------------------------------------------------------------------------------ one dimension


def scan_grid(scan: float, points: Sequence[float] = (), cells: int = 200_000) -> Array:
    """[-scan, scan] in equal cells, and ever finer ones towards each of the points."""
    near = np.geomspace(1e-9 * scan, scan, 400)
    parts = [np.linspace(-scan, scan, cells + 1), *(p + sign * near for p in points for sign in (-1, 1)), points]
    x = np.unique(np.concatenate(parts))
    return x[(x >= -scan) & (x <= scan)]


def climb(y: Array) -> tuple[int, Array]:
    """Where y is lowest, and c, the highest y passed on the way from there to each place."""
    lowest = int(np.argmin(y))
    left, right = np.maximum.accumulate(y[lowest::-1])[::-1], np.maximum.accumulate(y[lowest + 1 :])
    return lowest, np.concatenate([left, right])


def significant_interval(
    f: Function,
    s: float,
    margin: float,
    *,
    scan: float = 30.0,
    points: Sequence[float] = (),
    reach: Sequence[float] = (),
    rate: float | None = None,
) -> tuple[float, float]:
    """Where f <= (height of the saddle that sets the rate) + margin s, searched for in [-scan, scan].

    Climbing from the lowest point outwards, the highest point passed on the way to x is c(x); the barrier out of x is
    c(x) - f(x), and the saddle that sets the rate is c where that is largest. Beyond the interval w is smaller than at
    the saddle by exp(-2 margin).

    `points` are kinks and fine features of f. The places of `reach` are inside with the same margin, and if a rate is
    given, also those where a mode of such a rate could live, |f'|^2/s - f'' <= 2.2 rate, as high as weights can hold:
    there V_s alone decides, not f. Of what goes on to the end of the scan, a continuous spectrum, 340 s are enough.

    Raises
    ------
    ArithmeticError
        if e^{-f/s} vanishes in extended precision at one of these; ValueError if the scan is too short.
    """
    x = scan_grid(scan, points)
    with np.errstate(over="ignore"):
        y = f(x)
    lowest, climbed = climb(y)
    barrier = climbed - y
    level = climbed[np.argmax(barrier)] if barrier.max() > 0 else y[lowest]
    level = max([level, *np.interp(reach, x, climbed)])
    if rate is not None:
        for places, top in zip(allowed_region(f, s, rate, scan, points), (HIGHEST - 20, HIGH), strict=True):
            heights = np.interp(places, x, climbed)
            level = max([level, *heights[heights <= y[lowest] + top * s]])
    if level - y[lowest] > (HIGHEST - 20) * s:
        raise ArithmeticError(f"f varies by {(level - y[lowest]) / s:.0f} s, which is more than weights can hold")
    inside = np.flatnonzero(climbed <= min(level + margin * s, y[lowest] + HIGHEST * s))
    if inside[0] == 0 or inside[-1] == x.size - 1:
        raise ValueError("the scan is too short for this f")
    return float(x[inside[0] - 1]), float(x[inside[-1] + 1])


# exp(-HIGHEST) is an extended double, exp(-2 HIGH) a double. Above HIGHEST/2 F and 1 - F may be rounded to zero where
# they are small, which changes A by exp(-HIGHEST/2).
HIGHEST, HIGH = 11_000.0, 340.0


def allowed_region(f: Function, s: float, rate: float, scan: float, points: Sequence[float]) -> tuple[Array, Array]:
    """Where |f'|^2/s - f'' <= 2.2 rate by differences, the kinks left out: the pieces that end within the scan, and
    what goes on to its ends."""
    x, h = np.linspace(-scan, scan, 100_001, retstep=True)
    with np.errstate(over="ignore", invalid="ignore"):
        slope = np.gradient(f(x), x)
        slow = slope**2 / s - np.gradient(slope, x) <= 2.2 * rate
    endless = np.logical_and.accumulate(slow) | np.logical_and.accumulate(slow[::-1])[::-1]
    smooth = ~np.isin(np.arange(x.size), [round((p + scan) / h) + i for p in points for i in range(-3, 4)])
    return x[slow & smooth & ~endless], x[slow & smooth & endless]


@cache
def gauss_legendre(n: int) -> tuple[Array, Array, Array, Array]:
    """On [0, 1]: nodes, weights, S with (S g)_i = int_0^{x_i} g, and T with T g the Legendre coefficients of g."""
    nodes, weights = legendre.leggauss(n)
    to_coefficients = np.linalg.inv(legendre.legvander(nodes, n - 1))
    integrals = np.stack([legendre.legval(nodes, legendre.legint(row, lbnd=-1)) for row in np.eye(n)], axis=1)
    return (nodes + 1) / 2, weights / 2, integrals @ to_coefficients / 2, to_coefficients


LARGEST = 150_000  # nodes


def panels(
    f: Function, s: float, interval: tuple[float, float], order: int, points: Sequence[float] = ()
) -> Array:
    """Break points, the given ones among them, between which exp(-2f/s) and exp(+-f/s) are polynomials of degree
    < order to double precision."""
    nodes, _, _, to_coefficients = gauss_legendre(order)

    def resolved(a: float, b: float) -> bool:
        y = 2 * f((a + (b - a) * nodes).astype(np.longdouble)) / s
        roundoff = 4e-16 * (np.abs(y).max() + max(abs(a), abs(b)) * np.ptp(y) / (b - a))
        y = np.asarray(y - y.mean(), float)
        if np.ptp(y) > 12:
            return False
        size = np.abs(to_coefficients @ np.exp(np.outer(y, [-1.0, -0.5, 0.5])))
        return bool((size[-2:].max(axis=0) <= (1e-13 + roundoff) * size.max(axis=0)).all())

    def split(a: float, b: float) -> list[float]:
        if resolved(a, b):
            return [b]
        middle = (a + b) / 2
        return split(a, middle) + split(middle, b)

    inside = [p for p in points if interval[0] < p < interval[1]]
    coarse = np.union1d(np.linspace(*interval, 5), inside)
    found = np.array([coarse[0], *(x for a, b in zip(coarse, coarse[1:], strict=False) for x in split(a, b))])
    if found.size * order > LARGEST:
        raise ArithmeticError(f"{found.size} panels are too many")
    return found


@dataclass(frozen=True)
class InverseFactor:
    """A at the Gauss-Legendre nodes of P panels of n nodes, scaled by the square roots of the quadrature weights:
    row (kernel) column, all of shape (P, n).

    Parameters
    ----------
    widths : (P,) of the panels
    lower, upper : F and 1 - F at the nodes
    q : quadrature weights
    row, column : what stands before and behind the kernel
    """

    widths: Array
    lower: Array
    upper: Array
    q: Array
    row: Array
    column: Array

    @cached_property
    def here(self) -> Array:
        """What multiplies the integral over a node's own panel: -F, or 1 - F where that is smaller."""
        return np.where(self.lower < 0.5, -self.lower, self.upper)

    @cached_property
    def steps(self) -> Array:
        """(P, n, n): int of 1{y < x} inside a panel, exactly; less the whole integral where F > 1/2."""
        _, weights, integrate, _ = gauss_legendre(self.q.shape[1])
        low = (self.lower < 0.5)[:, :, None]
        return self.widths[:, None, None] * np.where(low, integrate, integrate - weights)

    @property
    def matrix(self) -> Array:
        count, order = self.q.shape
        panel = np.repeat(np.arange(count), order)
        upper, lower = self.upper.reshape(-1, 1), self.lower.reshape(-1, 1)
        kernel = np.where(panel[None, :] < panel[:, None], upper, -lower) * self.q.ravel()
        for k in range(count):
            block = slice(k * order, (k + 1) * order)
            kernel[block, block] = self.steps[k] + self.here[k][:, None] * self.q[k]
        return self.row.reshape(-1, 1) * kernel * self.column.ravel()

    def __matmul__(self, g: Array) -> Array:
        """A g, for g of shape (P n, m), by running sums."""
        g = self.column[:, :, None] * g.reshape(*self.q.shape, -1)
        whole = np.einsum("pi,pim->pm", self.q, g)
        left, right = _before(whole), _before(whole[::-1])[::-1]
        outside = self.upper[:, :, None] * left[:, None] - self.lower[:, :, None] * right[:, None]
        inside = self.steps @ g + self.here[:, :, None] * whole[:, None]
        return np.asarray(self.row[:, :, None] * (outside + inside), float).reshape(self.q.size, -1)

    def transposed(self, g: Array) -> Array:
        """A^T g."""
        g = self.row[:, :, None] * g.reshape(*self.q.shape, -1)
        up, low, here = (np.einsum("pi,pim->pm", each, g) for each in (self.upper, self.lower, self.here))
        outside = _before(up[::-1])[::-1] - _before(low) + here
        inside = self.steps.transpose(0, 2, 1) @ g
        found = self.column[:, :, None] * (self.q[:, :, None] * outside[:, None] + inside)
        return np.asarray(found, float).reshape(self.q.size, -1)


def _before(a: Array) -> Array:
    """Sums over all earlier rows."""
    return np.concatenate([np.zeros_like(a[:1]), np.cumsum(a, axis=0)[:-1]])


def inverse_factor(f: Function, s: float, breaks: Array, order: int, base: float) -> tuple[InverseFactor, Array, Array]:
    """A; and F, 1 - F divided by the square root of w = exp(-2 (f - base)/s), scaled in the same way."""
    nodes, weights, integrate, _ = gauss_legendre(order)
    width = np.diff(breaks)
    x = breaks[:-1, None] + width[:, None] * nodes  # (panels, order)
    q = width[:, None] * weights
    y = f(x.astype(np.longdouble)) - base
    y = y.astype(float if y.max() < HIGH * s else np.longdouble)
    w = np.exp(-2 * y / s)

    # F and 1 - F at the nodes, each a sum of what lies on its own side
    mass = (q * w).sum(axis=1)
    left, right = _before(mass), _before(mass[::-1])[::-1]
    lower = (left[:, None] + width[:, None] * (w @ integrate.T)) / mass.sum()
    upper = (right[:, None] + width[:, None] * (w @ (weights - integrate).T)) / mass.sum()

    half, root = np.exp(-y / s), np.sqrt(q)
    a = InverseFactor(width, lower, upper, q, np.sqrt(2 / s) * root / half, half / root)
    return a, (lower * root / half).ravel(), (upper * root / half).ravel()


def largest_singular_value(a: InverseFactor) -> float:
    """By subspace iteration, orthonormal at each half step."""
    rows = np.random.default_rng(0).standard_normal((a.q.size, 12))
    sigma = 0.0
    for _ in range(200):
        columns = np.linalg.qr(a @ rows)[0]
        rows, r = np.linalg.qr(a.transposed(columns))
        before, sigma = sigma, float(np.linalg.norm(r, 2))
        if abs(sigma - before) <= 1e-15 * sigma:
            break
    return sigma


def largest_singular_values(a: Array, k: int) -> Array:
    """The k largest, descending, each to high relative accuracy."""
    a = a / (scale := np.abs(a).max())
    # Subspace iteration, orthonormal at each half step: the error of sigma_k is about eps sigma_1.
    rows = np.random.default_rng(0).standard_normal((a.shape[1], k + 30))
    sigma = np.zeros(k)
    for _ in range(60):
        columns = np.linalg.qr(a @ rows)[0]
        rows, r = np.linalg.qr(a.T @ columns)
        before, sigma = sigma, np.linalg.svd(r, compute_uv=False)[:k]
        if np.all(np.abs(sigma - before) <= 1e-14 * sigma + 4e-16 * sigma[0]):
            break
    if sigma[0] > 1e4 * sigma[-1]:  # graded: Jacobi
        sigma, _, _, work, _, info = dgejsv(a, joba=1, jobu=3, jobv=3, jobr=0, jobt=0, jobp=0)
        if info != 0:
            raise ArithmeticError(f"gejsv: info = {info}")
        sigma = np.sort(sigma)[::-1][:k] * (work[0] / work[1])
    return sigma * scale


def rates_1d(
    f: Function,
    s: float,
    k: int = 4,
    *,
    interval: tuple[float, float] | None = None,
    order: int = 24,
    margin: float | None = None,
    points: Sequence[float] = (),
) -> Array:
    """The k lowest positive eigenvalues of -L u = -(s/2) u'' + f' u' on the line, to about 1e-12 of each.

    f is smooth but for kinks at some of the `points`; at most one rate may be tiny, below 1e-15.
    """
    if margin is None:
        margin = 18 + 1.5 * k  # the k-th mode reaches further out
    if interval is None:
        interval = significant_interval(f, s, margin, points=points)
    x = np.union1d(np.linspace(*interval, 100_001), [p for p in points if interval[0] < p < interval[1]])
    base = float(f(x).min())
    a, _, _ = inverse_factor(f, s, panels(f, s, interval, order, points), order, base)
    first = np.array([largest_singular_value(a) ** -2.0])
    if k == 1:
        return first
    if first[0] > 1e-15:
        return largest_singular_values(a.matrix, k) ** -2.0
    return np.append(first, rates_beside_a_tiny_one(f, s, k - 1, x, order, base, points))


def rates_beside_a_tiny_one(
    f: Function, s: float, k: int, x: Array, order: int, base: float, points: Sequence[float] = ()
) -> Array:
    """The k rates that follow a first one which is tiny; see the top of this file. x samples the interval."""
    y = f(x)
    deep, climbed = climb(y)
    other = int(np.argmax((climbed - y)[1:-1])) + 1
    z = float(x[min(deep, other) + np.argmax(y[min(deep, other) : max(deep, other)])])
    (left, flux, _), (right, _, rest) = (
        inverse_factor(f, s, panels(f, s, part, order, points), order, base) for part in ((x[0], z), (z, x[-1]))
    )
    q = np.concatenate([flux, rest])
    q /= np.linalg.norm(q)
    a = block_diag(left.matrix, right.matrix)
    return largest_singular_values(a - np.outer(q, q @ a), k) ** -2.0


MARGINS = (20.0, 30.0, 60.0, 120.0, 240.0)
SCANS = (30.0, 120.0, 480.0, 1920.0)


def gap_1d(
    f: Function, s: float, points: Sequence[float] = (), reach: Sequence[float] = ()
) -> tuple[float, float]:
    """The lowest positive eigenvalue on the line, and a bound of its own error: it is found with growing intervals,
    in turns with 24 and 30 nodes on each panel, until two agree to 1e-10, which is what a wider one changes at most.

    Raises
    ------
    ArithmeticError
        if no two agree to 1e-6: where the spectrum is continuous, say; or if a mode as slow could live outside of what
        weights can hold, in a place that diffusion leaves not ten times as fast.
    """
    rate, difference = np.inf, np.inf
    for margin, order in zip(MARGINS, (24, 30, 24, 30, 24), strict=True):
        bound = None if np.isinf(rate) else rate
        interval = far_interval(f, s, margin, points=points, reach=reach, rate=bound)
        before, rate = rate, rates_1d(f, s, 1, interval=interval, points=points, order=order)[0]
        difference = abs(rate - before)
        if difference <= 1e-10 * rate:
            break
    if not difference <= 1e-6 * rate:
        raise ArithmeticError(f"the gap depends on the interval: {rate} at last, changed by {difference}")
    for scan in SCANS:
        places, _ = allowed_region(f, s, rate, scan, points)
        outside = places[(places < interval[0]) | (places > interval[1])]
        for place in np.split(outside, np.flatnonzero(np.diff(outside) > 3e-5 * scan) + 1) if outside.size else []:
            if s * pi**2 <= 20 * rate * np.ptp(place) ** 2:
                raise ArithmeticError(f"a mode of the rate {rate} could live from {place[0]} to {place[-1]}")
    return float(rate), float(difference + 1e-11 * rate)


def far_interval(f: Function, s: float, margin: float, **options: Any) -> tuple[float, float]:
    """`significant_interval`, by a scan as long as it must be."""
    for scan in SCANS:
        try:
            return significant_interval(f, s, margin, scan=scan, **options)
        except ValueError:
            continue
    raise ArithmeticError("f grows too slowly to be scanned")


def shooting_rate(
    gradient: Callable[[float], float],
    s: float,
    interval: tuple[float, float],
    match: float,
    bracket: tuple[float, float],
    index: int = 1,
) -> float:
    """The index-th positive eigenvalue by the Prüfer angle: u = rho cos(theta), -(s/2) c u' = rho sin(theta), so that

        theta' = c lambda cos^2 + (2/s) f' sin cos + 2/(s c) sin^2,    theta = 0 at both ends, index pi in total.

    Integrated from both ends towards `match` (a saddle): small angles, which carry the small rates, keep their digits.
    """
    c = 2 / s

    def angle(rate: float, start: float, sign: float) -> float:
        def slope(t: float, theta: Array) -> list[float]:
            sin, cos = np.sin(theta[0]), np.cos(theta[0])
            force = sign * gradient(start + sign * t)
            return [c * rate * cos * cos + 2 / s * force * sin * cos + 2 / (s * c) * sin * sin]

        span = (0, abs(match - start))
        done = solve_ivp(slope, span, [0.0], method="DOP853", rtol=3e-14, atol=1e-300, first_step=1e-6)
        return float(done.y[0, -1])

    def excess(log_rate: float) -> float:
        rate = float(np.exp(log_rate))
        return angle(rate, interval[0], 1.0) + angle(rate, interval[1], -1.0) - index * pi

    low, high = np.log(bracket)
    return float(np.exp(brentq(excess, low, high, xtol=1e-14, rtol=1e-14)))


# ------------------------------------------------------------------------------------------------ sums


def separable_rates(spectra: Sequence[Array], k: int) -> Array:
    """The k lowest positive eigenvalues of a sum of 1-D objectives, from the k lowest of each of them."""
    if min(map(len, spectra)) < k:
        raise ValueError(f"{k} sums need {k} eigenvalues of every factor")
    sums = np.zeros(1)
    for rates in spectra:
        sums = np.sort(np.add.outer(sums, np.concatenate([[0.0], rates])).ravel())
    return sums[1 : k + 1]


# ------------------------------------------------------------------------------------------------ objectives, by hand


def double_well(barrier: float = 0.25, tilt: float = 0.0) -> Function:
    return lambda x: barrier * (x * x - 1) ** 2 + tilt * x


def shi_su_jordan(x: Array) -> Array:
    return ((x + 0.7) ** 2 + 0.1) * (x - 0.7) ** 2


def shi_su_jordan_second(x: Array) -> Array:
    return (x + 0.7) ** 2 * ((x - 0.7) ** 2 + 0.1)


def convex_quartic(x: Array) -> Array:
    return x**2 / 2 + x**4 / 4


def rastrigin(scale: float = 0.05) -> Function:
    return lambda x: scale * (10 + x * x - 10 * np.cos(2 * pi * x))


def styblinski_tang(scale: float = 0.05) -> Function:
    return lambda x: scale * (x**4 - 16 * x * x + 5 * x) / 2


def rugged(eps: float = 0.05) -> Function:
    return lambda x: (x * x - 1) ** 2 / 4 + eps * np.cos(2 * pi * x / 0.2) / 2


def quadratic_rates(theta: float, k: int) -> Array:
    return theta * np.arange(1.0, k + 1)


def parse(spec: str) -> tuple[str, dict[str, float]]:
    name, _, text = spec.partition(":")
    return name, {key: float(value) for key, value in (part.split("=") for part in text.split(",") if part)}


@cache
def factor_rates(spec: str, s: float, k: int) -> tuple[Array, ...]:
    """The k lowest positive eigenvalues of each 1-D factor of a gallery objective."""
    name, options = parse(spec)
    dim = int(options.pop("dim", 2 if name in ("rastrigin", "styblinski-tang") else 1))
    match name:
        case "quadratic":
            return (quadratic_rates(options.get("theta", 1.0), k),) * dim
        case "double-well":
            return (rates_1d(double_well(**options), s, k), *[quadratic_rates(1.0, k)] * (dim - 1))
        case "shi-su-jordan":
            return rates_1d(shi_su_jordan, s, k), rates_1d(shi_su_jordan_second, s, k)
        case "shi-su-jordan-1d":
            return (rates_1d(shi_su_jordan, s, k),)
        case "convex-quartic":
            return (rates_1d(convex_quartic, s, k),)
        case "rastrigin":
            return (rates_1d(rastrigin(**options), s, k),) * dim
        case "styblinski-tang":
            return (rates_1d(styblinski_tang(**options), s, k),) * dim
        case "rugged":
            return (rates_1d(rugged(**options), s, k),)
    raise ValueError(f"no reference for {spec}")


def reference_rates(spec: str, s: float, k: int = 1) -> Array:
    """The k lowest positive rates of a gallery objective at learning rate s, computed once."""
    return separable_rates(factor_rates(spec, s, k), k)


# ------------------------------------------------------------------------------------------------ the cases


@dataclass(frozen=True)
class Case:
    spec: str
    learning_rate: float

    @property
    def dimension(self) -> int:
        name, options = parse(self.spec)
        return int(options.get("dim", 2 if name in ("rastrigin", "styblinski-tang", "shi-su-jordan") else 1))

    def rates(self, k: int = 1) -> Array:
        return reference_rates(self.spec, self.learning_rate, k)

    def __str__(self) -> str:
        return f"{self.spec}@{self.learning_rate:g}"


# All with gaps between 1e-12 and 10.
CASES = tuple(
    Case(spec, s)
    for spec, learning_rates in {
        # one dimension
        "quadratic": (0.02, 0.1, 1.0),
        "quadratic:theta=5": (0.05, 0.5),
        "quadratic:theta=0.1": (0.02, 0.2),
        "double-well": (0.02, 0.025, 0.03, 0.05, 0.1, 0.2, 0.4, 1.0),
        "double-well:barrier=0.05": (0.02, 0.1),
        "double-well:barrier=0.5": (0.05, 0.1, 0.3),
        "double-well:barrier=1": (0.1, 0.3, 1.0),
        "double-well:barrier=2": (0.2, 1.0),
        "double-well:tilt=0.05": (0.02, 0.05, 0.2),
        "double-well:tilt=0.2": (0.02, 0.05, 0.1, 0.5),
        "double-well:tilt=-0.15": (0.03, 0.1, 0.3),
        "double-well:barrier=0.5,tilt=0.3": (0.05, 0.1, 0.5),
        "double-well:tilt=1": (0.05, 0.3),
        "shi-su-jordan-1d": (0.02, 0.05, 0.1, 0.3, 1.0),
        "convex-quartic": (0.02, 0.05, 0.2, 1.0),
        "rugged": (0.05, 0.1, 0.2, 0.5),
        "rugged:eps=0.02": (0.02, 0.05, 0.1, 0.3),
        "rugged:eps=0.005": (0.03, 0.1),
        "rastrigin:dim=1": (0.1, 0.2, 0.5),
        "styblinski-tang:dim=1": (0.1, 0.2, 0.5, 1.0),
        # two dimensions
        "quadratic:dim=2": (0.05, 0.5),
        "quadratic:theta=3,dim=2": (0.1, 1.0),
        "double-well:dim=2": (0.05, 0.1, 0.2, 0.4),
        "double-well:barrier=0.5,dim=2": (0.1, 0.4),
        "double-well:tilt=0.1,dim=2": (0.05, 0.1, 0.5),
        "shi-su-jordan": (0.03, 0.05, 0.1, 0.3, 1.0),
        "styblinski-tang": (0.2, 0.5, 1.0),
        # three dimensions
        "quadratic:dim=3": (0.1,),
        "double-well:dim=3": (0.1, 0.3),
        "double-well:tilt=0.1,dim=3": (0.2,),
    }.items()
    for s in learning_rates
)

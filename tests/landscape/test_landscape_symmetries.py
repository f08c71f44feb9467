"""Critical points, the wells that saddles join, barriers and laws do not depend on where the origin is, on the unit of
length, on the axes or on the unit of f. The references are the same landscapes, plain."""

import math
import re
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from scipy.optimize import brentq

import witten
from witten.landscape.landscape import Landscape, describe_landscape
from witten.objectives.objective import Objective
from witten.objectives.symbolic.rewriting.affine_frame import affine_frame

NARROW = "x**2/2-2*exp(-((x-1.23456)/0.0002)**2)"
LINE = ("(x**2-1)**2/4+0.1*x", "x**2*((x-8)**2+0.1)/64", NARROW, "abs(x**2-1)/2+0.1*x")
PLANE = ("(y-x**2)**2+0.1*(x**2-1)**2+0.05*x", "x**2/2+y**2/2-2*exp(-((x-1.5)**2+(y+0.5)**2)*4)")
# In widths of the landscape.
SHIFTS = st.integers(-(10**9), 10**9).map(lambda n: n / 1000)
SPACE = "(x**2-1)**2/4+0.1*x+y**2/2+(z-0.3*x)**2"


def moved(text: str, matrix: np.ndarray, centre: np.ndarray, length: float = 1.0, height: float = 1.0) -> Objective:
    """height f(R (x - centre)/length), written out."""
    names = "xyz"[: len(centre)]
    forms = {
        name: "((" + "+".join(f"({a!r})*({n}-({c!r}))" for a, n, c in zip(row, names, centre.tolist(), strict=True))
        + f")/({length!r}))"
        for name, row in zip(names, matrix.tolist(), strict=True)
    }  # fmt: skip
    return Objective.from_formula(f"({height!r})*(" + re.sub(r"\b[xyz]\b", lambda m: forms[m[0]], text) + ")")


@lru_cache
def plain(text: str) -> Landscape:
    return describe_landscape(text)


def same(found: Landscape, text: str, matrix: np.ndarray, centre: np.ndarray, length: float, height: float) -> None:
    """Points are known to the rounding of x, heights to that of f in its own units."""
    expected = plain(text)
    for ours, theirs in ((found.minima, expected.minima), (found.saddles, expected.saddles)):
        assert len(ours) == len(theirs)
        back = matrix @ (np.array([p.x for p in ours]) - centre).T / length
        for point in theirs:
            slack = 1e-8 + 1e-15 * np.linalg.norm(centre) / length
            assert np.linalg.norm(back - point.x[:, None], axis=0).min() < slack
    assert found.search.complete and found.barrier == pytest.approx(height * expected.barrier, rel=1e-8)
    curvatures = [np.sort(np.concatenate([p.curvatures for p in each.minima])) for each in (found, expected)]
    assert curvatures[0] * length**2 / height == pytest.approx(curvatures[1], rel=1e-7, nan_ok=True)


@given(
    st.sampled_from(LINE), st.floats(-6, 6), SHIFTS, st.floats(-9, 9),
    st.sampled_from([1.0, -1.0]),
)  # fmt: skip
@examples(4)
def test_a_line_has_no_origin_and_no_units(text, log_length, shift, log_height, sign):
    length, height = 10.0**log_length, 10.0**log_height
    matrix, centre = np.array([[sign]]), np.array([shift * length])
    same(describe_landscape(moved(text, matrix, centre, length, height)), text, matrix, centre, length, height)


@given(st.sampled_from(PLANE), st.integers(0, 628).map(lambda n: n / 100), st.floats(-6, 6), SHIFTS, SHIFTS)
@examples(3)
def test_a_plane_has_no_axes_either(text, angle, log_length, a, b):
    length = 10.0**log_length
    c, s = math.cos(angle), math.sin(angle)
    matrix, centre = np.array([[c, s], [-s, c]]), length * np.array([a, b])
    same(describe_landscape(moved(text, matrix, centre, length)), text, matrix, centre, length, 1.0)


@given(st.integers(0, 10_000), st.floats(-6, 6), SHIFTS)
@examples(2)
def test_nor_has_space(seed, log_length, shift):
    length, rng = 10.0**log_length, np.random.default_rng(seed)
    matrix, centre = np.linalg.qr(rng.normal(size=(3, 3)))[0], shift * length * rng.uniform(0.5, 1, 3)
    same(describe_landscape(moved(SPACE, matrix, centre, length)), SPACE, matrix, centre, length, 1.0)


@pytest.mark.parametrize(("length", "at"), [(1e4, 0.0), (1e-3, 1.0)])
def test_nor_have_four_dimensions(length, at):
    u = [f"((x{i}-{at!r})/{length!r})" for i in range(1, 5)]
    f = f"({u[0]}^2-1)^2/4 + 0.1*{u[0]} + {u[1]}^2/2 + {u[2]}^2 + 3*{u[3]}^2/2 + 0.3*{u[0]}*{u[1]}"
    found = describe_landscape(Objective.from_formula(f))
    # Of (u^2 - 1)^2/4 + 0.1 u - 0.045 u^2, what is left when the others are at their lowest.
    places = np.roots([1.0, 0.0, -1.09, 0.1]).real
    assert sorted((m.x[0] - at) / length for m in found.minima) == pytest.approx([places.min(), places.max()], rel=1e-6)
    assert (found.saddles[0].x[0] - at) / length == pytest.approx(np.sort(places)[1], rel=1e-6)


@pytest.mark.parametrize(("shift", "length"), [(0.0, 1e-5), (300.0, 1.0), (1e5, 1e3)])
def test_a_function_without_formula_has_none_either(shift, length):
    def tilted(x):
        u = (x[0] - shift) / length
        return (u**2 - 1) ** 2 / 4 + 0.1 * u

    found = describe_landscape(Objective.from_callable(tilted, 1))
    expected = plain(LINE[0])
    assert [(m.x[0] - shift) / length for m in found.minima] == pytest.approx(
        [m.x[0] for m in expected.minima], abs=1e-6
    )
    assert found.barrier == pytest.approx(expected.barrier, rel=1e-6) and not found.search.complete


def test_the_law_scales_as_it_should():
    """f(x/l) at s: rates of f at s, over l^2. a f at a s: a times those of f at s."""
    expected = witten.eyring_kramers(LINE[0], [0.05])
    stretched = witten.eyring_kramers(moved(LINE[0], np.eye(1), np.array([3e4]), 1e-3), [0.05])
    assert stretched.log_rates - expected.log_rates == pytest.approx([2 * math.log(1e3)], abs=1e-9)
    higher = witten.eyring_kramers(moved(LINE[0], np.eye(1), np.array([0.0]), height=1e6), [0.05e6])
    assert higher.log_rates - expected.log_rates == pytest.approx([math.log(1e6)], abs=1e-9)


def test_a_narrow_well_is_found_and_proved():
    """Its bottom at 1.23455998765 and the saddle beside it solve f' = 0 in 30 digits."""
    def slope(x):
        u = (x - 1.23456) / 0.0002
        return x + 4 * u / 0.0002 * math.exp(-(u**2))

    brackets = ((1.2345, 1.2346), (1.2336, 1.2342))
    bottom, top = (brentq(slope, *bracket, xtol=1e-15) for bracket in brackets)
    found = plain(NARROW)
    assert found.search.complete and found.search.everywhere
    assert found.minima[0].x == pytest.approx([bottom], abs=1e-12)
    assert found.saddles[0].x == pytest.approx([top], abs=1e-12) and found.saddles[0].connects == (0, 1)


@pytest.mark.parametrize(
    ("text", "origin", "matrix"),
    [
        ("((x-3)/10)**4+sin((x-3)/10)", [3.0], [[10.0]]),
        ("(0.6*x+0.8*y-1)**4+exp(0.8*x-0.6*y)", [0.6, 0.8], None),
        ("x**2/2", [0.0], [[1.0]]),
    ],
)
def test_the_frame_of_a_formula_is_where_it_was_written(text, origin, matrix):
    f = Objective.from_formula(text)
    frame = affine_frame(f)
    u = np.random.default_rng(0).normal(size=(f.dimension, 20))
    assert f(frame.out(u)) == pytest.approx(frame.objective(u), rel=1e-12)
    assert frame.origin == pytest.approx(origin)
    if matrix is not None:
        assert frame.matrix == pytest.approx(np.array(matrix))

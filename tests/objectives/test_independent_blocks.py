"""Blocks of coordinates without a common term: found whatever the axes, and never where there is a common term."""

import numpy as np
import pytest

import witten
from witten.objectives.independent_blocks import independent_blocks, remainder


def chain(t):
    """A function of k coordinates that is no sum in any axes, (k, n) -> (n,)."""
    return ((t**2 - 1) ** 2).sum(axis=0) / 4 + ((t[1:] - t[:-1]) ** 2).sum(axis=0) / 2 + t[0] / 10


def chain_gradient(t):
    g = t**3 - t
    g[0] += 0.1
    step = np.diff(t, axis=0)
    g[:-1] -= step
    g[1:] += step
    return g


def chain_hessian(t):
    k = len(t)
    h = np.einsum("in,ij->ijn", 3 * t**2 - 1, np.eye(k))
    stiff = np.diff(np.eye(k), axis=0)
    return h + (stiff.T @ stiff)[:, :, None]


def rotated(seed, sizes, length=1.0, coupling=0.0):
    """chain() in each block of turned, shifted and stretched coordinates; weights differ from block to block."""
    rng = np.random.default_rng(seed)
    d, cuts = sum(sizes), np.cumsum(sizes)[:-1]
    q = np.linalg.qr(rng.normal(size=(d, d)))[0]
    centre, weights = length * rng.normal(size=(d, 1)), rng.uniform(0.5, 2.0, len(sizes))

    def into(x):
        return np.split(q.T @ (x - centre) / length, cuts)

    def value(x):
        y = q.T @ (x - centre) / length
        return sum(w * chain(t) for w, t in zip(weights, into(x), strict=True)) + coupling * y[0] ** 2 * y[-1] ** 2

    def gradient(x):
        y = q.T @ (x - centre) / length
        g = np.vstack([w * chain_gradient(t) for w, t in zip(weights, into(x), strict=True)])
        g[0] += 2 * coupling * y[0] * y[-1] ** 2
        g[-1] += 2 * coupling * y[0] ** 2 * y[-1]
        return q @ g / length

    def hessian(x):
        y = q.T @ (x - centre) / length
        h = np.zeros((d, d, x.shape[1]))
        for end, w, t in zip(np.cumsum(sizes), weights, into(x), strict=True):
            h[end - len(t) : end, end - len(t) : end] = w * chain_hessian(t)
        h[0, 0] += 2 * coupling * y[-1] ** 2
        h[-1, -1] += 2 * coupling * y[0] ** 2
        h[0, -1] += 4 * coupling * y[0] * y[-1]
        h[-1, 0] += 4 * coupling * y[0] * y[-1]
        return np.einsum("ia,abn,jb->ijn", q, h, q) / length**2

    return witten.Objective.from_callable(
        value, d, gradient, hessian, name=f"rotated {seed}", center=centre[:, 0], scale=length
    )


def random_sizes(seed):
    rng = np.random.default_rng(seed)
    sizes = []
    while sum(sizes) < rng.integers(4, 31):
        sizes.append(int(rng.integers(1, 4)))
    return tuple(sizes) if sum(sizes) > 3 else (2, 2)


@pytest.mark.parametrize("seed", range(0, 100, 7))
def test_blocks_of_rotated_sums_are_found(seed):
    sizes = random_sizes(seed)
    f = rotated(seed, sizes, length=10.0 ** (seed % 7 - 3))
    blocks = independent_blocks(f)
    assert sorted(block.axes.shape[1] for block in blocks) == sorted(sizes)
    axes = np.hstack([block.axes for block in blocks])
    np.testing.assert_allclose(axes.T @ axes, np.eye(f.dimension), atol=1e-12)


@pytest.mark.parametrize(("seed", "coupling"), [(3, 1.0), (5, 1e-3), (6, 1e-6), (40, 1e-5), (97, 1e-6)])
def test_a_common_term_is_no_sum(seed, coupling):
    assert independent_blocks(rotated(seed, (2, 2, 2, 3), coupling=coupling)) == ()


def test_a_formula_gives_formulas():
    f = witten.Objective.from_formula("((3*x1+4*x2)/5-1)^4 + (4*x1-3*x2)^2 + (x3-x4)^2*(x3+x4)^2 + x5^2 + x3^2")
    blocks = independent_blocks(f)
    assert sorted(block.axes.shape[1] for block in blocks) == [1, 2, 2]  # of the terms, which are exact
    assert all(block.objective.formula is not None for block in blocks)
    places = [np.random.default_rng(1).normal(size=(block.axes.shape[1], 9)) for block in blocks]
    rest, _ = remainder(f, blocks, places)
    assert np.ptp(rest) < 1e-12


def test_turned_blocks_of_a_formula_are_formulas():
    signs = ((1, 1, 1, 1), (1, -1, 1, -1), (1, 1, -1, -1), (1, -1, -1, 1))
    forms = ["({}*x1+{}*x2+{}*x3+{}*x4)/2".format(*row) for row in signs]
    f = witten.Objective.from_formula("(({})^2-1)^2 + ({})^2*({})^2 + ({})^4".format(*forms))
    blocks = independent_blocks(f)
    assert sorted(block.axes.shape[1] for block in blocks) == [1, 1, 2]
    assert all(block.objective.formula.free_symbols == set(block.objective.symbols) for block in blocks)


def test_scales_of_coordinates_do_not_hide_a_term():
    """Beside the Hessian of x1, that of x2 is below rounding."""
    f = witten.Objective.from_formula("(x1^2-1)^2/4 + (x1-x2)^2/2e12 + x2^2/1e13 + x3^4 + x4^2")
    assert sorted(block.axes.shape[1] for block in independent_blocks(f)) == [1, 1, 2]


def test_a_narrow_well_that_no_sample_of_points_sees_joins_the_coordinates_of_a_formula():
    plain = "(x1^2-1)^2/4 + x2^2 + x3^2 + x4^2"
    well = "3*exp(-100*((x1-0.7)^2 + (x2-1.7)^2 + (x3-0.5)^2 + (x4-0.6)^2))"
    assert len(independent_blocks(witten.Objective.from_formula(plain))) == 4
    assert independent_blocks(witten.Objective.from_formula(f"{plain} - {well}")) == ()

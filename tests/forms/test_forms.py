"""The complex against its identities, and rates of forms against closed forms and the Eyring-Kramers law of -f."""



import numpy as np
import pytest

import witten
from witten.forms.cubical_complex import CubicalComplex
from witten.forms.top_form import top_form_operator

DOUBLE = "(x^2-1)^2/4"
SHAPES = {1: (7,), 2: (6, 5), 3: (5, 4, 4)}
FORMULAS = {1: DOUBLE, 2: "(x^2-1)^2/4 + y^2/2 + x*y/5", 3: "(x^2-1)^2/4 + y^2/2 + x*z/5 + z^2"}


def box_grid(shape, mask=None):
    d = len(shape)
    return witten.Grid(witten.Box((-1.4,) * d, (1.7,) * d), shape, mask)


def ragged(shape):
    mask = np.random.default_rng(1).random(shape) < 0.85
    mask[(0,) * len(shape)] = False
    return box_grid(shape, mask)


def annulus():
    mask = np.ones((9, 8), dtype=bool)
    mask[3:6, 3:5] = False
    return box_grid((9, 8), mask)


def kernels(cells):
    """dim ker d_p - rank d_{p-1}, from exact ranks of small integer matrices."""
    d = cells.dimension
    ranks = [0, *(np.linalg.matrix_rank(cells.differential(p).toarray()) for p in range(d)), 0]
    sizes = [cells.centres(p).shape[1] for p in range(d + 1)]
    return tuple(int(n - ranks[p] - ranks[p + 1]) for p, n in enumerate(sizes))


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("d", [2, 3])
def test_d_d_is_zero_in_integers(d, relative):
    cells = CubicalComplex(ragged(SHAPES[d]), relative)
    for p in range(d - 1):
        product = cells.differential(p + 1) @ cells.differential(p)
        assert np.issubdtype(product.dtype, np.integer)
        assert abs(product).max() == 0


@pytest.mark.parametrize("d", [1, 2, 3])
def test_betti_numbers_are_those_of_exact_ranks(d):
    cells = CubicalComplex(ragged(SHAPES[d]))
    assert cells.betti == kernels(cells)


def test_kernels_of_an_annulus():
    assert CubicalComplex(annulus()).betti == kernels(CubicalComplex(annulus())) == (1, 1, 0)
    relative = CubicalComplex(annulus(), relative=True)
    assert relative.betti == kernels(relative) == (0, 1, 1)


def differentials(cells, text, s=0.7):
    f = witten.Objective.from_formula(text)
    return [cells.witten_differential(p, f, s).toarray() for p in range(cells.dimension)]


def laplacians(maps):
    down = [0, *(a @ a.T for a in maps)]
    return [(maps[p].T @ maps[p] if p < len(maps) else 0) + down[p] for p in range(len(maps) + 1)]


@pytest.mark.parametrize("d", [1, 2, 3])
def test_spectra_of_neighbouring_degrees_pair(d):
    cells = CubicalComplex(box_grid(SHAPES[d]))
    maps = differentials(cells, FORMULAS[d])
    zeros = 0.0
    for p, laplacian in enumerate(laplacians(maps)):
        shared = [np.linalg.svd(a, compute_uv=False) ** 2 for a in maps[max(p - 1, 0) : p + 1]]
        nonzero = np.sort(np.concatenate([each[each > 1e-9 * each.max()] for each in shared]))
        found = np.linalg.eigvalsh(laplacian)
        zeros = len(found) - len(nonzero)
        assert zeros == cells.betti[p]
        np.testing.assert_allclose(found[zeros:], nonzero, rtol=1e-11)


def test_spectra_of_a_product_are_sums():
    x, y = DOUBLE, "y^2/2 + y^3/9"
    both = laplacians(differentials(CubicalComplex(box_grid((7, 6))), f"{x} + {y}"))
    of_x = laplacians(differentials(CubicalComplex(box_grid((7,))), x))
    of_y = laplacians(differentials(CubicalComplex(box_grid((6,))), y.replace("y", "x")))
    for p, found in enumerate(both):
        sums = [np.add.outer(np.linalg.eigvalsh(of_x[q]), np.linalg.eigvalsh(of_y[p - q])).ravel()
                for q in (0, 1) if 0 <= p - q <= 1]  # fmt: skip
        expected = np.sort(np.concatenate(sums))
        np.testing.assert_allclose(np.linalg.eigvalsh(found), expected, atol=1e-12 * expected.max())


def test_functions_are_those_of_finite_differences():
    grid, f = box_grid((9, 8)), witten.Objective.from_formula(FORMULAS[2])
    a = CubicalComplex(grid).witten_differential(0, f, 0.7)
    expected = witten.FiniteDifferences(f, grid).assemble(0.7).matrix.toarray()
    np.testing.assert_allclose((a.T @ a).toarray() / 1.4, expected, atol=1e-12 * abs(expected).max())


def test_the_graph_of_top_forms_has_their_singular_values():
    f = witten.Objective.from_formula(FORMULAS[2])
    maps = differentials(CubicalComplex(box_grid((9, 8))), FORMULAS[2])
    expected = np.sort(np.linalg.svd(maps[1], compute_uv=False) ** 2) / 1.4
    operator = top_form_operator(f, box_grid((9, 8)), 0.7)
    found = np.linalg.eigvalsh(operator.matrix.toarray())
    np.testing.assert_allclose(found[1:], expected, rtol=1e-11)
    assert abs(operator.apply(operator.ground_state[:, None])).max() < 1e-12 * operator.scale


def test_a_quadratic_has_a_ladder_for_each_degree():
    found = witten.form_spectrum("x^2/2 + y^2", 0.1, 2, 2, rtol=1e-2)
    assert (abs(found.rates - [3, 4]) <= found.errors).all()
    assert (found.errors < 0.02 * found.rates).all()
    assert found.partner_forms == (1, 1)
    assert found.small_counted == 0
    assert found.morse_inequalities_hold


def test_forms_of_a_product_in_a_box_are_sums():
    box = [(-1, 1), (-1, 1.2)]
    along = [witten.form_spectrum(g, 0.2, 1, 2, box=[b], boundary="relative").rates
             for g, b in zip(("x^2/2", "0.3*x^2"), box, strict=True)]  # fmt: skip
    found = witten.form_spectrum("x^2/2 + 0.3*y^2", 0.2, 2, 2, box=box, boundary="relative")
    assert found.betti == (0, 0, 1)
    assert found.rates[0] == 0
    assert abs(found.rates[1] - min(each[1] for each in along)) <= found.errors[1] + 1e-4 * found.rates[1]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"form": 3}, "from 0 to 2"),
        ({"boundary": "relative"}, "give a box"),
        ({"boundary": "open"}, "is not known"),
        ({"k": 0}, "at least 1"),
        ({"objective": "x^2+y^2+z^2"}, "curl-curl"),
    ],
)
def test_what_is_wrong_is_refused(wrong, words):
    given = {"objective": "x^2+y^2", "learning_rate": 0.1, "form": 1} | wrong
    with pytest.raises(witten.RequestError, match=words):
        witten.form_spectrum(**given)


def test_a_maximum_is_left_as_the_law_of_minus_f_says():
    """sum_z (nu/2pi) sqrt(det H(max)/|det H(z)|) e^{-2(f(max)-f(z))/s}, to O(s), over the saddles around a maximum."""
    f = "(x^2-1)^2/4 + (y^2-1)^2/3 + x*y/10"
    ridge = witten.describe_landscape(f)
    top = ridge.others[0]
    s = 0.05
    law = sum(
        z.curvatures[-1] / (2 * np.pi) * np.sqrt(np.prod(top.curvatures) / -np.prod(z.curvatures))
        * np.exp(-2 * (top.value - z.value) / s) for z in ridge.saddles
    )  # fmt: skip
    found = witten.form_spectrum(f, s, 2, 1, rtol=3e-2)
    assert found.rates[0] / law == pytest.approx(0.9593, abs=1e-3)

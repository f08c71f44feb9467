"""The complex against its identities, and rates of forms against closed forms and the Eyring-Kramers law of -f."""

import json

import numpy as np
import pytest
from launcher import in_process

import witten
from witten.forms import shared_rates
from witten.forms.cubical_complex import CubicalComplex
from witten.forms.curl_form import CurlForms, curl_pairs
from witten.forms.small_rates_law import shared_law, top_form_law
from witten.forms.top_form import TopForms, top_form_operator
from witten.forms.whole_space import refined_rates
from witten.io.netcdf import read_dataset
from witten.landscape.laws.reduced_generator import law_log_rates
from witten.parallel import world
from witten.spectra.solvers.complete_pairs import complete_pairs

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


def test_top_forms_keep_their_digits_far_below_rounding():
    """On the grid of a sum: twice the rate of its line, 1e-22, which bisection knows to every digit."""
    line, square = (witten.Grid(witten.Box((-1.6,) * d, (1.6,) * d), (40,) * d) for d in (1, 2))
    operator = witten.FiniteDifferences(witten.Objective.from_formula(DOUBLE), line).assemble(0.01)
    expected = complete_pairs(operator, 3, 1)[1].log_rates[0] + np.log(2)
    assert expected < np.log(1e-21)
    logs, errors = TopForms(witten.Objective.from_formula(f"{DOUBLE} + (y^2-1)^2/4"), 0.01).rates(square, 1)
    assert abs(logs[0] - expected) <= errors[0] + 1e-10 < 1e-8


def test_a_quadratic_has_a_ladder_for_each_degree(tmp_path):
    """As the command prints it, and saves it; of rates without modes there is no picture."""
    words = ("spectrum", "x^2/2 + y^2", "--lr", "0.1", "--form", "2", "-k", "2", "--rtol", "1e-2", "--json")
    done = in_process(*words, "-o", str(tmp_path / "rates.nc"))
    found = json.loads(done.stdout)
    rates, errors = np.array(found["rates"]), np.array(found["rate_errors"])
    assert (abs(rates - [3, 4]) <= errors).all()
    assert (errors < 0.02 * rates).all()
    assert found["parts"] == [{"rate": rate, "partner_form": 1} for rate in found["rates"]]
    assert (found["form"], found["betti"], found["critical_points"]) == (2, [1, 0, 0], [1, 0, 0])
    assert (found["small_counted"], found["morse_inequalities_hold"]) == (0, True)
    with read_dataset(tmp_path / "rates.nc", "form-spectrum") as kept:
        np.testing.assert_array_equal(kept["rate"], rates)
    refused = in_process("plot", str(tmp_path / "rates.nc"))
    assert refused.returncode == 2 and "no modes" in refused.stderr


def test_forms_of_a_product_in_a_box_are_sums():
    box = [(-1, 1), (-1, 1.2)]
    along = [witten.form_spectrum(g, 0.2, 1, 2, box=[b], boundary="relative").rates
             for g, b in zip(("x^2/2", "0.3*x^2"), box, strict=True)]  # fmt: skip
    found = witten.form_spectrum("x^2/2 + 0.3*y^2", 0.2, 2, 2, box=box, boundary="relative")
    assert found.betti == (0, 0, 1)
    assert found.rates[0] == 0
    assert abs(found.rates[1] - min(each[1] for each in along)) <= found.errors[1] + 1e-4 * found.rates[1]


@pytest.mark.parametrize("relative", [False, True])
def test_curls_are_told_from_gradients(relative, monkeypatch):
    """Against a dense SVD, by multigrid; f is round, so that rates are multiple, and shared with functions."""
    monkeypatch.setattr("witten.forms.curl_form.DENSE", 0)
    f = witten.Objective.from_formula("(x^2+y^2+z^2)/2")
    cells = CubicalComplex(box_grid((7, 7, 7)), relative)
    a0, a1 = (cells.witten_differential(p, f, 0.7) for p in (0, 1))
    expected = np.linalg.svd(a1.toarray(), compute_uv=False)[::-1] ** 2
    expected = expected[expected > 1e-9 * expected[-1]][:8]
    pairs = curl_pairs(a0, a1, 8)
    np.testing.assert_allclose(pairs.rates[:8], expected, rtol=1e-10)
    assert (pairs.relative_errors(8) < 1e-9).all()


@pytest.mark.parametrize("boundary", ["absolute", "relative"])
def test_curls_of_a_product_in_a_box_are_sums(boundary, monkeypatch):
    """A 1-form on one axis, or on two of them, by functions on the others: those of two axes are curls."""
    monkeypatch.setattr(CurlForms, "largest", 1728)
    factors, box = ("0.5*x^2", "0.3*x^2", "0.4*x^2"), [(-1, 1), (-1, 1.2), (-0.9, 1)]
    along = [[witten.form_spectrum(f, 0.2, q, 1, rtol=1e-5, box=[b], boundary=boundary).rates for q in (0, 1)]
             for f, b in zip(factors, box, strict=True)]  # fmt: skip
    degrees = [(1, 1, 0), (1, 0, 1), (0, 1, 1)] if boundary == "absolute" else [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    sums = np.sort([sum(rates[p][0] for p, rates in zip(ps, along, strict=True)) for ps in degrees])
    problem = CurlForms(witten.Objective.from_formula("0.5*x^2 + 0.3*y^2 + 0.4*z^2"), 0.2, boundary == "relative")
    found = refined_rates(problem, witten.Grid(witten.Box.of(box), (3, 3, 3)), 3, 1e-2)
    assert (abs(np.exp(found.log_rates) / sums - 1) <= found.relative_errors + 1e-5).all()
    assert (found.relative_errors < 0.07).all()


def test_where_curls_may_live():
    """V^(2) = |grad f|^2 + s (mu_1 + mu_2 - mu_3) of a quadratic, and V^(1) = |grad f|^2 + s (mu_1 - mu_2 - mu_3) below
    it; around a maximum V^(1) is the larger."""
    x = np.random.default_rng(0).standard_normal((3, 5))
    f = witten.Objective.from_formula("0.5*x^2 + 0.6*y^2 + 0.75*z^2")
    expected = x[0] ** 2 + (1.2 * x[1]) ** 2 + (1.5 * x[2]) ** 2 + 0.3 * (1 + 1.2 - 1.5)
    np.testing.assert_allclose(CurlForms(f, 0.3).potential(x), expected)
    top = witten.Objective.from_formula("-0.5*x^2 - 0.6*y^2 - 0.75*z^2")
    np.testing.assert_allclose(CurlForms(top, 0.3).potential(x), expected + 0.3 * (-1.5 + 1.2 + 1 - (1 + 1.2 - 1.5)))


def test_rates_of_functions_far_below_are_no_curls():
    """A barrier of 8 at s = .5: gradients of rate 1e-13, about the square of what vectors are known to."""
    f = witten.Objective.from_formula("8*(x^2-1)^2 + y^2 + z^2")
    grid = witten.Grid(witten.Box((-1.6, -1.2, -1.2), (1.6, 1.2, 1.2)), (12, 6, 6))
    rates, errors = CurlForms(f, 0.5).rates(grid, 2)
    assert (rates > 0).all()
    assert (errors < 1e-6).all()


@pytest.mark.ranks
def test_each_degree_is_solved_by_a_rank_of_its_own(monkeypatch):
    """All ranks know the rates of both degrees; what fails on one fails on all."""
    solver_of = {1: 0, 0: min(1, world().size - 1)}
    mine = world().rank

    def on_grids(asked, q):
        assert world().size == 1 and solver_of[q] == mine
        return shared_rates.SharedRates(q, np.log([1.0 + q, 3.0 + q]), np.zeros(2), 7 + q)

    monkeypatch.setattr(shared_rates.FormProblem, "on_grids", on_grids)
    found = witten.form_spectrum("x^2/2 + y^2", 0.5, 1, 4)
    np.testing.assert_allclose(found.rates, [1, 2, 3, 4])
    assert (found.partner_forms, found.n_dofs) == ((0, 2, 0, 2), 8)

    def fails(asked, q):
        if q == 0:
            raise witten.ConvergenceError("functions are lost")
        return on_grids(asked, q)

    monkeypatch.setattr(shared_rates.FormProblem, "on_grids", fails)
    with pytest.raises(witten.ConvergenceError, match="lost"):
        witten.form_spectrum("x^2/2 + y^2", 0.5, 1, 4)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"form": 3}, "from 0 to 2"),
        ({"boundary": "relative"}, "give a box"),
        ({"boundary": "open"}, "is not known"),
        ({"k": 0}, "at least 1"),
        ({"objective": "x^2+y^2+z^2", "form": 4}, "from 0 to 3"),
    ],
)
def test_what_is_wrong_is_refused(wrong, words):
    given = {"objective": "x^2+y^2", "learning_rate": 0.1, "form": 1} | wrong
    with pytest.raises(witten.RequestError, match=words):
        witten.form_spectrum(**given)


def test_the_law_of_minus_f_is_a_sum_over_the_saddles_around_a_maximum():
    """sum_z (nu/2pi) sqrt(det H(max)/|det H(z)|) e^{-2(f(max)-f(z))/s}."""
    ridge = witten.describe_landscape("(x^2-1)^2/4 + (y^2-1)^2/3 + x*y/10")
    top = ridge.others[0]
    s = 0.05
    law = sum(
        z.curvatures[-1] / (2 * np.pi) * np.sqrt(np.prod(top.curvatures) / -np.prod(z.curvatures))
        * np.exp(-2 * (top.value - z.value) / s) for z in ridge.saddles
    )  # fmt: skip
    np.testing.assert_allclose(shared_law(ridge, s, 1), [np.log(law)])


def test_small_rates_of_himmelblau_are_four_four_and_one():
    """Of 1-forms: three are those of functions, which have a zero, too, and one is that of top forms."""
    found = witten.form_spectrum("himmelblau", 0.05, 1, 5, rtol=0.1)
    assert (found.small_counted, found.critical_points) == (4, (4, 4, 1))
    assert found.partner_forms[:4] == (0, 0, 0, 2) and found.betti == (1, 0, 0)
    np.testing.assert_allclose(found.log_rates[:4], found.log_law[:4], atol=0.1)  # leading order: 8 % at most


def test_a_maximum_is_left_twice_as_fast_as_each_of_its_lines():
    """Of a sum on turned axes: twice the rate of (x^2-1)^2/4 at s = .2, which the grid cannot know."""
    f = "((0.8*x+0.6*y)^2-1)^2/4 + ((0.8*y-0.6*x)^2-1)^2/4"
    found = witten.form_spectrum(f, 0.2, 2, 1, rtol=1e-2)
    assert abs(found.rates[0] - 2 * 3.3545287308e-2) <= found.errors[0] < 2e-2 * found.rates[0]
    assert found.critical_points == (4, 4, 1)
    np.testing.assert_allclose(found.log_law, shared_law(witten.describe_landscape(f), 0.2, 1))


def test_on_a_line_the_laws_of_f_and_of_minus_f_are_one():
    """Chains on minima joined by maxima, and on maxima joined by minima that the outer ones kill: the same rates."""
    for f in ("(x^2-1)^2*x^2 + x/20", "(x^2-1)^2"):
        ridge = witten.describe_landscape(f)
        np.testing.assert_allclose(top_form_law(ridge, 0.02, negative(ridge)), law_log_rates(ridge, 0.02), rtol=1e-9)


def negative(known):
    f = known.objective
    return witten.Objective.from_sympy(-f.formula, f.symbols)


def test_the_law_of_curls_of_a_sum_is_a_sum():
    """A complex of weights is a product where f is a sum: five loops of saddles, on turned axes, linked with loops of
    points of index 2, the maximum and infinity; their rates are sums over two of three lines, or over all."""
    lines, axes = ("(x^2-1)^2/4 + x/20", "(x^2-1)^2/3 - x/30", "(x^2-1)^2/5"), ("(0.8*x+0.6*y)", "(0.8*y-0.6*x)", "z")
    a, b, c = (np.exp(law_log_rates(witten.describe_landscape(line), 0.05)[0]) for line in lines)
    known = witten.describe_landscape(" + ".join(f.replace("x", x) for f, x in zip(lines, axes, strict=True)))
    expected = np.sort([a + b, a + c, b + c, a + b + c, a + b + c])
    np.testing.assert_allclose(np.exp(shared_law(known, 0.05, 1)), expected, rtol=1e-12)


def test_where_linking_numbers_do_not_fit_there_is_no_law_of_curls(monkeypatch):
    known = witten.describe_landscape("((x^2-1)^2 + (y^2-1)^2)/4 + z^2")
    assert shared_law(known, 0.1, 1).shape == (1,)
    monkeypatch.setattr("witten.forms.curl_law.gauss_integral", lambda a, b: 0.25)
    assert shared_law(known, 0.1, 1).size == 0

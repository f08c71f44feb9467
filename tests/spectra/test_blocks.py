"""The gap above three dimensions, of sums of blocks in turned coordinates."""

import pytest

import witten
from witten.errors import ConvergenceError, GridError, RequestError
from witten.objectives.independent_blocks import Block
from witten.spectra import blocks as module

TURNED = "((u^2-1)^2)/4 + v^2 + x3^2*3/2 + 2*x4^2".replace("u", "((3*x1+4*x2)/5)").replace("v", "((4*x1-3*x2)/5)")


def test_the_gap_is_that_of_the_slowest_block():
    (found,) = witten.gap(TURNED, 0.1).records
    (alone,) = witten.gap("double-well", 0.1).records
    assert found.resolved
    assert abs(found.log_rate - alone.log_rate) <= found.log_error + alone.log_error
    assert "blocks of 2, 1, 1" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "s", "alone"),
    [
        ("x^2/2 + (y^2-1)^2/4 + 1e6*(z-1)^2 + 0.01*y^2", 1e-3, "(x^2-1)^2/4 + 0.01*x^2"),
        ("(x+y)^2/2 + 1e9*(x-y)^2", 0.1, "x^2"),
    ],
)
def test_where_no_grid_serves_for_all_blocks_each_has_one(text, s, alone):
    (found,), (expected,) = witten.gap(text, s).records, witten.gap(alone, s).records
    assert abs(found.log_rate - expected.log_rate) <= found.log_error + expected.log_error < 1e-4
    assert "blocks of 1, 1" in found.notes[0]


def test_in_space_a_formula_is_taken_apart_and_one_grid_agrees():
    ways = (None, "finite-differences")
    (found,), (on_grid,) = (witten.gap("double-well:dim=3", 0.3, rtol=1e-3, method=way).records for way in ways)
    assert abs(found.log_rate - on_grid.log_rate) <= found.log_error + on_grid.log_error < 1e-3
    assert 30 * found.n_dofs < on_grid.n_dofs and "blocks of 1, 1, 1" in found.notes[0] and not on_grid.notes


def test_what_is_no_sum_needs_a_grid():
    with pytest.raises(GridError, match="too small for a grid"):
        witten.gap("(x+y)^2/2 + 1e9*(x-y)^2 + (x-2*y)^4*x^2", 1e-9)


def test_noise_goes_with_the_learning_rate():
    expected = witten.gap("double-well", 0.4).rates[0]
    assert witten.gap(TURNED, 0.1, noise=2.0).rates[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("last", ["x4^2*x1^2 + x4^2", "x4^4"])
def test_what_is_no_sum_is_refused(last):
    """Rings and chains alike."""
    with pytest.raises(RequestError, match="no sum of blocks of at most 3 coordinates"):
        witten.gap(f"(x1^2-1)^2/4 + x1^2*x2^2 + x2^2*x3^2 + x3^2*x4^2 + {last}", 0.1)


def test_a_term_that_was_overlooked_is_in_the_bar(monkeypatch):
    """Blocks of f without the term a sin(x1) sin(x4): osc = 2a, so that the bar is 4a/s, or there is no rate."""

    def overlooked(text, a):
        f = witten.Objective.from_formula(f"{text} + {a}*sin(x1)*sin(x4)")
        plain = module.independent_blocks(witten.Objective.from_formula(text))
        monkeypatch.setattr(module, "independent_blocks", lambda objective, most=3: tuple(
            Block(block.objective, block.centre, block.axes) for block in plain))  # fmt: skip
        return f

    text = "(x1^2-1)^2/4 + x2^2 + x3^2 + x4^2/2"
    (found,) = witten.gap(overlooked(text, 1e-4), 0.1).records
    assert 2e-3 < found.log_error < 4.1e-3
    with pytest.raises(ConvergenceError, match="is a sum of blocks but for a term"):
        witten.gap(overlooked(text, 0.1), 0.1)

"""What people see: tables whose words are whole, numbers in the units of the problem, what is computed beside, and
what takes long while it does."""

from contextlib import contextmanager

import pytest
from launcher import in_process

from witten.cli.output import _widths

ROWS = [["learning rate", "rate", "about"], ["0.1", "1.02331070537(4)e-950", "one convex well"]]


@pytest.mark.parametrize(
    ("room", "widths"), [(99, [13, 21, 15]), (44, [12, 21, 11]), (35, [8, 21, 6]), (10, [8, 21, 6])]
)
def test_columns_are_broken_between_words_alone(room, widths):
    assert _widths(ROWS, room) == widths


def test_a_narrow_terminal_breaks_no_number(monkeypatch):
    monkeypatch.setattr("witten.cli.output.FILE_WIDTH", 40)
    done = in_process("gap", "shi-su-jordan-1d", "--lr", "0.0001")
    assert "1.02331070537(4)e-950" in done.stdout


@pytest.mark.parametrize("command", ["landscape", "stability"])
def test_rounding_is_printed_as_zero_in_any_unit(command):
    """7.9e-33 is zero beside a landscape of size one, and -0.25e-30 is not beside one of 1e-30."""
    himmelblau = in_process(command, "himmelblau").stdout
    assert "e-3" not in himmelblau and "-3.779310 -3.283186" in himmelblau
    tiny = in_process(command, "1e-30*((x/1e-9)^4/4-(x/1e-9)^2/2)").stdout
    assert "-2.5e-31" in tiny and "1e-09" in tiny
    alone = in_process(command, "(x-1/3)^2 + (y-1/7)^2").stdout
    assert "0.3333333 0.1428571   0 " in alone


def test_a_picture_of_the_law_says_what_it_computes(tmp_path):
    done = in_process("theory", "double-well", "--lr", "0.1", "--plot", "law.png", cwd=tmp_path)
    assert "the spectral route computes them" in done.stderr
    assert "spectral" not in in_process("theory", "double-well", "--lr", "0.1").stderr


def test_kernels_of_some_commands_are_compiled_ahead():
    assert in_process("warm", "theory").returncode == 0
    refused = in_process("warm", "doctor")
    assert refused.returncode == 2 and "nothing is compiled ahead for 'doctor'" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("landscape", "x^2/2"), ["critical points and what joins them", "ways out of wells"]),
        (("stability", "x^2/2"), ["x^2/2: minima", "experiments", "closed forms"]),
        (("risk", "x^2/2", "--schedule", "0.1:9", "--x0", "1"), ["risk along 9 steps"]),
        (("schedule", "x^2/2", "--target", "0.05", "--x0", "1.5", "--stages", "1"), ["x^2/2: plan", "runs along it"]),
        (("anneal", "--samples", "3"), ["3 samples"]),
        (("descend", "x^2/2", "--lr", "0.1,0.2", "--x0", "1"), ["x^2/2", "s = 0.1", "s = 0.2"]),
        (("bifurcate", "x^2/2", "--lr", "0.1", "--x0", "1"), ["orbits at 1 learning rates"]),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_takes_long_says_in_what_it_is(monkeypatch, arguments, said):
    """The bar itself is drawn on a terminal alone."""
    told = []

    @contextmanager
    def progress_bar(total, what):
        told.append(what)
        yield told.append
        assert total >= len(told) - 1

    monkeypatch.setattr(f"witten.cli.commands.{arguments[0]}.progress_bar", progress_bar)
    done = in_process(*arguments)
    assert done.returncode == 0, done.stderr
    assert len(told) == len(said) and all(words in each for words, each in zip(said, told, strict=True))

"""Where there is no law for want of a Gibbs measure, that is said before critical points are searched for."""

import pytest
from launcher import in_process

import witten
from witten.errors import RequestError
from witten.landscape.laws import eyring_kramers as module


@pytest.fixture(autouse=True)
def no_search(monkeypatch):
    def search(*arguments, **options):
        raise AssertionError("searched")

    monkeypatch.setattr(module, "describe_landscape", search)
    monkeypatch.setattr(witten, "describe_landscape", search)


def test_no_search_where_there_is_no_law():
    with pytest.raises(RequestError, match="not confining"):
        witten.eyring_kramers("x^3 + y^2", 0.1)


def test_no_search_by_the_command_either():
    done = in_process("theory", "x^3 + y^2", "--lr", "0.1", "--json")
    assert done.returncode == 2 and "not confining" in done.stderr and done.stdout == ""

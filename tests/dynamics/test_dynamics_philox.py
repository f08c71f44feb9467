"""The random numbers: published vectors, another implementation, addresses, and their distribution."""

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from scipy import stats

from witten.dynamics.paths import philox

WORDS = st.integers(0, 2**32 - 1)

# Known answers published with the generator (Random123, kat_vectors): counter, key, result.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@numba.njit
def compiled(c0, c1, c2, c3, k0, k1):
    return philox.philox(c0, c1, c2, c3, k0, k1)


def by_hand(counter, key):
    """The ten rounds in Python's whole numbers."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        a, b = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b % 2**32, (a >> 32) ^ c3 ^ k1, a % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


def box_muller(words):
    """Four words to four normals with NumPy's functions."""
    u = (np.array(words) + 0.5) / 2**32
    r, angle = np.sqrt(-2 * np.log(u[::2])), 2 * np.pi * u[1::2] - np.pi / 4
    return np.ravel(np.column_stack([r * np.cos(angle), r * np.sin(angle)]))


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_published_vectors(counter, key, result):
    assert tuple(compiled(*philox.words(*counter, *key))) == result
    assert by_hand(counter, key) == result


@examples(50)
@given(st.tuples(WORDS, WORDS, WORDS, WORDS), st.tuples(WORDS, WORDS))
def test_the_rounds_are_those_of_whole_numbers(counter, key):
    assert tuple(compiled(*philox.words(*counter, *key))) == by_hand(counter, key)


@examples(50)
@given(st.integers(0, 2**64 - 1), WORDS, WORDS, st.integers(0, 2**60))
def test_a_normal_is_box_and_mullers_at_its_address(seed, stream, path, index):
    block = index // 4
    expected = box_muller(by_hand((block % 2**32, block >> 32, path, stream), (seed % 2**32, seed >> 32)))
    found = philox.normal(*philox.words(seed, stream, path, index))
    assert found == pytest.approx(expected[index % 4], rel=1e-12, abs=1e-12)


def test_the_polynomials_are_exact_at_the_ends():
    extreme = [(0, 0, 2**32 - 1, 2**32 - 1), (2**31, 2**30, 2**31 - 1, 2**30 - 1), (1, 3 * 2**30, 3037000499, 2**31)]

    @numba.njit
    def pairs(a, b, c, d):
        return *philox._pair(a, b), *philox._pair(c, d)

    for words in extreme:
        assert pairs(*philox.words(*words)) == pytest.approx(box_muller(words), rel=1e-13, abs=1e-15)


def test_normals_do_not_depend_on_how_they_are_asked_for():
    whole = philox.normals(7, range(50), 37, stream=3)
    pieces = [philox.normals(7, range(a, a + 10), 37, stream=3) for a in range(0, 50, 10)]
    later = philox.normals(7, range(50), 30, first=7, stream=3)
    assert np.array_equal(whole, np.hstack(pieces))
    assert np.array_equal(whole[7:], later)
    assert whole[13, 22] == philox.normal(7, 3, 22, 13)


def test_streams_seeds_and_paths_share_no_numbers():
    first = philox.normals(7, range(4), 1000)
    others = [
        philox.normals(8, range(4), 1000),
        philox.normals(7, range(4), 1000, stream=1),
        philox.normals(7, range(4, 8), 1000),
    ]
    for other in others:
        assert not np.isin(first, other).any()


def test_the_distribution_is_normal():
    x = philox.normals(1, range(400), 2500).ravel()
    assert stats.kstest(x, "norm").pvalue > 1e-3
    for power, moment in enumerate((1, 0, 1, 0, 3, 0, 15)):
        error = np.sqrt(np.var(x**power) / x.size)
        assert abs(np.mean(x**power) - moment) <= 4 * error
    assert np.abs(x).max() < 6.8


def test_neighbours_are_independent():
    x = philox.normals(2, range(200), 5000)
    bound = 4 / np.sqrt(x.size)
    for lag in (1, 2, 3, 4):
        assert abs(np.mean(x[lag:] * x[:-lag])) < bound
        assert abs(np.mean(x[lag:] ** 2 * x[:-lag] ** 2) - 1) < 3 * bound
        assert abs(np.mean(x[:, lag:] * x[:, :-lag])) < bound


def test_uniform_numbers_are_uniform():
    u = np.array([philox.uniform(5, 0, path, 0) for path in range(20000)])
    assert stats.kstest(u, "uniform").pvalue > 1e-3

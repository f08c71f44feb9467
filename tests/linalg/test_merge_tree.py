"""Merge trees of grids, of graphs and of minima that saddles join: against persistence by gudhi, and by hand."""

import gudhi
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from properties import examples
from scipy.ndimage import generate_binary_structure, label
from scipy.sparse import csr_array

from witten.linalg.merge_tree import component, merge_tree, merge_tree_of_graph, merge_tree_of_saddles

heights = st.one_of(st.floats(-10, 10, width=32), st.integers(0, 5).map(float))
arrays = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=6).flatmap(
    lambda shape: hnp.arrays(float, shape, elements=heights)
)


def persistence_pairs(values, smallest):
    """0-dimensional persistence by gudhi: top-dimensional cells, neighbours where they share a corner."""
    pairs = gudhi.CubicalComplex(top_dimensional_cells=values).persistence(min_persistence=smallest)
    return sorted(pair for dimension, pair in pairs if dimension == 0)


@given(arrays, st.sampled_from([0.0, 0.5, 2.0]))
@examples(200)
def test_merge_tree_against_gudhi(values, smallest):
    tree = merge_tree(values, smallest)
    found = sorted(zip(tree.floors.tolist(), tree.saddles.tolist(), strict=True))
    assert found == persistence_pairs(values, smallest)


@given(arrays)
@examples(60)
def test_the_most_persistent_well_comes_first(values):
    tree = merge_tree(values)
    assert tree.floors[0] == values.min() and tree.saddles[0] == np.inf
    assert (np.diff(tree.persistence[1:]) <= 0).all()
    np.testing.assert_array_equal(values.ravel()[tree.minima], tree.floors)
    assert (tree.persistence > 0).all()


def test_a_merge_tree_by_hand():
    tree = merge_tree(np.array([5.0, 1.0, 4.0, 2.0, 3.0, 0.0, 9.0]))
    assert tree.minima.tolist() == [5, 1, 3]
    assert tree.saddles.tolist() == [np.inf, 4.0, 3.0]


def test_walls_hold_no_wells():
    tree = merge_tree(np.array([np.inf, 3.0, 1.0, 2.0, 0.0, np.inf, np.inf]))
    assert tree.minima.tolist() == [4, 2]
    assert tree.saddles.tolist() == [np.inf, 2.0]


@given(arrays, st.floats(-10, 10), st.data())
@examples(100)
def test_component_is_the_piece_of_the_sublevel_set_around_a_cell(values, level, data):
    below = np.flatnonzero(values.ravel() <= level)
    if below.size == 0:
        return
    cell = int(data.draw(st.sampled_from(below.tolist())))
    mask = component(values, level, cell)
    assert mask.ravel()[cell]
    assert (values[mask] <= level).all()
    assert label(mask, generate_binary_structure(values.ndim, 1))[1] == 1
    for axis in range(values.ndim):  # nothing below the level is left out next door
        for one, other in ((mask, values), (mask[::-1], values[::-1])) if axis == 0 else ((mask, values),):
            here, there = np.moveaxis(one, axis, 0)[:-1], np.moveaxis(one, axis, 0)[1:]
            low = np.moveaxis(other, axis, 0) <= level
            assert not (here & ~there & low[1:]).any() and not (there & ~here & low[:-1]).any()


# ------------------------------------------------------------------------------------------------ graphs and saddles


def found_pairs(tree):
    return sorted(zip(tree.floors.tolist(), tree.saddles.tolist(), strict=True))


def pairs_of_graph(values, edges, heights, smallest):
    """0-dimensional persistence by gudhi: nodes at their values, edges at their heights."""
    complex_ = gudhi.SimplexTree()
    for i, value in enumerate(values):
        complex_.insert([i], value)
    for (i, j), height in sorted(zip(edges, heights, strict=True), key=lambda each: -each[1]):
        complex_.insert([i, j], height)  # of parallel edges the lowest
    pairs = complex_.persistence(min_persistence=smallest, persistence_dim_max=True)
    return sorted(pair for dimension, pair in pairs if dimension == 0)


@st.composite
def graphs(draw):
    """f at 1 to 9 nodes, and pairs of them."""
    values = draw(st.lists(heights, min_size=1, max_size=9))
    node = st.integers(0, len(values) - 1)
    return values, draw(st.lists(st.tuples(node, node), max_size=14))


@given(graphs(), st.sampled_from([0.0, 0.5, 2.0]))
@examples(150)
def test_a_graph_against_gudhi(graph, smallest):
    values, edges = graph
    n = len(values)
    edges = [(i, j) for i, j in edges if i != j] + [(k, k + 1) for k in range(n - 1)]  # in one piece
    structure = np.eye(n)
    for i, j in edges:
        structure[i, j] = structure[j, i] = 1
    csr = csr_array(structure)
    tree = merge_tree_of_graph(csr.indptr, csr.indices, np.array(values), smallest)
    assert found_pairs(tree) == pairs_of_graph(values, edges, [max(values[i], values[j]) for i, j in edges], smallest)
    assert [values[z] for z in tree.passes[1:]] == tree.saddles[1:].tolist()
    assert (np.array(values)[tree.into[1:]] <= tree.floors[1:]).all() and tree.passes[0] == tree.into[0] == -1


@given(graphs(), st.data())
@examples(150)
def test_saddles_against_gudhi(graph, data):
    """In any number of pieces, wells without depth and saddles that join a well to itself or to nothing included."""
    floors, ends = graph
    rises = data.draw(st.lists(st.floats(0, 5, width=32), min_size=len(ends), max_size=len(ends)))
    crests = [max(floors[i], floors[j]) + rise for (i, j), rise in zip(ends, rises, strict=True)]
    lost = data.draw(st.lists(st.booleans(), min_size=len(ends), max_size=len(ends)))
    joined = np.array([(i, -1 if gone else j) for (i, j), gone in zip(ends, lost, strict=True)]).reshape(-1, 2)
    tree = merge_tree_of_saddles(np.array(floors), np.array(crests), joined.astype(int))
    kept = [((i, j), z) for (i, j), z, gone in zip(ends, crests, lost, strict=True) if not gone and i != j]
    assert found_pairs(tree) == pairs_of_graph(floors, [each for each, _ in kept], [z for _, z in kept], -1.0)
    for z, saddle, i, into in zip(tree.passes, tree.saddles, tree.minima, tree.into, strict=True):
        assert (z == into == -1) if saddle == np.inf else crests[z] == saddle
        assert saddle == np.inf or (floors[into], into) < (floors[i], i)


def test_the_wells_of_a_chain_by_hand():
    values = np.array([3.0, 0.0, 4.0, 1.0, 2.0, 1.5, 5.0, -1.0, 6.0])
    structure = csr_array(np.eye(9) + np.eye(9, k=1) + np.eye(9, k=-1))
    tree = merge_tree_of_graph(structure.indptr, structure.indices, values)
    assert tree.minima.tolist() == [7, 1, 3, 5]
    assert tree.saddles.tolist() == [np.inf, 5.0, 4.0, 2.0]
    assert tree.exits.tolist() == [5.0, 4.0, 2.0, 2.0]
    assert tree.passes.tolist() == [-1, 6, 2, 4] and tree.into.tolist() == [-1, 7, 1, 3]
    assert merge_tree_of_graph(structure.indptr, structure.indices, values, 0.6).minima.tolist() == [7, 1, 3]


def test_a_saddle_that_rounding_has_put_below_a_minimum_still_joins():
    tree = merge_tree_of_saddles(np.array([0.0, 1.0]), np.array([1.0 - 1e-15]), np.array([[0, 1]]))
    assert tree.minima.tolist() == [0, 1] and tree.persistence.tolist() == [np.inf, 0.0]

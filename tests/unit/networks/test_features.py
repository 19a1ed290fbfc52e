import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dnapair.networks.features import combine, join, parts

E1 = np.array([[1.0, -2.0]])
E2 = np.array([[3.0, 0.5]])
EMBEDDINGS = arrays(np.float32, (3, 2), elements=st.floats(-1, 1, width=32))


def test_parts_in_their_order():
    assert np.concatenate(combine(E1, E2, symmetric=False), axis=1).tolist() == [
        [1, -2, 3, 0.5, -2, -2.5, 3, -1]
    ]


def test_symmetric_parts_in_their_order():
    assert np.concatenate(combine(E1, E2, symmetric=True), axis=1).tolist() == [[4, -1.5, 2, 2.5, 3, -1]]


def test_number_of_parts():
    for symmetric in (True, False):
        assert parts(symmetric) == len(combine(E1, E2, symmetric))


@given(EMBEDDINGS, EMBEDDINGS)
def test_symmetric_parts_do_not_depend_on_the_order(e1: np.ndarray, e2: np.ndarray):
    swapped = combine(e2, e1, symmetric=True)
    assert all(np.array_equal(a, b) for a, b in zip(combine(e1, e2, symmetric=True), swapped, strict=True))


@given(EMBEDDINGS, EMBEDDINGS, st.booleans())
def test_torch_gives_what_numpy_gives(e1: np.ndarray, e2: np.ndarray, symmetric: bool):
    tensors = combine(torch.from_numpy(e1), torch.from_numpy(e2), symmetric)
    for tensor, array in zip(tensors, combine(e1, e2, symmetric), strict=True):
        assert np.array_equal(tensor.numpy(), array)


def test_interactions_follow_the_embeddings_as_they_are():
    x = np.array([[5.0, 6.0, 7.0]])
    for symmetric in (True, False):
        *combined, last = join((E1, E2, x), symmetric)
        assert last is x
        for own, expected in zip(combined, combine(E1, E2, symmetric), strict=True):
            assert np.array_equal(own, expected)
        assert len(join((E1, E2), symmetric)) == parts(symmetric)
        assert join((x,), symmetric) == (x,)

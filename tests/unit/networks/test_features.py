import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dnapair.networks.features import interaction, parts

E1 = np.array([[1.0, -2.0]])
E2 = np.array([[3.0, 0.5]])
EMBEDDINGS = arrays(np.float32, (3, 2), elements=st.floats(-1, 1, width=32))


def test_parts_in_their_order():
    assert np.concatenate(interaction(E1, E2, symmetric=False), axis=1).tolist() == [
        [1, -2, 3, 0.5, -2, -2.5, 3, -1]
    ]


def test_symmetric_parts_in_their_order():
    assert np.concatenate(interaction(E1, E2, symmetric=True), axis=1).tolist() == [[4, -1.5, 2, 2.5, 3, -1]]


def test_number_of_parts():
    for symmetric in (True, False):
        assert parts(symmetric) == len(interaction(E1, E2, symmetric))


@given(EMBEDDINGS, EMBEDDINGS)
def test_symmetric_parts_do_not_depend_on_the_order(e1: np.ndarray, e2: np.ndarray):
    swapped = interaction(e2, e1, symmetric=True)
    assert all(
        np.array_equal(a, b) for a, b in zip(interaction(e1, e2, symmetric=True), swapped, strict=True)
    )


@given(EMBEDDINGS, EMBEDDINGS, st.booleans())
def test_torch_gives_what_numpy_gives(e1: np.ndarray, e2: np.ndarray, symmetric: bool):
    tensors = interaction(torch.from_numpy(e1), torch.from_numpy(e2), symmetric)
    for tensor, array in zip(tensors, interaction(e1, e2, symmetric), strict=True):
        assert np.array_equal(tensor.numpy(), array)

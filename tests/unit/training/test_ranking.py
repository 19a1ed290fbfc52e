"""The measure that training goes by."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import average_precision_score

from dnapair.training.ranking import average_precision

SCORES = st.floats(-50, 50, width=32) | st.sampled_from([-1.0, 0.0, 0.5])


@given(
    st.integers(1, 300).flatmap(
        lambda n: st.tuples(
            arrays.arrays(np.int8, n, elements=st.integers(0, 1)),
            arrays.arrays(np.float32, n, elements=SCORES),
        )
    )
)
def test_average_precision_is_scikit_learns_to_the_last_bit(pairs: tuple[np.ndarray, np.ndarray]):
    labels, scores = pairs
    labels[len(labels) // 2] = 1
    assert average_precision(labels, scores) == average_precision_score(labels, scores)

"""What a pair's network sees of its inputs; made batch by batch, never stored.

Operators alone are used, so these functions take arrays of numpy, PyTorch and Keras alike.
"""

from collections.abc import Sequence
from typing import Any


def join(inputs: Sequence[Any], symmetric: bool) -> tuple[Any, ...]:
    """Make a network's inputs into the parts of a pair's features, which are then put side by side.

    Parameters
    ----------
    inputs : sequence of arrays
        ``(e1, e2)``, ``(e1, e2, x)`` or ``(x,)``: embeddings of shape=(n, d), interactions of shape=(n, w).
    symmetric
        As for :func:`combine`.

    Returns
    -------
    tuple of arrays
        The parts by :func:`combine`, where there are embeddings; then the interactions as they are.
    """
    if len(inputs) == 1:
        return tuple(inputs)
    e1, e2, *others = inputs
    return (*combine(e1, e2, symmetric), *others)


def combine(e1: Any, e2: Any, symmetric: bool) -> tuple[Any, ...]:
    """Combine two embeddings into parts of a pair's features.

    Parameters
    ----------
    e1, e2 : array, shape=(n, d)
        Embeddings of the first and of the second sequences.
    symmetric
        True for parts that do not depend on which sequence is the first.

    Returns
    -------
    tuple of arrays, each of shape=(n, d)
        ``(e1, e2, e1 - e2, e1 * e2)``, or ``(e1 + e2, |e1 - e2|, e1 * e2)`` where symmetric.
    """
    if symmetric:
        return e1 + e2, abs(e1 - e2), e1 * e2
    return e1, e2, e1 - e2, e1 * e2


def parts(symmetric: bool) -> int:
    """Return how many parts :func:`combine` gives."""
    return 3 if symmetric else 4

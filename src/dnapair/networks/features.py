"""What a pair's network sees of two embeddings; made batch by batch, never stored."""

from typing import Any


def interaction(e1: Any, e2: Any, symmetric: bool) -> tuple[Any, ...]:
    """Combine two embeddings into the parts of a pair's features.

    Operators alone are used, so it takes arrays of numpy, PyTorch and Keras alike.

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
    """Return how many parts :func:`interaction` gives."""
    return 3 if symmetric else 4

"""Pairs of sequences that are the same but for their order and strand."""

import numpy as np
from numpy.typing import NDArray


def find_pairs(
    wanted: tuple[NDArray[np.int64], NDArray[np.int64]], known: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Look for pairs among others, in either order.

    Parameters
    ----------
    wanted, known : tuple of np.ndarray, shape=(n,) and (m,)
        The first and the second sequences, as :func:`dnapair.data.strands.canonical_rows` numbers them.

    Returns
    -------
    np.ndarray, shape=(n,)
        The place of the first equal pair among the known ones, -1 where there is none.
    """
    if not known[0].size:
        return np.full(wanted[0].size, -1)
    base = 1 + max(int(part.max(initial=0)) for part in (*wanted, *known))
    keys, others = (np.minimum(*pairs) * base + np.maximum(*pairs) for pairs in (wanted, known))
    # stable, so that of equal pairs the first comes first
    order = np.argsort(others, kind="stable")
    places = order[np.minimum(np.searchsorted(others, keys, sorter=order), order.size - 1)]
    return np.where(others[places] == keys, places, -1)

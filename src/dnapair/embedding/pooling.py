"""From windows to sequences."""

from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Pooling = Literal["mean", "cls", "max"]
"""``mean`` and ``max`` are over the real k-mers (no [CLS], [SEP], [UNK]); ``cls`` is the vector of [CLS]."""


def join_windows(
    count: int,
    pooling: Pooling,
    windows: Iterable[tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]],
) -> NDArray[np.float32]:
    """Put the windows of each sequence together.

    Parameters
    ----------
    count
        Number of sequences; each has at least one window.
    pooling
        ``mean`` and ``cls`` weigh a window by its number of real k-mers; ``max`` takes the greatest.
    windows
        Any number of times: what became of n windows, shape=(n, d); the sequence of each, shape=(n,); its
        number of real k-mers, shape=(n,).

    Returns
    -------
    np.ndarray, shape=(count, d)
        float32.
    """
    values, owners, weights = (np.concatenate(part) for part in zip(*windows, strict=True))
    if len(values) == count:
        # one window each, as a rule: nothing to put together
        return values[np.argsort(owners)]
    order = np.argsort(owners, kind="stable")
    starts = np.searchsorted(owners[order], np.arange(count))
    if pooling == "max":
        return np.maximum.reduceat(values[order], starts)
    share = weights / np.bincount(owners, weights, count)[owners]
    weighted = (values * share[:, None].astype(np.float32))[order]
    return np.add.reduceat(weighted, starts)

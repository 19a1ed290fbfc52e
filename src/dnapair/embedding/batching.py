"""Windows of k-mers, and batches of windows of one length: none of their tokens is padding."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnapair.embedding.kmers import KmerVocabulary


class Batch(NamedTuple):
    """Windows of one length that go through the encoder together.

    Attributes
    ----------
    ids : np.ndarray, shape=(n, length)
        [CLS], k-mers, [SEP]; int32.
    owners : np.ndarray, shape=(n,)
        The sequence that each window is of.
    """

    ids: NDArray[np.int32]
    owners: NDArray[np.int64]


def batches(
    sequences: Sequence[str], vocabulary: KmerVocabulary, window: int, batch_tokens: int
) -> Iterator[Batch]:
    """Cut sequences into windows and put windows of one length together.

    Parameters
    ----------
    sequences
        Upper-case sequences of at least k bases.
    vocabulary
        The k-mers of the encoder.
    window
        The most k-mers in one window; a longer sequence becomes several, the last one shorter.
    batch_tokens
        The most tokens in one batch; a single window may be larger.

    Yields
    ------
    Batch
        The longest windows first, so that memory is at its peak at the start.
    """
    ids = vocabulary.encode("".join(sequences)).astype(np.int32)
    bases = np.array([len(sequence) for sequence in sequences])
    # k-mers over the seam of two sequences lie in no window
    first = np.cumsum(bases) - bases
    kmers = bases - vocabulary.k + 1
    windows = -(-kmers // window)
    owners = np.repeat(np.arange(len(sequences)), windows)
    offsets = window * (np.arange(owners.size) - np.repeat(np.cumsum(windows) - windows, windows))
    starts = first[owners] + offsets
    lengths = np.minimum(kmers[owners] - offsets, window)
    order = np.argsort(-lengths, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        length = int(lengths[group[0]])
        step = max(1, batch_tokens // (length + 2))
        for place in range(0, group.size, step):
            chosen = group[place : place + step]
            batch = np.empty((chosen.size, length + 2), np.int32)
            batch[:, 0] = vocabulary.cls
            batch[:, 1:-1] = ids[starts[chosen, None] + np.arange(length)]
            batch[:, -1] = vocabulary.sep
            yield Batch(batch, owners[chosen])

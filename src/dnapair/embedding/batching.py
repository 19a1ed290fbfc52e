"""Windows of k-mers, and batches of windows of nearly one length."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnapair.kmers import KmerVocabulary


class Batch(NamedTuple):
    """Windows that go through the encoder together.

    Attributes
    ----------
    ids : np.ndarray, shape=(n, length)
        [CLS], k-mers, [SEP], then [PAD].
    owners : np.ndarray, shape=(n,)
        The sequence that each window is of.
    padded : bool
        Whether any window is shorter than ``length``.
    """

    ids: NDArray[np.int64]
    owners: NDArray[np.int64]
    padded: bool


def batches(
    sequences: Sequence[str], vocabulary: KmerVocabulary, window: int, batch_tokens: int
) -> Iterator[Batch]:
    """Cut sequences into windows and group windows of like length.

    Parameters
    ----------
    sequences
        Upper-case sequences of at least k bases.
    vocabulary
        The k-mers of the encoder.
    window
        The most k-mers in one window; a longer sequence becomes several, the last one shorter.
    batch_tokens
        The most tokens in one batch, padding included; a single window may be larger.

    Yields
    ------
    Batch
        The longest windows first, so that memory is at its peak at the start.
    """
    windows = [
        (owner, kmers[start : start + window])
        for owner, kmers in enumerate(vocabulary.encode(sequence) for sequence in sequences)
        for start in range(0, len(kmers), window)
    ]
    windows.sort(key=lambda item: len(item[1]), reverse=True)
    start = 0
    while start < len(windows):
        length = len(windows[start][1]) + 2
        stop = start + max(1, batch_tokens // length)
        yield _stack(windows[start:stop], length, vocabulary)
        start = stop


def _stack(windows: list[tuple[int, NDArray[np.int64]]], length: int, vocabulary: KmerVocabulary) -> Batch:
    ids = np.full((len(windows), length), vocabulary.pad, np.int64)
    ids[:, 0] = vocabulary.cls
    for row, (_, kmers) in zip(ids, windows, strict=True):
        row[1 : len(kmers) + 1] = kmers
        row[len(kmers) + 1] = vocabulary.sep
    padded = len(windows[-1][1]) + 2 < length
    return Batch(ids, np.array([owner for owner, _ in windows]), padded)

"""k-mers of the sequences that fine-tuning sees, as numbers, and the windows that a BERT takes them in."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnapair.embedding.kmers import complement_codes, kmer_codes


class Windows(NamedTuple):
    """Windows of some sequences.

    Attributes
    ----------
    owners : np.ndarray, shape=(w,)
        The place of each window's sequence among those that were asked for.
    starts, lengths : np.ndarray, shape=(w,)
        Where its k-mers begin in all k-mers, and how many there are.
    """

    owners: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the window of each k-mer, and its place in it, window by window."""
        owners = np.repeat(np.arange(self.lengths.size), self.lengths)
        ends = np.cumsum(self.lengths)
        return owners, np.arange(owners.size) - np.repeat(ends - self.lengths, self.lengths)


class Tokens:
    """The k-mers of many sequences, two bytes each.

    Parameters
    ----------
    sequences
        Upper-case letters, each at least k long; some at a time.
    k
        Length of a k-mer in bases.
    window
        The most k-mers that the encoder takes at once.

    Attributes
    ----------
    codes : np.ndarray, shape=(k-mers,)
        All of them in order, as :func:`~dnapair.embedding.kmers.kmer_codes` numbers them; int16.
    """

    def __init__(self, sequences: Iterable[Sequence[str]], k: int, window: int) -> None:
        codes, lengths = [np.empty(0, np.int16)], [np.empty(0, np.int64)]
        for some in sequences:
            bases = np.array([len(sequence) for sequence in some], np.int64)
            # k-mers over the seam of two sequences are of neither
            ends = np.cumsum(bases)
            within = np.arange(bases.sum()) < np.repeat(ends - k + 1, bases)
            codes.append(kmer_codes("".join(some) + "N" * (k - 1), k)[within].astype(np.int16))
            lengths.append(bases - k + 1)
        self.k = k
        self.window = window
        self.codes = np.concatenate(codes)
        self._lengths = np.concatenate(lengths)
        self._starts = np.cumsum(self._lengths) - self._lengths
        # the last one is what stands for an unknown k-mer, whose code is -1
        self._complements = np.append(complement_codes(k), -1)

    def __len__(self) -> int:
        """Return the number of sequences."""
        return self._lengths.size

    def windows(self, rows: NDArray[np.int64]) -> Windows:
        """Cut sequences as :func:`~dnapair.embedding.batching.batches` does."""
        lengths = self._lengths[rows]
        count = -(-lengths // self.window)
        owners = np.repeat(np.arange(rows.size), count)
        offsets = self.window * (np.arange(owners.size) - np.repeat(np.cumsum(count) - count, count))
        return Windows(
            owners, self._starts[rows][owners] + offsets, np.minimum(lengths[owners] - offsets, self.window)
        )

    def read(self, windows: Windows) -> NDArray[np.int64]:
        """Return the codes of windows, end to end; -1 for unknown."""
        owners, places = windows.places()
        codes: NDArray[np.int64] = self.codes[windows.starts[owners] + places].astype(np.int64)
        return codes

    def turned(self, rows: NDArray[np.int64]) -> "Tokens":
        """Return the reverse complements of some sequences, in their order."""
        turned = object.__new__(Tokens)
        turned.k, turned.window, turned._complements = self.k, self.window, self._complements
        turned._lengths = self._lengths[rows]
        ends = np.cumsum(turned._lengths)
        turned._starts = ends - turned._lengths
        last = np.repeat(self._starts[rows] + turned._lengths - 1, turned._lengths)
        back = np.arange(last.size) - np.repeat(turned._starts, turned._lengths)
        turned.codes = self._complements[self.codes[last - back]].astype(np.int16)
        return turned

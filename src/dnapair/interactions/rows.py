"""The rows of pairs, each made by itself: neither order nor batch matters."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dnapair.interactions.duplex import describe_duplexes
from dnapair.interactions.kernels import UNKNOWN1, describe
from dnapair.interactions.layout import KMERS, RUNS, Layout

_RUNS, _KMERS = np.array(RUNS, np.int64), np.array(KMERS, np.int64)
_CODES = np.full(256, UNKNOWN1, np.uint8)
_CODES[[ord(base) for base in "ACGT"]] = range(4)


def describe_pairs(
    sequences: Sequence[str], rows1: NDArray[np.int64], rows2: NDArray[np.int64], layout: Layout
) -> NDArray[np.float32]:
    """Make the rows of pairs.

    Counts and scores are logarithms, log2(1 + x), places are shares of a sequence, energies are kcal/mol.
    Time grows with the product of two lengths, memory with their sum.

    Parameters
    ----------
    sequences
        Upper-case letters; any but A, C, G and T matches nothing.
    rows1, rows2 : np.ndarray, shape=(n,)
        The two sequences of each pair.
    layout
        What a row holds.

    Returns
    -------
    np.ndarray, shape=(n, layout.width)
        float32.
    """
    if layout.symmetric:
        # an order of their own: ends of alignments and ties depend on which sequence is laid against which
        ranks = np.empty(len(sequences), np.int64)
        ranks[sorted(range(len(sequences)), key=sequences.__getitem__)] = np.arange(len(sequences))
        turned = ranks[rows1] > ranks[rows2]
        rows1, rows2 = np.where(turned, rows2, rows1), np.where(turned, rows1, rows2)
    starts = np.concatenate([[0], np.cumsum([len(sequence) for sequence in sequences], dtype=np.int64)])
    pairs = encode("".join(sequences)), starts, rows1, rows2, layout.bins1, layout.bins2
    rows = np.empty((rows1.size, layout._replace(duplex=False).width), np.float32)
    describe(*pairs, len(layout.kinds), layout.aligned, _RUNS, _KMERS, rows)
    if layout.duplex:
        energies = np.empty((rows1.size, layout.width - rows.shape[1]), np.float32)
        describe_duplexes(*pairs, energies)
        rows = np.hstack([rows, energies])
    if layout.symmetric:
        width = layout.sides[0]
        first, second = rows[:, :width].copy(), rows[:, width : 2 * width]
        np.maximum(first, second, out=rows[:, :width])
        np.minimum(first, second, out=second)
    return rows


def encode(sequence: str) -> NDArray[np.uint8]:
    """Return the code of each letter: A, C, G and T are 0 to 3, all others 4."""
    return _CODES[np.frombuffer(sequence.encode("latin-1", "replace"), np.uint8)]

"""What the encoder gets of each sequence: k-mers it does not know, windows, and bases in none of them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dnapair.embedding.batching import batches
from dnapair.embedding.kmers import KmerVocabulary
from dnapair.storage.sequence_file import letter_blocks

BLOCK_LETTERS = 2**20
"""Bases that are k-mers at a time."""


class Tokens(NamedTuple):
    """What the encoder gets of a split's unique sequences.

    Attributes
    ----------
    sequences : int
        How many there are.
    kmers, unknown : int
        K-mers that it gets, and those of them that touch a letter outside ACGT.
    unknown_share : float
        Of the k-mers.
    windows, windows_per_sequence_max : int
        Windows that the sequences are cut into, and the most of one sequence.
    cut_bases : int
        Bases that lie in no window.
    """

    sequences: int
    kmers: int
    unknown: int
    unknown_share: float
    windows: int
    windows_per_sequence_max: int
    cut_bases: int


def token_health(
    sequences: Sequence[str], used: Mapping[str, NDArray[np.bool_]], k: int, window: int
) -> dict[str, Tokens]:
    """Count, on the very windows that the encoder gets.

    Parameters
    ----------
    sequences
        All unique sequences, of at least k letters; they are read one after the other, and never held.
    used : dict of np.ndarray, shape=(len(sequences),)
        The sequences of each split.
    k
        Length of the encoder's k-mers in bases.
    window
        The most k-mers in one window.

    Returns
    -------
    dict of Tokens
        By split.
    """
    vocabulary = KmerVocabulary.standard(k)
    kmers, unknown, windows, cut = (np.zeros(len(sequences), np.int64) for _ in range(4))
    with tqdm(
        total=len(sequences), desc="count k-mers", unit=" sequences", dynamic_ncols=True, disable=None
    ) as bar:
        for first, texts in letter_blocks(sequences, BLOCK_LETTERS):
            block = slice(first, first + len(texts))
            for batch in batches(texts, vocabulary, window, batch_tokens=BLOCK_LETTERS):
                inside = batch.ids[:, 1:-1]
                owners = first + batch.owners
                np.add.at(windows, owners, 1)
                np.add.at(kmers, owners, inside.shape[1])
                np.add.at(unknown, owners, np.count_nonzero(inside == vocabulary.unk, axis=1))
            # windows follow each other without a gap, and n k-mers in a row reach over n + k - 1 bases
            cut[block] = np.array([len(text) for text in texts]) - (kmers[block] + k - 1)
            bar.update(len(texts))
    return {
        split: Tokens(
            sequences=int(np.count_nonzero(own)),
            kmers=int(kmers[own].sum()),
            unknown=int(unknown[own].sum()),
            unknown_share=float(unknown[own].sum() / max(kmers[own].sum(), 1)),
            windows=int(windows[own].sum()),
            windows_per_sequence_max=int(windows[own].max(initial=0)),
            cut_bases=int(cut[own].sum()),
        )
        for split, own in used.items()
    }

"""Sequences that are the same but for their strand."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dnapair.data.sequences import reverse_complement

_DIGEST_BYTES = 16


def canonical_rows(sequences: Sequence[str]) -> NDArray[np.int64]:
    """Give a sequence and its reverse complement the same number.

    Parameters
    ----------
    sequences
        Upper-case letters; read one after the other. They are compared by digests of 128 bits.

    Returns
    -------
    np.ndarray, shape=(len(sequences),)
        For each the first row that holds it on either strand.
    """
    digests = bytearray()
    for sequence in tqdm(
        sequences, desc="compare strands", unit=" sequences", dynamic_ncols=True, disable=None
    ):
        either = min(sequence, reverse_complement(sequence))
        digests += hashlib.blake2b(either.encode(), digest_size=_DIGEST_BYTES).digest()
    values = np.frombuffer(digests, f"S{_DIGEST_BYTES}")
    _, first, places = np.unique(values, return_index=True, return_inverse=True)
    rows: NDArray[np.int64] = first[places]
    return rows

"""Sequences that are the same but for their strand, and pairs of such sequences."""

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


def find_pairs(
    wanted: tuple[NDArray[np.int64], NDArray[np.int64]], known: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Look for pairs among others, in either order.

    Parameters
    ----------
    wanted, known : tuple of np.ndarray, shape=(n,) and (m,)
        The first and the second sequences, as :func:`canonical_rows` numbers them.

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

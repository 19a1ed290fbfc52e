"""Fragments as the encoder's input, whole or with spans of bases hidden."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnapair.embedding.kmers import NOT_A_BASE, KmerVocabulary
from dnapair.pretraining.fragments import Fragments

IGNORED = -100
"""Target of a token that the loss passes over, as PyTorch's cross entropy has it."""
_MASKED, _RANDOM = 0.8, 0.1


class Masked(NamedTuple):
    """Input with hidden spans, and what was there.

    Attributes
    ----------
    ids : np.ndarray, shape=(n, crop - k + 3)
        [CLS], k-mers, [SEP], [PAD].
    targets : np.ndarray, shape=(n, crop - k + 3)
        The k-mer's id where it was hidden, else :data:`IGNORED`.
    """

    ids: NDArray[np.int64]
    targets: NDArray[np.int64]


def token_ids(fragments: Fragments, vocabulary: KmerVocabulary) -> NDArray[np.int64]:
    """Return [CLS], k-mers, [SEP], [PAD] of each fragment, shape=(n, crop - k + 3)."""
    kmers = vocabulary.encode_bases(fragments.bases)
    ids = np.pad(kmers, ((0, 0), (1, 1)), constant_values=((0, 0), (vocabulary.cls, vocabulary.pad)))
    columns = np.arange(ids.shape[1])
    end = (fragments.lengths - vocabulary.k + 2)[:, None]
    ids[columns == end] = vocabulary.sep
    ids[columns > end] = vocabulary.pad
    return ids


def hide_spans(
    fragments: Fragments, vocabulary: KmerVocabulary, share: float, span: int, seed: list[int]
) -> Masked:
    """Hide spans of bases, and so every k-mer that touches one.

    k-mers overlap: were they hidden one by one, their neighbours would give them away. A span is [MASK]
    in 80 %, other bases in 10 % and left as it is in 10 % of the cases, drawn once for the whole span: drawn
    for each k-mer, the ones left as they are would tell of the rest.
    Source of the 80/10/10: Devlin et al. 2019, "BERT".

    Parameters
    ----------
    fragments
        Each at least ``span`` long.
    vocabulary
        The encoder's k-mers, with a [MASK].
    share
        About this share of the bases is hidden.
    span
        Length of a span in bases.
    seed
        Of the draws.

    Returns
    -------
    Masked
        Input and targets.
    """
    rng = np.random.default_rng(seed)
    rows, crop = fragments.bases.shape
    columns = np.arange(crop)
    hidden = np.zeros((rows, crop), bool)
    blanked = np.zeros((rows, crop), bool)
    changed = fragments.bases.copy()
    for number in range(max(1, round(share * crop / span))):
        # a short fragment gets fewer spans
        wanted = (number == 0) | (rng.random(rows) < fragments.lengths / crop)
        start = (rng.random(rows) * (fragments.lengths - span + 1)).astype(np.int64)
        inside = wanted[:, None] & (columns >= start[:, None]) & (columns < start[:, None] + span)
        kind = rng.random((rows, 1))
        hidden |= inside
        blanked = np.where(inside, kind < _MASKED, blanked)
        swap = inside & (kind >= _MASKED) & (kind < _MASKED + _RANDOM) & (changed < NOT_A_BASE)
        changed[swap] = rng.integers(0, 4, int(swap.sum()), np.uint8)
    original = token_ids(fragments, vocabulary)
    ids = token_ids(Fragments(changed, fragments.lengths), vocabulary)
    real = original >= vocabulary.ids.min()
    ids[real & _touched(blanked, vocabulary.k)] = vocabulary.mask
    return Masked(ids, np.where(real & _touched(hidden, vocabulary.k), original, IGNORED))


def _touched(marked: NDArray[np.bool_], k: int) -> NDArray[np.bool_]:
    """Mark the tokens, [CLS] and [SEP] beside them, whose k-mer touches a marked base."""
    count = marked.shape[1] - k + 1
    kmers = np.logical_or.reduce([marked[:, offset : offset + count] for offset in range(k)])
    return np.pad(kmers, ((0, 0), (1, 1)))

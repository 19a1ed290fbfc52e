"""What the train sequences of a model are like: numbers of each sequence, and their distributions."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnapair.embedding.kmers import base_codes

SAMPLE = 100_000
"""Train sequences that the statistics are taken of, at most: spread evenly, so that memory stays flat."""

_TAIL = 0.001
_GRID = np.unique([0, _TAIL, *np.linspace(0, 1, 101), 1 - _TAIL])
_GREATEST_HALF = float(np.finfo(np.float16).max)
_OTHER_BASE = 4
_C, _G = 2, 3


class Limits(NamedTuple):
    """How far input may be from the train sequences.

    Attributes
    ----------
    max_outside_share
        Of the sequences, those outside the range that 99.8 % of the train sequences have.
    max_distance
        Between two distributions: the greatest difference of their cumulative shares (Kolmogorov-Smirnov).
    max_clipped_share
        Of the values of the embeddings, those that scaling clips.
    """

    max_outside_share: float
    max_distance: float
    max_clipped_share: float


class Kind(NamedTuple):
    """A number that every sequence has, and how it is written."""

    words: str
    pattern: str


KINDS = {
    "length": Kind("length", "{:,.0f} bases"),
    "gc": Kind("GC content", "{:.1%}"),
    "unknown": Kind("share of unknown k-mers", "{:.2%}"),
    "reach": Kind("largest scaled value of the embedding", "{:.3f}"),
}


def describe(
    blocks: Iterable[tuple[Sequence[str], NDArray[Any]]], k: int, training_sequences: int, limits: Limits
) -> dict[str, Any]:
    """Describe the sequences that a model is trained on.

    Parameters
    ----------
    blocks
        Train sequences, all of them or :data:`SAMPLE` spread evenly, in upper case, of k letters at least;
        and with them their scaled embeddings, shape=(n, d).
    k
        Length of the encoder's k-mers in bases.
    training_sequences
        How many the scaler was fitted on.
    limits
        To hold input to; they stay with the description.

    Returns
    -------
    dict
        For :class:`~dnapair.checks.drift.Watch`, and for JSON: of each number that a sequence has its range,
        and its distribution as the shares of sequences below, and up to, each of about a hundred values.
    """
    parts: list[dict[str, NDArray[np.float64]]] = []
    dimensions = 0
    for sequences, embeddings in blocks:
        parts.append(measure(sequences, embeddings, k))
        dimensions = embeddings.shape[1]
    statistics = {name: _distribution(np.concatenate([part[name] for part in parts])) for name in KINDS}
    return {
        "k": k,
        "dimensions": dimensions,
        "training_sequences": training_sequences,
        "described_sequences": sum(part["length"].size for part in parts),
        "limits": limits._asdict(),
        "statistics": statistics,
    }


def measure(sequences: Sequence[str], embeddings: NDArray[Any], k: int) -> dict[str, NDArray[np.float64]]:
    """Return each number of n sequences, shape=(n,)."""
    lengths = np.array([len(sequence) for sequence in sequences])
    bases = base_codes("".join(sequences))
    ends = np.cumsum(lengths)
    starts = ends - lengths
    known = np.add.reduceat(bases != _OTHER_BASE, starts, dtype=np.int64)
    strong = np.add.reduceat((bases == _C) | (bases == _G), starts, dtype=np.int64)
    unknown = np.zeros(len(sequences), np.int64)
    if known.sum() < bases.size:
        touched = np.zeros(bases.size, bool)
        for offset in range(k):
            touched[: bases.size - offset] |= bases[offset:] == _OTHER_BASE
        for offset in range(1, k):
            # no k-mer begins so near to the end
            touched[ends - offset] = False
        unknown = np.add.reduceat(touched, starts, dtype=np.int64)
    greatest = np.nan_to_num(np.abs(embeddings).max(axis=1), nan=_GREATEST_HALF, posinf=_GREATEST_HALF)
    return {
        "length": lengths.astype(np.float64),
        "gc": strong / np.maximum(known, 1),
        "unknown": unknown / (lengths - k + 1),
        # float16, as the pipeline keeps scaled values
        "reach": np.minimum(greatest, _GREATEST_HALF).astype(np.float16).astype(np.float64),
    }


def _distribution(values: NDArray[np.float64]) -> dict[str, Any]:
    # values that are there, not values between them: what lies on an edge is compared exactly
    quantiles = np.quantile(values, _GRID, method="inverted_cdf")
    ordered = np.sort(values)
    edges = np.unique(quantiles)
    low, high = (float(quantiles[np.searchsorted(_GRID, share)]) for share in (_TAIL, 1 - _TAIL))
    return {
        "smallest": float(ordered[0]),
        "low": low,
        "median": float(quantiles[np.searchsorted(_GRID, 0.5)]),
        "high": high,
        "greatest": float(ordered[-1]),
        "edges": edges.tolist(),
        "below": (np.searchsorted(ordered, edges, side="left") / ordered.size).tolist(),
        "upto": (np.searchsorted(ordered, edges, side="right") / ordered.size).tolist(),
    }

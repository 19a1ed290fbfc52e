"""What needs no network: the majority class, the cosine of the embeddings, and 4-mer frequencies."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from dnapair.evaluation.metrics import best_threshold, evaluate
from dnapair.kmers import BASES, kmer_codes
from dnapair.matrix import Matrix
from dnapair.training.loop import Pairs

K = 4
FITTED_PAIRS = 50_000
"""Pairs that the logistic regression is fitted on at most: its 136 weights gain nothing from more."""
BLOCK = 8192
"""Pairs whose features are held at once."""

Read = Callable[[np.ndarray], Sequence[str]]
"""Gives the sequences of rows, in the order of the rows."""


class Baseline(NamedTuple):
    """A baseline's result.

    Attributes
    ----------
    scores : np.ndarray, shape=(n,)
        Of the test pairs; greater means more likely related.
    metrics : dict
        ``roc_auc``, ``pr_auc``, ``accuracy`` and ``f1`` on test, and the ``threshold`` behind them.
    """

    scores: np.ndarray
    metrics: dict[str, float]


def baselines(matrix: Matrix, read: Read, splits: Mapping[str, Pairs], seed: int) -> dict[str, Baseline]:
    """Fit every baseline on train, choose its threshold on validation, and measure it on test.

    Parameters
    ----------
    matrix : array or MatrixFile, shape=(rows, d)
        Scaled embeddings.
    read
        Reads the sequences, such as :meth:`dnapair.sequence_file.SequenceFile.take`.
    splits
        Pairs of ``train``, ``val`` and ``test``.
    seed
        Draws the pairs to fit on where there are more than :data:`FITTED_PAIRS`.

    Returns
    -------
    dict
        By name: ``majority class``, ``embedding cosine``, ``4-mer logistic regression``.
    """
    val, test = splits["val"], splits["test"]
    majority = float(splits["train"].labels.mean() >= 0.5)
    found = {"majority class": _measure(test.labels, np.full(test.labels.size, majority), 0.5)}
    scorers: dict[str, Callable[[Pairs], np.ndarray]] = {
        "embedding cosine": lambda pairs: cosines(matrix, pairs),
        "4-mer logistic regression": fit_kmers(read, splits["train"], seed),
    }
    for name, score in scorers.items():
        threshold = best_threshold(val.labels, score(val))
        found[name] = _measure(test.labels, score(test), threshold)
    return found


def cosines(matrix: Matrix, pairs: Pairs) -> np.ndarray:
    """Return the cosine of each pair's two rows, shape=(n,); 0 where a row is all zeros."""
    parts = []
    for block in _blocks(pairs):
        first, second = (matrix[rows].astype(np.float64) for rows in (block.rows1, block.rows2))
        norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
        parts.append((first * second).sum(axis=1) / np.where(norms > 0, norms, 1))
    return np.concatenate(parts)


def count_kmers(sequences: Sequence[str]) -> np.ndarray:
    """Return how often each 4-mer occurs in each sequence, on either strand.

    Parameters
    ----------
    sequences
        Upper-case letters; a 4-mer that touches a letter outside ACGT is passed over.

    Returns
    -------
    np.ndarray, shape=(len(sequences), 136)
        float32 shares that sum to 1; a 4-mer and its reverse complement are one column. A sequence
        without any 4-mer has zeros.
    """
    columns = _columns()
    shares = np.zeros((len(sequences), columns.max() + 1), np.float32)
    for row, sequence in enumerate(sequences):
        codes = kmer_codes(sequence, K)
        counts = np.bincount(columns[codes[codes >= 0]], minlength=shares.shape[1])
        shares[row] = counts / max(int(counts.sum()), 1)
    return shares


def _columns() -> np.ndarray:
    """Map each 4-mer's code to a column that it shares with its reverse complement."""
    complement = str.maketrans("ATCG", "TAGC")
    kmers = ["".join(letters) for letters in product(BASES, repeat=K)]
    either = [min(kmer, kmer.translate(complement)[::-1]) for kmer in kmers]
    columns: np.ndarray = np.unique(either, return_inverse=True)[1]
    return columns


def fit_kmers(read: Read, train: Pairs, seed: int) -> Callable[[Pairs], np.ndarray]:
    """Fit a logistic regression on the absolute differences of 4-mer shares.

    Parameters
    ----------
    read
        Reads the sequences; those of one block of pairs are held at once.
    train
        Pairs of train; at most :data:`FITTED_PAIRS` of them, drawn by ``seed``, are used.
    seed
        Of that draw.

    Returns
    -------
    callable
        Pairs to the probability that each is related, shape=(n,).
    """
    chosen = np.arange(train.labels.size)
    if chosen.size > FITTED_PAIRS:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, FITTED_PAIRS, replace=False))
    sample = Pairs(*(part[chosen] for part in train))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(np.concatenate(list(_differences(read, sample))), sample.labels)

    def score(pairs: Pairs) -> np.ndarray:
        return np.concatenate([model.predict_proba(block)[:, 1] for block in _differences(read, pairs)])

    return score


def _differences(read: Read, pairs: Pairs) -> Iterator[np.ndarray]:
    """Yield the absolute differences of 4-mer shares, block by block of pairs."""
    for block in tqdm(_blocks(pairs), desc="count 4-mers", unit="block", dynamic_ncols=True, disable=None):
        rows, places = np.unique([block.rows1, block.rows2], return_inverse=True)
        first, second = count_kmers(read(rows))[places.reshape(2, -1)]
        yield np.abs(first - second)


def _blocks(pairs: Pairs) -> list[Pairs]:
    starts = range(0, pairs.labels.size, BLOCK)
    return [Pairs(*(part[start : start + BLOCK] for part in pairs)) for start in starts]


def _measure(labels: np.ndarray, scores: np.ndarray, threshold: float) -> Baseline:
    # a score that is no probability is squeezed into [0, 1], which changes none of the four metrics
    low, high = min(scores.min(), 0.0), max(scores.max(), 1.0)
    measured = evaluate(labels, (scores - low) / (high - low), (threshold - low) / (high - low))
    metrics = {name: measured[name] for name in ("roc_auc", "pr_auc", "accuracy", "f1")}
    return Baseline(scores, metrics | {"threshold": threshold})

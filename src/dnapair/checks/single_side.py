"""How well the label of a pair is told from one of its two sequences alone: chance, in sound data."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from dnapair.checks.findings import Finding, Limit, level_of
from dnapair.checks.split_rows import SplitRows
from dnapair.embedding.kmers import complement_codes, kmer_codes

K = 4
FITTED_PAIRS = 50_000
"""Train pairs that are fitted on at most."""
BLOCK = 4096
"""Sequences counted at once."""
DRAWS = 1000
"""Resamples behind an interval."""
DRAWN_VALUES = 4_000_000
"""... of which so many numbers are held at once."""
CONFIDENCE = 0.95
BY_LABELS = "its labels in train"

Read = Callable[[NDArray[np.int64]], Sequence[str]]
"""Gives the sequences of rows, in the order of the rows."""


class Told(NamedTuple):
    """How well one side tells the labels of the validation pairs.

    Attributes
    ----------
    side : str
        ``seq1`` or ``seq2``.
    by : str
        What of that sequence was looked at.
    auc, low, high : float
        ROC-AUC and its 95 % interval.
    """

    side: str
    by: str
    auc: float
    low: float
    high: float

    @property
    def least(self) -> float:
        """How well it tells at least, whichever way round: a ROC-AUC far below 0.5 tells labels too."""
        return max(self.low, 1 - self.high)


def single_side(read: Read, train: SplitRows, val: SplitRows, seed: int) -> list[Told]:
    """Tell validation labels from one sequence of each pair, in two ways for each side.

    By what the sequence is: gradient boosting on its 4-mers and its length, fitted on train pairs. By where
    it stands: its own mean label in the pairs of train, on either side; the mean of all where it has none.
    The two are scored apart: a model that sees both learns from the mean label alone, and is blind to new
    sequences.
    Source: Park and Marcotte 2012, "Flaws in evaluation schemes for pair-input computational predictions".

    Parameters
    ----------
    read
        Reads sequences, such as :meth:`dnapair.storage.sequence_file.SequenceFile.take`.
    train, val
        Pairs; at most :data:`FITTED_PAIRS` of train, drawn by ``seed``, are fitted on.
    seed
        Of that draw, the fit and the resamples.

    Returns
    -------
    list of Told
        Four. The interval is a bootstrap over the sequences of that side: pairs of one sequence go together.
    """
    chosen = np.arange(train.label.size)
    if chosen.size > FITTED_PAIRS:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, FITTED_PAIRS, replace=False))
    found = []
    for side in ("seq1", "seq2"):
        fitted, tested = getattr(train, side)[chosen], getattr(val, side)
        model = HistGradientBoostingClassifier(max_iter=50, early_stopping=False, random_state=seed)
        features = _features(read, fitted)
        # where others use the processors too, its threads wait for each other far longer than they work
        with threadpool_limits(1, "openmp"):
            model.fit(features, train.label[chosen])
        rows, places = np.unique(tested, return_inverse=True)
        scores = {
            "its 4-mers and length": model.predict_proba(_features(read, rows))[:, 1],
            BY_LABELS: _mean_labels(train, rows),
        }
        for by, of_sequences in scores.items():
            ends = interval(of_sequences, places, val.label, seed)
            found.append(Told(side, by, *ends))
    return found


def tell_single_side(told: Sequence[Told], pairs: int, limit: Limit) -> Finding:
    """Hold what single sequences tell of validation labels against the limit.

    Parameters
    ----------
    told
        From :func:`single_side`.
    pairs
        Of validation.
    limit
        For the end nearest to chance of the interval of ROC-AUC, counted from 0.5 either way round.

    Returns
    -------
    Finding
        Its share is the greatest such end; its count, how many of the ways are above the limit.
    """
    first = max(told, key=lambda way: way.least)
    sentences = [
        f"{way.side} by {way.by}: {way.auc:.3f} ({way.low:.3f} to {way.high:.3f})"
        for way in sorted(told, key=lambda way: -way.least)
    ]
    found = [way for way in told if way.least > limit.above]
    redraw = "draw the unrelated pairs anew from the sequences of the related ones, each as often as there."
    above = len(found)
    if above:
        words = (
            f"Labels depend on one sequence alone: {first.side}, by {first.by}, tells those of {pairs:,} "
            f"validation pairs with ROC-AUC {first.auc:.3f} (95 % interval {first.low:.3f} to "
            f"{first.high:.3f}); "
            f"chance is 0.5{', and below it the labels are told the other way round' * (first.auc < 0.5)}."
        )
    else:
        words = (
            f"No sequence alone tells the labels of the {pairs:,} validation pairs: the best way, "
            f"{first.side} by {first.by}, has ROC-AUC {first.auc:.3f} "
            f"(95 % interval {first.low:.3f} to {first.high:.3f})."
        )
    return Finding(
        "single_side",
        "val",
        level_of(first.least, limit),
        words,
        above,
        len(told),
        first.least,
        sentences,
        "Set split.method: grouped, by which no sequence of validation has labels in train. If that is not "
        f"all, {redraw}"
        if BY_LABELS in {way.by for way in found}
        else f"No setting mends that: {redraw}",
    )


def interval(
    scores: NDArray[np.float64], places: NDArray[np.int64], labels: NDArray[np.int8], seed: int
) -> tuple[float, float, float]:
    """Return ROC-AUC and its 95 % interval where all pairs of a sequence have one score.

    Parameters
    ----------
    scores : np.ndarray, shape=(sequences,)
        Of the sequences.
    places : np.ndarray, shape=(n,)
        The sequence of each pair.
    labels : np.ndarray, shape=(n,)
        0 or 1, both of them.
    seed
        Same seed, same interval.

    Returns
    -------
    auc, low, high : float
        The ends from sequences drawn with replacement (Efron and Tibshirani 1993, chapter 8.6); draws that
        lack a label are left out.
    """
    order = np.argsort(scores, kind="stable")
    counts = [np.bincount(places[labels == label], minlength=scores.size)[order] for label in (0, 1)]
    # sequences with one score are one step of the curve
    starts = np.append(0, np.flatnonzero(np.diff(scores[order])) + 1)
    auc = _areas(np.ones((1, scores.size)), counts, starts)
    rng = np.random.default_rng(seed)
    step = max(1, DRAWN_VALUES // scores.size)
    drawn = []
    for begin in range(0, DRAWS, step):
        size = min(step, DRAWS - begin)
        picked = rng.integers(0, scores.size, (size, scores.size)) + scores.size * np.arange(size)[:, None]
        weights = np.bincount(picked.ravel(), minlength=size * scores.size).reshape(size, -1)
        drawn.append(_areas(weights, counts, starts))
    tails = [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)]
    low, high = np.nanpercentile(np.concatenate([*drawn, auc]), tails)
    return float(auc[0]), float(low), float(high)


def _areas(
    weights: NDArray[Any], counts: list[NDArray[np.int64]], starts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the ROC-AUC of each row of weights, shape=(draws, sequences); a tie counts half."""
    negatives, positives = (np.add.reduceat(weights * count, starts, axis=1) for count in counts)
    below = np.cumsum(negatives, axis=1) - negatives / 2
    pairs = negatives.sum(axis=1) * positives.sum(axis=1)
    areas: NDArray[np.float64] = np.where(
        pairs > 0, (positives * below).sum(axis=1) / np.maximum(pairs, 1), np.nan
    )
    return areas


def _mean_labels(train: SplitRows, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean label of rows in the pairs of train, drawn to the mean of all as by one pair more."""
    sides = np.concatenate([train.seq1, train.seq2])
    size = int(max(sides.max(), rows.max())) + 1
    pairs = np.bincount(sides, minlength=size)[rows]
    related = np.bincount(sides, np.tile(train.label, 2), minlength=size)[rows]
    means: NDArray[np.float64] = (related + train.label.mean()) / (pairs + 1)
    return means


def _features(read: Read, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the 4-mer shares and the length of each row's sequence, shape=(n, 137)."""
    unique, places = np.unique(rows, return_inverse=True)
    parts = [
        kmer_shares(read(unique[start : start + BLOCK]))
        for start in tqdm(
            range(0, unique.size, BLOCK), desc="count 4-mers", unit="block", dynamic_ncols=True, disable=None
        )
    ]
    features: NDArray[np.float32] = np.concatenate(parts)[places]
    return features


def kmer_shares(sequences: Sequence[str]) -> NDArray[np.float32]:
    """Return how often each 4-mer occurs in each sequence, on either strand, and each sequence's length.

    Parameters
    ----------
    sequences
        Upper-case letters; a 4-mer that touches a letter outside ACGT is passed over.

    Returns
    -------
    np.ndarray, shape=(len(sequences), 137)
        Shares that sum to 1, or zeros where there is no 4-mer; a 4-mer and its reverse complement are one
        column. The last column is the length.
    """
    _, columns = np.unique(np.minimum(np.arange(4**K), complement_codes(K)), return_inverse=True)
    width = int(columns.max()) + 1
    # no k-mer over the seam of two sequences is known
    codes = kmer_codes("N".join(sequences), K)
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    owners = np.repeat(np.arange(lengths.size), lengths + 1)[: codes.size]
    cells = owners[codes >= 0] * width + columns[codes[codes >= 0]]
    counts = np.bincount(cells, minlength=lengths.size * width).reshape(-1, width).astype(np.float32)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return np.column_stack([shares, lengths.astype(np.float32)])

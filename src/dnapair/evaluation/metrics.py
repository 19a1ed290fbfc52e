"""Metrics of predicted probabilities, the threshold, bootstrap intervals, and the points of each curve."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from dnapair.errors import DnapairError

METRICS = ("accuracy", "precision", "recall", "f1", "roc_auc", "pr_auc", "mcc", "log_loss", "brier")
CONFIDENCE = 0.95
BLOCK_VALUES = 2_000_000
"""Weights held at once while resampling: bounds the memory whatever the number of pairs."""


class Curve(NamedTuple):
    """Points of a curve, both of shape=(n,)."""

    x: np.ndarray
    y: np.ndarray


class Calibration(NamedTuple):
    """Bins of equal width over the probabilities, empty bins left out; each of shape=(bins,)."""

    predicted: np.ndarray
    observed: np.ndarray
    pairs: np.ndarray


def evaluate(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> dict[str, float]:
    """Measure predictions with every metric of :data:`METRICS`.

    Parameters
    ----------
    labels : np.ndarray, shape=(n,)
        1 for related, 0 for unrelated.
    probabilities : np.ndarray, shape=(n,)
        Predicted probability of 1.
    threshold
        A pair at or above it counts as predicted 1.

    Returns
    -------
    dict
        ``roc_auc`` as the trapezoid under the curve (a tie counts half), ``pr_auc`` as average
        precision, ``precision`` and ``mcc`` 0 where they are undefined, ``log_loss`` in nats.

    Raises
    ------
    DnapairError
        If the labels hold one class alone, or a probability is no number in [0, 1].
    """
    _check(labels, probabilities)
    values = _Resampler(labels, probabilities, threshold).measure(np.ones((1, labels.size)))
    return {name: float(column[0]) for name, column in values.items()}


def intervals(
    labels: np.ndarray, probabilities: np.ndarray, threshold: float, draws: int, seed: int
) -> dict[str, tuple[float, float]]:
    """Bootstrap a 95 % percentile interval for every metric, over pairs.

    Pairs are drawn with replacement as if they were independent; where pairs share sequences the true
    uncertainty is somewhat larger. A resample that holds one class alone is drawn again.
    Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.

    Parameters
    ----------
    labels, probabilities, threshold
        As in :func:`evaluate`.
    draws
        Number of resamples.
    seed
        Same seed, same intervals.

    Returns
    -------
    dict
        Lower and upper end by metric.

    Raises
    ------
    DnapairError
        As in :func:`evaluate`.
    """
    _check(labels, probabilities)
    resampler = _Resampler(labels, probabilities, threshold)
    measured = [resampler.measure(weights) for weights in _resamples(labels, draws, seed)]
    tails = [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)]
    ends = {name: np.percentile(np.concatenate([m[name] for m in measured]), tails) for name in METRICS}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def best_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """Choose the threshold with the greatest F1.

    Parameters
    ----------
    labels : np.ndarray, shape=(n,)
        1 for related, 0 for unrelated; validation labels, never test labels.
    scores : np.ndarray, shape=(n,)
        Greater means more likely 1; probabilities, or any other score.

    Returns
    -------
    float
        Midway between two neighbouring scores, so that rounding elsewhere moves no pair across it.
        Of thresholds with equal F1 the greatest.

    Raises
    ------
    DnapairError
        If the labels hold one class alone.
    """
    _check_labels(labels)
    true_positives, false_positives, cuts = _cumulate(labels, scores)
    f1 = 2 * true_positives / (true_positives + false_positives + labels.sum())
    best = int(np.argmax(f1))
    below = cuts[best + 1] if best + 1 < cuts.size else cuts[best]
    return float((cuts[best] + below) / 2)


def roc_curve(labels: np.ndarray, scores: np.ndarray) -> Curve:
    """Return the false positive rate (x) and true positive rate (y) at every threshold, from (0, 0)."""
    true_positives, false_positives, _ = _cumulate(labels, scores)
    x = np.concatenate([[0.0], false_positives / false_positives[-1]])
    return Curve(x, np.concatenate([[0.0], true_positives / true_positives[-1]]))


def precision_recall_curve(labels: np.ndarray, scores: np.ndarray) -> Curve:
    """Return recall (x) and precision (y) at every threshold, from the highest score down."""
    true_positives, false_positives, _ = _cumulate(labels, scores)
    return Curve(true_positives / true_positives[-1], true_positives / (true_positives + false_positives))


def thin(curve: Curve, points: int = 500) -> Curve:
    """Keep at most ``points`` points of a curve, evenly by rank, the first and the last among them."""
    if curve.x.size <= points:
        return curve
    kept = np.linspace(0, curve.x.size - 1, points).round().astype(np.int64)
    return Curve(curve.x[kept], curve.y[kept])


def calibration(labels: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> Calibration:
    """Compare predicted probabilities with observed shares of 1, in bins of equal width.

    Parameters
    ----------
    labels : np.ndarray, shape=(n,)
        1 for related, 0 for unrelated.
    probabilities : np.ndarray, shape=(n,)
        Predicted probability of 1.
    bins
        Bins between 0 and 1.

    Returns
    -------
    Calibration
        Mean probability, share of 1 and number of pairs of each bin that holds any.
    """
    places = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    pairs = np.bincount(places, minlength=bins)
    filled = pairs > 0
    predicted = np.bincount(places, weights=probabilities, minlength=bins)[filled] / pairs[filled]
    observed = np.bincount(places, weights=labels, minlength=bins)[filled] / pairs[filled]
    return Calibration(predicted, observed, pairs[filled])


def _check_labels(labels: np.ndarray) -> None:
    if np.unique(labels).size < 2:
        raise DnapairError(
            f"The {labels.size} pairs to be measured do not have both labels, so there is nothing to tell "
            "apart. Put pairs of both labels into each split (params.yaml: split)."
        )


def _check(labels: np.ndarray, probabilities: np.ndarray) -> None:
    _check_labels(labels)
    bad = int(np.count_nonzero(~((probabilities >= 0) & (probabilities <= 1))))
    if bad:
        raise DnapairError(
            f"{bad} of {labels.size} predicted probabilities are no numbers between 0 and 1: the training "
            "diverged. Lower train.learning_rate or train.clip_norm in params.yaml."
        )


def _cumulate(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count true and false positives at each distinct score, from the greatest down."""
    order = np.argsort(-scores, kind="stable")
    ends = _tie_ends(scores[order])
    true_positives = np.cumsum(labels[order].astype(np.float64))[ends]
    return true_positives, ends + 1 - true_positives, scores[order][ends]


def _tie_ends(sorted_scores: np.ndarray) -> np.ndarray:
    return np.append(np.flatnonzero(np.diff(sorted_scores)), sorted_scores.size - 1)


def _resamples(labels: np.ndarray, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Yield blocks of how often each pair was drawn, shape=(block, n), both classes in every row."""
    rng = np.random.default_rng(seed)
    n = labels.size
    with tqdm(total=draws, desc="bootstrap", unit="draw", dynamic_ncols=True, disable=None) as bar:
        left = draws
        while left:
            block = min(left, max(1, BLOCK_VALUES // n))
            drawn = rng.integers(0, n, (block, n)) + n * np.arange(block)[:, None]
            weights = np.bincount(drawn.ravel(), minlength=block * n).reshape(block, n).astype(np.float64)
            positives = weights @ labels
            weights = weights[(positives > 0) & (positives < n)]
            left -= len(weights)
            bar.update(len(weights))
            yield weights


class _Resampler:
    """Measures many resamples of one set of predictions at once; sorts them a single time."""

    def __init__(self, labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> None:
        self._order = np.argsort(-probabilities, kind="stable")
        self._ends = _tie_ends(probabilities[self._order])
        self._positive = labels[self._order].astype(np.float64)
        predicted = probabilities >= threshold
        tiny = np.finfo(np.float64).eps
        likely = np.clip(probabilities.astype(np.float64), tiny, 1 - tiny)
        columns = [
            predicted & (labels == 1),
            predicted & (labels == 0),
            ~predicted & (labels == 1),
            ~predicted & (labels == 0),
            -np.where(labels == 1, np.log(likely), np.log1p(-likely)),
            (probabilities - labels) ** 2,
        ]
        self._sums = np.stack(columns, axis=1).astype(np.float64)

    def measure(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return every metric for each row of weights, shape=(resamples, n)."""
        tp, fp, fn, tn, log_loss, brier = (weights @ self._sums).T
        n = tp + fp + fn + tn
        roc_auc, pr_auc = self._areas(weights)
        product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
        values = (
            (tp + tn) / n,
            _ratio(tp, tp + fp),
            _ratio(tp, tp + fn),
            _ratio(2 * tp, 2 * tp + fp + fn),
            roc_auc,
            pr_auc,
            _ratio(tp * tn - fp * fn, np.sqrt(product)),
            log_loss / n,
            brier / n,
        )
        return dict(zip(METRICS, values, strict=True))

    def _areas(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ordered = weights[:, self._order]
        true_positives = np.cumsum(ordered * self._positive, axis=1)[:, self._ends]
        drawn = np.cumsum(ordered, axis=1)[:, self._ends]
        false_positives = drawn - true_positives
        gained = np.diff(true_positives, prepend=0)
        positives, negatives = true_positives[:, -1], false_positives[:, -1]
        passed = np.diff(false_positives, prepend=0)
        beaten = (passed * (true_positives - gained / 2)).sum(axis=1)
        average_precision = (gained * _ratio(true_positives, drawn)).sum(axis=1) / positives
        return beaten / (positives * negatives), average_precision


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide, with 0 where the whole is 0."""
    quotient: np.ndarray = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return quotient

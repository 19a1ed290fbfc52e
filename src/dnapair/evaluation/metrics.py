"""Metrics of predicted probabilities, and the threshold."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from dnapair.errors import DnapairError

RANKING = ("roc_auc", "pr_auc")
"""Metrics that need an order of the pairs and nothing else."""
DECISIONS = ("accuracy", "precision", "recall", "f1", "mcc")
"""Metrics of the labels that a threshold gives."""
PROBABILITIES = ("log_loss", "brier", "ece")
"""Metrics that ask whether a probability is one."""
METRICS = ("accuracy", "precision", "recall", "f1", *RANKING, "mcc", *PROBABILITIES)
BINS = 10
"""Of the probabilities, equally wide."""


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
        precision, ``precision`` and ``mcc`` 0 where they are undefined, ``log_loss`` in nats, ``ece`` the
        expected calibration error over :data:`BINS` bins of equal width.
        Source of the last: Guo et al. 2017, "On calibration of modern neural networks".

    Raises
    ------
    DnapairError
        If the labels hold one class alone, or a probability is no number in [0, 1].
    """
    check(labels, probabilities)
    values = WeightedMetrics(labels, probabilities, threshold).measure(np.ones((1, labels.size)))
    return {name: float(column[0]) for name, column in values.items()}


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
    true_positives, false_positives, cuts = cumulate(labels, scores)
    f1 = 2 * true_positives / (true_positives + false_positives + labels.sum())
    best = int(np.argmax(f1))
    below = cuts[best + 1] if best + 1 < cuts.size else cuts[best]
    return float((cuts[best] + below) / 2)


def _check_labels(labels: np.ndarray) -> None:
    if np.unique(labels).size < 2:
        raise DnapairError(
            f"The {labels.size} pairs to be measured do not have both labels, so there is nothing to tell "
            "apart. Put pairs of both labels into each split (params.yaml: split)."
        )


def check(labels: np.ndarray, probabilities: np.ndarray) -> None:
    """Refuse what can't be measured.

    Raises
    ------
    DnapairError
        If the labels hold one class alone, or a probability is no number in [0, 1].
    """
    _check_labels(labels)
    bad = int(np.count_nonzero(~((probabilities >= 0) & (probabilities <= 1))))
    if bad:
        raise DnapairError(
            f"{bad} of {labels.size} predicted probabilities are no numbers between 0 and 1: the training "
            "diverged. Lower train.learning_rate or train.clip_norm in params.yaml."
        )


def cumulate(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count true and false positives at each distinct score, from the greatest down."""
    order = np.argsort(-scores, kind="stable")
    ends = _tie_ends(scores[order])
    true_positives = np.cumsum(labels[order].astype(np.float64))[ends]
    return true_positives, ends + 1 - true_positives, scores[order][ends]


def _tie_ends(sorted_scores: np.ndarray) -> np.ndarray:
    return np.append(np.flatnonzero(np.diff(sorted_scores)), sorted_scores.size - 1)


def bin_of(probabilities: np.ndarray) -> np.ndarray:
    """Return the number of the bin that each probability is in, from 0."""
    return np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)


class WeightedMetrics:
    """Every metric of one set of predictions, for many weightings of its pairs at once.

    The predictions are sorted a single time.

    Parameters
    ----------
    labels, probabilities, threshold
        As in :func:`evaluate`.
    """

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
        bins = np.eye(BINS)[bin_of(probabilities)]
        self._excess = bins * (probabilities - labels)[:, None]

    def measure(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Measure each weighting.

        Parameters
        ----------
        weights : np.ndarray, shape=(weightings, n)
            float64, at least 0: how often each pair counts.

        Returns
        -------
        dict
            Every metric of :data:`METRICS`, shape=(weightings,). An area is NaN where one class weighs 0,
            every metric where both do.
        """
        tp, fp, fn, tn, log_loss, brier = (weights @ self._sums).T
        n = tp + fp + fn + tn
        roc_auc, pr_auc = self._areas(weights)
        product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
        values = (
            _share(tp + tn, n),
            _ratio(tp, tp + fp),
            _ratio(tp, tp + fn),
            _ratio(2 * tp, 2 * tp + fp + fn),
            roc_auc,
            pr_auc,
            _ratio(tp * tn - fp * fn, np.sqrt(product)),
            _share(log_loss, n),
            _share(brier, n),
            _share(np.abs(weights @ self._excess).sum(axis=1), n),
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
        average_precision = (gained * _ratio(true_positives, drawn)).sum(axis=1)
        return _share(beaten, positives * negatives), _share(average_precision, positives * (negatives > 0))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide, with 0 where the whole is 0."""
    quotient: np.ndarray = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return quotient


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide, with NaN where the whole is 0."""
    quotient: np.ndarray = np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)
    return quotient


def spread(
    each: Sequence[Mapping[str, float]], names: Sequence[str] = METRICS
) -> dict[str, tuple[float, float]]:
    """Return mean and sample standard deviation of each metric over seeds or folds; none for a single one."""
    if len(each) < 2:
        return {}
    found = {}
    for name in names:
        values = [one[name] for one in each]
        mean = math.fsum(values) / len(values)
        found[name] = (mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)))
    return found

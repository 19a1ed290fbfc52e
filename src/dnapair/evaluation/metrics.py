"""Metrics of predicted probabilities, and the threshold."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

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
_SUMS = ("related", "unrelated", "beaten", "precision", "true", "false")
"""Rows that :func:`_weigh` fills in."""


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
    values = WeightedMetrics(labels, probabilities, threshold).measure(np.ones((labels.size, 1)))
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


class WeightedRanks:
    """The metrics of :data:`RANKING` and :data:`DECISIONS`, for many weightings of the pairs at once.

    The scores are sorted a single time.

    Parameters
    ----------
    labels : np.ndarray, shape=(n,)
        1 for related, 0 for unrelated.
    scores : np.ndarray, shape=(n,)
        Greater means more likely related.
    threshold
        From which on a pair is called related.
    inside : np.ndarray, shape=(n,), or None
        True for the pairs that count; None: all do.
    """

    def __init__(
        self, labels: np.ndarray, scores: np.ndarray, threshold: float, inside: np.ndarray | None = None
    ) -> None:
        rows = np.arange(labels.size) if inside is None else np.flatnonzero(inside)
        self._order = rows[np.argsort(-scores[rows], kind="stable")]
        ranked = scores[self._order]
        self._last = np.append(ranked[1:] != ranked[:-1], True)
        self._related = labels[self._order] == 1
        self._called = int(np.count_nonzero(ranked >= threshold))
        self._weigh = _compiled_weigh()

    def measure(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Measure each weighting.

        Parameters
        ----------
        weights : np.ndarray, shape=(n, weightings)
            float64, at least 0: how often each pair counts.

        Returns
        -------
        dict
            Every metric, shape=(weightings,). An area is NaN where one class weighs 0, every metric where
            both do.
        """
        sums = np.empty((len(_SUMS), weights.shape[1]))
        self._weigh(weights, self._order, self._last, self._related, self._called, sums)
        related, unrelated, beaten, precision, tp, fp = sums
        fn, tn = related - tp, unrelated - fp
        product = (tp + fp) * related * unrelated * (tn + fn)
        return {
            "roc_auc": _share(beaten, related * unrelated),
            "pr_auc": _share(precision, related * (unrelated > 0)),
            "accuracy": _share(tp + tn, related + unrelated),
            "precision": _ratio(tp, tp + fp),
            "recall": _ratio(tp, related),
            "f1": _ratio(2 * tp, 2 * tp + fp + fn),
            "mcc": _ratio(tp * tn - fp * fn, np.sqrt(product)),
        }


@cache
def _compiled_weigh() -> Any:
    # Numba takes a while to import, and who names metrics need not measure any
    from dnapair.machine.compiling import compiled

    return compiled(_weigh)


def _weigh(weights: Any, order: Any, last: Any, related: Any, called: Any, sums: Any) -> None:
    """Go through pairs from the greatest score down, with all weightings side by side.

    Parameters
    ----------
    weights : np.ndarray, shape=(n, weightings)
        float64, at least 0: how often each pair counts.
    order : np.ndarray, shape=(m,)
        int64, the pairs from the greatest score down; others do not count.
    last : np.ndarray, shape=(m,)
        bool, whether the next score is another one.
    related : np.ndarray, shape=(m,)
        bool, whether the pair is related.
    called : int
        How many of the first are called related.
    sums : np.ndarray, shape=(6, weightings)
        Filled in, float64, a row for each of :data:`_SUMS`: what related and unrelated pairs weigh; the
        weight of each unrelated pair times that of the related ones above it, where a tie counts half; the
        weight of each related pair times the precision from its score up; and what the related and the
        unrelated of those weigh that are called related.
    """
    sums[:] = 0.0
    true, false, beaten, precision = sums[0], sums[1], sums[2], sums[3]
    before = np.zeros((2, sums.shape[1]))
    true_before, false_before = before[0], before[1]
    for place in range(order.size):
        if place == called:
            sums[4:] = sums[:2]
        own = weights[order[place]]
        found = true if related[place] else false
        for column in range(own.size):
            found[column] += own[column]
        if last[place]:
            for column in range(own.size):
                gained = true[column] - true_before[column]
                passed = false[column] - false_before[column]
                drawn = true[column] + false[column]
                beaten[column] += passed * (true[column] - gained / 2)
                precision[column] += gained * (true[column] / (drawn if drawn > 0 else 1.0))
                true_before[column], false_before[column] = true[column], false[column]
    if called == order.size:
        sums[4:] = sums[:2]


class WeightedMetrics(WeightedRanks):
    """Every metric of :data:`METRICS` of one set of predictions, for many weightings of its pairs at once.

    Parameters
    ----------
    labels, probabilities, threshold
        As in :func:`evaluate`.
    """

    def __init__(self, labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> None:
        super().__init__(labels, probabilities, threshold)
        tiny = np.finfo(np.float64).eps
        likely = np.clip(probabilities.astype(np.float64), tiny, 1 - tiny)
        log_loss = -np.where(labels == 1, np.log(likely), np.log1p(-likely))
        self._losses = np.stack([log_loss, (probabilities - labels) ** 2], axis=1)
        self._excess = np.eye(BINS)[bin_of(probabilities)] * (probabilities - labels)[:, None]

    def measure(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Measure each weighting, as :meth:`WeightedRanks.measure` does."""
        n = weights.sum(axis=0)
        log_loss, brier = self._losses.T @ weights
        found = super().measure(weights) | {
            "log_loss": _share(log_loss, n),
            "brier": _share(brier, n),
            "ece": _share(np.abs(self._excess.T @ weights).sum(axis=0), n),
        }
        return {name: found[name] for name in METRICS}


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

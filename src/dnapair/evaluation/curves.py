"""The points of each curve that is drawn: ROC, precision and recall, calibration."""

from typing import NamedTuple

import numpy as np

from dnapair.evaluation.metrics import BINS, bin_of, cumulate


class Curve(NamedTuple):
    """Points of a curve, both of shape=(n,)."""

    x: np.ndarray
    y: np.ndarray


class Calibration(NamedTuple):
    """Bins of equal width over the probabilities, empty bins left out; each of shape=(bins,)."""

    predicted: np.ndarray
    observed: np.ndarray
    pairs: np.ndarray


def roc_curve(labels: np.ndarray, scores: np.ndarray) -> Curve:
    """Return the false positive rate (x) and true positive rate (y) at every threshold, from (0, 0)."""
    true_positives, false_positives, _ = cumulate(labels, scores)
    x = np.concatenate([[0.0], false_positives / false_positives[-1]])
    return Curve(x, np.concatenate([[0.0], true_positives / true_positives[-1]]))


def precision_recall_curve(labels: np.ndarray, scores: np.ndarray) -> Curve:
    """Return recall (x) and precision (y) at every threshold, from the highest score down."""
    true_positives, false_positives, _ = cumulate(labels, scores)
    return Curve(true_positives / true_positives[-1], true_positives / (true_positives + false_positives))


def thin(curve: Curve, points: int = 500) -> Curve:
    """Keep at most ``points`` points of a curve, evenly by rank, the first and the last among them."""
    if curve.x.size <= points:
        return curve
    kept = np.linspace(0, curve.x.size - 1, points).round().astype(np.int64)
    return Curve(curve.x[kept], curve.y[kept])


def calibration(labels: np.ndarray, probabilities: np.ndarray) -> Calibration:
    """Compare predicted probabilities with observed shares of 1, in bins of equal width.

    Parameters
    ----------
    labels : np.ndarray, shape=(n,)
        1 for related, 0 for unrelated.
    probabilities : np.ndarray, shape=(n,)
        Predicted probability of 1.

    Returns
    -------
    Calibration
        Mean probability, share of 1 and number of pairs of each bin that holds any.
    """
    places = bin_of(probabilities)
    pairs = np.bincount(places, minlength=BINS)
    filled = pairs > 0
    predicted = np.bincount(places, weights=probabilities, minlength=BINS)[filled] / pairs[filled]
    observed = np.bincount(places, weights=labels, minlength=BINS)[filled] / pairs[filled]
    return Calibration(predicted, observed, pairs[filled])

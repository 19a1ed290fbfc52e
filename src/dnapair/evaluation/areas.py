"""The areas under both curves for many weightings of the same pairs, compiled by Numba."""

from typing import Any

import numpy as np

from dnapair.machine.compiling import compiled

SUMS = ("related", "unrelated", "beaten", "precision", "true", "false")
"""Rows that :func:`weigh` fills in."""


@compiled
def weigh(weights: Any, order: Any, last: Any, related: Any, called: Any, sums: Any) -> None:
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
        Filled in, float64, a row for each of :data:`SUMS`: what related and unrelated pairs weigh; the
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

"""How well an order of the pairs tells the related from the unrelated."""

import numpy as np


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the area under the precision-recall curve, as scikit-learn does and to the last bit.

    Parameters
    ----------
    labels : np.ndarray, shape=(n,)
        1 for related, 0 for unrelated; at least one 1.
    scores : np.ndarray, shape=(n,)
        Greater means more likely 1; pairs of one score are told apart by none.

    Returns
    -------
    float
        Mean precision over the related pairs.
    """
    order = np.argsort(scores, kind="stable")[::-1]
    ends = np.append(np.flatnonzero(np.diff(scores[order])), scores.size - 1)
    found = np.cumsum(labels[order], dtype=np.float64)[ends]
    precision = found / (ends + 1)
    recall = np.append(0.0, found / found[-1])
    # from the end on, as it is summed there
    return float(-np.sum(np.diff(recall[::-1]) * precision[::-1]))

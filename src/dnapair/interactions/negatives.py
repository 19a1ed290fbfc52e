"""Unrelated pairs that the data do not hold: the sequences of related train pairs, paired anew."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

_AUTO = 2.0
_ENOUGH = 10
# not train.seed: another one would have all pairs described anew
_SEED = 1


def settle_negatives(setting: Literal["auto"] | float, labels: NDArray[np.int8], symmetric: bool) -> float:
    """Resolve ``train.random_negatives``.

    Parameters
    ----------
    setting
        A number, or ``auto``: 2 where the order of a pair is kept and the data have less than 10 unrelated
        pairs to a related one, else 0. Where both sides are of one kind, related pairs come in groups, and
        two of one group are related; where unrelated pairs are many, drawn ones add none that are hard to
        tell.
    labels : np.ndarray, shape=(n,)
        Of the train pairs.
    symmetric
        Whether the order of a pair does not matter.

    Returns
    -------
    float
        How many are drawn to a related pair.
    """
    if setting != "auto":
        return float(setting)
    related = np.count_nonzero(labels)
    return _AUTO if not symmetric and labels.size - related < _ENOUGH * related else 0.0


def draw_negatives(
    rows1: NDArray[np.int64], rows2: NDArray[np.int64], labels: NDArray[np.int8], each: float
) -> NDArray[np.int64]:
    """Pair first sequences of related pairs with second ones of others.

    That two sequences which were never seen together are unrelated is a guess, nearly always right where few
    pairs of all are related. A sequence that unrelated pairs have often is drawn often, so that one sequence
    alone says as much of the label as it does in the data.

    Parameters
    ----------
    rows1, rows2 : np.ndarray, shape=(n,)
        The two sequences of each train pair.
    labels : np.ndarray, shape=(n,)
        1 for related, 0 for unrelated.
    each
        How many to draw to a related pair. What is a train pair, in either order, or was drawn before is left
        out, so there are somewhat fewer.

    Returns
    -------
    np.ndarray, shape=(m, 2)
        Rows of the first and of the second sequence, int64.
    """
    related = labels == 1
    count = round(each * np.count_nonzero(related))
    if not count:
        return np.empty((0, 2), np.int64)
    rng = np.random.default_rng(_SEED)
    first, second = (rng.choice(rows[related], count, p=_shares(rows, related)) for rows in (rows1, rows2))
    drawn = np.stack([first, second], axis=1)[first != second]
    size = int(max(rows1.max(), rows2.max())) + 1
    unseen = ~np.isin(_number(drawn, size), _number(np.stack([rows1, rows2], axis=1), size))
    drawn = drawn[unseen]
    _, places = np.unique(_number(drawn, size), return_index=True)
    kept: NDArray[np.int64] = drawn[np.sort(places)]
    return kept


def _shares(rows: NDArray[np.int64], related: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weigh each related pair, so that its sequence is drawn as often as unrelated pairs have it."""
    _, places = np.unique(rows, return_inverse=True)
    unrelated_pairs, related_pairs = (np.bincount(places, chosen) + 1 for chosen in (~related, related))
    weights = (unrelated_pairs / related_pairs)[places[related]]
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def _number(pairs: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Give each pair a number, one for both orders."""
    numbers: NDArray[np.int64] = pairs.min(axis=1) * size + pairs.max(axis=1)
    return numbers

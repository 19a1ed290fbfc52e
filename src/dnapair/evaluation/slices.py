"""Parts of the test pairs that are measured by themselves: where a network fails."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from dnapair.evaluation.metrics import WeightedRanks

MOST_VALUES = 12
"""Different values of a column that is a slicing by itself."""
PARTS = 4
"""Bins of a number, each with as many pairs."""
SEEN = ("none seen in training", "one seen in training", "both seen in training")


class Slice(NamedTuple):
    """Some of the test pairs.

    Attributes
    ----------
    by : str
        What they were divided by.
    value : str
        What they have in common.
    inside : np.ndarray, shape=(n,)
        True for the pairs of the slice.
    """

    by: str
    value: str
    inside: np.ndarray


def find_slices(
    table: pd.DataFrame,
    wanted: Sequence[str] | None,
    rows: np.ndarray,
    in_train: np.ndarray,
    compositions: np.ndarray,
) -> list[Slice]:
    """Cut pairs by columns, by what was seen in training, and by length and GC content.

    Parameters
    ----------
    table
        The columns of the data, a row for each pair.
    wanted
        As for :func:`slicing_columns`.
    rows, in_train
        As for :func:`slices_of_seen`.
    compositions : np.ndarray, shape=(n, 2, 2)
        GC content and length of the two sequences of each pair.
    """
    gc, length = compositions[..., 0], compositions[..., 1]
    return [
        *(
            part
            for name in slicing_columns(wanted, table)
            for part in slices_of_column(name, table[name].to_numpy())
        ),
        *slices_of_seen(rows, in_train),
        *slices_of_number("shorter sequence (bases)", length.min(axis=1)),
        *slices_of_number("GC content, mean (%)", 100 * gc.mean(axis=1), 1),
        *slices_of_number("GC content, difference (%)", 100 * np.abs(gc[:, 0] - gc[:, 1]), 1),
    ]


def slices_of_column(name: str, values: Sequence[str] | np.ndarray) -> list[Slice]:
    """Make a slice of each value that a column has, in the order of the names."""
    column = np.asarray(values, object)
    return [Slice(name, str(value) or "(empty)", column == value) for value in sorted(set(column.tolist()))]


def slices_of_number(name: str, values: np.ndarray, digits: int = 0) -> list[Slice]:
    """Cut a number into bins with about as many pairs each.

    Parameters
    ----------
    name
        What the number is, with its unit.
    values : np.ndarray, shape=(n,)
        One for each pair.
    digits
        Decimals that the bins' names get.

    Returns
    -------
    list of Slice
        At most :data:`PARTS`, fewer where values repeat; none where all are equal.
    """
    edges = np.unique(np.quantile(values, np.linspace(0, 1, PARTS + 1)))
    if edges.size < 2:
        return []
    places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, edges.size - 2)
    return [
        Slice(name, f"{edges[place]:.{digits}f} to {edges[place + 1]:.{digits}f}", places == place)
        for place in range(edges.size - 1)
        if (places == place).any()
    ]


def slices_of_seen(rows: np.ndarray, in_train: np.ndarray) -> list[Slice]:
    """Divide pairs by how many of their sequences are in train.

    Source: Park & Marcotte 2012, "Flaws in evaluation schemes for pair-input computational predictions",
    classes C3, C2 and C1.

    Parameters
    ----------
    rows : np.ndarray, shape=(n, 2)
        The two sequences of each pair.
    in_train : np.ndarray, shape=(sequences,)
        True for the sequences of train pairs.
    """
    seen = in_train[rows].sum(axis=1)
    return [
        Slice("sequences", words, seen == number)
        for number, words in enumerate(SEEN)
        if (seen == number).any()
    ]


def slicing_columns(wanted: Sequence[str] | None, table: pd.DataFrame) -> list[str]:
    """Choose the columns to slice by: those named, or those with 2 to :data:`MOST_VALUES` values."""
    if wanted is not None:
        return list(wanted)
    return [str(name) for name in table if 2 <= table[name].nunique() <= MOST_VALUES]


class SliceMetrics:
    """Accuracy and ROC-AUC of a slice, for many weightings of all test pairs at once.

    A slice of one class alone has its ROC-AUC against all test pairs of the other class.

    Parameters
    ----------
    labels, probabilities : np.ndarray, shape=(n,)
        Of all test pairs.
    threshold
        From which on a pair is called related.
    inside : np.ndarray, shape=(n,)
        True for the pairs of the slice, of which there is at least one.

    Attributes
    ----------
    mixed : bool
        Whether the slice holds both classes.
    """

    def __init__(
        self, labels: np.ndarray, probabilities: np.ndarray, threshold: float, inside: np.ndarray
    ) -> None:
        own = labels[inside]
        self.mixed = bool(own.min() < own.max())
        ranked = inside if self.mixed else inside | (labels != own[0])
        self._decided, self._ordered = (
            WeightedRanks(labels, probabilities, threshold, counted) for counted in (inside, ranked)
        )

    def measure(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Map weights, shape=(n, weightings), to ``roc_auc`` and ``accuracy``, NaN where there is none."""
        decided = self._decided.measure(weights)
        ordered = decided if self.mixed else self._ordered.measure(weights)
        return {"roc_auc": ordered["roc_auc"], "accuracy": decided["accuracy"]}

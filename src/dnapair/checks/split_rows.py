"""The pairs of the split files, and whether these agree with the table of pairs."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnapair.checks.facts import SHOWN, Fact, name_some

BLOCK = 65536
"""Pairs compared at once."""


class SplitRows(NamedTuple):
    """The pairs of one split file; each of shape=(n,).

    Attributes
    ----------
    row : np.ndarray
        Row numbers in the table of pairs.
    seq1, seq2 : np.ndarray
        Row numbers in the scaled matrix.
    label : np.ndarray
        1 for related, 0 for unrelated.
    """

    row: np.ndarray
    seq1: np.ndarray
    seq2: np.ndarray
    label: np.ndarray


def mark(rows: np.ndarray, size: int) -> NDArray[np.bool_]:
    """Mark rows, shape=(size,); those that are not there are passed over."""
    marked = np.zeros(size, bool)
    marked[rows[(rows >= 0) & (rows < size)]] = True
    return marked


def mark_used(rows: SplitRows, size: int) -> NDArray[np.bool_]:
    """Mark the sequences of a split, shape=(size,); rows that are not there are passed over."""
    return mark(rows.seq1, size) | mark(rows.seq2, size)


def pair_facts(
    row1: np.ndarray,
    row2: np.ndarray,
    label: np.ndarray,
    split: np.ndarray,
    files: Mapping[str, SplitRows],
    matrix_rows: int,
) -> list[Fact]:
    """Compare the split files with the table of pairs.

    Parameters
    ----------
    row1, row2, label, split : np.ndarray, shape=(pairs,)
        The table of pairs.
    files
        The split files by the split's name.
    matrix_rows
        Rows of the scaled matrix.

    Returns
    -------
    list of Fact
        Each a number that must be 0.
    """
    n = label.size
    rules = {
        "labels binary": ("Every label is 0 or 1.", "Labels are neither 0 nor 1"),
        "sequences exist": (
            "Every pair names two rows of the scaled matrix.",
            f"Pairs name rows that the scaled matrix, which has {matrix_rows}, does not have",
        ),
        "pairs exist": (
            "Every row of a split file is a pair of pairs.parquet.",
            f"Split files name pairs that pairs.parquet, which has {n}, does not have",
        ),
        "no pair missing": ("Every pair is in a split file.", "Pairs are in no split file"),
        "no pair twice": (
            "No pair is in two split files, or twice in one.",
            "Pairs are in more than one split file, or twice in one",
        ),
        "splits agree": (
            "Every pair is in the file of the split that pairs.parquet gives.",
            "Pairs are in another split's file than pairs.parquet says",
        ),
        "sequences agree": (
            "Every pair has the sequences that pairs.parquet gives.",
            "Pairs have other sequences than in pairs.parquet",
        ),
        "labels agree": (
            "Every pair has the label that pairs.parquet gives.",
            "Pairs have another label than in pairs.parquet",
        ),
    }
    tallies = {name: _Tally() for name in rules}
    listed = np.zeros(n, np.int32)
    for split_name, whole in files.items():
        for start in range(0, whole.row.size, BLOCK):
            row, seq1, seq2, labels = (part[start : start + BLOCK] for part in whole)
            known = (row >= 0) & (row < n)
            np.add.at(listed, row[known], 1)
            at = np.where(known, row, 0)
            wrong = {
                "labels binary": (labels != 0) & (labels != 1),
                "sequences exist": (np.minimum(seq1, seq2) < 0) | (np.maximum(seq1, seq2) >= matrix_rows),
                "pairs exist": ~known,
                "splits agree": known & np.not_equal(split[at], split_name),
                "sequences agree": known & ((seq1 != row1[at]) | (seq2 != row2[at])),
                "labels agree": known & (labels != label[at]),
            }
            for name, places in wrong.items():
                tallies[name].add(row[places], f"pair {{}} in {split_name}.parquet")
    tallies["no pair missing"].add(np.flatnonzero(listed == 0), "pair {}")
    tallies["no pair twice"].add(np.flatnonzero(listed > 1), "pair {}")
    return [
        Fact(name, words, fault, tallies[name].total, where=tallies[name].where)
        for name, (words, fault) in rules.items()
    ]


def negatives_fact(negatives: SplitRows, train: SplitRows, pairs: int) -> Fact:
    """Check the pairs that were drawn for training.

    Parameters
    ----------
    negatives, train
        Their file, and that of the train pairs.
    pairs
        In the table of pairs: the rows of the drawn ones come after.

    Returns
    -------
    Fact
        A number that must be 0.
    """
    wrong = (negatives.row != pairs + np.arange(negatives.row.size)) | (negatives.label != 0)
    wrong |= ~np.isin(negatives.seq1, train.seq1) | ~np.isin(negatives.seq2, train.seq2)
    size = 1 + max(own.seq2.max(initial=0) for own in (negatives, train))
    wrong |= np.isin(negatives.seq1 * size + negatives.seq2, train.seq1 * size + train.seq2)
    tally = _Tally()
    tally.add(negatives.row[wrong], "pair {} in negatives.parquet")
    return Fact(
        "drawn pairs",
        "Every pair drawn for training is unrelated, of sequences of train pairs, and no train pair itself.",
        "Pairs drawn for training are related, of other sequences than train pairs, or train pairs too",
        tally.total,
        where=tally.where,
    )


class _Tally:
    """How many are wrong, and the first of them."""

    def __init__(self) -> None:
        self.total = 0
        self.examples: list[str] = []

    def add(self, numbers: np.ndarray, wording: str) -> None:
        self.total += numbers.size
        room = SHOWN - len(self.examples)
        self.examples += [wording.format(number) for number in numbers[:room]]

    @property
    def where(self) -> str:
        return name_some(self.examples, self.total)

"""The scaled data reduced to what can be checked: a row for each dimension, numbers over the whole."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from dnapair.storage.matrix import Matrix

SHOWN = 5
"""Offenders that a message names."""
BLOCK = 65536
"""Pairs compared at once."""


class Fact(NamedTuple):
    """A number about the whole data, and the range it must lie in, ends included.

    Attributes
    ----------
    name
        Short.
    words
        What is checked, as a sentence.
    fault
        How to call it when it fails.
    value, low, high
        The number and its range.
    where
        Examples of what is wrong, for people.
    """

    name: str
    words: str
    fault: str
    value: float
    low: float
    high: float
    where: str = ""

    @property
    def holds(self) -> bool:
        """Whether the number is in its range."""
        return self.low <= self.value <= self.high

    @property
    def observed(self) -> str:
        """The number, and examples where there are any."""
        return f"{self.value:.10g} ({self.where})" if self.where else f"{self.value:.10g}"


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


def summarize(matrix: Matrix, training: np.ndarray, block_values: int = 4_000_000) -> pd.DataFrame:
    """Reduce the scaled matrix to one row a dimension; every value is read once, block by block.

    Parameters
    ----------
    matrix : array or MatrixFile, shape=(rows, d)
        Scaled embeddings.
    training : np.ndarray, shape=(rows,)
        True for the rows that training pairs use.
    block_values
        Values in one block.

    Returns
    -------
    pd.DataFrame
        One row a dimension: its smallest and greatest finite value, over all rows and in training,
        the range in training, and the number of values that are not finite.
    """
    rows, d = matrix.shape
    ends = {name: np.full(d, sign * np.inf) for name, sign in (("low", 1), ("high", -1))}
    ends |= {f"training {name}": values.copy() for name, values in ends.items()}
    not_finite = np.zeros(d, np.int64)
    step = max(1, block_values // d)
    starts = range(0, rows, step)
    for start in tqdm(starts, desc="check values", unit="block", dynamic_ncols=True, disable=None):
        block = matrix[start : start + step]
        finite = np.isfinite(block)
        not_finite += (~finite).sum(axis=0)
        trained = training[start : start + step, None] & finite
        for prefix, counted in (("", finite), ("training ", trained)):
            low, high = ends[f"{prefix}low"], ends[f"{prefix}high"]
            np.minimum(low, block.min(axis=0, initial=np.inf, where=counted), out=low)
            np.maximum(high, block.max(axis=0, initial=-np.inf, where=counted), out=high)
    summary = pd.DataFrame(
        {
            "dimension": np.arange(d),
            "smallest": ends["low"],
            "greatest": ends["high"],
            "smallest in training": ends["training low"],
            "greatest in training": ends["training high"],
            "range in training": ends["training high"] - ends["training low"],
            "not finite": not_finite,
        }
    )
    # a dimension without any finite value has no ends; its values are counted as not finite
    return summary.replace([np.inf, -np.inf], np.nan)


def row_facts(sequences: int, manifest: int, matrix: int) -> list[Fact]:
    """Compare the number of unique sequences with the rows of the embeddings and of the scaled matrix."""
    return [
        Fact(
            f"rows of {name}",
            f"{name.capitalize()} has one row for each of the {sequences} unique sequences.",
            f"{name.capitalize()} does not have one row for each of the {sequences} unique sequences",
            found,
            sequences,
            sequences,
        )
        for name, found in (("the embeddings' manifest", manifest), ("the scaled matrix", matrix))
    ]


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
    listed = np.zeros(n, np.int32)
    filed = {short: _Tally() for short in _FILED}
    for name, whole in files.items():
        for start in range(0, whole.row.size, BLOCK):
            row, seq1, seq2, labels = (part[start : start + BLOCK] for part in whole)
            known = (row >= 0) & (row < n)
            np.add.at(listed, row[known], 1)
            at = np.where(known, row, 0)
            wrong = (
                (labels != 0) & (labels != 1),
                (np.minimum(seq1, seq2) < 0) | (np.maximum(seq1, seq2) >= matrix_rows),
                ~known,
                known & np.not_equal(split[at], name),
                known & ((seq1 != row1[at]) | (seq2 != row2[at])),
                known & (labels != label[at]),
            )
            for tally, places in zip(filed.values(), map(np.flatnonzero, wrong), strict=True):
                tally.add(row[places], f"pair {{}} in {name}.parquet")
    missing, twice = _Tally(), _Tally()
    missing.add(np.flatnonzero(listed == 0), "pair {}")
    twice.add(np.flatnonzero(listed > 1), "pair {}")
    tallies = filed | {"no pair missing": missing, "no pair twice": twice}
    zeros = (
        ("labels binary", "Every label is 0 or 1.", "Labels are neither 0 nor 1"),
        (
            "sequences exist",
            "Every pair names two rows of the scaled matrix.",
            f"Pairs name rows that the scaled matrix, which has {matrix_rows}, does not have",
        ),
        (
            "pairs exist",
            "Every row of a split file is a pair of pairs.parquet.",
            f"Split files name pairs that pairs.parquet, which has {n}, does not have",
        ),
        ("no pair missing", "Every pair is in a split file.", "Pairs are in no split file"),
        (
            "no pair twice",
            "No pair is in two split files, or twice in one.",
            "Pairs are in more than one split file, or twice in one",
        ),
        (
            "splits agree",
            "Every pair is in the file of the split that pairs.parquet gives.",
            "Pairs are in another split's file than pairs.parquet says",
        ),
        (
            "sequences agree",
            "Every pair has the sequences that pairs.parquet gives.",
            "Pairs have other sequences than in pairs.parquet",
        ),
        (
            "labels agree",
            "Every pair has the label that pairs.parquet gives.",
            "Pairs have another label than in pairs.parquet",
        ),
    )
    return [
        Fact(short, words, fault, tallies[short].total, 0, 0, _examples(tallies[short].examples))
        for short, words, fault in zeros
    ]


_FILED = (
    "labels binary",
    "sequences exist",
    "pairs exist",
    "splits agree",
    "sequences agree",
    "labels agree",
)


class _Tally:
    """How many are wrong, and the first of them."""

    def __init__(self) -> None:
        self.total = 0
        self.examples: list[str] = []

    def add(self, numbers: np.ndarray, wording: str) -> None:
        self.total += numbers.size
        room = SHOWN + 1 - len(self.examples)
        self.examples += [wording.format(number) for number in numbers[:room]]


def disjoint_fact(what: str, values: Mapping[str, np.ndarray]) -> Fact:
    """Count what is in more than one split.

    Parameters
    ----------
    what
        Say ``"sequence"``.
    values
        The values of each split, by the split's name.

    Returns
    -------
    Fact
        A number that must be 0.
    """
    everything = pd.concat([pd.Series(own).drop_duplicates() for own in values.values()])
    shared = everything[everything.duplicated()].drop_duplicates()
    return Fact(
        f"no {what} in two splits",
        f"No {what} is in two splits.",
        f"{what.capitalize()}s are in more than one split",
        len(shared),
        0,
        0,
        _examples([f"{what} {value}" for value in shared[: SHOWN + 1]]),
    )


def clipped_fact(clipped_share: float, max_clipped_share: float) -> Fact:
    """Hold the share of validation and test values that were clipped against the most that is allowed."""
    return Fact(
        "clipped share",
        f"At most {max_clipped_share:.2%} of the validation and test values were outside the range that "
        "training has, and clipped.",
        f"More than {max_clipped_share:.2%} (checks.max_clipped_share in params.yaml) of the validation and "
        "test values were outside the range that training has, and clipped; see reports/scaling.json",
        clipped_share,
        0,
        max_clipped_share,
        f"{clipped_share:.2%}",
    )


def scaler_fact(fitted: tuple[np.ndarray, np.ndarray], training: tuple[np.ndarray, np.ndarray]) -> Fact:
    """Compare the range that the scaler has with the one that the train sequences have.

    Parameters
    ----------
    fitted, training : tuple of np.ndarray, shape=(dimensions,)
        The smallest and the greatest value of each dimension, before scaling: in the scaler, and in the
        embeddings of the sequences of train alone.

    Returns
    -------
    Fact
        A number of dimensions that must be 0.
    """
    low, high = (one != other for one, other in zip(fitted, training, strict=True))
    wrong = np.flatnonzero(low | high)
    named = [
        f"dimension {place}: {fitted[0][place]:g} to {fitted[1][place]:g}, in train "
        f"{training[0][place]:g} to {training[1][place]:g}"
        for place in wrong[: SHOWN + 1].tolist()
    ]
    return Fact(
        "scaler fitted on train",
        "The scaler has the range of the train sequences alone in every dimension.",
        "The scaler was not fitted on the train sequences alone (scale again: dvc repro -f scale): "
        "dimensions with another range",
        wrong.size,
        0,
        0,
        _examples(named),
    )


def token_facts(split: str, unknown_share: float, max_unknown_share: float, cut_bases: int) -> list[Fact]:
    """Hold what the encoder got of a split's sequences against what is allowed.

    Parameters
    ----------
    split
        Its name.
    unknown_share, max_unknown_share
        Of its k-mers, those that the encoder does not know; and how many there may be.
    cut_bases
        Bases that no window holds; there may be none.

    Returns
    -------
    list of Fact
        Two.
    """
    return [
        Fact(
            f"unknown k-mers of {split}",
            f"The encoder does not know {max_unknown_share:.2%} of the k-mers of {split} at most.",
            f"More than {max_unknown_share:.2%} (checks.max_unknown_share in params.yaml) of the k-mers of "
            f"{split} touch a letter outside ACGT, which the encoder does not know; data.ambiguous: drop "
            "leaves such sequences out",
            unknown_share,
            0,
            max_unknown_share,
            f"{unknown_share:.2%}",
        ),
        Fact(
            f"cut bases of {split}",
            f"Every base of {split} lies in a window that the encoder got.",
            f"Bases of {split} lie in no window, so that the encoder never got them",
            cut_bases,
            0,
            0,
        ),
    ]


def end_facts(summary: pd.DataFrame) -> list[Fact]:
    """Check that the matrix as a whole, scaled with ``global``, reaches -1 and 1 in training."""
    ends = (
        ("smallest", -1, summary["smallest in training"].min()),
        ("greatest", 1, summary["greatest in training"].max()),
    )
    return [
        Fact(
            f"training reaches {end}",
            f"The {which} of all values in training is exactly {end}.",
            f"The values in training do not reach {end}",
            float(value),
            end,
            end,
        )
        for which, end, value in ends
    ]


def _examples(named: Sequence[str]) -> str:
    return ", ".join(named[:SHOWN]) + (", ..." if len(named) > SHOWN else "")

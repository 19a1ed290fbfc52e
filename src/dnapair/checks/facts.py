"""Numbers over the whole data, each with the range that it must lie in."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

SHOWN = 5
"""Offenders that a message names."""


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
        The number and its range: 0 alone where none is given.
    where
        Examples of what is wrong, for people.
    """

    name: str
    words: str
    fault: str
    value: float
    low: float = 0
    high: float = 0
    where: str = ""

    @property
    def holds(self) -> bool:
        """Whether the number is in its range."""
        return self.low <= self.value <= self.high

    @property
    def observed(self) -> str:
        """The number, and examples where there are any."""
        return f"{self.value:.10g} ({self.where})" if self.where else f"{self.value:.10g}"


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
        where=name_some([f"{what} {value}" for value in shared[:SHOWN]], len(shared)),
    )


def interaction_fact(pairs: int, drawn: int, matrix: int) -> Fact:
    """Compare the number of pairs, the data's and the drawn ones, with the scaled interactions' rows."""
    each = f"one row for each of the {pairs} pairs" + (f" and of the {drawn} drawn ones" if drawn else "")
    return Fact(
        "rows of the interactions",
        f"The scaled interactions have {each}.",
        f"The scaled interactions do not have {each}",
        matrix,
        pairs + drawn,
        pairs + drawn,
    )


def clipped_fact(of: str, clipped_share: float, max_clipped_share: float) -> Fact:
    """Hold the share of validation and test values that were clipped against the most that is allowed.

    Parameters
    ----------
    of
        What the values are: ``embeddings`` or ``interactions``.
    clipped_share, max_clipped_share
        The share, and the most of it.

    Returns
    -------
    Fact
        The share.
    """
    return Fact(
        f"clipped share of the {of}",
        f"At most {max_clipped_share:.2%} of the {of}' validation and test values were outside the range "
        "that training has, and clipped.",
        f"More than {max_clipped_share:.2%} (checks.max_clipped_share in params.yaml) of the {of}' "
        "validation and test values were outside the range that training has, and clipped; see "
        "reports/scaling.json",
        clipped_share,
        0,
        max_clipped_share,
        f"{clipped_share:.2%}",
    )


def scaler_fact(
    of: str,
    fitted: tuple[np.ndarray, np.ndarray],
    training: tuple[np.ndarray, np.ndarray],
    names: Sequence[str] | None = None,
) -> Fact:
    """Compare the range that a scaler has with the one that train has.

    Parameters
    ----------
    of
        What the values are: ``embeddings`` or ``interactions``.
    fitted, training : tuple of np.ndarray, shape=(dimensions,)
        The smallest and the greatest value of each dimension, before scaling: in the scaler, and in the
        rows of train alone.
    names
        What to call each dimension; None: by its number.

    Returns
    -------
    Fact
        A number of dimensions that must be 0.
    """
    low, high = (one != other for one, other in zip(fitted, training, strict=True))
    wrong = np.flatnonzero(low | high)
    named = [
        f"dimension {names[place] if names else place}: "
        f"{fitted[0][place]:g} to {fitted[1][place]:g}, in train "
        f"{training[0][place]:g} to {training[1][place]:g}"
        for place in wrong[:SHOWN].tolist()
    ]
    return Fact(
        f"scaler of the {of} fitted on train",
        f"The scaler of the {of} has the range of train alone in every dimension.",
        f"The scaler of the {of} was not fitted on train alone (again: "
        "dvc repro --force --single-item scale): dimensions with another range",
        wrong.size,
        where=name_some(named, wrong.size),
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
        ),
    ]


def name_some(first: Sequence[str], total: int) -> str:
    """Name the first :data:`SHOWN` of ``total`` offenders."""
    return ", ".join(first[:SHOWN]) + (", ..." if total > SHOWN else "")

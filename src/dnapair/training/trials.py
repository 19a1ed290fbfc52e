"""What a search for hyperparameters tries, and what became of it."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple


class Values(NamedTuple):
    """What a trial tries.

    Attributes
    ----------
    inputs
        What the network takes of a pair: ``embeddings``, ``interactions`` or ``both``.
    widths, dropout
        Of the network.
    learning_rate, weight_decay, batch_size
        Of its training.
    """

    inputs: str
    widths: tuple[int, ...]
    dropout: float
    learning_rate: float
    weight_decay: float
    batch_size: int


class Space(NamedTuple):
    """What the tuner may choose from.

    Attributes
    ----------
    inputs
        Choices, each tried with the given values before all else; the better one is then kept.
    widths, batch_size
        Choices.
    dropout
        Both ends of a range.
    learning_rate, weight_decay
        Both ends of a range that is searched on a logarithmic scale where it does not begin at 0.
    """

    inputs: Sequence[str]
    widths: Sequence[tuple[int, ...]]
    dropout: tuple[float, float]
    learning_rate: tuple[float, float]
    weight_decay: tuple[float, float]
    batch_size: Sequence[int]


class SearchSettings(NamedTuple):
    """How the space is searched.

    Attributes
    ----------
    method
        ``random``; ``bayesian``: a Gaussian process, once half of the trials (15 at most) were random; or
        ``hyperband``: most trials get a part of the epochs, the best of them more.
        Source: Li et al. 2018, "Hyperband: a novel bandit-based approach to hyperparameter optimization".
    trials
        At most, whatever the method, those of the given values counted as one.
    epochs
        Of one trial at most.
    seed
        At least 1: Keras Tuner takes 0 for no seed.
    """

    method: Literal["random", "bayesian", "hyperband"]
    trials: int
    epochs: int
    seed: int


class Trial(NamedTuple):
    """A trial that was run.

    Attributes
    ----------
    values
        What was tried.
    epochs
        For how many epochs at most.
    val_pr_auc
        The best epoch's.
    """

    values: Values
    epochs: int
    val_pr_auc: float


Objective = Callable[[int, Values, int], float]
"""Runs a trial, given its number (from 1), its values and its epochs; returns the validation PR-AUC."""

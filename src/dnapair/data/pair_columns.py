"""What a pair's columns were called in training, and which two of a request's are meant."""

from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple

from dnapair.errors import DnapairError

USUAL_PAIR = ("seq1", "seq2")
"""What every model's input may call the two sequences of a pair."""


class PairColumns(NamedTuple):
    """The two columns of a pair, as the table that a model was trained with calls them.

    Attributes
    ----------
    first, second : str
        Their names.
    by_id : bool
        Whether they hold FASTA ids.
    named : bool
        Whether the table has names of its own; if not, theirs are ``column1``, ``column2``, ...
    """

    first: str
    second: str
    by_id: bool = False
    named: bool = True


def choose_pair(there: Container[object], remembered: Sequence[PairColumns]) -> tuple[str, str]:
    """Choose the two columns of sequences among those of a request.

    Parameters
    ----------
    there
        The names that the request has.
    remembered
        The columns that the model was trained with.

    Returns
    -------
    tuple of str
        The remembered ones, or ``seq1`` and ``seq2``; these too where there is nothing else to ask for.

    Raises
    ------
    DnapairError
        If there are two such pairs, or none although names are remembered.
    """
    trained = request_pairs(remembered)
    found = complete_pairs(there, [*trained, USUAL_PAIR])
    if len(found) > 1:
        raise DnapairError(
            f"There are the columns {spell_pairs(found, ', and also ')}: send one of these pairs, so that it "
            "is clear which is meant."
        )
    if not found and trained:
        raise DnapairError(
            f"There are neither {spell_pairs(trained, ', nor ')}, as the columns were called in training, "
            f"nor {spell_pairs([USUAL_PAIR])}."
        )
    return found[0] if found else USUAL_PAIR


def request_pairs(remembered: Sequence[PairColumns]) -> list[tuple[str, str]]:
    """Return what a request may call its sequences, beside ``seq1`` and ``seq2``."""
    pairs = [(pair.first, pair.second) for pair in remembered if pair.named and not pair.by_id]
    return [pair for pair in pairs if pair != USUAL_PAIR]


def complete_pairs(there: Container[object], pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the pairs of names that are there, any two columns once."""
    found: dict[frozenset[str], tuple[str, str]] = {}
    for pair in pairs:
        if pair[0] in there and pair[1] in there:
            found.setdefault(frozenset(pair), pair)
    return list(found.values())


def spell_pairs(pairs: Sequence[tuple[str, str]], between: str = "") -> str:
    """Write pairs of names."""
    return between.join(f"{first} and {second}" for first, second in pairs)

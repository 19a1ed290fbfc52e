"""What pairs have in common: the values of columns of the pair table, or the sequences themselves."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dnapair.errors import DnapairError
from dnapair.storage.numeric_columns import number_values, open_parquet, reading

SEQUENCE_ROWS = {"seq1": "row1", "seq2": "row2"}
"""Names of groups that are sequences, and the columns of pairs.parquet that number these."""


def group_columns(wanted: list[str] | None, split_groups: list[str], available: Sequence[str]) -> list[str]:
    """Settle which columns tell the groups of a pair.

    Parameters
    ----------
    wanted
        ``evaluate.groups``; None: ``split_groups`` where the pairs have all of them, else the sequences.
    split_groups
        ``split.groups``.
    available
        Columns of pairs.parquet. ``seq1`` and ``seq2`` are always there: that side's sequence.

    Returns
    -------
    list of str
        At least one name.

    Raises
    ------
    DnapairError
        If a column is wanted that is not there.
    """
    known = {*available, *SEQUENCE_ROWS}
    if wanted is None:
        wanted = split_groups if known.issuperset(split_groups) else []
    missing = [name for name in wanted if name not in known]
    if missing:
        raise DnapairError(
            f"evaluate.groups names {', '.join(map(repr, missing))}, but the pairs have the columns "
            f"{', '.join(available)} only. Name some of these, or seq1 and seq2 for the sequences; or set it "
            "to null."
        )
    return list(wanted) or list(SEQUENCE_ROWS)


def read_groups(
    pairs: Path, columns: Sequence[str], either_strand: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Read the groups of every pair as numbers.

    Parameters
    ----------
    pairs
        pairs.parquet.
    columns
        From :func:`group_columns`. A name means the same group in every column; so does a sequence, on
        either side; a name and a sequence are never the same group.
    either_strand : np.ndarray, shape=(sequences,)
        From :func:`dnapair.data.strands.canonical_rows`, where both strands of a sequence are the same group;
        None: they are two.

    Returns
    -------
    np.ndarray, shape=(pairs, columns)
        Numbers of groups, from 0; some may be unused.

    Raises
    ------
    DnapairError
        If a pair has no name in one of the columns.
    """
    numbers: dict[str, int] = {}

    def number(texts: list[str]) -> list[int]:
        return [numbers.setdefault(text, len(numbers)) for text in texts]

    with open_parquet(pairs) as file, reading(pairs):
        groups = np.empty((file.metadata.num_rows, len(columns)), np.int64)
        first = 0
        stored = [SEQUENCE_ROWS.get(name, name) for name in columns]
        for batch in file.iter_batches(columns=list(dict.fromkeys(stored))):
            for place, name in enumerate(stored):
                part = groups[first : first + batch.num_rows, place]
                if columns[place] in SEQUENCE_ROWS:
                    part[:] = batch[name].to_numpy()
                    if either_strand is not None:
                        part[:] = either_strand[part]
                else:
                    part[:] = number_values(batch[name], number)
            first += batch.num_rows
    for place, name in enumerate(columns):
        if name in SEQUENCE_ROWS:
            groups[:, place] += len(numbers)
        else:
            _check_filled(groups[:, place], numbers, name, pairs)
    return groups


def _check_filled(groups: NDArray[np.int64], numbers: dict[str, int], column: str, pairs: Path) -> None:
    blank = [number for text, number in numbers.items() if not text.strip()]
    empty = int(np.isin(groups, blank).sum())
    if empty:
        raise DnapairError(
            f"{pairs}: {empty} pair(s) have no group in column {column!r}. Fill them in in the data, or name "
            "other columns in evaluate.groups; [seq1, seq2] are the sequences."
        )

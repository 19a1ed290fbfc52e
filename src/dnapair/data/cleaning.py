"""What labels mean, and what becomes of ambiguous, repeated and contradictory pairs."""

import numpy as np
from numpy.typing import NDArray

from dnapair.data.columns import NEGATIVE_LABELS, POSITIVE_LABELS, plain_label
from dnapair.data.raw_files import EXAMPLES, listing
from dnapair.data.raw_pairs import RawPairs
from dnapair.data.sequences import Ambiguous, find_ambiguous
from dnapair.errors import DnapairError


def read_labels(
    raw: RawPairs, positive: str | int | bool | None
) -> tuple[NDArray[np.int8], dict[str, int], list[str]]:
    """Tell which pairs are related.

    Parameters
    ----------
    raw
        The pairs.
    positive
        The label that means related; None: one of :data:`dnapair.data.columns.POSITIVE_LABELS`.

    Returns
    -------
    labels : np.ndarray, shape=(n,)
        1 for related pairs, 0 for the others.
    counts : dict
        How often each value occurs, sorted by value.
    related : list of str
        The values that mean related.

    Raises
    ------
    DnapairError
        If there are not two labels, or it is not clear which of them means related.
    """
    codes, values = raw.labels.codes(), list(raw.labels.numbers)
    plain = [plain_label(value) for value in values]
    counts = np.bincount(codes).tolist()
    if positive is None:
        meanings = [
            1 if value in POSITIVE_LABELS else 0 if value in NEGATIVE_LABELS else None for value in plain
        ]
    else:
        # with a third value, "all but the positive one" would make negatives of typing errors
        two = len(set(plain)) == 2
        meanings = [int(value == plain_label(positive)) if two else None for value in plain]
    if None in meanings or len(set(meanings)) < 2 or "" in plain:
        firsts = np.unique(codes, return_index=True)[1]
        places = raw.sources.places(firsts[:EXAMPLES])
        shown = [
            f"{value!r}: {count} pair(s), the first at {place}"
            for value, count, place in zip(values, counts, places, strict=False)
        ]
        raise DnapairError(
            f"The label column has {len(values)} different value(s):\n{listing(shown, len(values))}\n"
            f"{_label_remedy(plain, positive)}"
        )
    return (
        np.array(meanings, np.int8)[codes],
        dict(sorted(zip(values, counts, strict=True))),
        sorted(value for value, meaning in zip(values, meanings, strict=True) if meaning),
    )


def _label_remedy(plain: list[str], positive: str | int | bool | None) -> str:
    if len(set(plain)) != 2 or "" in plain:
        return (
            "Labels need two values, one for related (data.positive_label) and one for unrelated pairs. Mend "
            "the rows, or name the right column in data.columns.label."
        )
    wrong = "" if positive is None else f"None of them is {positive!r}. "
    return f"{wrong}Set data.positive_label to the one that means related."


def drop_ambiguous(raw: RawPairs, policy: str) -> tuple[NDArray[np.int64], int]:
    """Find the pairs that may stay, whatever their sequences' letters are.

    Parameters
    ----------
    raw
        The pairs.
    policy
        ``error``, ``drop`` or ``keep``: what becomes of pairs with letters outside ACGT.

    Returns
    -------
    numbers : np.ndarray, shape=(kept,)
        Of the pairs that stay, rising.
    ambiguous : int
        Sequences in use that have letters outside ACGT.

    Raises
    ------
    DnapairError
        If the policy is ``error`` and there is such a sequence.
    """
    used = np.zeros(len(raw.pool.texts), bool)
    used[raw.row1] = used[raw.row2] = True
    ambiguous = np.zeros_like(used)
    examples: dict[int, Ambiguous] = {}
    letters = 0
    for row in np.flatnonzero(used).tolist():
        found = find_ambiguous(raw.pool.texts[row])
        if found:
            ambiguous[row] = True
            letters += found.total
            if len(examples) < EXAMPLES:
                examples[row] = found
    count = int(np.count_nonzero(ambiguous))
    if policy == "error" and count:
        shown = [
            f"{raw.place(row)}: {what.letter!r} at position {what.position}, {what.total} such letter(s) in "
            "all"
            for row, what in examples.items()
        ]
        raise DnapairError(
            f"{count} sequence(s) have letters other than A, C, G and T, {letters} in all:\n"
            f"{listing(shown, count)}\n"
            "Set data.ambiguous to drop (leaves out their pairs) or to keep (the k-mers that touch such a "
            "letter are unknown, and left out of the mean)."
        )
    left_out = (ambiguous[raw.row1] | ambiguous[raw.row2]) & (policy != "keep")
    return np.flatnonzero(~left_out), count


def drop_repeated(
    raw: RawPairs, labels: NDArray[np.int8], numbers: NDArray[np.int64], policy: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Keep each ordered pair once, and none that has both labels.

    Parameters
    ----------
    raw
        The pairs.
    labels : np.ndarray, shape=(n,)
        From :func:`read_labels`.
    numbers : np.ndarray, shape=(m,)
        The pairs that are looked at, rising.
    policy
        ``error`` or ``drop``: what becomes of a pair that has both labels.

    Returns
    -------
    kept : np.ndarray, shape=(kept,)
        The numbers that stay, rising.
    repeats : np.ndarray, shape=(repeats, 2)
        The number of each pair that is another's repeat, and that one's number.
    contradictory : int
        Rows that were dropped because their pair has both labels.

    Raises
    ------
    DnapairError
        If the policy is ``error`` and a pair has both labels.
    """
    if not numbers.size:
        return numbers, np.empty((0, 2), np.int64), 0
    key = raw.row1[numbers].astype(np.int64)
    key *= len(raw.pool.texts)
    key += raw.row2[numbers]
    # stable, so that of equal pairs the first row comes first
    order = np.argsort(key, kind="stable")
    key = key[order]
    starts = np.append(0, np.flatnonzero(key[1:] != key[:-1]) + 1)
    del key
    ordered = numbers[order]
    sizes = np.diff(starts, append=order.size)
    grouped = labels[ordered]
    contradictory = np.minimum.reduceat(grouped, starts) != np.maximum.reduceat(grouped, starts)
    if policy == "error" and contradictory.any():
        wrong = np.flatnonzero(contradictory)
        rows = [ordered[starts[at] : starts[at] + sizes[at]] for at in wrong[:EXAMPLES]]
        raise _contradictory_error(raw, labels, rows, wrong.size)
    kept = ordered[starts[~contradictory]]
    kept.sort()
    several = (sizes > 1) & ~contradictory
    repeated = ordered[np.repeat(several, sizes)]
    first = np.repeat(ordered[starts[several]], sizes[several])
    repeats = np.column_stack([repeated, first])[repeated != first]
    return kept, repeats[np.argsort(repeats[:, 0])], int(sizes[contradictory].sum())


def _contradictory_error(
    raw: RawPairs, labels: NDArray[np.int8], examples: list[NDArray[np.int64]], count: int
) -> DnapairError:
    unrelated, related = (
        raw.sources.places(rows[labels[rows] == label][0] for rows in examples) for label in (0, 1)
    )
    shown = [f"{no} says unrelated, {yes} says related" for no, yes in zip(unrelated, related, strict=True)]
    return DnapairError(
        f"{count} pair(s) have both labels:\n{listing(shown, count)}\n"
        "Mend these rows, or set data.contradictory to drop, which leaves out every row of such a pair."
    )

"""Splits by groups: no group and no sequence is in two of them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dnapair.data.raw_files import EXAMPLES, listing
from dnapair.data.splits import SPLITS, Places, name_splits
from dnapair.errors import DnapairError

_NONE = len(SPLITS)
_BLOCK = 65536


class Separated(NamedTuple):
    """Splits by groups that were drawn one by one.

    Attributes
    ----------
    split : np.ndarray, shape=(n,)
        ``train``, ``val`` or ``test``; None for a pair that is in no split.
    groups, sequences : np.ndarray, shape=(2,)
        Unrelated and related pairs in no split because their groups lie in different splits; and because
        one of their sequences stays in another split.
    """

    split: NDArray[np.object_]
    groups: NDArray[np.int64]
    sequences: NDArray[np.int64]


def grouped_split(
    rows: NDArray[np.int64],
    groups: pd.DataFrame,
    labels: NDArray[np.int8],
    validation: float,
    test: float,
    seed: int,
    places: Places,
) -> NDArray[np.object_]:
    """Split so that no group and no sequence is in two splits.

    Pairs that share a sequence or a group hang together; what hangs together goes to one split whole,
    the largest first, to the split that is furthest from its share.

    Parameters
    ----------
    rows : np.ndarray, shape=(n, 2)
        The two sequences of each pair.
    groups : pd.DataFrame, shape=(n, columns)
        Names of groups, or numbers of sequences; a value means the same group in every column.
    labels : np.ndarray, shape=(n,)
        1 for related pairs, 0 for the others.
    validation, test
        Shares of the pairs to come close to.
    seed
        Decides between sets of the same size.
    places
        Names file and line of pairs, given by their place in ``rows``.

    Returns
    -------
    np.ndarray, shape=(n,)
        ``train``, ``val`` or ``test``.

    Raises
    ------
    DnapairError
        If a group's name is empty, one set is too large to leave half of the validation and test that
        are asked for, or a split lacks a label.
    """
    _check_groups(groups, places)
    component = _components(rows, _group_numbers(groups))
    sizes = np.bincount(component)
    if sizes.max() > len(labels) * (1 - (validation + test) / 2):
        tied = ", ".join(["the sequences", *groups.columns])
        raise DnapairError(
            f"{sizes.max()} of {len(labels)} pairs hang together through {tied}, so validation "
            f"({validation:g}) and test ({test:g}) can't be cut off without a group or sequence in two "
            "splits. Set split.cross_pairs to drop, which leaves out pairs that tie groups together; name "
            "other columns in split.groups; or set split.method to predefined or random."
        )
    counts = np.stack([np.bincount(component[labels == k], minlength=len(sizes)) for k in (0, 1)], axis=1)
    shares = (1 - validation - test, validation, test)
    return name_splits(assign(counts, shares, np.random.default_rng(seed))[component], labels)


def separated_split(
    rows: NDArray[np.int64],
    groups: pd.DataFrame,
    labels: NDArray[np.int8],
    validation: float,
    test: float,
    seed: int,
    places: Places,
) -> Separated:
    """Draw groups for the splits one by one, and leave out what would lie in two of them.

    A pair whose groups lie in different splits is in none. A sequence that pairs of different splits use
    (one sequence under two groups) stays in the split of which it has the greatest share of the pairs, and
    its other pairs are in none. So no group and no sequence is in two splits, as by :func:`grouped_split`,
    also where pairs tie all groups together.

    Parameters
    ----------
    rows, groups, labels, seed, places
        As in :func:`grouped_split`; ``groups`` has at least one column.
    validation, test
        Shares to come close to, of the pairs before any is left out: a pair counts for each of its groups.

    Returns
    -------
    Separated
        The splits, and what was left out.

    Raises
    ------
    DnapairError
        If a group's name is empty, or a split lacks a label.
    """
    _check_groups(groups, places)
    numbers = _group_numbers(groups)
    shares = (1 - validation - test, validation, test)
    own = assign(group_counts(numbers, labels), shares, np.random.default_rng(seed))[numbers]
    split = own[:, 0]
    across_groups = (own != split[:, None]).any(axis=1)
    split[across_groups] = _NONE
    uses = np.zeros((int(rows.max()) + 1, len(SPLITS)), np.int32)
    for number in range(len(SPLITS)):
        uses[:, number] = np.bincount(rows[split == number].ravel(), minlength=len(uses))
    # shares, not numbers: else train, the largest, would keep nearly every sequence
    homes = (uses / np.maximum(uses.sum(axis=0), 1)).argmax(axis=1)
    across_sequences = ~across_groups & (homes[rows] != split[:, None]).any(axis=1)
    split[across_sequences] = _NONE
    left_out = [np.bincount(labels[which], minlength=2) for which in (across_groups, across_sequences)]
    dropped = sum(int(counts.sum()) for counts in left_out)
    remedy = (
        f"split.cross_pairs: drop left out {dropped} of {len(labels)} pairs, whose groups or sequences lie "
        "in different splits. Set split.cross_pairs to together, raise split.validation or split.test, name "
        "other columns in split.groups, or try another split.seed."
    )
    return Separated(name_splits(split, labels, remedy), *left_out)


def group_counts(groups: NDArray[np.integer], labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Count the pairs of each group by label; a pair counts for its groups in equal parts.

    Parameters
    ----------
    groups : np.ndarray, shape=(n, columns)
        Numbers of the groups of each pair, from 0.
    labels : np.ndarray, shape=(n,)
        1 for related pairs, 0 for the others.

    Returns
    -------
    np.ndarray, shape=(groups, 2)
        Unrelated and related pairs.
    """
    columns = groups.shape[1]
    counts = np.zeros((int(groups.max()) + 1, 2))
    for label in (0, 1):
        for column in groups[labels == label].T:
            counts[:, label] += np.bincount(column, minlength=len(counts)) / columns
    return counts


def assign(counts: NDArray[Any], shares: Sequence[float], rng: np.random.Generator) -> NDArray[np.int64]:
    """Give each set of pairs to the part where it is needed most, the largest sets first.

    Parameters
    ----------
    counts : np.ndarray, shape=(sets, labels)
        Pairs of each set by label.
    shares
        Of all pairs that each part is to get; they sum to 1.
    rng
        Decides between sets of the same size.

    Returns
    -------
    np.ndarray, shape=(sets,)
        The number of each set's part.
    """
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    wanted = [[share * total for total in counts.sum(axis=0).tolist()] for share in shares]
    open_parts = [part for part, share in enumerate(shares) if share > 0]
    have = [[0.0] * counts.shape[1] for _ in shares]
    chosen = np.empty(len(counts), np.int64)
    for number in order.tolist():
        added = counts[number].tolist()
        # the rise of sum((have - wanted)**2 / wanted) if the set went to each part
        rise = [
            sum(
                a * (a + 2 * (h - w)) / w
                for a, h, w in zip(added, have[part], wanted[part], strict=True)
                if a
            )
            for part in open_parts
        ]
        best = open_parts[rise.index(min(rise))]
        have[best] = [h + a for h, a in zip(have[best], added, strict=True)]
        chosen[number] = best
    return chosen


def _check_groups(groups: pd.DataFrame, places: Places) -> None:
    for column in groups.columns:
        if pd.api.types.is_integer_dtype(groups[column]):
            continue
        empty = np.flatnonzero(groups[column].str.strip() == "")
        if empty.size:
            shown = places(empty[:EXAMPLES].tolist())
            raise DnapairError(
                f"{empty.size} pair(s) have no group in column {column!r}:\n{listing(shown, empty.size)}\n"
                "Fill them in, or take the column out of split.groups."
            )


def _group_numbers(groups: pd.DataFrame) -> NDArray[np.int32]:
    """Return numbers of the groups over all columns; a sequence, an integer, never equals a name."""
    known: dict[Any, int] = {}
    numbers = np.empty(groups.shape, np.int32)
    for place, column in enumerate(groups):
        codes, names = pd.factorize(groups[column])
        numbers[:, place] = np.array([known.setdefault(name, len(known)) for name in names], np.int32)[codes]
    return numbers


def _components(rows: NDArray[np.int64], groups: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the number of the connected component of each pair, shape=(n,)."""
    sequences = int(rows.max()) + 1
    neighbours: list[NDArray[Any]] = [rows[:, 1], *(sequences + groups).T]
    count = sequences + int(groups.max(initial=-1)) + 1
    component = np.arange(count)
    # block by block: the graph of all pairs takes ten times the memory of the pairs
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        others = component[np.concatenate([neighbour[block] for neighbour in neighbours])]
        first = component[np.tile(rows[block, 0], len(neighbours))]
        edges = coo_array((np.ones(first.size, bool), (first, others)), shape=(count, count))
        count, merged = connected_components(edges, directed=False)
        component = merged[component]
    return np.asarray(pd.factorize(component[rows[:, 0]])[0])

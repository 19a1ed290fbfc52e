"""Train, validation and test: as the data says, at random, or so that no group is in two of them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dnapair.data.raw_files import EXAMPLES, listing
from dnapair.errors import DnapairError

SPLITS = ("train", "val", "test")
_TRAIN, _VAL, _TEST, _NONE = range(4)
_BLOCK = 65536
_NAMES = {
    **dict.fromkeys(("train", "training"), _TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev"), _VAL),
    **dict.fromkeys(("test", "testing"), _TEST),
}

Places = Callable[[Sequence[int]], list[str]]


class Sharing(NamedTuple):
    """How much of a split's pairs was seen in training (Park and Marcotte 2012, classes C1 to C3).

    Attributes
    ----------
    pairs : int
        Pairs of the split.
    both, one, none : float
        Share of them with both, one and none of their sequences also in a pair of train.
    """

    pairs: int
    both: float
    one: float
    none: float


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


class Predefined(NamedTuple):
    """Splits that the data names.

    Attributes
    ----------
    split : np.ndarray, shape=(n,)
        ``train``, ``val`` or ``test``.
    drawn : int
        Pairs that are in val because they were drawn from train.
    """

    split: NDArray[np.object_]
    drawn: int


def predefined_split(
    names: pd.Series, labels: NDArray[np.int8], validation: float, seed: int, places: Places
) -> Predefined:
    """Take the splits that the data names.

    Parameters
    ----------
    names : pd.Series, shape=(n,)
        For each pair train or training; val, valid, validation or dev; test or testing, in any case.
    labels : np.ndarray, shape=(n,)
        1 for related pairs, 0 for the others.
    validation
        Share of the train pairs of each label that validation gets, where no pair is named so.
    seed
        Of that draw.
    places
        Names file and line of pairs, given by their place in ``names``.

    Returns
    -------
    Predefined
        The splits, and how many pairs were drawn.

    Raises
    ------
    DnapairError
        If a name is empty or unknown, there is no test split, or a split lacks a label.
    """
    split = split_codes(names)
    unknown = np.flatnonzero(split < 0)
    if unknown.size:
        wheres = places(unknown[:EXAMPLES].tolist())
        shown = [f"{where}: {name!r}" for where, name in zip(wheres, names.iloc[unknown], strict=False)]
        raise DnapairError(
            f"{unknown.size} pair(s) are in no split that dnapair knows (train, val, test):\n"
            f"{listing(shown, unknown.size)}\n"
            "Mend these rows; or choose another column with split.column (null: the tables are called train, "
            "val and test); or set split.method to random or grouped."
        )
    if not (split == _TEST).any():
        raise DnapairError(
            "No pair is in the test split. Name some pairs test in the data, or set split.method to random "
            "or grouped."
        )
    if (split == _VAL).any():
        return Predefined(_named(split, labels), 0)
    train = np.flatnonzero(split == _TRAIN)
    drawn = train[_draw(labels[train], [validation], np.random.default_rng(seed)) == 0]
    split[drawn] = _VAL
    return Predefined(_named(split, labels), len(drawn))


def split_codes(names: pd.Series) -> NDArray[np.int64]:
    """Return the place in :data:`SPLITS` that each name means, -1 for unknown ones; shape=(n,)."""
    codes, values = pd.factorize(names)
    known = np.array([_NAMES.get(str(value).strip().lower(), -1) for value in values], np.int64)
    split: NDArray[np.int64] = known[codes]
    return split


def random_split(labels: NDArray[np.int8], validation: float, test: float, seed: int) -> NDArray[np.object_]:
    """Split at random, each label by itself.

    Parameters
    ----------
    labels : np.ndarray, shape=(n,)
        1 for related pairs, 0 for the others.
    validation, test
        Shares of the pairs.
    seed
        The same seed gives the same splits.

    Returns
    -------
    np.ndarray, shape=(n,)
        ``train``, ``val`` or ``test``.

    Raises
    ------
    DnapairError
        If a split lacks a label: there are too few pairs.
    """
    drawn = _draw(labels, [validation, test], np.random.default_rng(seed))
    return _named(np.array([_VAL, _TEST, _TRAIN])[drawn], labels)


def _draw(labels: NDArray[np.int8], shares: list[float], rng: np.random.Generator) -> NDArray[np.int64]:
    """Give each pair the number of a share, or -1 for what is left; labels are spread evenly."""
    drawn = np.full(len(labels), -1)
    for label in (0, 1):
        members = rng.permutation(np.flatnonzero(labels == label))
        ends = np.rint(np.cumsum(shares) * len(members)).astype(int)
        for number, part in enumerate(np.split(members, ends)[: len(shares)]):
            drawn[part] = number
    return drawn


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
    return _named(assign(counts, shares, np.random.default_rng(seed))[component], labels)


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
    return Separated(_named(split, labels, remedy), *left_out)


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


def _named(
    split: NDArray[np.int64], labels: NDArray[np.int8], remedy: str | None = None
) -> NDArray[np.object_]:
    for number, name in enumerate(SPLITS):
        inside = labels[split == number]
        if not inside.size:
            raise DnapairError(f"No pair is in the {name} split. {remedy or _remedy(name)}")
        if inside.min() == inside.max():
            kind = "related" if inside[0] else "unrelated"
            raise DnapairError(
                f"All {inside.size} pairs of the {name} split are {kind}; every split needs both kinds. "
                f"{remedy or _remedy(name)}"
            )
    # 8 bytes a pair, which fixed-width text would need 20 for
    return np.array([*SPLITS, None], object)[split]


def _remedy(name: str) -> str:
    return {
        "train": "Name more pairs train in the data, or set split.method to random.",
        "val": "Raise split.validation, or name more pairs val in the data.",
        "test": "Raise split.test, or name more pairs test in the data.",
    }[name]


def sharing(rows: NDArray[np.int64], split: NDArray[np.object_]) -> dict[str, Sharing]:
    """Tell how much of validation and test has sequences that are also in train.

    Park and Marcotte 2012, "Flaws in evaluation schemes for pair-input computational predictions".

    Parameters
    ----------
    rows : np.ndarray, shape=(n, 2)
        The two sequences of each pair.
    split : np.ndarray, shape=(n,)
        ``train``, ``val`` or ``test``.

    Returns
    -------
    dict
        A :class:`Sharing` for ``val`` and ``test``.
    """
    in_train = np.zeros(rows.max() + 1, bool)
    in_train[rows[split == "train"]] = True
    found = {}
    for name in ("val", "test"):
        seen = in_train[rows[split == name]].sum(axis=1)
        none, one, both = (float(share) for share in np.bincount(seen, minlength=3) / max(len(seen), 1))
        found[name] = Sharing(len(seen), both, one, none)
    return found

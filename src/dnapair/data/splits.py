"""Train, validation and test: as the data says, or at random; and what they share."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnapair.data.raw_files import EXAMPLES, listing
from dnapair.errors import DnapairError

SPLITS = ("train", "val", "test")
_TRAIN, _VAL, _TEST = range(3)
_NAMES = {
    **dict.fromkeys(("train", "training"), _TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev"), _VAL),
    **dict.fromkeys(("test", "testing"), _TEST),
}
_REMEDIES = {
    "train": "Name more pairs train in the data, or set split.method to random.",
    "val": "Raise split.validation, or name more pairs val in the data.",
    "test": "Raise split.test, or name more pairs test in the data.",
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
            "val and test); or set split.method to random."
        )
    if not (split == _TEST).any():
        raise DnapairError(
            "No pair is in the test split. Name some pairs test in the data, or set split.method to random."
        )
    if (split == _VAL).any():
        return Predefined(name_splits(split, labels), 0)
    train = np.flatnonzero(split == _TRAIN)
    drawn = train[_draw(labels[train], [validation], np.random.default_rng(seed)) == 0]
    split[drawn] = _VAL
    return Predefined(name_splits(split, labels), len(drawn))


def split_code(name: object) -> int | None:
    """Return the place in :data:`SPLITS` that a name means, in any case; None for an unknown one."""
    return _NAMES.get(str(name).strip().lower())


def split_codes(names: pd.Series) -> NDArray[np.int64]:
    """Return the place in :data:`SPLITS` that each name means, -1 for unknown ones; shape=(n,)."""
    codes, values = pd.factorize(names)
    known = np.array([-1 if code is None else code for code in map(split_code, values)], np.int64)
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
    return name_splits(np.array([_VAL, _TEST, _TRAIN])[drawn], labels)


def _draw(labels: NDArray[np.int8], shares: list[float], rng: np.random.Generator) -> NDArray[np.int64]:
    """Give each pair the number of a share, or -1 for what is left; labels are spread evenly."""
    drawn = np.full(len(labels), -1)
    for label in (0, 1):
        members = rng.permutation(np.flatnonzero(labels == label))
        ends = np.rint(np.cumsum(shares) * len(members)).astype(int)
        for number, part in enumerate(np.split(members, ends)[: len(shares)]):
            drawn[part] = number
    return drawn


def name_splits(
    split: NDArray[np.int64], labels: NDArray[np.int8], remedy: str | None = None
) -> NDArray[np.object_]:
    """Name the split of each pair, and see that each split has pairs of both kinds.

    Parameters
    ----------
    split : np.ndarray, shape=(n,)
        The place of each pair's split in :data:`SPLITS`, one beyond the last for a pair in none.
    labels : np.ndarray, shape=(n,)
        1 for related pairs, 0 for the others.
    remedy
        What to do if a split has not; None: what suits that split.

    Returns
    -------
    np.ndarray, shape=(n,)
        ``train``, ``val`` or ``test``; None for a pair in no split.

    Raises
    ------
    DnapairError
        If a split lacks a label.
    """
    for number, name in enumerate(SPLITS):
        inside = labels[split == number]
        if not inside.size:
            raise DnapairError(f"No pair is in the {name} split. {remedy or _REMEDIES[name]}")
        if inside.min() == inside.max():
            kind = "related" if inside[0] else "unrelated"
            raise DnapairError(
                f"All {inside.size} pairs of the {name} split are {kind}; every split needs both kinds. "
                f"{remedy or _REMEDIES[name]}"
            )
    # 8 bytes a pair, which fixed-width text would need 20 for
    return np.array([*SPLITS, None], object)[split]


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

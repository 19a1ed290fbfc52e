"""Who is paired with whom: positive pairs of one genome, negative ones at random or with the same GC."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnapair.data.pair_making.fragments import by_genome
from dnapair.data.pair_making.settings import Settings
from dnapair.data.splits import SPLITS
from dnapair.errors import DnapairError

KINDS = ("same", "random", "gc_matched")
"""How a pair came about: one genome; two genomes at random; two genomes with the GC of a ``same`` pair."""

_SAME, _RANDOM, _GC_MATCHED = range(3)
_ATTEMPTS = 200
_FAITHFUL = 20
"""Attempts after which a pair whose GC nobody matches gives its place to another."""


class DrawnPairs(NamedTuple):
    """Pairs in random order, in random orientation.

    Attributes
    ----------
    rows : np.ndarray, shape=(n, 2)
        The two fragments; no pair is there twice, in either order.
    kinds : np.ndarray, shape=(n,)
        Number of each pair's kind in :data:`KINDS`. A pair is related if it is 0.
    splits : np.ndarray, shape=(n,)
        Number of each pair's split in :data:`dnapair.data.splits.SPLITS`.
    gc_error : float
        Mean distance between the GC content of a gc_matched fragment and the one it repeats; 0 without such.
    """

    rows: NDArray[np.int64]
    kinds: NDArray[np.int64]
    splits: NDArray[np.int64]
    gc_error: float


def draw_pairs(
    genomes: NDArray[np.int64], splits: NDArray[np.int64], gc: NDArray[np.int64], settings: Settings
) -> DrawnPairs:
    """Draw labelled pairs, each of two fragments of one split.

    Parameters
    ----------
    genomes, splits, gc : np.ndarray, shape=(n,)
        Of each fragment: the numbers of its genome and split, and how many of its bases are C or G.
    settings
        How many pairs of which kind, out of fragments of what length, by which seed.

    Returns
    -------
    DrawnPairs
        Exactly as many as wanted.

    Raises
    ------
    DnapairError
        If the fragments do not make that many; it says how many they make.
    """
    members = [np.flatnonzero(splits == split) for split in range(len(SPLITS))]
    _check_possible([genomes[own] for own in members], settings)
    rng = np.random.default_rng([settings.seed, 4])
    rows, kinds, errors = [], [], []
    tolerance = int(settings.gc_tolerance * settings.length + 1e-9)
    counts = _counts(settings.pairs, settings)
    for name, own, (same, random, matched) in zip(SPLITS, members, counts, strict=True):
        positives = _positive_pairs(genomes[own], same, rng)
        repeats, error = _gc_matched_pairs(genomes[own], gc[own], positives, matched, tolerance, rng)
        if len(repeats) < matched:
            most = settings.pairs * len(repeats) // matched
            raise DnapairError(
                f"{name}: {matched} gc_matched pairs are wanted, and {len(repeats)} were found: too few "
                "fragments of two other genomes have a positive pair's GC contents to within "
                f"{settings.gc_tolerance:g}. {_ask_for(most)} raise --gc-tolerance, or lower --gc-matched."
            )
        others = _random_pairs(genomes[own], random, repeats, rng)
        rows.append(own[np.concatenate([positives, others, repeats])])
        kinds.append(np.repeat([_SAME, _RANDOM, _GC_MATCHED], [same, random, matched]))
        errors.append(error)
    order = rng.permutation(settings.pairs)
    return DrawnPairs(
        rng.permuted(np.concatenate(rows)[order], axis=1),
        np.concatenate(kinds)[order],
        np.repeat(range(len(SPLITS)), [sum(split) for split in counts])[order],
        float(np.concatenate(errors).mean() / settings.length) if any(map(len, errors)) else 0.0,
    )


def _counts(pairs: int, settings: Settings) -> list[tuple[int, int, int]]:
    """Share out the pairs: of each split, how many of each kind."""
    val, test = round(pairs * settings.val), round(pairs * settings.test)
    counts = []
    for total in (pairs - val - test, val, test):
        same = round(total * settings.positive)
        matched = round((total - same) * settings.gc_matched)
        counts.append((same, total - same - matched, matched))
    return counts


def _check_possible(genomes: list[NDArray[np.int64]], settings: Settings) -> None:
    possible, shown = [], []
    for name, own in zip(SPLITS, genomes, strict=True):
        sizes = np.unique(own, return_counts=True)[1].astype(object)
        same = int((sizes * (sizes - 1) // 2).sum())
        others = len(own) * (len(own) - 1) // 2 - same
        possible.append((same, others))
        shown.append(
            f"  {name}: {len(sizes)} genomes, {len(own)} fragments: {same} positive, {others} negative pairs"
        )

    def fits(pairs: int) -> bool:
        return all(
            same <= positive and random + matched <= negative
            for (same, random, matched), (positive, negative) in zip(
                _counts(pairs, settings), possible, strict=True
            )
        )

    if fits(settings.pairs):
        return
    shares = (1 - settings.val - settings.test, settings.val, settings.test)
    # counts are rounded twice, by less than 2 in all
    bounds = [
        (count + 2) / (share * part)
        for share, counts in zip(shares, possible, strict=True)
        for part, count in zip((settings.positive, 1 - settings.positive), counts, strict=True)
        if share * part > 0
    ]
    most = next(pairs for pairs in range(int(min(*bounds, settings.pairs)), -1, -1) if fits(pairs))
    table = "\n".join(shown)
    raise DnapairError(
        f"--pairs {settings.pairs}: the data make {most} at most, at these shares:\n{table}\n"
        f"{_ask_for(most)} take more genomes, lower --min-fragments or --length, or raise --max-fragments or "
        "--sequences."
    )


def _ask_for(pairs: int) -> str:
    return f"Ask for --pairs {pairs}; or" if pairs else "Mend it so:"


def _positive_pairs(genomes: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Pair fragments of one genome so that each is in about as many pairs.

    The fragments of a genome lie on a circle, in random order. Each is paired with the next, then each
    with the next but one, and so on: no pair comes twice, and in the end every pair has come.
    """
    rows, place = by_genome(genomes, rng)
    size = np.bincount(genomes, minlength=1)[genomes[rows]]
    parts = [np.empty((0, 2), np.int64)]
    step, live = 0, np.arange(len(rows))
    while count:
        step += 1
        # half-way round, each pair would come from both its ends
        live = live[(2 * step < size[live]) | ((2 * step == size[live]) & (place[live] < step))]
        first = live if len(live) <= count else rng.choice(live, count, replace=False)
        second = first - place[first] + (place[first] + step) % size[first]
        parts.append(rows[np.stack([first, second], axis=1)])
        count -= len(first)
    return np.concatenate(parts)


def _gc_matched_pairs(
    genomes: NDArray[np.int64],
    gc: NDArray[np.int64],
    positives: NDArray[np.int64],
    count: int,
    tolerance: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Repeat the GC of positive pairs with two other genomes; give each fragment's distance from it too.

    Each positive pair is repeated equally often, as far as its GC can be matched.
    """
    pairs, errors = np.empty((0, 2), np.int64), np.empty((0, 2), np.int64)
    if not count or not len(positives):
        return pairs, errors
    by_gc = np.argsort(gc, kind="stable")
    low = np.searchsorted(gc[by_gc], gc[positives] - tolerance, side="left")
    high = np.searchsorted(gc[by_gc], gc[positives] + tolerance, side="right")
    open_models = np.resize(rng.permutation(len(positives)), count)
    for attempt in range(_ATTEMPTS):
        if attempt >= _FAITHFUL:
            open_models = rng.integers(len(positives), size=len(open_models))
        places = rng.integers(low[open_models], high[open_models])
        drawn = by_gc[places]
        first, second = genomes[drawn].T
        own = genomes[positives[open_models, 0]]
        apart = np.flatnonzero((first != second) & (first != own) & (second != own))
        good = apart[_new_pairs(drawn[apart], pairs, len(genomes))]
        pairs = np.concatenate([pairs, drawn[good]])
        errors = np.concatenate([errors, np.abs(gc[drawn[good]] - gc[positives[open_models[good]]])])
        open_models = np.delete(open_models, good)
        if not len(open_models):
            break
    return pairs, errors


def _random_pairs(
    genomes: NDArray[np.int64], count: int, taken: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw pairs of different genomes at random, none of them taken."""
    pairs = np.empty((0, 2), np.int64)
    if not count:
        return pairs
    rows, place = by_genome(genomes, rng)
    size = np.bincount(genomes)[genomes[rows]]
    start = np.arange(len(rows)) - place
    # number t stands for the fragment in whose range it falls, and one of another genome
    ends = np.cumsum(len(rows) - size)
    total = int(ends[-1])
    # each pair has two numbers
    dense = 4 * (count + len(taken)) > total
    while len(pairs) < count:
        numbers = rng.permutation(total) if dense else rng.integers(total, size=count - len(pairs))
        first = np.searchsorted(ends, numbers, side="right")
        other = ends[first] - 1 - numbers
        second = np.where(other < start[first], other, other + size[first])
        drawn = rows[np.stack([first, second], axis=1)]
        new = _new_pairs(drawn, np.concatenate([taken, pairs]), len(rows))
        pairs = np.concatenate([pairs, drawn[new]])[:count]
    return pairs


def _new_pairs(pairs: NDArray[np.int64], taken: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Find the pairs that are neither taken nor there before, in either order; their places, rising."""
    keys, known = (part.min(axis=1) * total + part.max(axis=1) for part in (pairs, taken))
    first = np.sort(np.unique(keys, return_index=True)[1])
    return first[~np.isin(keys[first], known)]

"""Fragments of genomes to labelled pairs: which fragments, which split, and who is paired with whom."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnapair.data.splits import SPLITS
from dnapair.errors import DnapairError

KINDS = ("same", "random", "gc_matched")
"""How a pair came about: one genome; two genomes at random; two genomes with the GC of a ``same`` pair."""

_SAME, _RANDOM, _GC_MATCHED = range(3)
_COMPLEMENT = np.zeros(256, np.uint8)
_COMPLEMENT[list(b"ACGT")] = list(b"TGCA")
_IS_GC = np.zeros(256, bool)
_IS_GC[list(b"CG")] = True
_BLOCK = 8192
"""Fragments worked on at a time: what bounds the memory."""
_ATTEMPTS = 200
_FAITHFUL = 20
"""Attempts after which a pair whose GC nobody matches gives its place to another."""


class Wanted(NamedTuple):
    """What pairs are to be made.

    Attributes
    ----------
    pairs : int
        How many in all.
    positive : float
        Share of them that are of one genome.
    gc_matched : float
        Share of the negatives that repeat the GC contents of a positive pair.
    gc_tolerance : float
        How far a fragment's GC content may be from the one it repeats.
    val, test : float
        Share of the genomes, and of the pairs.
    """

    pairs: int
    positive: float
    gc_matched: float
    gc_tolerance: float
    val: float
    test: float


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


def first_copies(bases: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Find the fragments that are no copy of an earlier one, on either strand.

    Parameters
    ----------
    bases : np.ndarray, shape=(n, length)
        ASCII letters A, C, G, T.

    Returns
    -------
    np.ndarray, shape=(kept,)
        Their rows, rising.
    """
    # 64-bit sums are faster to sort than letters; two of a million fragments clash in one of 10^6 runs
    weights = np.random.default_rng(0).integers(2**64, size=(bases.shape[1], 4), dtype=np.uint64)
    codes = np.zeros(256, np.int64)
    codes[list(b"ACGT")] = range(4)
    columns = np.arange(bases.shape[1])
    marks = np.empty(len(bases), np.uint64)
    for start in range(0, len(bases), _BLOCK):
        block = bases[start : start + _BLOCK]
        strands = (block, _COMPLEMENT[block[:, ::-1]])
        sums = [weights[columns, codes[strand]].sum(axis=1) for strand in strands]
        marks[start : start + _BLOCK] = np.minimum(*sums)
    return np.sort(np.unique(marks, return_index=True)[1])


def turn_strands(bases: NDArray[np.uint8], seed: int) -> NDArray[np.bool_]:
    """Turn each fragment to the other strand with probability one half, in place.

    Parameters
    ----------
    bases : np.ndarray, shape=(n, length)
        ASCII letters A, C, G, T.
    seed
        The same seed turns the same fragments.

    Returns
    -------
    np.ndarray, shape=(n,)
        Which were turned.
    """
    turned = np.random.default_rng([seed, 1]).random(len(bases)) < 0.5
    for start in range(0, len(bases), _BLOCK):
        block = bases[start : start + _BLOCK]
        own = turned[start : start + _BLOCK]
        block[own] = _COMPLEMENT[block[own, ::-1]]
    return turned


def count_gc(bases: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the C and G of each fragment, shape=(n,); ``bases`` as in :func:`turn_strands`."""
    counts = [
        np.count_nonzero(_IS_GC[bases[start : start + _BLOCK]], axis=1)
        for start in range(0, len(bases), _BLOCK)
    ]
    return np.concatenate([np.empty(0, np.int64), *counts])


def choose_fragments(
    genomes: NDArray[np.int64], minimum: int, maximum: int | None, total: int | None, seed: int
) -> NDArray[np.int64]:
    """Choose the fragments that pairs may be made of.

    Parameters
    ----------
    genomes : np.ndarray, shape=(n,)
        Number of each fragment's genome.
    minimum, maximum
        Fragments of one genome: with fewer it is left out, of more some are drawn; None: all are taken.
    total
        Genomes are drawn until they have this many fragments. The last one gives only what is missing, and
        none if that were fewer than the minimum. None: all genomes.
    seed
        The same seed gives the same fragments.

    Returns
    -------
    np.ndarray, shape=(chosen,)
        Their rows, rising.

    Raises
    ------
    DnapairError
        If fewer than ``total`` fragments may be used.
    """
    rng = np.random.default_rng([seed, 2])
    counts = np.bincount(genomes)
    sizes = np.minimum(counts, maximum or counts.max(initial=0))
    sizes[sizes < minimum] = 0
    if total is not None:
        if sizes.sum() < total:
            raise DnapairError(
                f"--sequences {total}: only {sizes.sum()} fragments may be used, of "
                f"{np.count_nonzero(sizes)} genomes with at least {minimum}. Ask for at most that many; or "
                "lower --min-fragments or --length, or raise --max-fragments."
            )
        drawn = rng.permutation(len(sizes))
        before = np.cumsum(sizes[drawn]) - sizes[drawn]
        sizes[drawn] = np.minimum(sizes[drawn], np.maximum(total - before, 0))
        sizes[sizes < minimum] = 0
    shuffled, place = _by_genome(genomes, rng)
    return np.sort(shuffled[place < sizes[genomes[shuffled]]])


def split_genomes(genomes: NDArray[np.int64], val: float, test: float, seed: int) -> NDArray[np.int64]:
    """Split the genomes at random.

    Parameters
    ----------
    genomes : np.ndarray, shape=(n,)
        Number of each fragment's genome.
    val, test
        Shares of the genomes.
    seed
        The same seed gives the same splits.

    Returns
    -------
    np.ndarray, shape=(n,)
        Number of each fragment's split in :data:`dnapair.data.splits.SPLITS`.
    """
    names, numbers = np.unique(genomes, return_inverse=True)
    drawn = np.random.default_rng([seed, 3]).permutation(len(names))
    in_val, in_test = round(val * len(names)), round(test * len(names))
    splits = np.zeros(len(names), np.int64)
    splits[drawn[:in_val]] = 1
    splits[drawn[in_val : in_val + in_test]] = 2
    return splits[numbers]


def draw_pairs(
    genomes: NDArray[np.int64],
    splits: NDArray[np.int64],
    gc: NDArray[np.int64],
    length: int,
    wanted: Wanted,
    seed: int,
) -> DrawnPairs:
    """Draw labelled pairs, each of two fragments of one split.

    Parameters
    ----------
    genomes, splits, gc : np.ndarray, shape=(n,)
        Genome, split (:func:`split_genomes`) and number of C and G (:func:`count_gc`) of each fragment.
    length
        Bases in a fragment.
    wanted
        How many pairs of which kind.
    seed
        The same seed gives the same pairs.

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
    _check_possible([genomes[own] for own in members], wanted)
    rng = np.random.default_rng([seed, 4])
    rows, kinds, errors = [], [], []
    tolerance = int(wanted.gc_tolerance * length + 1e-9)
    counts = _counts(wanted.pairs, wanted)
    for name, own, (same, random, matched) in zip(SPLITS, members, counts, strict=True):
        positives = _positive_pairs(genomes[own], same, rng)
        repeats, error = _gc_matched_pairs(genomes[own], gc[own], positives, matched, tolerance, rng)
        if len(repeats) < matched:
            most = wanted.pairs * len(repeats) // matched
            raise DnapairError(
                f"{name}: {matched} gc_matched pairs are wanted, and {len(repeats)} were found: too few "
                "fragments of two other genomes have a positive pair's GC contents to within "
                f"{wanted.gc_tolerance:g}. {_ask_for(most)} raise --gc-tolerance, or lower --gc-matched."
            )
        others = _random_pairs(genomes[own], random, repeats, rng)
        rows.append(own[np.concatenate([positives, others, repeats])])
        kinds.append(np.repeat([_SAME, _RANDOM, _GC_MATCHED], [same, random, matched]))
        errors.append(error)
    order = rng.permutation(wanted.pairs)
    return DrawnPairs(
        rng.permuted(np.concatenate(rows)[order], axis=1),
        np.concatenate(kinds)[order],
        np.repeat(range(len(SPLITS)), [sum(split) for split in counts])[order],
        float(np.concatenate(errors).mean() / length) if any(map(len, errors)) else 0.0,
    )


def _counts(pairs: int, wanted: Wanted) -> list[tuple[int, int, int]]:
    """Share out the pairs: of each split, how many of each kind."""
    val, test = round(pairs * wanted.val), round(pairs * wanted.test)
    counts = []
    for total in (pairs - val - test, val, test):
        same = round(total * wanted.positive)
        matched = round((total - same) * wanted.gc_matched)
        counts.append((same, total - same - matched, matched))
    return counts


def _check_possible(genomes: list[NDArray[np.int64]], wanted: Wanted) -> None:
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
                _counts(pairs, wanted), possible, strict=True
            )
        )

    if fits(wanted.pairs):
        return
    shares = (1 - wanted.val - wanted.test, wanted.val, wanted.test)
    # counts are rounded twice, by less than 2 in all
    bounds = [
        (count + 2) / (share * part)
        for share, counts in zip(shares, possible, strict=True)
        for part, count in zip((wanted.positive, 1 - wanted.positive), counts, strict=True)
        if share * part > 0
    ]
    most = next(pairs for pairs in range(int(min(*bounds, wanted.pairs)), -1, -1) if fits(pairs))
    raise DnapairError(
        f"--pairs {wanted.pairs}: the data make {most} at most, at these shares:\n" + "\n".join(shown) + "\n"
        f"{_ask_for(most)} take more genomes, lower --min-fragments or --length, or raise --max-fragments or "
        "--sequences."
    )


def _ask_for(pairs: int) -> str:
    return f"Ask for --pairs {pairs}; or" if pairs else "Mend it so:"


def _by_genome(
    genomes: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sort fragments by genome, within it at random; give each one's place in its genome too."""
    drawn = rng.permutation(len(genomes))
    rows = drawn[np.argsort(genomes[drawn], kind="stable")]
    starts = np.searchsorted(genomes[rows], genomes[rows])
    return rows, np.arange(len(rows)) - starts


def _positive_pairs(genomes: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Pair fragments of one genome so that each is in about as many pairs.

    The fragments of a genome lie on a circle, in random order. Each is paired with the next, then each
    with the next but one, and so on: no pair comes twice, and in the end every pair has come.
    """
    rows, place = _by_genome(genomes, rng)
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
    rows, place = _by_genome(genomes, rng)
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

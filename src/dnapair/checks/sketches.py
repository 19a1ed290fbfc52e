"""Sequences that share most of their k-mers with one of a reference, found by sketches."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dnapair.embedding.kmers import BASES, base_codes
from dnapair.storage.sequence_file import letter_blocks

SKETCHED = 2**23
"""K-mers held of all queries together, as a rule: some 0.3 GB."""
LEAST = 64
"""... but so many of each query where it has them: the share is known to 0.06 (one standard error)."""
BLOCK_LETTERS = 2**19
"""Bases that are k-mers at a time."""
HITS = 4_000_000
"""Shared k-mers counted at a time."""
MOST_HITS = 1_000_000_000
"""Shared k-mers looked at in all: minutes."""


class Sketch(NamedTuple):
    """The k-mers kept of some sequences, sorted.

    Attributes
    ----------
    hashes : np.ndarray, shape=(kmers,)
        Each different one once.
    starts : np.ndarray, shape=(kmers + 1,)
        Where the owners of each begin.
    owners : np.ndarray, shape=(entries,)
        The sequences that have them.
    sizes : np.ndarray, shape=(sequences,)
        How many each sequence has.
    """

    hashes: NDArray[np.uint64]
    starts: NDArray[np.int64]
    owners: NDArray[np.int32]
    sizes: NDArray[np.int64]


class NearRepeats(NamedTuple):
    """What :func:`near_repeats` found; arrays of shape=(queries,).

    Attributes
    ----------
    nearest : np.ndarray
        Row of a reference sequence that shares at least the share asked for, -1 where there is none.
    share : np.ndarray
        The share of k-mers that it has.
    without : int
        Queries without any k-mer of A, C, G and T alone: nothing is known of them.
    unsettled : int
        Queries that the search ended before: see :data:`MOST_HITS`.
    """

    nearest: NDArray[np.int64]
    share: NDArray[np.float64]
    without: int
    unsettled: int


def kmer_hashes(sequences: Sequence[str], k: int) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """Hash every k-mer, the same on either strand.

    Parameters
    ----------
    sequences
        Upper-case letters; k-mers that touch a letter outside ACGT are left out.
    k
        At most 31.

    Returns
    -------
    hashes : np.ndarray, shape=(kmers,)
        Different k-mers have different hashes.
    owners : np.ndarray, shape=(kmers,)
        The sequence of each, in order.
    """
    # no k-mer over the seam of two sequences is known
    bases = base_codes("N".join(sequences))
    count = max(bases.size - k + 1, 0)
    codes = _canonical_codes(bases, k)
    unknown = np.append(0, np.cumsum(bases == len(BASES), dtype=np.int32))
    known = unknown[k:] == unknown[:count] if count else np.zeros(0, bool)
    lengths = np.array([len(sequence) + 1 for sequence in sequences], np.int64)
    owners = np.repeat(np.arange(lengths.size, dtype=np.int32), lengths)[:count]
    return _mix(codes[known]), owners[known]


def _canonical_codes(bases: NDArray[np.uint8], k: int) -> NDArray[np.uint64]:
    """Return the number of each k bases in a row, or of their reverse complement where that is smaller."""
    if bases.size < k:
        return np.empty(0, np.uint64)
    # numbers of 1, 2, 4, ... bases in a row, and of their reverse complements: together they make k
    forward = bases.astype(np.uint64)
    # A, T, C, G = 0 to 3: a base and its complement differ in the last bit
    backward = forward ^ np.uint64(1)
    codes, complements = np.zeros((2, bases.size), np.uint64)
    done, width = 0, 1
    while True:
        if k & width:
            room = bases.size - done - width + 1
            codes = codes[:room] << np.uint64(2 * width) | forward[done : done + room]
            complements = complements[:room] | backward[done : done + room] << np.uint64(2 * done)
            done += width
        if done == k:
            return np.minimum(codes, complements)
        forward = forward[:-width] << np.uint64(2 * width) | forward[width:]
        backward = backward[:-width] | backward[width:] << np.uint64(2 * width)
        width *= 2


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter numbers over all 64 bits, one to one: the end of SplitMix64 (Steele et al. 2014)."""
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def near_repeats(
    sequences: Sequence[str],
    queries: NDArray[np.bool_],
    references: NDArray[np.bool_],
    k: int,
    containment: float,
) -> NearRepeats:
    """Find the queries that share most of their k-mers with one reference sequence, on either strand.

    The share is that of the query's own sketch: the k-mers whose hash is below a bound that leaves about the
    same number of each query, all of them where the data are small. So a short query within a long reference
    is found as well. Queries that share too little with all references together, nearly all as a rule, are
    settled in a first reading; only the others are compared with each reference.
    Sources: Broder 1997, "On the resemblance and containment of documents"; Irber et al. 2022, "Lightweight
    compositional analysis of metagenomes with FracMinHash and minimum metagenome covers".

    Parameters
    ----------
    sequences
        All sequences; they are read one after the other, and never held.
    queries, references : np.ndarray, shape=(len(sequences),)
        Which of them are which.
    k
        Length of a k-mer in bases, at most 31.
    containment
        The share that makes a near repeat.

    Returns
    -------
    NearRepeats
        For the queries in their order.
    """
    sketch = _sketch(sequences, queries, k)
    sizes = sketch.sizes
    seen = np.zeros(sketch.hashes.size, bool)
    if seen.size:
        for _, hashes, _ in _read(sequences, references, k, "look for near repeats"):
            # sorted, so that the search stays in the cache
            seen[_match(sketch, np.sort(hashes))[1]] = True
    shared = np.bincount(sketch.owners[np.repeat(seen, np.diff(sketch.starts))], minlength=sizes.size)
    candidates = (sizes > 0) & (shared >= containment * sizes)
    nearest, share = np.full(sizes.size, -1), np.zeros(sizes.size)
    left = _compare(sequences, references, k, containment, sketch, candidates, nearest, share)
    return NearRepeats(nearest, share, int(np.count_nonzero(sizes == 0)), left)


def _compare(
    sequences: Sequence[str],
    references: NDArray[np.bool_],
    k: int,
    containment: float,
    sketch: Sketch,
    candidates: NDArray[np.bool_],
    nearest: NDArray[np.int64],
    share: NDArray[np.float64],
) -> int:
    """Fill ``nearest`` and ``share``; return how many candidates were left when there was too much."""
    waiting = candidates.copy()
    looked_at = 0
    if not waiting.any():
        return 0
    part = _only(sketch, waiting)
    for rows, hashes, owners in _read(sequences, references, k, "compare near repeats"):
        if looked_at > MOST_HITS:
            return int(np.count_nonzero(waiting))
        places, kmers = _match(part, hashes)
        # a k-mer that a reference has twice counts once
        hits = np.unique(owners[places].astype(np.int64) * part.hashes.size + kmers)
        of, kmers = np.divmod(hits, part.hashes.size)
        widths = np.diff(part.starts)[kmers]
        for chosen in _chunks(of, widths):
            width = widths[chosen]
            inside = np.arange(width.sum()) - np.repeat(np.cumsum(width) - width, width)
            query = part.owners[np.repeat(part.starts[kmers[chosen]], width) + inside]
            looked_at += query.size
            still = waiting[query]
            pairs, counts = np.unique(
                query[still].astype(np.int64) * len(rows) + np.repeat(of[chosen], width)[still],
                return_counts=True,
            )
            owner, place = np.divmod(pairs, len(rows))
            found = counts >= containment * sketch.sizes[owner]
            # backwards: of several references the first is written last
            owner, place, counts = (values[found][::-1] for values in (owner, place, counts))
            nearest[owner] = rows[place]
            share[owner] = counts / sketch.sizes[owner]
            waiting[owner] = False
        if not waiting.any():
            break
        if np.count_nonzero(waiting) < np.count_nonzero(candidates) / 2:
            candidates = waiting.copy()
            part = _only(part, waiting)
    return 0


def _read(
    sequences: Sequence[str], wanted: NDArray[np.bool_], k: int, task: str
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int32]]]:
    """Yield rows of wanted sequences, the hashes of their k-mers, and the place of each one's row."""
    with tqdm(total=len(sequences), desc=task, unit=" sequences", dynamic_ncols=True, disable=None) as bar:
        for first, texts in letter_blocks(sequences, BLOCK_LETTERS):
            places = np.flatnonzero(wanted[first : first + len(texts)])
            yield first + places, *kmer_hashes([texts[place] for place in places.tolist()], k)
            bar.update(len(texts))


def _sketch(sequences: Sequence[str], queries: NDArray[np.bool_], k: int) -> Sketch:
    count = int(np.count_nonzero(queries))
    return _sorted(*_lowest(sequences, queries, k, count), count)


def _lowest(
    sequences: Sequence[str], queries: NDArray[np.bool_], k: int, count: int
) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """Return the hashes that are kept, and the query of each."""
    kept = max(LEAST, SKETCHED // max(count, 1))
    hashes, owners = [np.empty(0, np.uint64)], [np.empty(0, np.int32)]
    first = 0
    for rows, values, places in _read(sequences, queries, k, "sketch sequences"):
        found = np.bincount(places, minlength=rows.size)
        share = kept / np.maximum(found, kept)
        # 2**64 itself has no place in 64 bits
        bounds = np.where(share < 1, share * 2.0**64, 0).astype(np.uint64) - np.uint64(1)
        low = values <= bounds[places]
        hashes.append(values[low])
        owners.append(places[low] + np.int32(first))
        first += rows.size
    return np.concatenate(hashes), np.concatenate(owners)


def _sorted(hashes: NDArray[np.uint64], owners: NDArray[np.int32], count: int) -> Sketch:
    # stable: of one hash the owners stay in order, so that a repeated k-mer stands beside itself
    order = np.argsort(hashes, kind="stable")
    hashes, owners = hashes[order], owners[order]
    new = np.append(True, hashes[1:] != hashes[:-1])[: hashes.size]
    first = new | np.append(True, owners[1:] != owners[:-1])[: hashes.size]
    hashes, owners, new = hashes[first], owners[first], new[first]
    starts = np.append(np.flatnonzero(new), hashes.size)
    return Sketch(hashes[new], starts, owners, np.bincount(owners, minlength=count))


def _only(sketch: Sketch, wanted: NDArray[np.bool_]) -> Sketch:
    """Keep the entries of some sequences."""
    kept = wanted[sketch.owners]
    widths = np.add.reduceat(kept.astype(np.int64), sketch.starts[:-1])
    inside = widths > 0
    starts = np.append(0, np.cumsum(widths[inside]))
    return Sketch(sketch.hashes[inside], starts, sketch.owners[kept], sketch.sizes)


def _match(sketch: Sketch, hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places of the hashes that the sketch has, and their places in the sketch."""
    found = np.minimum(np.searchsorted(sketch.hashes, hashes), sketch.hashes.size - 1)
    places = np.flatnonzero(sketch.hashes[found] == hashes)
    return places, found[places]


def _chunks(of: NDArray[np.int64], widths: NDArray[np.int64]) -> Iterator[slice]:
    """Cut hits into parts of about :data:`HITS`, all of one reference in the same part."""
    ends = np.append(np.flatnonzero(of[1:] != of[:-1]) + 1, of.size)[: of.size]
    begin = 0
    reached = np.cumsum(widths)[ends - 1] // HITS
    for end in ends[np.append(reached[1:] != reached[:-1], True)[: ends.size]].tolist():
        yield slice(begin, end)
        begin = end

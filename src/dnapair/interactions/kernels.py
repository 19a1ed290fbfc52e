"""Two sequences, base by base: exact runs and local alignment over their whole grid, compiled by Numba.

What calls each other lies in this file: Numba keeps what it compiled until the function's own file changes.
"""

import math
from typing import Any

import numpy as np

from dnapair.machine.compiling import compiled

UNKNOWN1, UNKNOWN2 = 4, 5
"""Codes of letters outside ACGT in the first and in the second sequence: they match nothing."""
MATCH, WOBBLE, MISMATCH, GAP = 2, 1, -2, 3
"""Scores of a local alignment; a gap costs so much for each base."""
LONGEST = 32000
"""Runs and scores end here, so that they fit 16 bits."""

_FORWARD, _WOBBLE = 0, 2
_int16 = np.int16


@compiled
def exact_runs(x: Any, y: Any, b: Any, row: Any, col: Any, scratch: Any) -> None:
    """Find for each base the longest run of matches that ends at it.

    Parameters
    ----------
    x, y : np.ndarray, shape=(n,)
        int16: base i of the first sequence matches ``x[i]`` and ``y[i]`` in the second.
    b : np.ndarray, shape=(m,)
        int16, the second sequence.
    row, col : np.ndarray, shape=(n,) and (m,)
        Filled in, int16: longest run that ends at this base of the first, and of the second sequence.
    scratch : np.ndarray, shape=(2, at least m + 1)
        int16.
    """
    m = b.size
    previous, current = scratch[0], scratch[1]
    previous[: m + 1] = 0
    current[0] = 0
    col[:] = 0
    for i in range(x.size):
        p, q = x[i], y[i]
        best = _int16(0)
        for j in range(m):
            run = previous[j]
            run = _int16(run + (run < LONGEST))
            run = run if ((b[j] == p) | (b[j] == q)) else _int16(0)
            current[j + 1] = run
            best = run if run > best else best
            longest = col[j]
            col[j] = run if run > longest else longest
        row[i] = best
        previous, current = current, previous


@compiled
def _next_diagonal(h: Any, diagonal: Any, left: Any, above: Any, x: Any, y: Any, b: Any, wobble: Any) -> None:
    # each value is read before it is chosen between: only so does LLVM make vector instructions of it
    for i in range(h.size):
        letter = b[i]
        score = wobble if letter == y[i] else _int16(MISMATCH)
        score = _int16(MATCH) if letter == x[i] else score
        score = _int16(diagonal[i] + score)
        before = left[i]
        other = above[i]
        gapped = before if before > other else other
        gapped = _int16(gapped - GAP)
        score = score if score > gapped else gapped
        score = score if score > 0 else _int16(0)
        h[i] = score if score < LONGEST else _int16(LONGEST)


@compiled
def _keep_greater(values: Any, greatest: Any) -> None:
    for i in range(values.size):
        value = values[i]
        old = greatest[i]
        greatest[i] = value if value > old else old


@compiled
def local_alignment(
    x: Any, y: Any, reversed_b: Any, wobble: Any, row: Any, reversed_col: Any, scratch: Any
) -> None:
    """Find for each base the best score of a local alignment that ends at it.

    Source: Smith & Waterman 1981, "Identification of common molecular subsequences", with linear gaps, along
    the antidiagonals as in Wozniak 1997, "Using video-oriented instructions to speed up sequence comparison".

    Parameters
    ----------
    x, y : np.ndarray, shape=(n,)
        int16: base i of the first sequence matches ``x[i]``, and ``y[i]`` with the score ``wobble``.
    reversed_b : np.ndarray, shape=(m,)
        int16, the second sequence from its end to its start.
    wobble : np.int16
        Score of such a match.
    row, reversed_col : np.ndarray, shape=(n,) and (m,)
        Filled in, int16; the second from the sequence's end to its start, too.
    scratch : np.ndarray, shape=(3, at least n + 1)
        int16.
    """
    n, m = x.size, reversed_b.size
    # value i + 1 is base i's; a border of zeros runs before the first base and behind the last of a diagonal
    h, last, before_last = scratch[0], scratch[1], scratch[2]
    h[: n + 1] = 0
    last[: n + 1] = 0
    before_last[: n + 1] = 0
    row[:] = 0
    reversed_col[:] = 0
    for diagonal in range(n + m - 1):
        low, high = max(0, diagonal - m + 1), min(n, diagonal + 1)
        shift = m - 1 - diagonal
        inside = h[low + 1 : high + 1]
        _next_diagonal(
            inside,
            before_last[low:high],
            last[low + 1 : high + 1],
            last[low:high],
            x[low:high],
            y[low:high],
            reversed_b[shift + low : shift + high],
            wobble,
        )
        _keep_greater(inside, row[low:high])
        _keep_greater(inside, reversed_col[shift + low : shift + high])
        h[low] = 0
        if high < n:
            h[high + 1] = 0
        h, last, before_last = before_last, h, last


@compiled
def cover(ending: Any, covering: Any) -> None:
    """From the longest run that ends at each base to the longest that covers it, both of shape=(n,)."""
    n = ending.size
    covering[:] = 0
    for i in range(n - 1, -1, -1):
        length = ending[i]
        # a longer run ends at the next base, and covers all that this one does
        if i + 1 < n and ending[i + 1] > length:
            continue
        for place in range(i - length + 1, i + 1):
            if covering[place] < length:
                covering[place] = length


@compiled
def describe(
    codes: Any,
    starts: Any,
    rows1: Any,
    rows2: Any,
    bins1: int,
    bins2: int,
    kinds: int,
    aligned: bool,
    lengths: Any,
    kmers: Any,
    rows: Any,
) -> None:
    """Fill in the rows of pairs.

    Parameters
    ----------
    codes : np.ndarray, shape=(bases,)
        uint8, of all sequences behind each other.
    starts : np.ndarray, shape=(sequences + 1,)
        int64, where each begins.
    rows1, rows2 : np.ndarray, shape=(n,)
        int64, the two sequences of each pair.
    bins1, bins2, kinds, aligned
        Of the :class:`~dnapair.interactions.layout.Layout`; of the kinds, how many.
    lengths, kmers : np.ndarray
        int64: bases in runs of so many and more are counted; the lengths of k-mers that may be shared.
    rows : np.ndarray, shape=(n, width)
        float32, filled in.
    """
    longest = 0
    for pair in range(rows1.size):
        for row in (rows1[pair], rows2[pair]):
            longest = max(longest, starts[row + 1] - starts[row])
    scratch = np.empty((11, longest + 2), np.int16)
    marks = np.zeros(4 ** kmers.max(), np.uint8)
    for pair in range(rows1.size):
        first = codes[starts[rows1[pair]] : starts[rows1[pair] + 1]]
        second = codes[starts[rows2[pair]] : starts[rows2[pair] + 1]]
        _describe_pair(
            first, second, bins1, bins2, kinds, aligned, lengths, kmers, scratch, marks, rows[pair]
        )


@compiled
def _describe_pair(
    first: Any,
    second: Any,
    bins1: int,
    bins2: int,
    kinds: int,
    aligned: bool,
    lengths: Any,
    kmers: Any,
    scratch: Any,
    marks: Any,
    out: Any,
) -> None:
    n, m = first.size, second.size
    # a profile, the totals of runs, their mean and two places
    part1, part2 = bins1 + lengths.size + 3, bins2 + lengths.size + 3
    side1 = out[: kinds * part1 + 1]
    side2 = out[side1.size : side1.size + kinds * part2 + 1]
    both = out[side1.size + side2.size :]
    x, y, b, reversed_b = scratch[0, :n], scratch[1, :n], scratch[2, :m], scratch[3, :m]
    runs1, runs2, scores1, scores2 = scratch[4, :n], scratch[5, :m], scratch[6, :n], scratch[7, :m]
    room = scratch[8:]
    for j in range(m):
        b[j] = second[j] if second[j] < UNKNOWN1 else UNKNOWN2
        reversed_b[m - 1 - j] = b[j]
    for kind in range(kinds):
        lay(first, kind, x, y)
        exact_runs(x, y, b, runs1, runs2, room)
        wobble = _int16(WOBBLE if kind == _WOBBLE else MISMATCH)
        local_alignment(x, y, reversed_b, wobble, scores1, scores2, room)
        turned = kind != _FORWARD
        run, score = runs1.max(), scores1.max()
        own1, own2 = side1[kind * part1 : (kind + 1) * part1], side2[kind * part2 : (kind + 1) * part2]
        _tell_side(runs1, run, turned, scores1, score, turned, lengths, room[0, :n], own1)
        _tell_side(runs2, run, False, scores2, score, True, lengths, room[0, :m], own2)
        both[2 * kind] = _log(run)
        both[2 * kind + 1] = _log(score)
    side1[-1] = _log(n)
    side2[-1] = _log(m)
    for number in range(kmers.size):
        place = 2 * (kinds + number)
        both[place], both[place + 1] = _share_kmers(first, second, kmers[number], marks)
    if aligned:
        _tell_agreement(first, second, room[0], both[2 * (kinds + kmers.size) :])


@compiled
def _log(value: float) -> float:
    return math.log2(1.0 + value)


@compiled
def lay(codes: Any, kind: int, x: Any, y: Any) -> None:
    """Say what each base of the first sequence matches in the second, in the order of the second."""
    n = codes.size
    for i in range(n):
        code = _int16(codes[i] if kind == _FORWARD else codes[n - 1 - i])
        if kind != _FORWARD and code < UNKNOWN1:
            code = _int16(3 - code)
        x[i] = code
        # the complement of U is A, and of G is C; G:U puts G (A + 2) and U (C + 2) in their places
        y[i] = _int16(code + 2 if kind == _WOBBLE and code < 2 else code)


@compiled
def _tell_side(
    runs: Any,
    longest: int,
    runs_turned: bool,
    scores: Any,
    best: int,
    scores_turned: bool,
    lengths: Any,
    covering: Any,
    out: Any,
) -> None:
    """Write the profile, the totals and the places of one kind of match along one sequence."""
    n = runs.size
    bins = out.size - lengths.size - 3
    _pool(scores, scores_turned, out[:bins])
    cover(runs, covering)
    total = 0
    for place in range(lengths.size):
        count = 0
        for i in range(n):
            count += covering[i] >= lengths[place]
        out[bins + place] = _log(count)
    for i in range(n):
        total += covering[i]
    last, end = _first(runs, longest), _first(scores, best)
    out[-3] = _log(total / n)
    out[-2] = (n - 1 - last if runs_turned else last - longest + 1) / n
    out[-1] = (n - 1 - end if scores_turned else end) / n


@compiled
def _first(values: Any, value: int) -> int:
    place = 0
    while values[place] != value:
        place += 1
    return place


@compiled
def _pool(values: Any, turned: bool, out: Any) -> None:
    n, bins = values.size, out.size
    out[:] = 0
    for i in range(n):
        place = i if n <= bins else i * bins // n
        value = values[n - 1 - i] if turned else values[i]
        if value > out[place]:
            out[place] = value
    for place in range(bins):
        out[place] = _log(out[place])


@compiled
def _share_kmers(first: Any, second: Any, k: int, marks: Any) -> Any:
    """Return the shares of k-mers that both have, as they are and reverse-complemented; marks are 0 again."""
    present, forward, reverse = 1, 2, 4
    mask = 4**k - 1
    _mark(second, k, marks, present)
    code = other = held = shared = crossed = 0
    for i in range(first.size):
        held = held + 1 if first[i] < UNKNOWN1 else 0
        code = ((code << 2) | first[i]) & mask
        other = (other >> 2) | ((3 - first[i]) & 3) << (2 * (k - 1))
        if held >= k:
            if marks[code] & present and not marks[code] & forward:
                marks[code] |= forward
                shared += 1
            if marks[other] & present and not marks[other] & reverse:
                marks[other] |= reverse
                crossed += 1
    _mark(second, k, marks, 0)
    possible = max(min(first.size, second.size) - k + 1, 1)
    return shared / possible, crossed / possible


@compiled
def _mark(codes: Any, k: int, marks: Any, mark: int) -> None:
    mask = 4**k - 1
    code = held = 0
    for i in range(codes.size):
        held = held + 1 if codes[i] < UNKNOWN1 else 0
        code = ((code << 2) | codes[i]) & mask
        if held >= k:
            marks[code] = mark


@compiled
def _tell_agreement(first: Any, second: Any, agrees: Any, out: Any) -> None:
    """Write whether the lengths are equal, how many bases agree at the same offset, and where."""
    n = first.size
    out[:] = 0
    if second.size != n:
        return
    count = 0
    for i in range(n):
        agrees[i] = first[i] == second[i] and first[i] < UNKNOWN1
        count += agrees[i]
    out[0] = 1
    out[1] = count / n
    _pool(agrees[:n], False, out[2:])

"""The rows of pairs: compiled by Numba, a pair at a time, so that neither order nor batch matters."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dnapair.interactions.kernels import (
    MISMATCH,
    UNKNOWN1,
    UNKNOWN2,
    WOBBLE,
    cover,
    exact_runs,
    local_alignment,
)
from dnapair.interactions.layout import KINDS, KMERS, PLACES, RUNS, Layout

_KINDS = len(KINDS)
_FORWARD, _WOBBLE = 0, 2
_RUNS = np.array(RUNS, np.int16)
_KMERS = np.array(KMERS, np.int64)
_TOTALS = len(RUNS) + PLACES + 1
_LARGEST = 4 ** max(KMERS)
_CODES = np.full(256, UNKNOWN1, np.uint8)
_CODES[[ord(base) for base in "ACGT"]] = range(4)

_int16 = np.int16


def describe_pairs(
    sequences: Sequence[str], rows1: NDArray[np.int64], rows2: NDArray[np.int64], layout: Layout
) -> NDArray[np.float32]:
    """Make the rows of pairs.

    Counts and scores are logarithms, log2(1 + x), places are shares of a sequence. Time grows with the
    product of two lengths, memory with their sum.

    Parameters
    ----------
    sequences
        Upper-case letters; any but A, C, G and T matches nothing.
    rows1, rows2 : np.ndarray, shape=(n,)
        The two sequences of each pair.
    layout
        What a row holds.

    Returns
    -------
    np.ndarray, shape=(n, layout.width)
        float32.
    """
    if layout.symmetric:
        # an order of their own: ends of alignments and ties depend on which sequence is laid against which
        turned = np.array(
            [sequences[one] > sequences[other] for one, other in zip(rows1, rows2, strict=True)], bool
        )
        rows1, rows2 = np.where(turned, rows2, rows1), np.where(turned, rows1, rows2)
    starts = np.concatenate([[0], np.cumsum([len(sequence) for sequence in sequences], dtype=np.int64)])
    rows = np.empty((rows1.size, layout.width), np.float32)
    _describe(
        encode("".join(sequences)), starts, rows1, rows2, layout.bins1, layout.bins2, layout.aligned, rows
    )
    if layout.symmetric:
        width = layout.sides[0]
        first, second = rows[:, :width].copy(), rows[:, width : 2 * width]
        np.maximum(first, second, out=rows[:, :width])
        np.minimum(first, second, out=second)
    return rows


def encode(sequence: str) -> NDArray[np.uint8]:
    """Return the code of each letter: A, C, G and T are 0 to 3, all others 4."""
    return _CODES[np.frombuffer(sequence.encode("latin-1", "replace"), np.uint8)]


@njit(nogil=True, cache=True)
def _describe(
    codes: Any, starts: Any, rows1: Any, rows2: Any, bins1: int, bins2: int, aligned: bool, rows: Any
) -> None:
    longest = 0
    for pair in range(rows1.size):
        for row in (rows1[pair], rows2[pair]):
            longest = max(longest, starts[row + 1] - starts[row])
    scratch = np.empty((11, longest + 2), np.int16)
    marks = np.zeros(_LARGEST, np.uint8)
    for pair in range(rows1.size):
        first = codes[starts[rows1[pair]] : starts[rows1[pair] + 1]]
        second = codes[starts[rows2[pair]] : starts[rows2[pair] + 1]]
        _describe_pair(first, second, bins1, bins2, aligned, scratch, marks, rows[pair])


@njit(nogil=True, cache=True)
def _describe_pair(
    first: Any, second: Any, bins1: int, bins2: int, aligned: bool, scratch: Any, marks: Any, out: Any
) -> None:
    n, m = first.size, second.size
    part1, part2 = bins1 + _TOTALS, bins2 + _TOTALS
    side1 = out[: _KINDS * part1 + 1]
    side2 = out[side1.size : side1.size + _KINDS * part2 + 1]
    both = out[side1.size + side2.size :]
    x, y, b, reversed_b = scratch[0, :n], scratch[1, :n], scratch[2, :m], scratch[3, :m]
    runs1, runs2, scores1, scores2 = scratch[4, :n], scratch[5, :m], scratch[6, :n], scratch[7, :m]
    room = scratch[8:]
    for j in range(m):
        b[j] = second[j] if second[j] < UNKNOWN1 else UNKNOWN2
        reversed_b[m - 1 - j] = b[j]
    for kind in range(_KINDS):
        lay(first, kind, x, y)
        exact_runs(x, y, b, runs1, runs2, room)
        wobble = _int16(WOBBLE if kind == _WOBBLE else MISMATCH)
        local_alignment(x, y, reversed_b, wobble, scores1, scores2, room)
        turned = kind != _FORWARD
        run, score = runs1.max(), scores1.max()
        own1, own2 = side1[kind * part1 : (kind + 1) * part1], side2[kind * part2 : (kind + 1) * part2]
        _tell_side(runs1, run, turned, scores1, score, turned, room[0, :n], own1)
        _tell_side(runs2, run, False, scores2, score, True, room[0, :m], own2)
        both[2 * kind] = _log(run)
        both[2 * kind + 1] = _log(score)
    side1[-1] = _log(n)
    side2[-1] = _log(m)
    for number in range(_KMERS.size):
        place = 2 * (_KINDS + number)
        both[place], both[place + 1] = _share_kmers(first, second, _KMERS[number], marks)
    if aligned:
        _tell_agreement(first, second, room[0], both[2 * (_KINDS + _KMERS.size) :])


@njit(nogil=True, cache=True)
def _log(value: float) -> float:
    return math.log2(1.0 + value)


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
def _tell_side(
    runs: Any,
    longest: int,
    runs_turned: bool,
    scores: Any,
    best: int,
    scores_turned: bool,
    covering: Any,
    out: Any,
) -> None:
    """Write the profile, the totals and the places of one kind of match along one sequence."""
    n = runs.size
    bins = out.size - _TOTALS
    _pool(scores, scores_turned, out[:bins])
    cover(runs, covering)
    total = 0
    for place in range(_RUNS.size):
        count = 0
        for i in range(n):
            count += covering[i] >= _RUNS[place]
        out[bins + place] = _log(count)
    for i in range(n):
        total += covering[i]
    last, end = _first(runs, longest), _first(scores, best)
    out[-3] = _log(total / n)
    out[-2] = (n - 1 - last if runs_turned else last - longest + 1) / n
    out[-1] = (n - 1 - end if scores_turned else end) / n


@njit(nogil=True, cache=True)
def _first(values: Any, value: int) -> int:
    place = 0
    while values[place] != value:
        place += 1
    return place


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
def _mark(codes: Any, k: int, marks: Any, mark: int) -> None:
    mask = 4**k - 1
    code = held = 0
    for i in range(codes.size):
        held = held + 1 if codes[i] < UNKNOWN1 else 0
        code = ((code << 2) | codes[i]) & mask
        if held >= k:
            marks[code] = mark


@njit(nogil=True, cache=True)
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

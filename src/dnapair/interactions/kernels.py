"""Two sequences, base by base: exact runs and local alignment over their whole grid, compiled by Numba."""

from typing import Any

import numpy as np
from numba import njit

UNKNOWN1, UNKNOWN2 = 4, 5
"""Codes of letters outside ACGT in the first and in the second sequence: they match nothing."""
MATCH, WOBBLE, MISMATCH, GAP = 2, 1, -2, 3
"""Scores of a local alignment; a gap costs so much for each base."""
LONGEST = 32000
"""Runs and scores end here, so that they fit 16 bits."""

_int16 = np.int16


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
def _keep_greater(values: Any, greatest: Any) -> None:
    for i in range(values.size):
        value = values[i]
        old = greatest[i]
        greatest[i] = value if value > old else old


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
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

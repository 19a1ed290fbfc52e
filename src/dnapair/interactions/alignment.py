"""Where two sequences meet best: their local alignment, base beside base, for people."""

from typing import Any, NamedTuple

import numpy as np

from dnapair.interactions.kernels import GAP, MATCH, MISMATCH, WOBBLE, lay
from dnapair.interactions.layout import KINDS
from dnapair.interactions.rows import encode
from dnapair.machine.compiling import compiled

LONGEST_SHOWN = 4000
"""Bases of each sequence before the alignment's end that it is looked for in: more than a page can show."""
_DIAGONAL, _FIRST, _SECOND = 1, 2, 3


class Match(NamedTuple):
    """A local alignment.

    Attributes
    ----------
    kind
        One of :data:`~dnapair.interactions.layout.KINDS`.
    score
        Of the alignment.
    start1, start2
        Positions of its leftmost bases in the first and in the second sequence, from 1.
    end1, end2
        Of its rightmost bases.
    first, between, second
        Three lines of one length. The second sequence runs from left to right; so does the first, unless its
        reverse complement is aligned: then its own bases stand from right to left, each beside its partner.
        ``|`` a match, ``:`` G and U, ``-`` a gap.
    """

    kind: str
    score: int
    start1: int
    start2: int
    end1: int
    end2: int
    first: str
    between: str
    second: str


def best_match(seq1: str, seq2: str) -> Match | None:
    """Find the best local alignment of all kinds.

    Parameters
    ----------
    seq1, seq2
        Upper-case letters.

    Returns
    -------
    Match or None
        None where nothing matches. Of equal scores, the kind that comes first.
    """
    found = [_align(seq1, seq2, kind) for kind in range(len(KINDS))]
    best = max(found, key=lambda match: match.score)
    return best if best.score else None


def _align(seq1: str, seq2: str, kind: int) -> Match:
    codes1, codes2 = encode(seq1), encode(seq2)
    n = codes1.size
    x, y = np.empty((2, n), np.int16)
    lay(codes1, kind, x, y)
    b = np.where(codes2 < 4, codes2, 5).astype(np.int16)
    scores = (MATCH, WOBBLE if kind == 2 else MISMATCH, MISMATCH, GAP)
    score, last1, last2 = _find_end(x, y, b, *scores)
    begin1, begin2 = max(0, last1 + 1 - LONGEST_SHOWN), max(0, last2 + 1 - LONGEST_SHOWN)
    steps = _trace(x[begin1 : last1 + 1], y[begin1 : last1 + 1], b[begin2 : last2 + 1], *scores)
    letters = seq1 if kind == 0 else seq1[::-1]
    first, between, second = [], [], []
    i, j = last1, last2
    for step in steps:
        above, below = step != _SECOND, step != _FIRST
        first.append(letters[i] if above else "-")
        second.append(seq2[j] if below else "-")
        matches = above and below and x[i] == b[j]
        wobbles = above and below and y[i] == b[j]
        between.append("|" if matches else ":" if wobbles else " ")
        i, j = i - above, j - below
    start1, end1 = (i + 2, last1 + 1) if kind == 0 else (n - last1, n - 1 - i)
    lines = ("".join(reversed(line)) for line in (first, between, second))
    return Match(KINDS[kind], score, start1, j + 2, end1, last2 + 1, *lines)


@compiled
def _find_end(x: Any, y: Any, b: Any, match: int, wobble: int, mismatch: int, gap: int) -> Any:
    """Return the best score, and the last base of each sequence in the first alignment that has it."""
    previous, current = np.zeros((2, b.size + 1), np.int64)
    best = last1 = last2 = 0
    for i in range(x.size):
        for j in range(b.size):
            score = match if b[j] == x[i] else wobble if b[j] == y[i] else mismatch
            score = max(0, previous[j] + score, max(previous[j + 1], current[j]) - gap)
            current[j + 1] = score
            if score > best:
                best, last1, last2 = score, i, j
        previous, current = current, previous
    return best, last1, last2


@compiled
def _trace(x: Any, y: Any, b: Any, match: int, wobble: int, mismatch: int, gap: int) -> Any:
    """Return the steps of the alignment that ends at the last base of both, from there back to its start."""
    n, m = x.size, b.size
    scores = np.zeros((n + 1, m + 1), np.int32)
    for i in range(n):
        for j in range(m):
            score = match if b[j] == x[i] else wobble if b[j] == y[i] else mismatch
            scores[i + 1, j + 1] = max(0, scores[i, j] + score, max(scores[i, j + 1], scores[i + 1, j]) - gap)
    steps = np.zeros(n + m, np.int8)
    count = 0
    i, j = n, m
    while i and j and scores[i, j]:
        score = match if b[j - 1] == x[i - 1] else wobble if b[j - 1] == y[i - 1] else mismatch
        if scores[i, j] == scores[i - 1, j - 1] + score:
            steps[count] = _DIAGONAL
            i, j = i - 1, j - 1
        elif scores[i, j] == scores[i - 1, j] - gap:
            steps[count] = _FIRST
            i -= 1
        else:
            steps[count] = _SECOND
            j -= 1
        count += 1
    return steps[:count]


def spell(match: Match, width: int = 80) -> list[str]:
    """Write an alignment as text, so many columns a line.

    Returns
    -------
    list of str
        A heading, then three lines for each part, and an empty one between parts.
    """
    turned = match.kind != KINDS[0]
    identical = match.between.count("|")
    lines = [
        f"{identical} of {len(match.between)} positions match, {match.kind}, score {match.score}: "
        f"seq1 {match.start1:,} to {match.end1:,}, seq2 {match.start2:,} to {match.end2:,}"
    ]
    for start in range(0, len(match.between), width):
        part = slice(start, start + width)
        ends = ("3'", "5'") if turned else ("5'", "3'")
        lines += [
            *([""] if start else []),
            f"seq1 {ends[0]} {match.first[part]} {ends[1]}",
            f"        {match.between[part]}",
            f"seq2 5' {match.second[part]} 3'",
        ]
    return [line.rstrip() for line in lines]

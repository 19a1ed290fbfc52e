"""The duplex that two strands make, by the energies of its stacked base pairs, compiled by Numba."""

from typing import Any

import numpy as np

from dnapair.interactions.kernels import UNKNOWN1, UNKNOWN2
from dnapair.machine.compiling import compiled

STACKS = {
    "AU": {"AU": 9, "CG": 22, "GC": 21, "UA": 11, "GU": 6, "UG": 14},
    "CG": {"AU": 21, "CG": 33, "GC": 24, "UA": 21, "GU": 14, "UG": 21},
    "GC": {"AU": 24, "CG": 34, "GC": 33, "UA": 22, "GU": 15, "UG": 25},
    "UA": {"AU": 13, "CG": 24, "GC": 21, "UA": 9, "GU": 10, "UG": 13},
    "GU": {"AU": 13, "CG": 25, "GC": 21, "UA": 14, "GU": 5, "UG": -13},
    "UG": {"AU": 10, "CG": 15, "GC": 14, "UA": 6, "GU": -3, "UG": 5},
}
"""What a base pair frees by stacking upon the one before it, in 0.1 kcal/mol: RNA at 37 degrees Celsius.

The first letter of each pair is on one strand, from 5' to 3', the second on the other. Source: Mathews et al.
2004, "Incorporating chemical modification constraints into a dynamic programming algorithm for prediction of
RNA secondary structure"; Watson-Crick pairs by Xia et al. 1998.
"""
END, OPEN, EXTEND = 5, 20, 3
"""What it costs, in 0.1 kcal/mol, to begin with another pair than G:C, to open a loop, and each base of it or
two across from each other: for bulges and internal loops alike, simpler than the nearest-neighbour rules."""
MOST = 32000
"""Energies end here, so that they fit 16 bits."""

_int16 = np.int16
_NONE = -1000
_STACKS = np.zeros((2, 2, 4, 4), np.int16)
for _before, _row in STACKS.items():
    for _next, _energy in _row.items():
        _wobbles = [int(pair in {"GU", "UG"}) for pair in (_before, _next)]
        _STACKS[(*_wobbles, "ACGU".index(_before[0]), "ACGU".index(_next[0]))] = _energy


@compiled
def describe_duplexes(
    codes: Any, starts: Any, rows1: Any, rows2: Any, bins1: int, bins2: int, rows: Any
) -> None:
    """Fill in what the duplexes of pairs free, in kcal/mol: along both sequences, and the most.

    First of the first sequence with the second, then with the strand across from the second, as a guide binds
    the strand across from its site.

    Parameters
    ----------
    codes, starts, rows1, rows2, bins1, bins2
        As for :func:`dnapair.interactions.kernels.describe`.
    rows : np.ndarray, shape=(n, 2 * (bins1 + bins2 + 1))
        float32, filled in.
    """
    longest = 0
    for pair in range(rows1.size):
        for row in (rows1[pair], rows2[pair]):
            longest = max(longest, starts[row + 1] - starts[row])
    scratch = np.empty((17, longest + 2), np.int16)
    width = bins1 + bins2 + 1
    for pair in range(rows1.size):
        first = codes[starts[rows1[pair]] : starts[rows1[pair] + 1]]
        second = codes[starts[rows2[pair]] : starts[rows2[pair] + 1]]
        n, m = first.size, second.size
        freed1, freed2, strand = scratch[14, :n], scratch[15, :m], scratch[16, : m + 1]
        # nothing pairs with the place behind the strand's last base
        strand[m] = UNKNOWN2
        for other in range(2):
            for j in range(m):
                code = _int16(second[m - 1 - j] if other else second[j])
                code = _int16(3 - code if other and code < UNKNOWN1 else code)
                strand[j] = code if code < UNKNOWN1 else UNKNOWN2
            _find_duplexes(first, strand, freed1, freed2, scratch)
            out = rows[pair, other * width : (other + 1) * width]
            _pool(freed1, False, out[:bins1])
            _pool(freed2, other == 1, out[bins1 : bins1 + bins2])
            out[-1] = freed1.max() / 10


@compiled
def _find_duplexes(first: Any, b: Any, freed1: Any, freed2: Any, scratch: Any) -> None:
    """Find for each base the most that a duplex of the two strands frees whose last pair has this base.

    Its last pair is the one nearest to the first strand's 3' end. By dynamic programming along the
    antidiagonals, as :func:`dnapair.interactions.kernels.local_alignment`.
    """
    n, m = first.size, freed2.size
    x, y, alone = scratch[0, : n + 1], scratch[1, :n], scratch[2, :n]
    # what stacking frees, by whether the pair before and this one are firm (Watson-Crick) or wobble
    ff, fw, wf, ww = scratch[3, :n], scratch[4, :n], scratch[5, :n], scratch[6, :n]
    stacked = scratch[7, :n]
    # what pairs with base i is at i + 1: nothing pairs with the place before the first
    x[0] = -1
    for i in range(n):
        code = _int16(first[i])
        known = code < UNKNOWN1
        x[i + 1] = 3 - code if known else -1
        # G with U, and U with G
        y[i] = 5 - code if known and code >= 2 else -1
        alone[i] = 0 if code in (1, 2) else -END
        before = first[i - 1] if i else UNKNOWN1
        follows = known and before < UNKNOWN1
        ff[i] = _STACKS[0, 0, before, code] if follows else 0
        fw[i] = _STACKS[0, 1, before, code] if follows else 0
        wf[i] = _STACKS[1, 0, before, code] if follows else 0
        ww[i] = _STACKS[1, 1, before, code] if follows else 0
    # value i + 1 is base i's; a border runs before the first base and behind the last of a diagonal
    scratch[8:14, : n + 1] = _NONE
    p, p1, p2 = scratch[8], scratch[9], scratch[10]
    q, q1, q2 = scratch[11], scratch[12], scratch[13]
    freed1[:] = 0
    freed2[:] = 0
    for diagonal in range(n + m - 1):
        # the second strand runs against the first: base j from its 3' end lies at m - 1 - j
        low, high = max(0, diagonal - m + 1), min(n, diagonal + 1)
        shift = m - 1 - diagonal
        paired, looped = p[low + 1 : high + 1], q[low + 1 : high + 1]
        letters = b[shift + low : shift + high + 1]
        _stack(
            stacked[low:high],
            x[low : high + 1],
            letters,
            ff[low:high],
            fw[low:high],
            wf[low:high],
            ww[low:high],
        )
        _pair(
            paired,
            p2[low:high],
            q2[low:high],
            stacked[low:high],
            x[low + 1 : high + 1],
            y[low:high],
            letters,
            alone[low:high],
        )
        _loop(looped, paired, q1[low + 1 : high + 1], q1[low:high], q2[low:high])
        _keep_greater(paired, freed1[low:high])
        _keep_greater(paired, freed2[shift + low : shift + high])
        p[low] = q[low] = _NONE
        if high < n:
            p[high + 1] = q[high + 1] = _NONE
        p, p1, p2 = p2, p, p1
        q, q1, q2 = q2, q, q1


# In these, each value is read before it is chosen between, and each writes one array: only so does LLVM make
# vector instructions of them.
@compiled
def _stack(stacked: Any, x: Any, b: Any, ff: Any, fw: Any, wf: Any, ww: Any) -> None:
    for i in range(stacked.size):
        pairs, firm = b[i] == x[i + 1], b[i + 1] == x[i]
        both, second, first, none = ff[i], fw[i], wf[i], ww[i]
        on_firm = both if pairs else second
        on_wobble = first if pairs else none
        stacked[i] = on_firm if firm else on_wobble


@compiled
def _pair(
    paired: Any, paired_before: Any, looped_before: Any, stacked: Any, x: Any, y: Any, b: Any, alone: Any
) -> None:
    for i in range(paired.size):
        base = b[i]
        pairs, wobbles = base == x[i], base == y[i]
        begun = alone[i]
        begun = begun if pairs else _int16(-END)
        freed = _int16(paired_before[i] + stacked[i])
        across = looped_before[i]
        freed = freed if freed > across else across
        freed = freed if freed > begun else begun
        freed = freed if freed < MOST else _int16(MOST)
        wobbled = freed if wobbles else _int16(_NONE)
        paired[i] = freed if pairs else wobbled


@compiled
def _loop(looped: Any, paired: Any, left: Any, above: Any, across: Any) -> None:
    for i in range(looped.size):
        one, two, three = left[i], above[i], across[i]
        loop = one if one > two else two
        loop = loop if loop > three else three
        loop = _int16(loop - EXTEND)
        opened = _int16(paired[i] - OPEN)
        loop = loop if loop > opened else opened
        looped[i] = loop if loop > _NONE else _int16(_NONE)


@compiled
def _keep_greater(values: Any, greatest: Any) -> None:
    for i in range(values.size):
        value, old = values[i], greatest[i]
        greatest[i] = value if value > old else old


@compiled
def _pool(freed: Any, turned: bool, out: Any) -> None:
    n, bins = freed.size, out.size
    out[:] = 0
    for i in range(n):
        place = i if n <= bins else i * bins // n
        value = freed[n - 1 - i if turned else i] / 10
        if value > out[place]:
            out[place] = value

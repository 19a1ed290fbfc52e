"""Which numbers the row of a pair holds: fitted on the train pairs, kept with the model."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnapair.errors import DnapairError

KINDS = ("forward", "reverse complement", "wobble")
"""How the first sequence is laid against the second: as it is; reverse-complemented; so, with G:U pairs.

Rows had the third before there were duplexes, which know G:U better; people are still shown alignments by it.
"""
DUPLEXES = ("duplex", "duplex with the other strand")
"""What the first sequence pairs with: the second; the strand across from the second."""
RUNS = (3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32)
"""Bases in exact runs of so many and more are counted."""
KMERS = (2, 3, 4, 5, 6, 7, 8)
"""Lengths of the k-mers whose shared ones are counted."""
PLACES = 2
"""Places for each kind and side: where the longest run begins, where the best alignment ends."""

VERSION = 1
"""Of the rows: it grows where the same pair and settings get other numbers."""

_SHARED_SHARE = 0.01
_LENGTHS_APART = 0.5
_TIMES_MORE = 10
_CODE = ("duplex.py", "kernels.py", "layout.py", "negatives.py", "rows.py")


class Layout(NamedTuple):
    """The row of a pair: numbers of the first sequence, of the second, and of both.

    Attributes
    ----------
    bins1, bins2
        Places of a profile along the first and along the second sequence. A sequence of at most so many bases
        has a place for each, a longer one the greatest value of the bases that share a place.
    aligned
        Whether train has pairs of equal lengths, so that agreement at the same offset is told.
    symmetric
        Whether both orders of a pair have one row: of the sides' numbers, the greater and the smaller.
    version
        :data:`VERSION` of the dnapair that fitted it.
    wobble
        Whether all three of :data:`KINDS` are told, as in rows of before, or the first two.
    duplex
        Whether the energies of both :data:`DUPLEXES` are told. Rows of before have none.
    """

    bins1: int
    bins2: int
    aligned: bool
    symmetric: bool
    version: int = VERSION
    wobble: bool = True
    duplex: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        """Those of :data:`KINDS` that a row tells of."""
        return KINDS if self.wobble else KINDS[:2]

    @property
    def sides(self) -> tuple[int, int]:
        """Numbers of the first and of the second sequence."""
        kinds = len(self.kinds)
        own = kinds * (len(RUNS) + 1 + PLACES) + 1
        return kinds * self.bins1 + own, kinds * self.bins2 + own

    @property
    def width(self) -> int:
        """Numbers of a row."""
        return len(self.names())

    def names(self) -> list[str]:
        """Say what each number of a row is."""
        first, second = ("greater", "smaller") if self.symmetric else ("seq1", "seq2")
        return [
            *_side_names(first, self.kinds, self.bins1),
            *_side_names(second, self.kinds, self.bins2),
            *(f"{kind}: {what}" for kind in self.kinds for what in ("longest run", "best alignment")),
            *(f"shared {k}-mers, {kind}" for k in KMERS for kind in KINDS[:2]),
            *(
                [
                    "equal lengths",
                    "bases equal at the same offset",
                    *(f"equal at {place + 1}" for place in range(self.bins1)),
                ]
                if self.aligned
                else []
            ),
            *(
                name
                for duplex in (DUPLEXES if self.duplex else ())
                for name in (
                    *(f"{first}, {duplex}: energy at {place + 1}" for place in range(self.bins1)),
                    *(f"{second}, {duplex}: energy at {place + 1}" for place in range(self.bins2)),
                    f"{duplex}: greatest energy",
                )
            ),
        ]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Layout":
        """Build it from what ``_asdict`` gave.

        Raises
        ------
        DnapairError
            If it is no layout, or one whose numbers this dnapair does not make.
        """
        try:
            layout = cls(**content)
        except TypeError:
            layout = None
        if (
            layout is None
            or not all(type(bins) is int and 0 < bins <= 4096 for bins in layout[:2])
            or not all(type(flag) is bool for flag in (*layout[2:4], *layout[5:]))
            or (layout.bins1 != layout.bins2 and (layout.symmetric or layout.aligned))
            or (layout.symmetric and layout.duplex)
        ):
            raise DnapairError(
                f"This is no layout of interactions: {str(dict(content))[:200]}. Make them again: dvc repro"
            )
        if layout.version != VERSION:
            raise DnapairError(
                f"These interactions are of version {layout.version}, and this dnapair makes version "
                f"{VERSION}: the same pair has other numbers. Train and register the model again with this "
                "one, or use the dnapair that made it."
            )
        return layout


def fit_layout(
    lengths1: NDArray[np.int64], lengths2: NDArray[np.int64], bins: int, symmetric: bool
) -> Layout:
    """Fit the row to the train pairs.

    Parameters
    ----------
    lengths1, lengths2 : np.ndarray, shape=(n,)
        Bases of the first and of the second sequence of each train pair.
    bins
        Places of a profile at most.
    symmetric
        See :class:`Layout`.

    Returns
    -------
    Layout
        With no more places than the longest sequence has bases, and with duplexes where the order matters:
        where it does not, both are of one kind, such as two fragments of a genome, not a strand and its site.
    """
    aligned = bool((lengths1 == lengths2).any())
    first, second = (min(bins, int(lengths.max())) for lengths in (lengths1, lengths2))
    if symmetric or aligned:
        first = second = max(first, second)
    return Layout(first, second, aligned, symmetric, wobble=False, duplex=not symmetric)


def sides_differ(rows1: NDArray[np.int64], rows2: NDArray[np.int64], lengths: NDArray[np.int64]) -> bool:
    """Tell whether the first sequences of pairs are of another kind than the second ones.

    They are where nearly no sequence is on both sides, and the lengths differ, or one side has far fewer
    sequences than the other, such as a few guides against many sites.

    Parameters
    ----------
    rows1, rows2 : np.ndarray, shape=(n,)
        Numbers of the sequences.
    lengths : np.ndarray, shape=(sequences,)
        Bases of each sequence.

    Returns
    -------
    bool
        False where the order of a pair is chance.
    """
    first, second = np.unique(rows1), np.unique(rows2)
    fewer, more = sorted((first.size, second.size))
    if np.intersect1d(first, second, assume_unique=True).size > _SHARED_SHARE * fewer:
        return False
    return more >= _TIMES_MORE * fewer or _distance(lengths[first], lengths[second]) > _LENGTHS_APART


def code_sha256() -> str:
    """Return the SHA-256 of the code that interactions depend on."""
    room = Path(__file__).parent
    return hashlib.sha256(b"".join((room / name).read_bytes() for name in _CODE)).hexdigest()


def _distance(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """Return the greatest distance of two distribution functions (Kolmogorov-Smirnov), 0 to 1."""
    values = np.union1d(one, other)
    shares = [np.searchsorted(np.sort(own), values, side="right") / own.size for own in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


def _side_names(side: str, kinds: tuple[str, ...], bins: int) -> list[str]:
    names = []
    for kind in kinds:
        names += [f"{side}, {kind}: alignment at {place + 1}" for place in range(bins)]
        names += [f"{side}, {kind}: bases in runs of {run}" for run in RUNS]
        names += [f"{side}, {kind}: mean run", f"{side}, {kind}: longest run's place"]
        names += [f"{side}, {kind}: best alignment's end"]
    return [*names, f"{side}: length"]

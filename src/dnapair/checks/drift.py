"""Whether input is like what a model was trained on: the train sequences described, and a watch over others.

Shares are held to their limits with Hoeffding's inequality (1963), distributions with that of Dvoretzky,
Kiefer and Wolfowitz in Massart's form (1990): what chance alone does to few sequences is no alarm.
"""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnapair.checks.summaries import Fact
from dnapair.embedding.kmers import base_codes

SAMPLE = 100_000
"""Train sequences that the statistics are taken of, at most: spread evenly, so that memory stays flat."""

_TAIL = 0.001
_GRID = np.unique([0, _TAIL, *np.linspace(0, 1, 101), 1 - _TAIL])
_FALSE_ALARM = 0.001
_GREATEST_HALF = float(np.finfo(np.float16).max)
_OTHER_BASE = 4
_DIGITS = 4
_C, _G = 2, 3


class Limits(NamedTuple):
    """How far input may be from the train sequences.

    Attributes
    ----------
    max_outside_share
        Of the sequences, those outside the range that 99.8 % of the train sequences have.
    max_distance
        Between two distributions: the greatest difference of their cumulative shares (Kolmogorov-Smirnov).
    max_clipped_share
        Of the values of the embeddings, those that scaling clips.
    """

    max_outside_share: float
    max_distance: float
    max_clipped_share: float


class _Kind(NamedTuple):
    """A number that every sequence has, and how it is written."""

    words: str
    pattern: str


_KINDS = {
    "length": _Kind("length", "{:,.0f} bases"),
    "gc": _Kind("GC content", "{:.1%}"),
    "unknown": _Kind("share of unknown k-mers", "{:.2%}"),
    "reach": _Kind("largest scaled value of the embedding", "{:.3f}"),
}


def describe(
    blocks: Iterable[tuple[Sequence[str], NDArray[Any]]], k: int, training_sequences: int, limits: Limits
) -> dict[str, Any]:
    """Describe the sequences that a model is trained on.

    Parameters
    ----------
    blocks
        Train sequences, all of them or :data:`SAMPLE` spread evenly, in upper case, of k letters at least;
        and with them their scaled embeddings, shape=(n, d).
    k
        Length of the encoder's k-mers in bases.
    training_sequences
        How many the scaler was fitted on.
    limits
        To hold input to; they stay with the description.

    Returns
    -------
    dict
        For :class:`Watch`, and for JSON: of each number that a sequence has its range, and its distribution
        as the shares of sequences below, and up to, each of about a hundred values.
    """
    parts: list[dict[str, NDArray[np.float64]]] = []
    dimensions = 0
    for sequences, embeddings in blocks:
        parts.append(_measure(sequences, embeddings, k))
        dimensions = embeddings.shape[1]
    statistics = {name: _distribution(np.concatenate([part[name] for part in parts])) for name in _KINDS}
    return {
        "k": k,
        "dimensions": dimensions,
        "training_sequences": training_sequences,
        "described_sequences": sum(part["length"].size for part in parts),
        "limits": limits._asdict(),
        "statistics": statistics,
    }


class Watch:
    """Counts what sequences are like since it was made, in constant memory; threads may share it.

    Parameters
    ----------
    reference
        What :func:`describe` returned for the model's train sequences.

    Attributes
    ----------
    limits : Limits
        That the reference holds input to.
    """

    def __init__(self, reference: dict[str, Any]) -> None:
        self.limits = Limits(**reference["limits"])
        self._k = int(reference["k"])
        # a value outside the range of n others has a chance of 2 / (n + 1), and one of d is enough
        unseen = 2 * reference["dimensions"] / (reference["training_sequences"] + 1)
        self._counters = {
            name: _Counter(own, min(1.0, unseen) if name == "reach" else 0.0)
            for name, own in reference["statistics"].items()
        }
        self._since = datetime.now(UTC)
        self._lock = Lock()
        self._clipped = self._values = 0

    def observe(self, sequences: Sequence[str], embeddings: NDArray[np.float32]) -> None:
        """Count sequences.

        Parameters
        ----------
        sequences
            Upper-case letters, each of k at least.
        embeddings : np.ndarray, shape=(len(sequences), d)
            Scaled, and not clipped (:meth:`~dnapair.embedding.scaling.Scaler.scale`).
        """
        if not len(sequences):
            return
        measured = _measure(sequences, embeddings, self._k)
        clipped = int(np.count_nonzero(~(np.abs(embeddings) <= 1)))
        with self._lock:
            for name, counter in self._counters.items():
                counter.add(measured[name])
            self._clipped += clipped
            self._values += embeddings.size

    def facts(self) -> list[Fact]:
        """Return what must hold for the sequences so far; none where there were none."""
        with self._lock:
            return self._facts()

    def report(self) -> dict[str, Any]:
        """Say what was seen.

        Returns
        -------
        dict
            For JSON. ``sequences`` since ``since``; ``in_range``, and ``faults``, a plain sentence for each
            number that left its range; ``statistics``: what was seen beside what the model was trained on.
        """
        with self._lock:
            facts = self._facts()
            count = self._count
            statistics = (
                {name: counter.compare() for name, counter in self._counters.items()} if count else {}
            )
            clipped = self._clipped / self._values if count else 0.0
        faults = [f"{fact.fault}: {fact.observed}." for fact in facts if not fact.holds]
        return {
            "since": self._since.isoformat(timespec="seconds"),
            "sequences": count,
            "in_range": not faults,
            "faults": faults,
            "clipped_share": clipped,
            "statistics": statistics,
        }

    @property
    def _count(self) -> int:
        return self._counters["length"].total

    def _facts(self) -> list[Fact]:
        n = self._count
        if not n:
            return []
        chance = math.sqrt(math.log(2 / _FALSE_ALARM) / (2 * n))
        limits = self.limits
        facts = []
        for name, counter in self._counters.items():
            facts += [
                counter.range_fact(_KINDS[name], limits.max_outside_share, chance),
                counter.distance_fact(_KINDS[name], limits.max_distance, chance),
            ]
        share = self._clipped / self._values
        return [
            *facts,
            Fact(
                "clipped values",
                f"At most {limits.max_clipped_share:.2%} of the embeddings' values lie outside the range "
                "that training has.",
                f"More than {limits.max_clipped_share:.2%} of the embeddings' values lie outside the range "
                "that training has, and are clipped",
                round(share, _DIGITS),
                0,
                # values of one embedding go together: chance is over sequences
                min(1.0, limits.max_clipped_share + chance),
                f"{share:.2%}",
            ),
        ]


class _Counter:
    """One number of the sequences so far, against its distribution in training."""

    def __init__(self, reference: dict[str, Any], unseen: float) -> None:
        self._edges = np.array(reference["edges"], np.float64)
        # shares below and up to each edge, in turn: an edge may be the value of many sequences
        self._reference = np.stack([reference["below"], reference["upto"]], axis=1).ravel()
        self._low, self._high = float(reference["low"]), float(reference["high"])
        self._trained_on = {key: reference[key] for key in ("smallest", "low", "median", "high", "greatest")}
        self._unseen = unseen
        self._counts = np.zeros(2 * self._edges.size + 1, np.int64)
        self._smallest, self._greatest = np.inf, -np.inf
        self._outside = self.total = 0

    def add(self, values: NDArray[np.float64]) -> None:
        # even places are between edges, odd ones on an edge
        left = np.searchsorted(self._edges, values, side="left")
        right = np.searchsorted(self._edges, values, side="right")
        self._counts += np.bincount(left + right, minlength=self._counts.size)
        self._outside += int(np.count_nonzero((values < self._low) | (values > self._high)))
        self._smallest = min(self._smallest, float(values.min()))
        self._greatest = max(self._greatest, float(values.max()))
        self.total += values.size

    def compare(self) -> dict[str, Any]:
        return {
            "trained_on": self._trained_on,
            "smallest": self._smallest,
            "greatest": self._greatest,
            "outside_share": self._outside / self.total,
            "distance": self._distance()[0],
        }

    def range_fact(self, kind: _Kind, limit: float, chance: float) -> Fact:
        low, high = (kind.pattern.format(end) for end in (self._low, self._high))
        trained = f"{low} to {high}" if self._low < self._high else low
        limit += self._unseen
        seen = " to ".join(kind.pattern.format(end) for end in (self._smallest, self._greatest))
        share = self._outside / self.total
        return Fact(
            f"range of {kind.words}",
            f"At most {limit:.1%} of sequences are outside training's range of {kind.words} ({trained}).",
            f"More than {limit:.1%} of sequences are outside training's range of {kind.words} ({trained})",
            round(share, _DIGITS),
            0,
            min(1.0, limit + chance),
            f"{share:.1%}; {seen}",
        )

    def distance_fact(self, kind: _Kind, limit: float, chance: float) -> Fact:
        limit += self._unseen
        distance, place = self._distance()
        edge = kind.pattern.format(self._edges[place // 2])
        seen, trained = self._seen()[place], self._reference[place]
        return Fact(
            f"distribution of {kind.words}",
            f"The distribution of the {kind.words} is at most {limit:.2f} (Kolmogorov-Smirnov) from that "
            "in training.",
            f"The distribution of the {kind.words} is more than {limit:.2f} (Kolmogorov-Smirnov) from that "
            "in training",
            round(distance, _DIGITS),
            0,
            min(1.0, limit + chance),
            f"{'at most' if place % 2 else 'less than'} {edge}: {seen:.1%} of {self.total:,} sequences, "
            f"{trained:.1%} in training",
        )

    def _seen(self) -> NDArray[np.float64]:
        shares: NDArray[np.float64] = np.cumsum(self._counts)[:-1] / self.total
        return shares

    def _distance(self) -> tuple[float, int]:
        """Return the greatest difference of the cumulative shares, and its place among them."""
        differences = np.abs(self._seen() - self._reference)
        place = int(differences.argmax())
        return float(differences[place]), place


def _measure(sequences: Sequence[str], embeddings: NDArray[Any], k: int) -> dict[str, NDArray[np.float64]]:
    """Return each number of n sequences, shape=(n,)."""
    lengths = np.array([len(sequence) for sequence in sequences])
    bases = base_codes("".join(sequences))
    ends = np.cumsum(lengths)
    starts = ends - lengths
    known = np.add.reduceat(bases != _OTHER_BASE, starts, dtype=np.int64)
    strong = np.add.reduceat((bases == _C) | (bases == _G), starts, dtype=np.int64)
    unknown = np.zeros(len(sequences), np.int64)
    if known.sum() < bases.size:
        touched = np.zeros(bases.size, bool)
        for offset in range(k):
            touched[: bases.size - offset] |= bases[offset:] == _OTHER_BASE
        for offset in range(1, k):
            # no k-mer begins so near to the end
            touched[ends - offset] = False
        unknown = np.add.reduceat(touched, starts, dtype=np.int64)
    greatest = np.nan_to_num(np.abs(embeddings).max(axis=1), nan=_GREATEST_HALF, posinf=_GREATEST_HALF)
    return {
        "length": lengths.astype(np.float64),
        "gc": strong / np.maximum(known, 1),
        "unknown": unknown / (lengths - k + 1),
        # float16, as the pipeline keeps scaled values
        "reach": np.minimum(greatest, _GREATEST_HALF).astype(np.float16).astype(np.float64),
    }


def _distribution(values: NDArray[np.float64]) -> dict[str, Any]:
    # values that are there, not values between them: what lies on an edge is compared exactly
    quantiles = np.quantile(values, _GRID, method="inverted_cdf")
    ordered = np.sort(values)
    edges = np.unique(quantiles)
    low, high = (float(quantiles[np.searchsorted(_GRID, share)]) for share in (_TAIL, 1 - _TAIL))
    return {
        "smallest": float(ordered[0]),
        "low": low,
        "median": float(quantiles[np.searchsorted(_GRID, 0.5)]),
        "high": high,
        "greatest": float(ordered[-1]),
        "edges": edges.tolist(),
        "below": (np.searchsorted(ordered, edges, side="left") / ordered.size).tolist(),
        "upto": (np.searchsorted(ordered, edges, side="right") / ordered.size).tolist(),
    }

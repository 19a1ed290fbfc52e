"""Whether input is like what a model was trained on: a watch over sequences, beside the train sequences.

Shares are held to their limits with Hoeffding's inequality (1963), distributions with that of Dvoretzky,
Kiefer and Wolfowitz in Massart's form (1990): what chance alone does to few sequences is no alarm.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnapair.checks.facts import Fact
from dnapair.checks.reference import KINDS, Kind, Limits, measure

_FALSE_ALARM = 0.001
_DIGITS = 4


class Watch:
    """Counts what sequences are like since it was made, in constant memory; threads may share it.

    Parameters
    ----------
    reference
        What :func:`dnapair.checks.reference.describe` returned for the model's train sequences.

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
        self._pairs = self._clipped_interactions = self._interactions = 0

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
        measured = measure(sequences, embeddings, self._k)
        clipped = int(np.count_nonzero(~(np.abs(embeddings) <= 1)))
        with self._lock:
            for name, counter in self._counters.items():
                counter.add(measured[name])
            self._clipped += clipped
            self._values += embeddings.size

    def observe_pairs(self, interactions: NDArray[np.float64]) -> None:
        """Count the interactions of pairs, shape=(n, width), scaled and not clipped."""
        clipped = int(np.count_nonzero(~(np.abs(interactions) <= 1)))
        with self._lock:
            self._pairs += len(interactions)
            self._clipped_interactions += clipped
            self._interactions += interactions.size

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
            interactions = self._clipped_interactions / max(self._interactions, 1)
        faults = [f"{fact.fault}: {fact.observed}." for fact in facts if not fact.holds]
        return {
            "since": self._since.isoformat(timespec="seconds"),
            "sequences": count,
            "in_range": not faults,
            "faults": faults,
            "clipped_share": clipped,
            "clipped_interactions_share": interactions,
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
                counter.range_fact(KINDS[name], limits.max_outside_share, chance),
                counter.distance_fact(KINDS[name], limits.max_distance, chance),
            ]
        facts.append(self._clipped_fact("embeddings", self._clipped / self._values, chance))
        if self._pairs:
            chance = math.sqrt(math.log(2 / _FALSE_ALARM) / (2 * self._pairs))
            share = self._clipped_interactions / self._interactions
            facts.append(self._clipped_fact("interactions", share, chance))
        return facts

    def _clipped_fact(self, of: str, share: float, chance: float) -> Fact:
        limit = self.limits.max_clipped_share
        return Fact(
            f"clipped values of the {of}",
            f"At most {limit:.2%} of the {of}' values lie outside the range that training has.",
            f"More than {limit:.2%} of the {of}' values lie outside the range that training has, and are "
            "clipped",
            round(share, _DIGITS),
            0,
            # values of one row go together: chance is over rows
            min(1.0, limit + chance),
            f"{share:.2%}",
        )


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

    def range_fact(self, kind: Kind, limit: float, chance: float) -> Fact:
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

    def distance_fact(self, kind: Kind, limit: float, chance: float) -> Fact:
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

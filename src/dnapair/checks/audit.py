"""The audit: every check of every split against those it must not know."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnapair.checks.findings import CALLED, SHOWN, Finding, Limit, level_of, percent, some
from dnapair.checks.single_side import Read, single_side, tell_single_side
from dnapair.checks.sketches import NearRepeats, near_repeats
from dnapair.checks.split_rows import SplitRows
from dnapair.checks.strands import find_pairs
from dnapair.data.strands import canonical_rows

GROUPED = "split.method: grouped and split.strands: both"
"""Settings by which no sequence is in two splits, on either strand."""
EARLIER = {"val": ("train",), "test": ("train", "val")}
"""What a pair of a split may not be in: what was fitted, and what was chosen by."""


class Groups(NamedTuple):
    """What pairs have in common.

    Attributes
    ----------
    columns : list of str
        Where it stands.
    numbers : np.ndarray, shape=(pairs, columns)
        The groups of each pair of pairs.parquet.
    name : callable
        Gives the names of a pair's groups, in the order of the columns.
    """

    columns: list[str]
    numbers: NDArray[np.int64]
    name: Callable[[int], list[str]]


class Rules(NamedTuple):
    """What the audit holds against what.

    Attributes
    ----------
    limits : dict of Limit
        Of each check, by its name.
    k
        Length of the k-mers of near repeats.
    containment
        Share of them that makes one.
    """

    limits: Mapping[str, Limit]
    k: int
    containment: float


def audit(
    splits: Mapping[str, SplitRows],
    sequences: Sequence[str],
    read: Read,
    read_ids: Read,
    groups: Groups | None,
    rules: Rules,
    seed: int,
) -> list[Finding]:
    """Look for what train and the other splits have in common, and for labels that one sequence tells.

    Parameters
    ----------
    splits
        Pairs of ``train``, ``val`` and ``test``; their rows name sequences.
    sequences
        The unique sequences, read one after the other and never held.
    read, read_ids
        Read some of the sequences, and their ids.
    groups
        None where the pairs have none.
    rules
        Limits, and what a near repeat is.
    seed
        Of what is drawn.

    Returns
    -------
    list of Finding
        Of every check, those that found nothing too.
    """
    rows = _Rows(splits, canonical_rows(sequences), read_ids, rules.limits)
    copies = rows.in_train | rows.canonical_in_train[rows.canonical]
    queries = rows.used("val", "test") & ~copies
    near = near_repeats(sequences, queries, rows.in_train, rules.k, rules.containment)
    nearest, share = np.full(queries.size, -1), np.zeros(queries.size)
    nearest[queries], share[queries] = near.nearest, near.share

    def describe_near(row: int) -> str:
        other = rows.name(int(nearest[row]))
        return f"{rows.name(row)} shares {percent(share[row])} of its {rules.k}-mers with {other}"

    findings = [rows.repeated_pairs(split) for split in EARLIER]
    findings += [
        rows.sequences(
            "repeated_sequences",
            split,
            rows.in_train,
            "a sequence that train has too",
            lambda row: f"{rows.name(row)} is in train",
            "Set split.method: grouped, which never puts a sequence into two splits; or report the "
            f"{CALLED[split]} pairs with a sequence of train apart from the others.",
        )
        for split in EARLIER
    ]
    findings += [
        rows.sequences(
            "reverse_complements",
            split,
            ~rows.in_train & rows.canonical_in_train[rows.canonical],
            "a sequence that train has on the other strand alone",
            lambda row: f"{rows.name(row)} is the reverse complement of {rows.name(rows.train_row(row))}",
            f"Set {GROUPED}: then both are one sequence, whose pairs are in one split.",
        )
        for split in EARLIER
    ]
    findings += [
        rows.sequences(
            "near_repeats",
            split,
            nearest >= 0,
            f"a sequence that shares at least {percent(rules.containment)} of its {rules.k}-mers with one of "
            "train, and is no copy of it",
            describe_near,
            "Cluster the sequences (with MMseqs2 or CD-HIT, say), give the pair table columns cluster1 and "
            "cluster2 with the clusters of either side, and set split.method: grouped and split.groups: "
            "[cluster1, cluster2].",
            _caveat(near, rules.k),
        )
        for split in EARLIER
    ]
    if groups:
        findings += [rows.groups(split, groups) for split in EARLIER]
    told = single_side(read, splits["train"], splits["val"], seed)
    return [*findings, tell_single_side(told, splits["val"].label.size, rules.limits["single_side"])]


def dropped_pairs(count: int, of: int, examples: Sequence[str], limit: Limit) -> Finding:
    """Tell of pairs that the data had in two splits, of which all but the first were dropped.

    Parameters
    ----------
    count, of
        Of how many pairs that were read.
    examples
        Where they stand.
    limit
        Of repeated pairs; as nothing is left of them, the level is ``warn`` at most.

    Returns
    -------
    Finding
        Of the whole data.
    """
    share = count / max(of, 1)
    level = level_of(share, limit)
    if count:
        words = (
            f"{count:,} of {of:,} rows of the data ({percent(share)}) repeat a pair of another split; the "
            f"first row of each pair was kept, these were dropped: {some(examples, count)}"
        )
    else:
        words = "No row of the data repeats a pair of another split."
    return Finding(
        "repeated_pairs",
        None,
        "warn" if level == "fail" else level,
        words,
        count,
        of,
        share,
        list(examples[:SHOWN]),
        "Take these rows out of the pair table, so that its splits are what they say; or set split.method: "
        "grouped, which makes others.",
    )


class _Rows:
    """The sequences of each split, and what a finding says of them."""

    def __init__(
        self,
        splits: Mapping[str, SplitRows],
        canonical: NDArray[np.int64],
        read_ids: Read,
        limits: Mapping[str, Limit],
    ) -> None:
        self.splits, self.canonical, self.limits = splits, canonical, limits
        self._read_ids = read_ids
        self.in_train = self.used("train")
        self.canonical_in_train = np.zeros(canonical.size, bool)
        self.canonical_in_train[canonical[self.in_train]] = True

    def used(self, *splits: str) -> NDArray[np.bool_]:
        """Mark the sequences of splits."""
        used = np.zeros(self.canonical.size, bool)
        for split in splits:
            used[self.splits[split].seq1] = used[self.splits[split].seq2] = True
        return used

    def name(self, row: int) -> str:
        return self._read_ids(np.array([row]))[0]

    def train_row(self, row: int) -> int:
        """Return the row of train that is the same on either strand."""
        return int(np.flatnonzero(self.in_train & (self.canonical == self.canonical[row]))[0])

    def pair(self, split: str, place: int) -> str:
        row, seq1, seq2, _ = (part[place] for part in self.splits[split])
        return f"pair {row} ({self.name(seq1)}, {self.name(seq2)})"

    def repeated_pairs(self, split: str) -> Finding:
        pairs = {
            name: (self.canonical[own.seq1], self.canonical[own.seq2]) for name, own in self.splits.items()
        }
        found = {other: find_pairs(pairs[split], pairs[other]) for other in EARLIER[split]}

        def describe(place: int) -> str:
            other = next(name for name, places in found.items() if places[place] >= 0)
            return f"{self.pair(split, place)} is {self.pair(other, found[other][place])} of {other}"

        where = " or ".join(CALLED[other] for other in EARLIER[split])
        hit = np.any([places >= 0 for places in found.values()], axis=0)
        return self._finding(
            "repeated_pairs",
            split,
            hit,
            (f"are in {where} too", f"is in {where}"),
            describe,
            f"Set {GROUPED}, which put all pairs of a sequence into one split; or take these out of one.",
            ", in either order or on either strand",
        )

    def sequences(
        self,
        check: str,
        split: str,
        shared: NDArray[np.bool_],
        what: str,
        describe: Callable[[int], str],
        remedy: str,
        caveat: str = "",
    ) -> Finding:
        """Count the pairs with a sequence that is marked."""
        own = self.splits[split]

        def describe_pair(place: int) -> str:
            row = own.seq1[place] if shared[own.seq1[place]] else own.seq2[place]
            return f"in pair {own.row[place]} {describe(int(row))}"

        hit = shared[own.seq1] | shared[own.seq2]
        verbs = (f"have {what}", f"has {what}")
        return self._finding(check, split, hit, verbs, describe_pair, remedy, caveat=caveat)

    def groups(self, split: str, groups: Groups) -> Finding:
        """Count the pairs with a group that train has, in any of the columns."""
        in_train = np.zeros(int(groups.numbers.max()) + 1, bool)
        in_train[groups.numbers[self.splits["train"].row]] = True
        row = self.splits[split].row
        shared = in_train[groups.numbers[row]]

        def describe(place: int) -> str:
            names = groups.name(int(row[place]))
            known = dict.fromkeys(name for name, hit in zip(names, shared[place], strict=True) if hit)
            return f"pair {row[place]}: {' and '.join(known)}"

        what = f"a group ({', '.join(groups.columns)}) that train has too"
        return self._finding(
            "groups",
            split,
            shared.any(axis=1),
            (f"have {what}", f"has {what}"),
            describe,
            f"Set split.method: grouped and split.groups: [{', '.join(groups.columns)}].",
        )

    def _finding(
        self,
        check: str,
        split: str,
        hit: NDArray[np.bool_],
        verbs: tuple[str, str],
        describe: Callable[[int], str],
        remedy: str,
        manner: str = "",
        caveat: str = "",
    ) -> Finding:
        count, called = int(np.count_nonzero(hit)), CALLED[split]
        share = count / max(hit.size, 1)
        examples = [describe(place) for place in np.flatnonzero(hit)[:SHOWN].tolist()]
        many, none = verbs
        if count:
            words = (
                f"{count:,} of {hit.size:,} {called} pairs ({percent(share)}) {many}{manner}: "
                f"{some(examples, count)}"
            )
        else:
            words = f"No {called} pair {none}{manner}."
        level = level_of(share, self.limits[check])
        return Finding(check, split, level, words + caveat, count, hit.size, share, examples, remedy)


def _caveat(near: NearRepeats, k: int) -> str:
    words = ""
    if near.without:
        words += (
            f" {near.without:,} sequences of validation and test have no {k}-mer of A, C, G and T alone: "
            "nothing is known of them."
        )
    if near.unsettled:
        words += (
            f" {near.unsettled:,} sequences of validation and test share that much with all of train "
            "together; the data are too much alike to look for the one that does."
        )
    return words

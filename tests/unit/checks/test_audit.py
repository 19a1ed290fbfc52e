from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqleak.audit import load_task, run_audit

from dnapair.checks import single_side as single_side_module
from dnapair.checks import sketches
from dnapair.checks.audit import EARLIER, Groups, Rules, audit, dropped_pairs
from dnapair.checks.findings import Finding, Limit, percent, worst
from dnapair.checks.single_side import Told, interval, kmer_shares, single_side, tell_single_side
from dnapair.checks.sketches import kmer_hashes, near_repeats
from dnapair.checks.split_rows import SplitRows
from dnapair.checks.strands import find_pairs
from dnapair.data.sequences import reverse_complement
from dnapair.data.strands import canonical_rows

LIMITS = {
    "repeated_pairs": Limit("fail", 0.0),
    "repeated_sequences": Limit("warn", 0.0),
    "reverse_complements": Limit("fail", 0.0),
    "near_repeats": Limit("warn", 0.01),
    "groups": Limit("warn", 0.0),
    "single_side": Limit("warn", 0.55),
}
SIZES = {"train": 200, "val": 60, "test": 60}


def drawn(rng: np.random.Generator, length: int) -> str:
    return "".join(rng.choice(list("ACGT"), length))


@dataclass
class Data:
    """Pairs of random sequences without faults; each test plants one. Each sequence is in one pair."""

    sequences: list[str] = field(init=False)
    seq1: np.ndarray = field(init=False)
    seq2: np.ndarray = field(init=False)
    label: np.ndarray = field(init=False)
    groups: np.ndarray = field(init=False)
    split: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(1)
        pairs = sum(SIZES.values())
        self.sequences = [drawn(rng, 90) for _ in range(2 * pairs)]
        self.seq1, self.seq2 = np.arange(2 * pairs).reshape(2, -1)
        self.label = rng.integers(0, 2, pairs).astype(np.int8)
        self.groups = np.arange(2 * pairs).reshape(2, -1).T
        self.split = np.repeat(list(SIZES), list(SIZES.values()))

    def first(self, split: str) -> int:
        return int(np.flatnonzero(self.split == split)[0])

    def files(self) -> dict[str, SplitRows]:
        return {
            split: SplitRows(rows, self.seq1[rows], self.seq2[rows], self.label[rows])
            for split in SIZES
            for rows in [np.flatnonzero(self.split == split)]
        }

    def audited(self) -> dict[tuple[str, str | None], Finding]:
        groups = Groups(["g1", "g2"], self.groups, lambda row: [f"G{number}" for number in self.groups[row]])
        found = audit(
            self.files(),
            self.sequences,
            lambda rows: [self.sequences[row] for row in rows],
            lambda rows: [f"s{row}" for row in rows],
            groups,
            Rules(LIMITS, 21, 0.5),
            seed=1,
        )
        return {(finding.check, finding.split): finding for finding in found}


def levels(found: dict[tuple[str, str | None], Finding]) -> dict[tuple[str, str | None], str]:
    return {key: finding.level for key, finding in found.items() if finding.level != "pass"}


def test_sound_data_passes_every_check_with_a_sentence() -> None:
    found = Data().audited()
    assert levels(found) == {}
    assert set(found) == {(check, split) for check in LIMITS for split in ("val", "test")} - {
        ("single_side", "test")
    }
    assert found["repeated_pairs", "test"].words == (
        "No test pair is in train or validation, in either order or on either strand."
    )
    assert found["groups", "val"].words == "No validation pair has a group (g1, g2) that train has too."
    assert (
        all(finding.words.endswith((".", ").")) and finding.examples for finding in found.values()) is False
    )
    assert found["single_side", "val"].words.startswith("No sequence alone tells the labels of the 60 ")


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("split", ["val", "test"])
def test_a_duplicated_pair_across_splits_fails(split: str, swapped: bool) -> None:
    data = Data()
    copied, original = data.first(split) + 2, 7
    sides = (data.seq2, data.seq1) if swapped else (data.seq1, data.seq2)
    data.seq1[copied], data.seq2[copied] = sides[0][original], sides[1][original]
    found = data.audited()
    assert levels(found) == {("repeated_pairs", split): "fail", ("repeated_sequences", split): "warn"}
    first, second = ("s327", "s7") if swapped else ("s7", "s327")
    called = {"val": "validation", "test": "test"}[split]
    where = " or ".join({"val": "validation"}.get(other, other) for other in EARLIER[split])
    repeated = found["repeated_pairs", split]
    assert repeated.words == (
        f"1 of 60 {called} pairs (1.67 %) are in {where} too, in either order or on either strand: "
        f"pair {copied} ({first}, {second}) is pair 7 (s7, s327) of train."
    )
    assert (repeated.count, repeated.of, repeated.share) == (1, 60, 1 / 60)
    assert found["repeated_sequences", split].words == (
        f"1 of 60 {called} pairs (1.67 %) have a sequence that train has too: in pair {copied} {first} is in "
        "train."
    )


def test_a_test_pair_that_validation_has_fails_too() -> None:
    data = Data()
    data.seq1[260], data.seq2[260] = data.seq1[200], data.seq2[200]
    found = data.audited()
    assert levels(found) == {("repeated_pairs", "test"): "fail"}
    assert "pair 260 (s200, s520) is pair 200 (s200, s520) of val." in found["repeated_pairs", "test"].words


def test_reverse_complements_across_splits_fail() -> None:
    data = Data()
    for pair in (261, 265):
        data.sequences[data.seq2[pair]] = reverse_complement(data.sequences[pair - 260])
    found = data.audited()
    assert levels(found) == {("reverse_complements", "test"): "fail"}
    assert found["reverse_complements", "test"].words == (
        "2 of 60 test pairs (3.33 %) have a sequence that train has on the other strand alone: in pair 261 "
        "s581 is the reverse complement of s1, in pair 265 s585 is the reverse complement of s5."
    )


def test_a_pair_of_reverse_complements_is_a_repeated_pair() -> None:
    data = Data()
    for side in (data.seq1, data.seq2):
        data.sequences[side[262]] = reverse_complement(data.sequences[side[9]])
    assert levels(data.audited()) == {
        ("repeated_pairs", "test"): "fail",
        ("reverse_complements", "test"): "fail",
    }


@pytest.mark.parametrize("turned", [False, True])
def test_a_near_repeat_is_found_on_either_strand_with_its_share(turned: bool) -> None:
    data = Data()
    # 70 - 21 + 1 of 90 - 21 + 1 21-mers are those of train's
    near = data.sequences[3][:70] + data.sequences[201][70:]
    data.sequences[201] = reverse_complement(near) if turned else near
    found = data.audited()
    assert levels(found) == {("near_repeats", "val"): "warn"}
    assert found["near_repeats", "val"].words == (
        "1 of 60 validation pairs (1.67 %) have a sequence that shares at least 50 % of its 21-mers with one "
        "of train, and is no copy of it: in pair 201 s201 shares 71.4 % of its 21-mers with s3."
    )


def test_a_share_at_the_limit_is_no_finding_but_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Data()
    data.sequences[201] = data.sequences[3][:70] + data.sequences[201][70:]
    monkeypatch.setitem(LIMITS, "near_repeats", Limit("warn", 1 / 60))
    finding = data.audited()["near_repeats", "val"]
    assert (finding.level, finding.count) == ("pass", 1)


def test_groups_across_splits_are_named_and_the_column_does_not_matter() -> None:
    data = Data()
    data.groups[210, 1] = data.groups[4, 0]
    found = data.audited()
    assert levels(found) == {("groups", "val"): "warn"}
    assert found["groups", "val"].words == (
        "1 of 60 validation pairs (1.67 %) have a group (g1, g2) that train has too: pair 210: G4."
    )


@pytest.mark.parametrize("side", ["seq1", "seq2"])
def test_labels_that_depend_on_one_side_alone_are_found(side: str) -> None:
    data = Data()
    rng = np.random.default_rng(2)
    for row, label in zip(getattr(data, side), data.label, strict=True):
        shares = [0.1, 0.4, 0.4, 0.1] if label else [0.25] * 4
        data.sequences[row] = "".join(rng.choice(list("ACGT"), 90, p=shares))
    found = data.audited()
    assert levels(found) == {("single_side", "val"): "warn"}
    finding = found["single_side", "val"]
    assert finding.words.startswith(
        f"Labels depend on one sequence alone: {side}, by its 4-mers and length, tells those of 60 "
        "validation pairs with ROC-AUC 1.000 (95 % interval "
    )
    assert (finding.count, finding.of) == (1, 4)
    assert finding.share > 0.9


def test_sequences_that_always_have_one_label_are_found() -> None:
    data = Data()
    rng = np.random.default_rng(3)
    data.seq1 = rng.integers(0, 40, data.seq1.size)
    data.label = (data.seq1 % 2).astype(np.int8)
    finding = data.audited()["single_side", "val"]
    assert "seq1 by its labels in train: 1.000 (1.000 to 1.000)" in finding.examples
    assert finding.level == "warn"


def test_limit_of_single_side_is_held_against_the_lower_end() -> None:
    told = [Told("seq1", "x", 0.7, 0.54, 0.8), Told("seq2", "x", 0.6, 0.55, 0.65)]
    assert tell_single_side(told, 9, Limit("fail", 0.55)).level == "pass"
    assert tell_single_side(told, 9, Limit("fail", 0.549)).level == "fail"


def test_a_side_that_tells_labels_the_other_way_round_is_found() -> None:
    told = [Told("seq1", "its 4-mers", 0.52, 0.48, 0.56), Told("seq2", "its labels", 0.33, 0.3, 0.36)]
    finding = tell_single_side(told, 9, Limit("warn", 0.55))
    assert (finding.level, finding.count, finding.share) == ("warn", 1, 0.64)
    assert "seq2, by its labels, tells those" in finding.words
    assert finding.words.endswith("and below it the labels are told the other way round.")
    assert tell_single_side(told[:1], 9, Limit("warn", 0.55)).level == "pass"


def test_pairs_that_were_dropped_are_told_and_are_a_warning_at_most() -> None:
    assert dropped_pairs(0, 9, [], LIMITS["repeated_pairs"]).level == "pass"
    found = dropped_pairs(
        7, 1000, ["p.csv, line 9 (test) repeats p.csv, line 2 (train)"] * 5, Limit("fail", 0)
    )
    assert (found.level, found.split, found.count, found.share) == ("warn", None, 7, 0.007)
    assert found.words.startswith(
        "7 of 1,000 rows of the data (0.7 %) repeat a pair of another split; the first row of each pair was "
        "kept, these were dropped: p.csv, line 9 (test) repeats p.csv, line 2 (train), p.csv"
    )
    assert dropped_pairs(7, 1000, [], Limit("info", 0)).level == "info"


def test_three_examples_are_in_the_words_and_five_are_kept() -> None:
    data = Data()
    data.groups[200:207, 1] = np.arange(7)
    finding = data.audited()["groups", "val"]
    assert finding.words.endswith("that train has too: pair 200: G0, pair 201: G1, pair 202: G2, ...")
    assert finding.examples == [f"pair {200 + number}: G{number}" for number in range(5)]


def test_the_worst_level_and_percents() -> None:
    assert worst([]) == "pass"
    assert worst(list(Data().audited().values())) == "pass"
    assert [percent(share) for share in (0.0041, 0.123456, 1.0, 0.9995)] == [
        "0.41 %",
        "12.3 %",
        "100 %",
        "100 %",
    ]


# strands


@given(st.lists(st.text("ACGTN", min_size=1, max_size=6), min_size=1, max_size=30, unique=True))
def test_rows_are_canonical_alike_exactly_where_one_is_the_other_or_its_reverse(sequences: list[str]) -> None:
    rows = canonical_rows(sequences)
    for place, sequence in enumerate(sequences):
        same = [i for i, other in enumerate(sequences) if other in (sequence, reverse_complement(sequence))]
        assert rows[place] == same[0]


@given(st.data())
def test_pairs_are_found_in_either_order_by_hand_alike(data: st.DataObject) -> None:
    numbers = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12)
    wanted, known = data.draw(numbers), data.draw(numbers)
    columns = [tuple(np.array(pairs, np.int64).reshape(-1, 2).T) for pairs in (wanted, known)]
    expected = [next((i for i, other in enumerate(known) if set(other) == set(pair)), -1) for pair in wanted]
    assert find_pairs(*columns).tolist() == expected


# sketches


def sets(sequences: list[str], k: int) -> list[set[str]]:
    return [
        {
            min(kmer, reverse_complement(kmer))
            for kmer in (sequence[at : at + k] for at in range(len(sequence) - k + 1))
            if "N" not in kmer
        }
        for sequence in sequences
    ]


@given(st.lists(st.text("ACGTN", max_size=40), max_size=8), st.integers(1, 31))
def test_hashes_are_as_many_as_the_different_kmers_of_either_strand(sequences: list[str], k: int) -> None:
    hashes, owners = kmer_hashes(sequences, k)
    expected = sets(sequences, k)
    found = [set(hashes[owners == place].tolist()) for place in range(len(sequences))]
    assert [len(own) for own in found] == [len(own) for own in expected]
    assert len(set.union(set(), *found)) == len(set.union(set(), *expected))
    turned = kmer_hashes([reverse_complement(sequence) for sequence in sequences], k)
    assert np.sort(turned[0]).tolist() == np.sort(hashes).tolist()


@given(st.data())
def test_near_repeats_are_exact_where_all_kmers_are_kept(data: st.DataObject) -> None:
    pieces = st.lists(st.sampled_from(["ACCGTTA", "GGCATAC", "TTAGNCA", "CGATTGC"]), max_size=4)
    sequences = ["".join(data.draw(pieces)) for _ in range(8)]
    queries = np.arange(8) < 4
    containment = data.draw(st.sampled_from([0.2, 0.5, 1.0]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sketches, "BLOCK_LETTERS", data.draw(st.integers(1, 60)))
        patch.setattr(sketches, "HITS", data.draw(st.integers(1, 40)))
        found = near_repeats(sequences, queries, ~queries, 5, containment)
    kmers = sets(sequences, 5)
    assert found.without == sum(not own for own in kmers[:4])
    assert found.unsettled == 0
    for query in range(4):
        shares = [len(kmers[query] & other) / max(len(kmers[query]), 1) for other in kmers[4:]]
        hit = bool(kmers[query]) and max(shares) >= containment
        assert (found.nearest[query] >= 0) == hit
        if hit:
            assert found.share[query] == shares[found.nearest[query] - 4]


def test_sketches_estimate_the_share_where_not_all_kmers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sketches, "SKETCHED", 1)
    rng = np.random.default_rng(0)
    references = [drawn(rng, 2000) for _ in range(20)]
    queries = [
        own[: 2000 * part // 20] + drawn(rng, 2000 - 2000 * part // 20) for part, own in enumerate(references)
    ]
    found = near_repeats(queries + references, np.arange(40) < 20, np.arange(40) >= 20, 21, 0.5)
    assert (found.nearest[13:] == np.arange(33, 40)).all()
    assert (found.nearest[:7] == -1).all()
    np.testing.assert_allclose(found.share[13:], np.arange(13, 20) / 20, atol=0.2)


def test_a_search_that_is_too_long_ends_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sketches, "MOST_HITS", 50)
    monkeypatch.setattr(sketches, "BLOCK_LETTERS", 1)
    rng = np.random.default_rng(0)
    halves = [drawn(rng, 60), drawn(rng, 60)]
    # each half alone is less than the share asked for, both together are all
    sequences = ["".join(halves), halves[0], halves[1]]
    found = near_repeats(sequences, np.arange(3) < 1, np.arange(3) > 0, 21, 0.6)
    assert found.nearest.tolist() == [-1]
    assert found.unsettled == 0
    found = near_repeats([*sequences, halves[1], halves[0]], np.arange(5) < 1, np.arange(5) > 0, 21, 0.6)
    assert found.unsettled == 1


# one side


def test_4_mers_of_either_strand_are_counted_by_hand_alike_and_the_length_is_last() -> None:
    # AAAA twice and TTTT once are one column; CNAA and AC have none that is known
    shares = kmer_shares(["AAAAANTTTT", "CNAA", "AC", "ACGTTGCAAC"])
    assert shares.shape == (4, 137)
    assert sorted(shares[0, :-1][shares[0, :-1] > 0]) == [1]
    assert shares[1:3, :-1].sum() == 0
    assert shares[:, -1].tolist() == [10, 4, 2, 10]
    np.testing.assert_array_equal(shares[3], kmer_shares([reverse_complement("ACGTTGCAAC")])[0])


@given(st.integers(0, 2**32 - 1))
def test_the_area_is_that_of_all_pairs_of_labels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, places, labels = rng.integers(0, 4, 6) / 4, rng.integers(0, 6, 30), rng.integers(0, 2, 30)
    labels[:2] = [0, 1]
    own = scores[places]
    beaten = [(p > n) + (p == n) / 2 for p in own[labels == 1] for n in own[labels == 0]]
    auc, low, high = interval(scores, places, labels.astype(np.int8), 1)
    assert auc == pytest.approx(np.mean(beaten))
    assert low <= auc + 1e-9 or high >= auc - 1e-9
    assert 0 <= low <= high <= 1


def test_an_interval_over_few_sequences_is_wider_than_over_many() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400).astype(np.int8)
    widths = []
    for sequences in (10, 400):
        places = np.arange(400) % sequences
        _, low, high = interval(rng.random(sequences), places, labels, 1)
        widths.append(high - low)
    few, many = widths
    assert many < 0.13
    assert few > many / 2


def test_fitting_on_a_sample_gives_the_same_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_side_module, "FITTED_PAIRS", 50)
    data = Data()
    files = data.files()

    def told() -> list[Told]:
        return single_side(
            lambda rows: [data.sequences[row] for row in rows], files["train"], files["val"], seed=1
        )

    assert told() == told()


# beside another tool


def seqleak_items(data: Data, folder: Path) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "seq1": [data.sequences[row] for row in data.seq1],
            "seq2": [data.sequences[row] for row in data.seq2],
            "label": data.label,
            "split": pd.Series(data.split).replace("val", "dev"),
        }
    )
    table.to_csv(folder / "pairs.csv", index=False)
    task = load_task(
        data=[str(folder / "pairs.csv")], seq_col="seq1,seq2", label_col="label", split_col="split"
    )
    _, items = run_audit(task, checks=["overlap"], homology="off", n_boot=10, quiet=True)
    return items[items["split"] == "test"]


@pytest.mark.parametrize("planted", [False, True])
def test_seqleak_flags_the_same_test_pairs(tmp_path: Path, planted: bool) -> None:
    data = Data()
    if planted:
        sequences = data.sequences
        for side in (data.seq1, data.seq2):
            side[260] = side[10]
            sequences[side[261]] = reverse_complement(sequences[side[11]])
        data.seq1[262] = data.seq1[12]
        sequences[data.seq2[263]] = reverse_complement(sequences[data.seq2[13]])
        sequences[264] = sequences[14][:75] + sequences[264][75:]
        sequences[265] = reverse_complement(sequences[15][:75] + sequences[265][75:])
        sequences[266] = sequences[16][:40] + sequences[266][40:]
    theirs = seqleak_items(data, tmp_path)
    files = data.files()
    rows = canonical_rows(data.sequences)
    in_train = np.isin(np.arange(rows.size), [files["train"].seq1, files["train"].seq2])
    copies = np.isin(rows, rows[in_train])
    test = files["test"]
    used = np.isin(np.arange(rows.size), [test.seq1, test.seq2])
    shared = copies.copy()
    shared[used & ~copies] |= near_repeats(data.sequences, used & ~copies, in_train, 21, 0.5).nearest >= 0
    pairs = find_pairs(*((rows[own.seq1], rows[own.seq2]) for own in (test, files["train"])))
    assert np.flatnonzero(theirs["exact_dup"]).tolist() == np.flatnonzero(pairs >= 0).tolist()
    flagged = np.flatnonzero(shared[test.seq1] | shared[test.seq2]).tolist()
    assert np.flatnonzero(theirs["containment"] >= 0.5).tolist() == flagged
    assert flagged == ([0, 1, 2, 3, 4, 5] if planted else [])

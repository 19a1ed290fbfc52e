import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnapair.data.pair_making.drawing import KINDS, draw_pairs
from dnapair.data.pair_making.fragments import (
    choose_fragments,
    count_gc,
    first_copies,
    split_genomes,
    turn_strands,
)
from dnapair.data.pair_making.settings import Settings
from dnapair.errors import DnapairError

LENGTH = 100
SAME, RANDOM, GC_MATCHED = range(len(KINDS))
sizes_of_genomes = st.lists(st.integers(2, 12), min_size=12, max_size=40)


def letters(*rows):
    return np.array([list(row.encode()) for row in rows], np.uint8)


def drawn_fragments(count, seed=0):
    return np.frombuffer(b"ACGT", np.uint8)[np.random.default_rng(seed).integers(4, size=(count, 30))]


def genomes_of(sizes):
    """Fragments of genomes of these sizes, not sorted, each genome with a GC content of its own."""
    rng = np.random.default_rng(len(sizes))
    genomes = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    gc = np.clip(rng.normal(50, 6, len(sizes))[genomes] + rng.normal(0, 3, len(genomes)), 0, LENGTH)
    return genomes, gc.astype(int)


def wanted(pairs, positive=0.35, gc_matched=0.5, gc_tolerance=0.05, val=0.2, test=0.2):
    return Settings(
        genome="",
        only=None,
        length=LENGTH,
        min_fragments=2,
        max_fragments=None,
        sequences=None,
        pairs=pairs,
        positive=positive,
        gc_matched=gc_matched,
        gc_tolerance=gc_tolerance,
        val=val,
        test=test,
        seed=1,
    )


def draw(sizes, want, seed=1):
    genomes, gc = genomes_of(sizes)
    splits = split_genomes(genomes, want.val, want.test, seed)
    return genomes, gc, splits, draw_pairs(genomes, splits, gc, want._replace(seed=seed))


@settings(max_examples=40)
@given(
    st.lists(st.integers(5, 12), min_size=12, max_size=40),
    st.integers(1, 60),
    st.integers(0, 5),
    st.sampled_from([0.2, 0.35, 0.6]),
)
def test_pairs_are_distinct_labelled_right_and_of_one_split(sizes, count, seed, positive):
    genomes, _, splits, pairs = draw(sizes, wanted(count, positive, gc_matched=0), seed)
    first, second = pairs.rows.T
    assert len(first) == count
    assert (first != second).all()
    assert len(np.unique(np.sort(pairs.rows, axis=1), axis=0)) == count
    assert ((genomes[first] == genomes[second]) == (pairs.kinds == SAME)).all()
    assert (splits[first] == pairs.splits).all()
    assert (splits[second] == pairs.splits).all()


@settings(max_examples=30)
@given(sizes_of_genomes, st.integers(0, 5))
def test_as_many_pairs_as_the_error_names_can_be_made(sizes, seed):
    with pytest.raises(DnapairError, match=r"train: \d+ genomes, \d+ fragments: \d+ positive") as caught:
        draw(sizes, wanted(100_000, gc_matched=0), seed)
    most = int(str(caught.value).split("the data make ")[1].split()[0])
    assert most > 0
    *_, pairs = draw(sizes, wanted(most, gc_matched=0), seed)
    assert len(np.unique(np.sort(pairs.rows, axis=1), axis=0)) == most
    with pytest.raises(DnapairError, match=f"make {most} at most"):
        draw(sizes, wanted(most + 1, gc_matched=0), seed)


def test_shares_of_kinds_and_splits_are_those_wanted():
    *_, pairs = draw([10] * 200, wanted(2000))
    counts = np.zeros((3, 3), int)
    np.add.at(counts, (pairs.splits, pairs.kinds), 1)
    assert counts.tolist() == [[420, 390, 390], [140, 130, 130], [140, 130, 130]]


@settings(max_examples=20)
@given(st.lists(st.integers(5, 12), min_size=60, max_size=80), st.sampled_from([0.02, 0.05]))
def test_gc_matched_pairs_repeat_a_positive_pair_with_two_other_genomes(sizes, tolerance):
    genomes, gc, _, pairs = draw(sizes, wanted(200, gc_tolerance=tolerance))
    assert 0 < pairs.gc_error <= tolerance
    positives = pairs.rows[pairs.kinds == SAME]
    for split in range(3):
        own = positives[pairs.splits[pairs.kinds == SAME] == split]
        for pair in pairs.rows[(pairs.kinds == GC_MATCHED) & (pairs.splits == split)]:
            others = own[~np.isin(genomes[own[:, 0]], genomes[pair])]
            gaps = [np.abs(gc[others] - gc[order]).max(axis=1) for order in (pair, pair[::-1])]
            assert np.min(gaps) <= tolerance * LENGTH


def test_gc_matched_pairs_are_as_alike_in_gc_as_positive_ones():
    _, gc, _, pairs = draw([20] * 200, wanted(5000, gc_tolerance=0.01))
    gaps = np.abs(np.diff(gc[pairs.rows])).ravel()
    same, random, matched = (gaps[pairs.kinds == kind].mean() for kind in (SAME, RANDOM, GC_MATCHED))
    assert matched == pytest.approx(same, rel=0.1)
    assert random > 1.5 * same


def test_gc_that_nobody_matches_is_said_with_what_can_be_made():
    genomes = np.repeat(np.arange(10), 10)
    gc = genomes * 5
    splits = np.zeros(100, int)
    want = wanted(100, gc_tolerance=0, val=0, test=0)
    with pytest.raises(DnapairError, match=r"train: 32 gc_matched .* 0 were found(.|\n)*--gc-tolerance"):
        draw_pairs(genomes, splits, gc, want)
    assert len(draw_pairs(genomes, splits, gc, want._replace(gc_matched=0)).rows) == 100


def test_fragments_of_a_genome_are_in_about_as_many_positive_pairs():
    *_, pairs = draw([8] * 100, wanted(2286, gc_matched=0, val=0, test=0))
    assert np.bincount(pairs.rows[pairs.kinds == SAME].ravel()).tolist() == [2] * 800


def test_neither_member_of_a_pair_comes_first_by_rule():
    *_, pairs = draw([20] * 200, wanted(5000))
    for kind in range(3):
        first, second = pairs.rows[pairs.kinds == kind].T
        assert np.mean(first < second) == pytest.approx(0.5, abs=0.05)


def test_same_seed_same_pairs_another_seed_others():
    rows = [draw([10] * 100, wanted(500), seed)[3].rows for seed in (1, 1, 2)]
    assert (rows[0] == rows[1]).all()
    assert (rows[0] != rows[2]).any()


@given(sizes_of_genomes, st.floats(0, 0.4), st.floats(0, 0.4), st.integers(0, 9))
def test_no_genome_is_in_two_splits(sizes, val, test, seed):
    genomes, _ = genomes_of(sizes)
    splits = split_genomes(genomes, val, test, seed)
    by_genome = {(genome, split) for genome, split in zip(genomes.tolist(), splits.tolist(), strict=True)}
    assert len(by_genome) == len(sizes)
    counts = [sum(split == number for _, split in by_genome) for number in (1, 2)]
    assert counts == [round(val * len(sizes)), round(test * len(sizes))]


@given(sizes_of_genomes, st.integers(2, 6), st.none() | st.integers(6, 8), st.none() | st.integers(1, 50))
def test_chosen_fragments_keep_the_limits(sizes, minimum, maximum, total):
    genomes, _ = genomes_of(sizes)
    limits = wanted(1)._replace(min_fragments=minimum, max_fragments=maximum, sequences=total)
    usable = sum(min(size, maximum or size) for size in sizes if size >= minimum)
    if total and usable < total:
        with pytest.raises(DnapairError, match=f"only {usable} fragments may be used"):
            choose_fragments(genomes, limits)
        return
    rows = choose_fragments(genomes, limits)
    assert (np.diff(rows) > 0).all()
    counts = np.bincount(genomes[rows], minlength=len(sizes))
    assert all(count == 0 or minimum <= count <= (maximum or count) for count in counts)
    if total:
        assert total - minimum < len(rows) <= total
    else:
        assert len(rows) == usable


def test_copies_on_either_strand_are_found():
    rows = letters("AACG", "CCCC", "AACG", "CGTT", "GGGG", "AACC")
    assert first_copies(rows).tolist() == [0, 1, 5]
    assert first_copies(letters("AACG")[:0]).tolist() == []
    many = drawn_fragments(20_000)
    assert len(first_copies(many)) == len(many)


def test_half_of_the_fragments_are_turned_and_the_others_left():
    before = drawn_fragments(20_000)
    after = before.copy()
    turned = turn_strands(after, 1)
    assert turned.mean() == pytest.approx(0.5, abs=0.02)
    assert (after[~turned] == before[~turned]).all()
    complement = {65: 84, 67: 71, 71: 67, 84: 65}
    expected = np.vectorize(complement.get)(before[turned][:, ::-1])
    assert (after[turned] == expected).all()
    again = before.copy()
    turn_strands(again, 1)
    assert (again == after).all()


def test_gc_counts_c_and_g():
    assert count_gc(letters("AACG", "CCGG", "ATTA")).tolist() == [2, 4, 0]

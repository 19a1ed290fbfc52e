"""Pairs drawn for training: what they are made of, and what they leave as it was."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dnapair.interactions.negatives import draw_negatives, settle_negatives


@st.composite
def train_pairs(draw):
    """Regulators below 20 and targets from 15 on, so that some are on both sides; each pair once."""
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    count = draw(st.integers(1, 150))
    pairs = np.stack([rng.integers(0, 20, count), rng.integers(15, 120, count)], axis=1)
    pairs = np.unique(pairs, axis=0)
    return *pairs.T, (rng.random(len(pairs)) < draw(st.floats(0, 1))).astype(np.int8)


@given(train_pairs(), st.sampled_from([0.0, 0.5, 2.0, 30.0]))
def test_drawn_pairs_are_new_and_of_sequences_of_related_pairs(pairs, each):
    rows1, rows2, labels = pairs
    drawn = draw_negatives(rows1, rows2, labels, each)
    assert drawn.dtype == np.int64
    assert len(drawn) <= round(each * labels.sum())
    assert set(drawn[:, 0]) <= set(rows1[labels == 1])
    assert set(drawn[:, 1]) <= set(rows2[labels == 1])
    assert (drawn[:, 0] != drawn[:, 1]).all()
    both_orders = {frozenset(pair) for pair in np.stack([rows1, rows2], axis=1).tolist()}
    found = [frozenset(pair) for pair in drawn.tolist()]
    assert not both_orders & set(found)
    assert len(set(found)) == len(found)
    np.testing.assert_array_equal(draw_negatives(rows1, rows2, labels, each), drawn)


def test_auto_draws_where_the_sides_are_of_two_kinds_and_unrelated_pairs_are_few():
    half, tenth, hundredth = (np.arange(1000) % every == 0 for every in (2, 10, 100))
    assert [settle_negatives("auto", labels, False) for labels in (half, tenth, hundredth)] == [2, 2, 0]
    assert [settle_negatives("auto", labels, True) for labels in (half, tenth, hundredth)] == [0, 0, 0]
    assert settle_negatives(0.5, hundredth, True) == 0.5


def test_nearly_as_many_are_drawn_as_asked_for_where_few_pairs_of_all_are_known():
    rows = np.arange(2000)
    labels = (rows < 1000).astype(np.int8)
    drawn = draw_negatives(rows, rows + 2000, labels, 2.0)
    assert 1980 <= len(drawn) <= 2000
    # each sequence of a related pair is as likely as another
    assert np.bincount(drawn[:, 1] - 2000).max() < 12


def test_where_every_pair_is_known_none_is_drawn():
    rows1, rows2 = (side.ravel() for side in np.meshgrid(np.arange(6), np.arange(6, 15)))
    labels = (np.arange(rows1.size) % 3 == 0).astype(np.int8)
    assert draw_negatives(rows1, rows2, labels, 5.0).shape == (0, 2)


def test_one_sequence_alone_says_as_much_of_the_label_as_before():
    """Twenty regulators in 30 related and 10 unrelated pairs each, twenty the other way round."""
    mostly_related = np.arange(1600) % 40 < 20
    labels = (np.arange(1600) // 40 < np.where(mostly_related, 30, 10)).astype(np.int8)
    drawn = draw_negatives(np.arange(1600) % 40, 40 + np.arange(1600), labels, 2.0)
    # of the unrelated pairs of the data, three quarters are of those that are mostly unrelated
    assert 0.71 < np.mean(drawn[:, 0] >= 20) < 0.79
    # a target in one pair alone tells nothing: those of all related pairs are drawn alike
    assert np.unique(drawn[:, 1]).size > 0.8 * labels.sum()

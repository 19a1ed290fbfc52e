import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnapair.data import grouped_splits
from dnapair.data.grouped_splits import grouped_split, separated_split
from dnapair.data.splits import sharing
from dnapair.errors import DnapairError


def places(positions):
    return [f"pairs.csv, line {position + 2}" for position in positions]


def alternating(count):
    return (np.arange(count) % 2).astype(np.int8)


@st.composite
def grouped_pairs(draw):
    """Pairs within families of sequences; some families share a group."""
    families = draw(st.integers(60, 120))
    size = draw(st.integers(2, 6))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    family = rng.integers(families, size=families * 8)
    rows = family[:, None] * size + rng.integers(size, size=(len(family), 2))
    names = np.char.add("g", (rows // (size * draw(st.integers(1, 2)))).astype(str))
    return (
        rows,
        pd.DataFrame(names, columns=["group1", "group2"]),
        rng.integers(2, size=len(family)).astype(np.int8),
    )


@settings(max_examples=40)
@given(grouped_pairs(), st.integers(1, 5))
def test_grouped_shares_no_sequence_and_no_group_and_comes_close_to_the_shares(pairs, seed):
    rows, groups, labels = pairs
    split = grouped_split(rows, groups, labels, 0.2, 0.2, seed, places)
    for table in (rows, groups.to_numpy()):
        owners = pd.DataFrame({"split": np.repeat(split, 2), "member": table.reshape(-1)})
        assert not owners.drop_duplicates()["member"].duplicated().any()
    for name, share in (("train", 0.6), ("val", 0.2), ("test", 0.2)):
        assert np.mean(split == name) == pytest.approx(share, abs=0.05)
        assert np.mean(labels[split == name]) == pytest.approx(labels.mean(), abs=0.1)
    found = sharing(rows, split)
    assert found["test"].none == found["val"].none == 1


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(grouped_pairs(), st.integers(1, 300))
def test_grouped_is_the_same_in_blocks_of_any_size(monkeypatch, pairs, block):
    rows, groups, labels = pairs
    whole = grouped_split(rows, groups, labels, 0.2, 0.2, 1, places)
    with monkeypatch.context() as patch:
        patch.setattr(grouped_splits, "_BLOCK", block)
        parts = grouped_split(rows, groups.astype("category"), labels, 0.2, 0.2, 1, places)
    np.testing.assert_array_equal(parts, whole)


def test_a_name_is_one_group_in_every_column():
    rows = np.arange(240).reshape(120, 2)
    names = [f"g{number}" for number in range(60)]
    groups = pd.DataFrame({"one": names + [""] * 60, "two": [f"h{n}" for n in range(60)] + names})
    groups.loc[60:, "one"] = [f"k{n}" for n in range(60)]
    split = grouped_split(rows, groups, np.tile([0, 1], 60).astype(np.int8), 0.2, 0.2, 1, places)
    assert (split[:60] == split[60:]).all()


def test_a_group_is_never_taken_for_a_sequence():
    groups = pd.DataFrame({"genome": np.repeat(["a", "b"], 50)})
    # two sets of 50: one set of 100 would be another error
    with pytest.raises(DnapairError, match="No pair is in the"):
        grouped_split(np.arange(200).reshape(100, 2), groups, alternating(100), 0.45, 0.45, 1, places)


def test_grouped_without_groups_keeps_sequences_apart():
    rows = np.column_stack([np.repeat(np.arange(30), 4), 30 + np.arange(120)])
    split = grouped_split(rows, pd.DataFrame(index=range(120)), alternating(120), 0.2, 0.2, 1, places)
    assert all(len(set(part)) == 1 for part in split.reshape(30, 4))


def test_one_set_of_pairs_that_is_too_large_is_an_error():
    rows = np.column_stack([np.zeros(100, int), np.arange(1, 101)])
    groups = pd.DataFrame({"genome": ["g"] * 100})
    with pytest.raises(DnapairError, match=r"100 of 100 pairs hang together through the sequences, genome"):
        grouped_split(rows, groups, alternating(100), 0.1, 0.1, 1, places)


def test_an_empty_group_is_an_error():
    groups = pd.DataFrame({"genome": ["a", " ", "b", ""]})
    with pytest.raises(
        DnapairError, match=r"2 pair\(s\) have no group in column 'genome':\n  pairs.csv, line 3"
    ):
        grouped_split(np.arange(8).reshape(4, 2), groups, alternating(4), 0.1, 0.1, 1, places)


def test_sequences_as_groups_hang_together_as_they_do_anyway():
    rows = np.column_stack([np.repeat(np.arange(30), 4), 30 + np.arange(120)])
    plain, named = (
        grouped_split(rows, groups, alternating(120), 0.2, 0.2, 1, places)
        for groups in (pd.DataFrame(index=range(120)), pd.DataFrame({"seq1": rows[:, 0]}))
    )
    np.testing.assert_array_equal(named, plain)


@st.composite
def crossing_pairs(draw):
    """Pairs of any two groups, rarely of one sequence under two groups."""
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    count = draw(st.integers(600, 1500))
    members = rng.integers(draw(st.integers(30, 80)), size=(count, 2))
    within = rng.random(count) < 0.7
    members[within, 1] = members[within, 0]
    rows = members * 5 + rng.integers(5, size=members.shape)
    moved = rng.random(members.shape) < draw(st.sampled_from([0, 0.05]))
    rows[moved] = rng.integers(rows.max() + 1, size=int(moved.sum()))
    names = pd.DataFrame(np.char.add("g", members.astype(str)), columns=["group1", "group2"])
    chosen = draw(st.sampled_from([["group1", "group2"], ["group1"], ["seq1"], ["seq1", "seq2"]]))
    groups = names.assign(seq1=rows[:, 0], seq2=rows[:, 1])[chosen]
    return rows, groups, rng.integers(2, size=count).astype(np.int8)


@settings(max_examples=60)
@given(crossing_pairs(), st.integers(1, 5))
def test_separated_shares_no_sequence_and_no_group_and_counts_what_is_left_out(pairs, seed):
    rows, groups, labels = pairs
    found = separated_split(rows, groups, labels, 0.3, 0.3, seed, places)
    kept = pd.notna(found.split)
    homes = []
    for table in (rows, groups.to_numpy()):
        owners = pd.DataFrame(
            {"split": np.repeat(found.split[kept], table.shape[1]), "member": table[kept].reshape(-1)}
        ).drop_duplicates()
        assert not owners["member"].duplicated().any()
        of_left_out = pd.Series(table[~kept].reshape(-1)).map(owners.set_index("member")["split"])
        homes.append(of_left_out.to_numpy(object).reshape(-1, table.shape[1]))
    # none is left out whose groups and sequences are all in one split
    assert not any(set(members) in ({"train"}, {"val"}, {"test"}) for members in np.hstack(homes).tolist())
    left_out = np.bincount(labels[~kept], minlength=2)
    np.testing.assert_array_equal(found.groups + found.sequences, left_out)
    assert set(found.split[kept]) == {"train", "val", "test"}


def test_separated_leaves_out_nothing_where_nothing_crosses():
    rows = np.arange(800).reshape(400, 2)
    groups = pd.DataFrame({"chromosome": np.repeat([f"chr{n}" for n in range(40)], 10)})
    found = separated_split(rows, groups, alternating(400), 0.2, 0.1, 1, places)
    assert dict(zip(*np.unique(found.split, return_counts=True), strict=True)) == {
        "train": 280,
        "val": 80,
        "test": 40,
    }
    assert not found.groups.any()
    assert not found.sequences.any()


def test_separated_keeps_a_sequence_under_two_groups_in_one_split():
    rows = np.arange(240).reshape(120, 2)
    groups = pd.DataFrame({"one": [f"g{n // 4}" for n in range(120)]})
    groups["two"] = groups["one"]
    plain = separated_split(rows, groups, alternating(120), 0.2, 0.2, 1, places).split
    train, test = (np.flatnonzero(plain == name) for name in ("train", "test"))
    rows[train[0], 0] = rows[test[0], 0]
    shared = separated_split(rows, groups, alternating(120), 0.2, 0.2, 1, places)
    assert shared.sequences.sum() == 1
    assert pd.isna(shared.split[train[0]])
    assert shared.split[test[0]] == "test"


def test_separated_depends_on_the_seed_alone():
    rows = np.arange(400).reshape(200, 2)
    groups = pd.DataFrame({"genome": np.repeat(np.arange(50).astype(str), 4)})
    first, again, other = (
        separated_split(rows, groups, alternating(200), 0.2, 0.2, seed, places).split for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_too_few_groups_to_separate_is_an_error_that_says_what_was_left_out():
    groups = pd.DataFrame({"one": ["a", "a", "b", "b"], "two": ["a", "b", "b", "a"]})
    with pytest.raises(DnapairError, match=r"(?s)(No pair is|All 1 pairs).*left out \d of 4 pairs.*together"):
        separated_split(np.arange(8).reshape(4, 2), groups, alternating(4), 0.3, 0.3, 1, places)

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnapair import splits
from dnapair.errors import DnapairError
from dnapair.splits import grouped_split, predefined_split, random_split, sharing


def places(positions):
    return [f"pairs.csv, line {position + 2}" for position in positions]


def alternating(count):
    return (np.arange(count) % 2).astype(np.int8)


def predefined(names, labels=None, validation=0.1, seed=1):
    labels = alternating(len(names)) if labels is None else np.array(labels, np.int8)
    return predefined_split(pd.Series(names), labels, validation, seed, places)


def test_split_codes_know_names_in_any_case_and_mark_others():
    names = pd.Series(["Train", "other", "dev", "TEST", ""])
    assert splits.split_codes(names).tolist() == [0, -1, 1, 2, -1]


def test_predefined_knows_the_usual_names():
    names = ["train", "Training", "val", "VALID", "dev", "validation", "test", " testing "]
    found = predefined(names)
    assert found.split.tolist() == ["train"] * 2 + ["val"] * 4 + ["test"] * 2
    assert found.drawn == 0


def test_validation_is_drawn_from_train_alone_label_by_label():
    names = ["train"] * 400 + ["test"] * 100
    labels = np.r_[np.tile([1, 0, 0, 0], 100), alternating(100)]
    found = predefined(names, labels)
    val = found.split == "val"
    assert found.drawn == val.sum() == 40
    assert labels[val].sum() == 10
    assert (found.split[400:] == "test").all()
    assert (predefined(names, labels).split == found.split).all()
    assert (predefined(names, labels, seed=2).split != found.split).any()


@pytest.mark.parametrize(
    ("names", "labels", "message"),
    [
        (
            ["train", "holdout", "test", ""],
            None,
            r"2 pair\(s\)(.|\n)*pairs.csv, line 3: 'holdout'\n  pairs.csv, line 5: ''(.|\n)*split.column",
        ),
        (["x"] * 9, None, r"9 pair\(s\)(.|\n)*line 6: 'x'\n  \.\.\. and 4 more"),
        (["train"] * 4 + ["val"] * 2, None, "No pair is in the test split.*split.method"),
        (["val"] * 4 + ["test"] * 2, None, "No pair is in the train split"),
        (["test"] * 4, None, "No pair is in the train split"),
        (
            ["train"] * 2 + ["val"] * 2 + ["test"] * 2,
            [0, 1, 0, 1, 1, 1],
            "All 2 pairs of the test split are related",
        ),
        (
            ["train"] * 2 + ["val"] * 2 + ["test"] * 2,
            [0, 0, 0, 1, 0, 1],
            "2 pairs of the train split are unrelated",
        ),
        (["train"] * 4 + ["test"] * 2, None, r"No pair is in the val split. Raise split\.validation"),
    ],
)
def test_predefined_splits_that_can_not_be_used(names, labels, message):
    with pytest.raises(DnapairError, match=message):
        predefined(names, labels)


@given(st.integers(100, 400), st.integers(100, 400), st.floats(0.05, 0.4), st.floats(0.05, 0.4))
def test_random_holds_the_shares_of_each_label(related, unrelated, validation, test):
    labels = np.r_[np.ones(related), np.zeros(unrelated)].astype(np.int8)
    split = random_split(labels, validation, test, 1)
    for name, share in (("val", validation), ("test", test), ("train", 1 - validation - test)):
        for label, total in ((1, related), (0, unrelated)):
            assert abs(((split == name) & (labels == label)).sum() - share * total) <= 1


def test_random_depends_on_the_seed_alone():
    labels = alternating(200)
    assert (random_split(labels, 0.1, 0.1, 1) == random_split(labels, 0.1, 0.1, 1)).all()
    assert (random_split(labels, 0.1, 0.1, 1) != random_split(labels, 0.1, 0.1, 2)).any()


def test_random_refuses_too_few_pairs():
    with pytest.raises(DnapairError, match="No pair is in the val split"):
        random_split(alternating(4), 0.1, 0.1, 1)


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


@settings(max_examples=40, deadline=None)
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


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(grouped_pairs(), st.integers(1, 300))
def test_grouped_is_the_same_in_blocks_of_any_size(monkeypatch, pairs, block):
    rows, groups, labels = pairs
    whole = grouped_split(rows, groups, labels, 0.2, 0.2, 1, places)
    with monkeypatch.context() as patch:
        patch.setattr(splits, "_BLOCK", block)
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


def test_sharing_counts_pairs_with_both_one_and_no_sequence_in_train():
    rows = np.array([[0, 1], [1, 2], [0, 2], [0, 9], [8, 9], [9, 0], [3, 4]])
    split = np.array(["train", "train", "test", "test", "test", "test", "val"])
    assert sharing(rows, split) == {"val": (1, 0.0, 0.0, 1.0), "test": (4, 0.25, 0.5, 0.25)}

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnapair.data.splits import predefined_split, random_split, sharing, split_codes
from dnapair.errors import DnapairError


def places(positions):
    return [f"pairs.csv, line {position + 2}" for position in positions]


def alternating(count):
    return (np.arange(count) % 2).astype(np.int8)


def predefined(names, labels=None, validation=0.1, seed=1):
    labels = alternating(len(names)) if labels is None else np.array(labels, np.int8)
    return predefined_split(pd.Series(names), labels, validation, seed, places)


def test_split_codes_know_names_in_any_case_and_mark_others():
    names = pd.Series(["Train", "other", "dev", "TEST", ""])
    assert split_codes(names).tolist() == [0, -1, 1, 2, -1]


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


def test_sharing_counts_pairs_with_both_one_and_no_sequence_in_train():
    rows = np.array([[0, 1], [1, 2], [0, 2], [0, 9], [8, 9], [9, 0], [3, 4]])
    split = np.array(["train", "train", "test", "test", "test", "test", "val"])
    assert sharing(rows, split) == {"val": (1, 0.0, 0.0, 1.0), "test": (4, 0.25, 0.5, 0.25)}

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from dnapair.evaluation.slices import (
    SliceMetrics,
    find_slices,
    slices_of_column,
    slices_of_number,
    slices_of_seen,
    slicing_columns,
)

RNG = np.random.default_rng(0)


def test_a_column_has_a_slice_for_each_value_the_empty_one_too() -> None:
    found = slices_of_column("kind", ["b", "", "a", "b"])
    assert [(part.value, part.inside.tolist()) for part in found] == [
        ("(empty)", [False, True, False, False]),
        ("a", [False, False, True, False]),
        ("b", [True, False, False, True]),
    ]


def test_a_number_is_cut_into_quarters_and_every_pair_is_in_one() -> None:
    values = RNG.normal(size=400)
    found = slices_of_number("GC", values, 2)
    assert [int(part.inside.sum()) for part in found] == [100] * 4
    assert np.sum([part.inside for part in found], axis=0).tolist() == [1] * 400
    assert found[0].value == f"{values.min():.2f} to {np.quantile(values, 0.25):.2f}"


def test_equal_numbers_make_no_slices_and_repeated_ones_fewer() -> None:
    assert slices_of_number("bases", np.full(9, 500)) == []
    found = slices_of_number("bases", np.array([20, 21, 21, 21, 21, 21, 21, 22]))
    assert [part.value for part in found] == ["20 to 21", "21 to 22"]
    assert np.sum([part.inside for part in found], axis=0).tolist() == [1] * 8


def test_pairs_are_told_apart_by_what_was_seen_in_training() -> None:
    rows = np.array([[0, 1], [0, 2], [2, 3]])
    found = slices_of_seen(rows, np.array([True, True, False, False]))
    assert [(part.value, part.inside.tolist()) for part in found] == [
        ("none seen in training", [False, False, True]),
        ("one seen in training", [False, True, False]),
        ("both seen in training", [True, False, False]),
    ]


def test_columns_with_few_values_are_sliced_by_unless_others_are_named() -> None:
    table = pd.DataFrame({"kind": list("ab" * 10), "one": ["x"] * 20, "id": [str(i) for i in range(20)]})
    assert slicing_columns(None, table) == ["kind"]
    assert slicing_columns(["id"], table) == ["id"]


def test_a_mixed_slice_is_measured_by_itself_and_a_pure_one_against_the_other_class() -> None:
    labels = (RNG.random(200) < 0.5).astype(np.int64)
    scores = np.clip(labels * 0.3 + RNG.random(200) * 0.7, 0, 1)
    weights = RNG.integers(0, 3, (2, 200)).astype(float)
    some = RNG.random(200) < 0.4
    pure = some & (labels == 0)
    for inside, ranked in ((some, some), (pure, pure | (labels == 1))):
        part = SliceMetrics(labels, scores, 0.5, inside)
        assert part.mixed == (inside is some)
        found = part.measure(weights.T)
        for row in range(2):
            area = roc_auc_score(labels[ranked], scores[ranked], sample_weight=weights[row][ranked])
            assert found["roc_auc"][row] == pytest.approx(area)
            right = (scores >= 0.5) == labels
            accuracy = np.average(right[inside], weights=weights[row][inside])
            assert found["accuracy"][row] == pytest.approx(accuracy)


def test_pairs_are_cut_by_columns_by_what_was_seen_and_by_length_and_gc() -> None:
    compositions = np.array([[[0.5, 90], [0.3, 70]], [[0.6, 80], [0.6, 99]]])
    table = pd.DataFrame({"kind": ["a", "b"]})
    found = find_slices(table, None, np.array([[0, 1], [1, 2]]), np.array([True, True, False]), compositions)
    assert [(part.by, part.value) for part in found if part.inside[0]] == [
        ("kind", "a"),
        ("sequences", "both seen in training"),
        ("shorter sequence (bases)", "70 to 72"),
        ("GC content, mean (%)", "40.0 to 45.0"),
        ("GC content, difference (%)", "15.0 to 20.0"),
    ]

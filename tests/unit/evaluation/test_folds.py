from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnapair.errors import DnapairError
from dnapair.evaluation.folds import COSINE_METRICS, cut_fold, draw_folds, measure_fold
from dnapair.evaluation.metrics import METRICS
from dnapair.networks.spec import NetworkSpec
from dnapair.training.learner import LearnerSettings
from dnapair.training.loop import LoopSettings, Pairs


@st.composite
def grouped_pairs(draw):
    """Pairs within groups or of two; rarely a sequence under two groups."""
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    count = draw(st.integers(1000, 2000))
    groups = rng.integers(60, size=(count, 2))
    within = rng.random(count) < draw(st.sampled_from([0.6, 1.0]))
    groups[within, 1] = groups[within, 0]
    rows = groups * 6 + rng.integers(6, size=groups.shape)
    moved = rng.random(groups.shape) < draw(st.sampled_from([0, 0.05]))
    rows[moved] = rng.integers(rows.max() + 1, size=int(moved.sum()))
    columns = draw(st.sampled_from([1, 2]))
    return groups[:, :columns], rows, rng.integers(2, size=count).astype(np.int8)


@settings(max_examples=40)
@given(grouped_pairs(), st.integers(2, 5), st.integers(1, 3))
def test_every_pair_is_tested_at_most_once_and_nothing_leaks(pairs, folds, seed):
    groups, rows, labels = pairs
    homes = draw_folds(groups, labels, folds, seed)
    tested = []
    for number in range(folds):
        fold = cut_fold(number, homes, groups, rows, labels, seed)
        for table in (groups, rows):
            train, val, test = (set(table[part].ravel().tolist()) for part in fold)
            assert not train & val | train & test | val & test
        tested.append(fold.test)
    tested = np.concatenate(tested)
    assert np.unique(tested).size == tested.size
    in_one_fold = (homes[groups] == homes[groups][:, :1]).all(axis=1)
    np.testing.assert_array_equal(np.sort(tested), np.flatnonzero(in_one_fold))


@settings(max_examples=20)
@given(st.integers(2, 10), st.integers(1, 5))
def test_folds_and_validation_are_as_large_as_asked_where_nothing_crosses(folds, seed):
    groups = np.repeat(np.arange(200), 10)[:, None]
    rows = np.arange(4000).reshape(-1, 2)
    labels = np.tile([0, 0, 1, 0, 1], 400).astype(np.int8)
    homes = draw_folds(groups, labels, folds, seed)
    for number in range(folds):
        fold = cut_fold(number, homes, groups, rows, labels, seed)
        assert sum(part.size for part in fold) == 2000
        assert abs(fold.test.size - 2000 / folds) <= 10
        assert abs(fold.val.size - (2000 - fold.test.size) / 10) <= 10
        assert labels[fold.test].mean() == pytest.approx(0.4)


def test_folds_depend_on_the_seed_alone():
    groups = np.repeat(np.arange(50), 4)[:, None]
    labels = np.tile([0, 1], 100).astype(np.int8)
    first, again, other = (draw_folds(groups, labels, 3, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_too_few_groups_are_an_error_that_names_fold_and_split():
    groups = np.array([[0], [0], [1], [1]])
    rows = np.arange(8).reshape(4, 2)
    labels = np.array([0, 1, 0, 1], np.int8)
    homes = draw_folds(groups, labels, 2, 1)
    with pytest.raises(DnapairError, match=r"Fold 1 has 0 related and 0 unrelated validation pairs"):
        cut_fold(0, homes, groups, rows, labels, 1)
    labels = np.array([0, 0, 1, 1], np.int8)
    with pytest.raises(DnapairError, match=r"Fold 1 has \d related and \d unrelated \w+ pairs"):
        cut_fold(0, homes, groups, rows, labels, 1)


def in_shards(values: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    return ((first, values[first : first + 700]) for first in range(0, len(values), 700))


def measure(
    values: np.ndarray,
    splits: dict[str, Pairs],
    folder: Path,
    interactions: np.ndarray | None = None,
    embeddings: bool = True,
    members: int = 1,
    negatives: Pairs | None = None,
):
    spec = NetworkSpec(values.shape[1], (16,), 1, 0.0, "layer", "relu", symmetric=True)
    if interactions is not None:
        spec = replace(spec, embeddings=embeddings, interactions=interactions.shape[1])
    learner = LearnerSettings(0.01, 0.0, 1.0, 1.0, seed=1)
    loop = LoopSettings(4, 32, 2, 0.5, 3, seed=1)
    return measure_fold(
        lambda: [(0, values)],
        len(values),
        splits,
        spec,
        learner,
        loop,
        "dimension",
        folder,
        members,
        interactions=None if interactions is None else (lambda: in_shards(interactions), len(interactions)),
        negatives=negatives,
    )


@pytest.fixture
def families() -> tuple[np.ndarray, dict[str, Pairs]]:
    """Embeddings that lie near their family's centre, and pairs of one family or of two."""
    rng = np.random.default_rng(1)
    family = np.repeat(np.arange(60), 8)
    values = (rng.normal(size=(60, 8))[family] + rng.normal(scale=0.4, size=(480, 8))).astype(np.float32)
    splits = {}
    for name, low, high in (("train", 0, 320), ("val", 320, 400), ("test", 400, 480)):
        rows = rng.integers(low, high, size=(600, 2))
        rows[::2, 1] = rows[::2, 0] // 8 * 8 + rng.integers(8, size=300)
        splits[name] = Pairs(
            rows[:, 0], rows[:, 1], (family[rows[:, 0]] == family[rows[:, 1]]).astype(np.float32)
        )
    return values, splits


def test_a_fold_learns_and_is_measured_beside_the_cosine(families, tmp_path: Path):
    values, splits = families
    found = measure(values, splits, tmp_path)
    assert list(found.metrics) == list(METRICS)
    assert list(found.cosine) == list(COSINE_METRICS)
    assert found.metrics["roc_auc"] > 0.8
    assert found.cosine["roc_auc"] > 0.8
    assert 0 < found.threshold < 1
    assert 1 <= found.best_epoch <= 4


def test_a_fold_is_worth_what_the_mean_of_its_networks_is(families, tmp_path: Path):
    values, splits = families
    one, three = (measure(values, splits, tmp_path, members=members) for members in (1, 3))
    assert three.best_epoch == one.best_epoch
    assert three.metrics["log_loss"] < one.metrics["log_loss"]
    assert three.metrics["roc_auc"] > one.metrics["roc_auc"] - 0.01


def test_test_pairs_take_part_in_nothing_but_the_metrics(families, tmp_path: Path):
    values, splits = families
    whole = measure(values, splits, tmp_path)
    turned = splits["test"]._replace(labels=1 - splits["test"].labels)
    swapped = measure(values, splits | {"test": turned}, tmp_path)
    assert (swapped.threshold, swapped.best_epoch) == (whole.threshold, whole.best_epoch)
    assert swapped.metrics["roc_auc"] == pytest.approx(1 - whole.metrics["roc_auc"])
    changed = values.copy()
    changed[400:] *= 100
    # the scaler is fitted on train's sequences: others' values don't move its range
    other = measure(changed, splits, tmp_path)
    assert (other.threshold, other.best_epoch) == (whole.threshold, whole.best_epoch)


@pytest.fixture
def meetings(families) -> tuple[np.ndarray, dict[str, Pairs], np.ndarray]:
    """The same sequences; labels that only interactions tell, of ranges of their own; one never varies."""
    values, splits = families
    rng = np.random.default_rng(2)
    interactions = rng.normal(size=(1900, 4)).astype(np.float32) * np.float32([1, 1000, 0.01, 0])
    rows = np.split(rng.permutation(1900)[:1800], 3)
    told = {
        name: pairs._replace(labels=(interactions[own, 1] > 0).astype(np.float32), rows=own)
        for (name, pairs), own in zip(splits.items(), rows, strict=True)
    }
    return values, told, interactions


@pytest.mark.parametrize("embeddings", [True, False])
def test_a_fold_learns_from_interactions(embeddings: bool, meetings, tmp_path: Path):
    values, splits, interactions = meetings
    assert measure(values, splits, tmp_path).metrics["roc_auc"] < 0.65
    found = measure(values, splits, tmp_path, interactions, embeddings)
    assert found.metrics["roc_auc"] > 0.95
    assert found.cosine["roc_auc"] < 0.65


def test_a_fold_learns_from_drawn_pairs_of_its_own_train_sequences_alone(meetings, tmp_path: Path):
    values, splits, interactions = meetings
    rng = np.random.default_rng(3)
    own, others = rng.integers(0, 320, (2, 400)), rng.integers(320, 480, (2, 400))
    # rows of pairs that were left out
    rows = np.resize(
        np.setdiff1d(np.arange(1900), np.concatenate([pairs.rows for pairs in splits.values()])), 400
    )

    def drawn(rows1: np.ndarray, rows2: np.ndarray) -> Pairs:
        return Pairs(rows1, rows2, np.zeros(400, np.float32), rows)

    without = measure(values, splits, tmp_path, interactions)
    assert measure(values, splits, tmp_path, interactions, negatives=drawn(own[0], others[0])) == without
    assert measure(values, splits, tmp_path, interactions, negatives=drawn(*others)) == without
    assert measure(values, splits, tmp_path, interactions, negatives=drawn(*own)) != without


def test_interactions_are_scaled_by_the_train_pairs_alone(meetings, tmp_path: Path):
    values, splits, interactions = meetings
    whole = measure(values, splits, tmp_path, interactions)
    scaled = np.load(tmp_path / "interactions.npy")[splits["train"].rows]
    assert scaled.min(axis=0).tolist() == [-1, -1, -1, 0]
    assert scaled.max(axis=0).tolist() == [1, 1, 1, 0]
    interactions[splits["test"].rows] *= 100
    other = measure(values, splits, tmp_path, interactions)
    assert (other.threshold, other.best_epoch) == (whole.threshold, whole.best_epoch)

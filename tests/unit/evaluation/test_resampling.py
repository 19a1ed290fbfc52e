import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dnapair.evaluation import resampling
from dnapair.evaluation.metrics import WeightedMetrics
from dnapair.evaluation.resampling import Units, difference, find_units, interval, resample

RNG = np.random.default_rng(0)


class Weights:
    """Keeps the weights themselves."""

    def measure(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        return {f"{pair}": column for pair, column in enumerate(weights)}


def weights_of(labels: np.ndarray, units: Units, draws: int = 400, seed: int = 1) -> np.ndarray:
    drawn = resample(labels, units, {"weights": Weights()}, draws, seed)["weights"]
    return np.stack(list(drawn.values()), axis=1)


def test_pairs_that_share_nothing_are_sets_of_their_own() -> None:
    groups = np.stack([2 * np.arange(30), 2 * np.arange(30) + 1], axis=1)
    units = find_units(groups)
    assert (units.total, units.connected) == (30, True)
    assert sorted(units.codes[:, 0]) == list(range(30))


def test_pairs_that_hang_together_are_drawn_by_their_groups() -> None:
    ring = np.stack([np.arange(30), (np.arange(30) + 1) % 30], axis=1)
    units = find_units(ring * 7 + 3)
    assert (units.total, units.connected) == (30, False)
    np.testing.assert_array_equal(units.codes, ring)


@given(arrays(np.int64, (40, 2), elements=st.integers(0, 60)))
def test_connected_sets_share_no_group(groups: np.ndarray) -> None:
    units = find_units(groups)
    if units.connected:
        owner: dict[int, int] = {}
        for pair, unit in zip(groups, units.codes[:, 0], strict=True):
            assert {owner.setdefault(int(group), int(unit)) for group in pair} == {int(unit)}
    else:
        np.testing.assert_array_equal(np.unique(groups)[units.codes], groups)


def test_a_pair_counts_as_its_groups_were_drawn_and_one_group_twice_counts_once() -> None:
    codes = np.array([[0, 1], [1, 1], [2, 0], [2, 2]])
    weights = weights_of(np.array([0, 1, 0, 1]), Units(codes, 3, connected=False))
    once, twice = weights[:, 1], weights[:, 3]
    zero = 3 - once - twice
    np.testing.assert_array_equal(weights[:, 0], zero * once)
    np.testing.assert_array_equal(weights[:, 2], zero * twice)


def test_every_sample_holds_both_classes_and_depends_on_the_seed_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = np.array([1, 0, 0])
    units = Units(np.arange(3)[:, None], 3, connected=True)
    weights = weights_of(labels, units)
    assert weights.shape == (400, 3)
    assert (weights[:, 0] > 0).all()
    assert (weights[:, 1:].sum(axis=1) > 0).all()
    np.testing.assert_array_equal(weights, weights_of(labels, units))
    assert (weights != weights_of(labels, units, seed=2)).any()


def test_intervals_of_single_pairs_are_those_of_a_plain_bootstrap() -> None:
    labels = (RNG.random(400) < 0.35).astype(np.int8)
    scores = 1 / (1 + np.exp(-RNG.normal(labels * 1.5 - 1)))
    units = Units(np.arange(400)[:, None], 400, connected=True)
    own = WeightedMetrics(labels, scores, 0.4)
    drawn = resample(labels, units, {"own": own}, 1000, 7)["own"]
    plain = []
    for _ in range(300):
        weights = np.bincount(RNG.integers(0, 400, 400), minlength=400).astype(float)
        plain.append(own.measure(weights[:, None]))
    for name, values in drawn.items():
        low, high = interval(values)
        expected = interval(np.concatenate([one[name] for one in plain]))
        assert (low, high) == pytest.approx(expected, abs=0.3 * (high - low))


def test_groups_with_much_in_common_make_the_interval_wider() -> None:
    # 20 groups of 20 equal pairs tell as much as 20 pairs
    kinds = np.arange(20)
    labels = np.repeat(kinds % 2, 20)
    scores = np.repeat(RNG.random(20), 20)
    own = WeightedMetrics(labels, scores, 0.5)
    by_group = Units(np.repeat(kinds, 20)[:, None], 20, connected=True)
    by_pair = Units(np.arange(400)[:, None], 400, connected=True)
    widths = [
        np.ptp(interval(resample(labels, units, {"own": own}, 500, 1)["own"]["roc_auc"]))
        for units in (by_group, by_pair)
    ]
    assert widths[0] > 3 * widths[1]


def test_a_difference_is_paired() -> None:
    labels = (RNG.random(300) < 0.5).astype(np.int8)
    scores = np.clip(labels * 0.2 + RNG.random(300) * 0.8, 0, 1)
    better = np.clip(scores + labels * 0.02, 0, 1)
    units = Units(np.arange(300)[:, None], 300, connected=True)
    both = {"a": WeightedMetrics(labels, scores, 0.5), "b": WeightedMetrics(labels, better, 0.5)}
    drawn = resample(labels, units, both, 500, 1)
    gain = difference(0.01, drawn["b"]["roc_auc"], drawn["a"]["roc_auc"])
    assert 0 < gain.low < gain.high
    assert gain.certainty == 1
    # each by itself is far less sure than the difference
    assert gain.high - gain.low < 0.5 * np.ptp(interval(drawn["a"]["roc_auc"]))
    none = difference(0.0, drawn["a"]["roc_auc"], drawn["a"]["roc_auc"])
    assert none == (0, 0, 0, 0)


def test_blocks_of_any_size_give_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.array([0, 1] * 10)
    units = Units(np.arange(20)[:, None], 20, connected=True)
    whole = weights_of(labels, units, 50)
    monkeypatch.setattr(resampling, "BLOCK_VALUES", 60)
    np.testing.assert_array_equal(weights_of(labels, units, 50), whole)


def test_values_that_are_no_number_leave_the_interval_to_the_others() -> None:
    assert interval(np.array([np.nan, 1.0, 1.0])) == (1, 1)
    assert np.isnan(interval(np.array([np.nan]))).all()

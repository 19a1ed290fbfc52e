import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

from dnapair.errors import DnapairError
from dnapair.evaluation import curves, metrics


def predictions(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.35).astype(np.int8)
    return labels, 1 / (1 + np.exp(-rng.normal(labels * 1.5 - 1)))


def by_sklearn(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> dict[str, float]:
    predicted = probabilities >= threshold
    return {
        "accuracy": sk.accuracy_score(labels, predicted),
        "precision": sk.precision_score(labels, predicted, zero_division=0),
        "recall": sk.recall_score(labels, predicted),
        "f1": sk.f1_score(labels, predicted),
        "roc_auc": sk.roc_auc_score(labels, probabilities),
        "pr_auc": sk.average_precision_score(labels, probabilities),
        "mcc": sk.matthews_corrcoef(labels, predicted),
        "log_loss": sk.log_loss(labels, probabilities),
        "brier": sk.brier_score_loss(labels, probabilities),
        "ece": calibration_error(labels, probabilities),
    }


def calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    bins = [min(int(p * 10), 9) for p in probabilities]
    gaps = [
        abs(sum(p - y for p, y, b in zip(probabilities, labels, bins, strict=True) if b == which))
        for which in range(10)
    ]
    return float(sum(gaps) / labels.size)


@settings(max_examples=40)
@given(
    labels=arrays(np.int8, 30, elements=st.integers(0, 1)).filter(lambda x: 0 < x.sum() < 30),
    tenths=arrays(np.int8, 30, elements=st.integers(0, 10)),
    threshold=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
)
def test_every_metric_is_scikit_learns_ties_and_certainties_included(
    labels: np.ndarray, tenths: np.ndarray, threshold: float
) -> None:
    probabilities = tenths / 10.0
    assert metrics.evaluate(labels, probabilities, threshold) == pytest.approx(
        by_sklearn(labels, probabilities, threshold), abs=1e-9
    )


def test_perfect_predictions_reach_every_best_value() -> None:
    labels = np.array([0, 1, 1, 0])
    found = metrics.evaluate(labels, labels.astype(float), 0.5)
    assert {name: found[name] for name in ("accuracy", "f1", "roc_auc", "pr_auc", "mcc")} == {
        "accuracy": 1,
        "f1": 1,
        "roc_auc": 1,
        "pr_auc": 1,
        "mcc": 1,
    }
    assert found["brier"] == 0
    assert found["log_loss"] < 1e-12


def test_constant_predictions_are_worth_a_coin() -> None:
    labels = np.array([0, 1, 0, 0])
    found = metrics.evaluate(labels, np.full(4, 0.25), 0.5)
    assert (found["roc_auc"], found["pr_auc"], found["mcc"], found["f1"]) == (0.5, 0.25, 0, 0)


@pytest.mark.parametrize("labels", [np.ones(3), np.zeros(3), np.ones(0)])
def test_one_class_alone_is_refused_in_plain_words(labels: np.ndarray) -> None:
    with pytest.raises(DnapairError, match=f"The {labels.size} pairs to be measured do not have both labels"):
        metrics.evaluate(labels, np.full(labels.size, 0.5), 0.5)
    with pytest.raises(DnapairError, match="Put pairs of both labels into each split"):
        metrics.best_threshold(labels, np.full(labels.size, 0.5))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.1, 1.5])
def test_what_is_no_probability_is_refused(bad: float) -> None:
    with pytest.raises(DnapairError, match="1 of 3 predicted probabilities"):
        metrics.evaluate(np.array([0, 1, 1]), np.array([0.1, bad, 0.3]), 0.5)


@given(seed=st.integers(0, 50))
@settings(max_examples=8)
def test_the_threshold_has_the_greatest_f1_of_all(seed: int) -> None:
    labels, probabilities = predictions(40, seed)
    chosen = metrics.best_threshold(labels, probabilities)
    best = max(sk.f1_score(labels, probabilities >= cut) for cut in probabilities)
    assert sk.f1_score(labels, probabilities >= chosen) == pytest.approx(best)
    assert chosen not in probabilities[probabilities > probabilities.min()]


def test_the_threshold_of_tied_scores_keeps_ties_together() -> None:
    assert metrics.best_threshold(np.array([1, 0, 1, 0]), np.array([0.8, 0.2, 0.8, 0.8])) == 0.5


@given(tenths=arrays(np.int8, 30, elements=st.integers(0, 10)), seed=st.integers(0, 50))
@settings(max_examples=20)
def test_weights_count_as_repeated_pairs_and_missing_classes_have_no_area(
    tenths: np.ndarray, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    labels, probabilities = np.tile([0, 1, 1], 10), tenths / 10
    weights = rng.integers(0, 3, (30, 4)).astype(float)
    weights[:2, :3] = 1
    weights[:, 3] = labels
    found = metrics.WeightedMetrics(labels, probabilities, 0.4).measure(weights)
    assert list(found) == list(metrics.METRICS)
    for column in range(3):
        repeated = np.repeat(np.arange(30), weights[:, column].astype(int))
        expected = metrics.evaluate(labels[repeated], probabilities[repeated], 0.4)
        assert {name: values[column] for name, values in found.items()} == pytest.approx(expected)
    assert np.isnan([found["roc_auc"][3], found["pr_auc"][3]]).all()
    assert found["accuracy"][3] == pytest.approx((probabilities[labels == 1] >= 0.4).mean())


def test_scores_of_any_kind_are_ranked_and_parts_of_the_pairs_measured_alone() -> None:
    labels, probabilities = predictions()
    inside, weights = probabilities.round(1) != 0.3, np.ones((labels.size, 1))
    expected = by_sklearn(labels[inside], probabilities[inside].round(2), 0.4)
    scores = 100 * probabilities.round(2) - 70
    found = metrics.WeightedRanks(labels, scores, -30, inside).measure(weights)
    assert {name: float(values[0]) for name, values in found.items()} == pytest.approx(
        {name: expected[name] for name in (*metrics.RANKING, *metrics.DECISIONS)}
    )


def test_curves_are_scikit_learns() -> None:
    labels, probabilities = predictions()
    probabilities = probabilities.round(1)
    x, y = curves.roc_curve(labels, probabilities)
    fpr, tpr, _ = sk.roc_curve(labels, probabilities, drop_intermediate=False)
    np.testing.assert_allclose(x, fpr)
    np.testing.assert_allclose(y, tpr)
    recall, precision = curves.precision_recall_curve(labels, probabilities)
    expected_precision, expected_recall, _ = sk.precision_recall_curve(labels, probabilities)
    np.testing.assert_allclose(precision[::-1], expected_precision[:-1])
    np.testing.assert_allclose(recall[::-1], expected_recall[:-1])


def test_a_thinned_curve_keeps_its_ends() -> None:
    curve = curves.roc_curve(*predictions(2000))
    thinned = curves.thin(curve)
    assert thinned.x.size == 500
    assert (thinned.x[0], thinned.y[0], thinned.x[-1], thinned.y[-1]) == (0, 0, 1, 1)
    assert curves.thin(thinned) is thinned


def test_calibration_counts_every_pair_once() -> None:
    bins = curves.calibration(np.array([0, 1, 1, 1]), np.array([0.05, 0.15, 0.19, 1.0]))
    np.testing.assert_allclose(bins.predicted, [0.05, 0.17, 1.0])
    np.testing.assert_allclose(bins.observed, [0, 1, 1])
    assert bins.pairs.tolist() == [1, 2, 1]


def test_the_spread_over_seeds_or_folds_is_mean_and_sample_deviation() -> None:
    one = dict.fromkeys(metrics.METRICS, 1.0)
    two = dict.fromkeys(metrics.METRICS, 2.0)
    assert metrics.spread([one]) == {}
    assert metrics.spread([one, two])["f1"] == pytest.approx((1.5, np.sqrt(0.5)))
    folds = [{"f1": 0.5, "pairs": 3}, {"f1": 0.7, "pairs": 4}, {"f1": 0.9, "pairs": 5}]
    assert metrics.spread(folds, ["f1"]) == {"f1": pytest.approx((0.7, 0.2))}

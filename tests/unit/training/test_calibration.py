import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from dnapair.networks.spec import NetworkSpec
from dnapair.networks.weights import initial_weights
from dnapair.training.calibration import HIGHEST, LOWEST, calibrate, fit_temperature
from dnapair.training.frameworks import make_learner
from dnapair.training.learner import LearnerSettings
from dnapair.training.loop import cross_entropy


def draw(pairs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are right, and labels drawn by them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-0.5, 2, pairs)
    return logits.astype(np.float32), (rng.random(pairs) < expit(logits)).astype(np.float32)


@pytest.mark.parametrize("planted", [0.3, 1.0, 4.0])
def test_a_planted_temperature_is_found(planted: float):
    logits, labels = draw(100_000, 1)
    assert fit_temperature(planted * logits, labels) == pytest.approx(planted, rel=0.03)


@given(st.lists(st.tuples(st.floats(-30, 30, width=32), st.booleans()), min_size=1, max_size=40))
def test_log_loss_never_grows(pairs: list[tuple[float, bool]]):
    logits, labels = (np.array(column, np.float32) for column in zip(*pairs, strict=True))
    temperature = fit_temperature(logits, labels)
    assert LOWEST <= temperature <= HIGHEST
    assert cross_entropy(logits / temperature, labels) <= cross_entropy(logits, labels)


def test_pairs_told_apart_without_a_fault_have_the_lowest_temperature_there_is():
    labels = np.array([1, 1, 0, 0], np.float32)
    logits = np.array([0.2, 0.1, -0.1, -0.2], np.float32)
    assert fit_temperature(logits, labels) == pytest.approx(LOWEST, rel=1e-4)
    # and pairs in the wrong order the highest
    assert fit_temperature(-logits, labels) == pytest.approx(HIGHEST, rel=1e-4)


def test_the_best_temperature_is_left_as_it_is():
    labels = np.array([1, 1, 1, 0], np.float32)
    exact = np.full(4, np.log(3), np.float32)
    assert fit_temperature(exact, labels) == pytest.approx(1, rel=1e-3)
    # where every temperature is as good as any
    assert fit_temperature(np.zeros(4, np.float32), labels) == 1.0


@pytest.mark.parametrize("framework", ["torch", "tensorflow"])
def test_the_calibrated_weights_give_the_calibrated_logits_in_the_same_order(framework: str):
    rng = np.random.default_rng(2)
    spec = NetworkSpec(6, (8, 4), 1, 0.1, "layer", "relu", symmetric=False)
    weights = initial_weights(spec, 3)
    weights["head.bias"] = np.array([0.7], np.float32)
    learner = make_learner(framework, spec, LearnerSettings(0.0, 0.0, 1.0, 1.0, seed=1))
    learner.set_weights(weights)
    inputs = tuple(rng.uniform(-1, 1, (2, 500, 6)).astype(np.float32))
    logits = learner.predict(inputs)
    labels = (rng.random(500) < expit(logits / 3)).astype(np.float32)
    result = calibrate(weights, logits, labels)
    assert result.temperature == pytest.approx(3, rel=0.5)
    np.testing.assert_array_equal(result.val_logits, logits / np.float32(result.temperature))
    assert np.array_equal(np.argsort(result.val_logits, kind="stable"), np.argsort(logits, kind="stable"))
    learner.set_weights(result.weights)
    np.testing.assert_allclose(learner.predict(inputs), result.val_logits, atol=1e-6)
    changed = {name for name in weights if not np.array_equal(weights[name], result.weights[name])}
    assert changed == {"head.weight", "head.bias"}
    assert all(value.dtype == np.float32 for value in result.weights.values())

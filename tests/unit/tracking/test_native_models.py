from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
from scipy.special import expit

from dnapair.networks.spec import NetworkSpec
from dnapair.networks.weights import initial_weights
from dnapair.tracking.native_models import save_network
from dnapair.training.frameworks import make_learner
from dnapair.training.learner import LearnerSettings

SPEC = NetworkSpec(6, (8, 5), 1, 0.3, "layer", "relu", symmetric=False)
RNG = np.random.default_rng(0)
E1, E2, X = (RNG.uniform(-1, 1, (4, width)).astype(np.float32) for width in (6, 6, 7))


# MLflow, Keras and PyTorch warn of each other and of numpy
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("framework", ["torch", "tensorflow"])
@pytest.mark.parametrize(
    ("spec", "inputs", "one"),
    [
        (SPEC, (E1, E2), np.stack([E1, E2], axis=1)),
        (replace(SPEC, interactions=7), (E1, E2, X), np.hstack([E1, E2, X])),
        (replace(SPEC, embeddings=False, interactions=7), (X,), X),
        (replace(SPEC, members=3), (E1, E2), np.stack([E1, E2], axis=1)),
    ],
    ids=["embeddings", "both", "interactions", "the mean of three"],
)
def test_a_saved_network_scores_all_its_inputs_in_one_array(
    framework, spec, inputs, one, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # people load it with MLflow alone; its Keras models have a pickle, which dnapair forbids its processes
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    weights = initial_weights(spec, 1)
    save_network(framework, spec, weights, inputs, tmp_path / "model")
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    learner = make_learner(framework, spec, LearnerSettings(0.0, 0.0, 1.0, 1.0, seed=1))
    learner.set_weights(weights)
    assert model.metadata.signature.inputs.inputs[0].shape == (-1, *one.shape[1:])
    np.testing.assert_allclose(model.predict(one), expit(learner.predict(inputs)), atol=1e-6)

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import erf, expit

from dnapair.errors import DnapairError
from dnapair.networks.features import join
from dnapair.networks.spec import EPSILON, NetworkSpec
from dnapair.networks.tensorflow_net import TensorflowNet
from dnapair.networks.torch_net import TorchNet
from dnapair.networks.weights import (
    Weights,
    gather,
    initial_weights,
    load_weights,
    save_weights,
    shapes,
    split,
)

SPEC = NetworkSpec(
    dimensions=6,
    widths=(8, 8, 5),
    depth=1,
    dropout=0.3,
    normalization="layer",
    activation="relu",
    symmetric=False,
)
RNG = np.random.default_rng(0)
E1, E2 = RNG.uniform(-1, 1, (2, 9, SPEC.dimensions)).astype(np.float32)
X = RNG.uniform(-1, 1, (9, 7)).astype(np.float32)
ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
    "silu": lambda x: x * expit(x),
    "tanh": np.tanh,
}
COMBINATIONS = [
    replace(SPEC, normalization=normalization, activation=activation, symmetric=symmetric, depth=depth)
    for normalization in ("layer", "batch", "none")
    for activation in ACTIVATIONS
    for symmetric, depth in ((False, 1), (True, 2))
]
KINDS = {
    "embeddings": (SPEC, (E1, E2)),
    "both": (replace(SPEC, interactions=7), (E1, E2, X)),
    "both, symmetric": (replace(SPEC, interactions=7, symmetric=True), (E1, E2, X)),
    "interactions": (replace(SPEC, embeddings=False, interactions=7), (X,)),
    "the mean of three": (replace(SPEC, interactions=7, members=3), (E1, E2, X)),
}
kinds = pytest.mark.parametrize(("spec", "inputs"), KINDS.values(), ids=KINDS)


def trained_weights(spec: NetworkSpec) -> Weights:
    """Weights as training would leave them: no bias is 0, no running statistic is 0 or 1."""
    rng = np.random.default_rng(1)
    start = initial_weights(spec, 1)
    return {
        name: start[name] + rng.uniform(-0.05, 0.05, start[name].shape).astype(np.float32) for name in start
    }


def score_torch(spec: NetworkSpec, weights: Weights, *inputs: np.ndarray) -> np.ndarray:
    net = TorchNet(spec).eval()
    net.set_weights(weights)
    with torch.inference_mode():
        return net(*map(torch.from_numpy, inputs)).numpy()


def score_keras(spec: NetworkSpec, weights: Weights, *inputs: np.ndarray) -> np.ndarray:
    net = TensorflowNet(spec)
    net.set_weights(weights)
    return net.model(list(inputs), training=False).numpy()


def score_numpy(spec: NetworkSpec, weights: Weights, *inputs: np.ndarray) -> np.ndarray:
    if spec.members > 1:
        return np.mean([score_numpy(spec.member, own, *inputs) for own in split(spec, weights)], axis=0)
    flow = np.concatenate(join(inputs, spec.symmetric), axis=1).astype(np.float64)
    for number in range(len(spec.widths) * spec.depth):
        block = {n.split(".", 2)[2]: w for n, w in weights.items() if n.startswith(f"blocks.{number}.")}
        inner = flow @ block["linear.weight"].T + block["linear.bias"]
        if spec.normalization == "layer":
            inner = (inner - inner.mean(1, keepdims=True)) / np.sqrt(inner.var(1, keepdims=True) + EPSILON)
        elif spec.normalization == "batch":
            inner = (inner - block["normalization.running_mean"]) / np.sqrt(
                block["normalization.running_var"] + EPSILON
            )
        if spec.normalization != "none":
            inner = inner * block["normalization.weight"] + block["normalization.bias"]
        skip = flow @ block["skip.weight"].T if "skip.weight" in block else flow
        flow = ACTIVATIONS[spec.activation](inner) + skip
    return (flow @ weights["head.weight"].T + weights["head.bias"])[:, 0]


def check_parity(spec: NetworkSpec, inputs: tuple[np.ndarray, ...], tmp_path: Path) -> None:
    net = TorchNet(spec)
    net.set_weights(trained_weights(spec))
    save_weights(tmp_path / "torch.safetensors", net.get_weights())
    keras_net = TensorflowNet(spec)
    keras_net.set_weights(load_weights(tmp_path / "torch.safetensors", spec))
    save_weights(tmp_path / "keras.safetensors", keras_net.get_weights())
    weights = load_weights(tmp_path / "keras.safetensors", spec)
    assert (tmp_path / "torch.safetensors").read_bytes() == (tmp_path / "keras.safetensors").read_bytes()
    expected = score_numpy(spec, weights, *inputs)
    from_torch, from_keras = score_torch(spec, weights, *inputs), score_keras(spec, weights, *inputs)
    assert from_torch.shape == from_keras.shape == (len(E1),)
    np.testing.assert_allclose(from_torch, expected, atol=1e-5, rtol=0)
    np.testing.assert_allclose(from_keras, from_torch, atol=1e-5, rtol=0)


@pytest.mark.parametrize("spec", COMBINATIONS, ids=lambda s: f"{s.normalization}-{s.activation}-{s.depth}")
def test_both_frameworks_compute_what_the_specification_says(spec: NetworkSpec, tmp_path: Path):
    check_parity(spec, (E1, E2), tmp_path)


@kinds
def test_both_frameworks_compute_the_same_of_each_kind_of_inputs(spec, inputs, tmp_path: Path):
    check_parity(spec, inputs, tmp_path)


@kinds
@pytest.mark.parametrize("score", [score_torch, score_keras])
def test_every_number_that_is_taken_counts(spec, inputs, score):
    widths = list(spec.inputs.values())
    assert widths == [array.shape[1] for array in inputs]
    # one pair again and again, each time with another number changed
    pair = np.concatenate(inputs, axis=1)[0]
    changed = pair + np.eye(pair.size + 1, pair.size, dtype=np.float32)
    *scores, own = score(spec, trained_weights(spec), *np.split(changed, np.cumsum(widths)[:-1], axis=1))
    assert np.abs(np.array(scores) - own).min() > 1e-3


@pytest.mark.parametrize("score", [score_torch, score_keras])
def test_order_of_a_pair_matters_only_without_symmetric_features(score):
    for symmetric in (True, False):
        spec = replace(SPEC, symmetric=symmetric)
        weights = trained_weights(spec)
        difference = np.abs(score(spec, weights, E1, E2) - score(spec, weights, E2, E1)).max()
        assert (difference < 1e-6) == symmetric


@pytest.mark.parametrize("score", [score_torch, score_keras])
def test_a_pair_scores_the_same_alone_and_among_others(score):
    weights = trained_weights(SPEC)
    together = score(SPEC, weights, E1, E2)
    alone = [score(SPEC, weights, E1[i : i + 1], E2[i : i + 1])[0] for i in range(3)]
    np.testing.assert_allclose(together[:3], alone, atol=1e-5)


@pytest.mark.parametrize("score", [score_torch, score_keras, score_numpy])
def test_several_members_score_by_the_mean_of_their_logits(score):
    spec = replace(SPEC, interactions=7, members=3)
    members = [initial_weights(spec.member, seed) for seed in (1, 2, 3)]
    weights = gather(spec, members)
    alone = [score(spec.member, own, E1, E2, X) for own in members]
    assert np.ptp(alone, axis=0).min() > 1e-3
    np.testing.assert_allclose(score(spec, weights, E1, E2, X), np.mean(alone, axis=0), atol=1e-6)
    for own, again in zip(members, split(spec, weights), strict=True):
        assert own.keys() == again.keys()
        assert all(np.array_equal(own[name], again[name]) for name in own)


@kinds
def test_probability_wrapper_takes_all_inputs_as_one_array(spec, inputs):
    weights = trained_weights(spec)
    expected = expit(score_torch(spec, weights, *inputs))
    whole = np.concatenate(inputs, axis=1) if spec.interactions else np.stack(inputs, axis=1)
    for net, pairs in ((TorchNet(spec).eval(), torch.from_numpy(whole)), (TensorflowNet(spec), whole)):
        net.set_weights(weights)
        with torch.inference_mode():
            np.testing.assert_allclose(net.with_probability()(pairs).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("normalization", ["layer", "batch", "none"])
def test_names_and_shapes_are_the_ones_of_torch(normalization):
    for members in (1, 2):
        spec = replace(SPEC, normalization=normalization, depth=2, members=members)
        state = TorchNet(spec).state_dict()
        own = {
            name: tuple(value.shape) for name, value in state.items() if not name.endswith("batches_tracked")
        }
        assert own == shapes(spec)


def test_blocks_at_each_width():
    assert replace(SPEC, widths=(8, 5), depth=2).blocks == [(24, 8), (8, 8), (8, 5), (5, 5)]
    assert replace(SPEC, symmetric=True).features == 18
    assert replace(SPEC, symmetric=True, interactions=7).features == 25
    assert replace(SPEC, embeddings=False, interactions=7).blocks[0] == (7, 8)


def test_initial_weights_come_from_the_seed_alone():
    first, again, other = (initial_weights(SPEC, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["head.weight"], other["head.weight"])


@pytest.mark.parametrize(("activation", "variance"), [("relu", 2 / 512), ("tanh", 2 / (512 + 300))])
def test_initial_weights_are_scaled_for_the_activation(activation, variance):
    spec = replace(SPEC, dimensions=128, widths=(300,), activation=activation)
    weights = initial_weights(spec, 1)
    assert weights["blocks.0.linear.weight"].var() == pytest.approx(variance, rel=0.02)
    assert weights["blocks.0.skip.weight"].var() == pytest.approx(2 / (512 + 300), rel=0.02)
    assert not weights["blocks.0.linear.bias"].any()


@kinds
def test_specification_survives_json(spec, inputs):
    assert NetworkSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_specification_of_an_earlier_dnapair_takes_embeddings_alone():
    old = {
        "dimensions": 6,
        "widths": [8, 8, 5],
        "depth": 1,
        "dropout": 0.3,
        "normalization": "layer",
        "activation": "relu",
        "symmetric": False,
    }
    assert NetworkSpec.from_json(old) == SPEC
    assert SPEC.to_json() == old | {"embeddings": True, "interactions": 0, "members": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"embeddings": False},
        {"embeddings": 1},
        {"embeddings": None, "interactions": 7},
        {"interactions": -1},
        {"interactions": True},
        {"interactions": 7.0},
        {"interactions": 65537},
        {"members": 0},
        {"members": 1025},
        {"members": True},
    ],
)
def test_specification_that_takes_nothing_or_no_number_is_refused(change: dict):
    with pytest.raises(DnapairError, match="no network that dnapair builds"):
        NetworkSpec.from_json(SPEC.to_json() | change)


def test_weights_of_another_network_are_refused(tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    save_weights(path, initial_weights(SPEC, 1))
    with pytest.raises(DnapairError, match=r"blocks\.0\.linear\.weight \(there: float32 \(8, 24\), needed"):
        load_weights(path, replace(SPEC, dimensions=7))
    with pytest.raises(DnapairError, match=r"running_mean \(there: none"):
        load_weights(path, replace(SPEC, normalization="batch"))


def test_missing_or_damaged_weights_are_refused(tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    with pytest.raises(DnapairError, match="can't be read"):
        load_weights(path, SPEC)
    save_weights(path, initial_weights(SPEC, 1))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DnapairError, match="can't be read"):
        load_weights(path, SPEC)

from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from dnapair.embedding.cache import EmbeddingCache
from dnapair.embedding.embedder import Embedder
from dnapair.embedding.encoder import build_untrained
from dnapair.embedding.store import write_store
from dnapair.errors import DnapairError
from dnapair.files import write_json
from dnapair.matrix import MatrixFile
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.weights import initial_weights, save_weights
from dnapair.scaling import fit, write_scaled
from dnapair.scoring import PairScorer, Settings, write_bundle
from dnapair.training.learner import LearnerSettings
from dnapair.training.learners import make_learner
from dnapair.training.loop import predict
from tests.unit.tiny_model import write_tiny_bundle


def test_a_served_model_gives_what_the_pipeline_gives(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ACGT"), length)) for length in rng.integers(20, 90, 30)]
    encoder = build_untrained(k=4, layers=1, hidden=16, heads=2, seed=1)
    embedder = Embedder(
        encoder, "mean", "both", normalize=True, precision="float32", device="cpu", batch_tokens=512
    )
    store = write_store(
        tmp_path / "store",
        {"encoder": "untrained", "trained": False},
        len(sequences),
        len(sequences),
        lambda shards: ((0, embedder.embed(sequences)) for _ in shards),
    )
    training = np.arange(len(sequences)) < 20
    fitted = fit(store.shards, store.dimensions, training, "dimension")
    write_scaled(fitted, store.shards, training, tmp_path / "scaled.npy")
    matrix = MatrixFile(tmp_path / "scaled.npy")
    assert matrix.dtype == np.float16
    fitted.scaler.save(tmp_path / "scaler.safetensors")
    spec = NetworkSpec(16, (8,), 1, 0.0, "layer", "relu", symmetric=True)
    network = tmp_path / "network"
    network.mkdir()
    write_json(network / "network.json", spec.to_json())
    save_weights(network / "weights.safetensors", initial_weights(spec, 1))
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    settings = Settings("mean", "both", True, "float32", "error", 0.5)
    write_bundle(bundle, encoder, tmp_path / "scaler.safetensors", network, settings)
    # in the order of the rows, so that both embed the same batches
    rows1, rows2 = np.arange(30).reshape(2, 15)
    learner = make_learner("torch", spec, LearnerSettings(0.0, 0.0, 1.0, 1.0, seed=1))
    expected = expit(predict(learner, matrix, rows1, rows2))
    scores = PairScorer(bundle).score(*([sequences[row] for row in rows] for rows in (rows1, rows2)))
    np.testing.assert_allclose(scores.probability, expected, atol=1e-6, rtol=0)


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> PairScorer:
    folder = tmp_path_factory.mktemp("scorer") / "bundle"
    write_tiny_bundle(folder)
    return PairScorer(folder)


def test_a_pairs_score_is_the_same_to_the_bit_whatever_is_scored_with_it(scorer: PairScorer) -> None:
    rng = np.random.default_rng(0)
    made = ["".join(rng.choice(list("ACGT"), length)) for length in rng.integers(5, 90, 200)]
    seq1, seq2 = ([made[place] for place in rng.integers(0, 200, 700)] for _ in range(2))
    whole = scorer.score(seq1, seq2).probability
    assert np.unique(whole).size > 500
    cache = EmbeddingCache(10**6)
    for step, count in ((1, 20), (3, 60), (50, 700), (257, 700)):
        parts = [
            scorer.score(*(side[start : min(start + step, count)] for side in (seq1, seq2)), cache=cache)
            for start in range(0, count, step)
        ]
        np.testing.assert_array_equal(np.concatenate([part.probability for part in parts]), whole[:count])
    assert cache.computed == len({*seq1, *seq2})


def test_k_mers_that_do_not_overlap_are_named_by_their_pair(scorer: PairScorer) -> None:
    with pytest.raises(DnapairError, match=r"^seq2 of pair 8: k-mer 2 \(CTTT\) does not go on"):
        scorer.score(["ACGTA", "ACGTA"], ["ACGTA", "ACGT CTTT"], first_row=7)

from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from dnapair.checks.drift import Watch
from dnapair.embedding.cache import EmbeddingCache
from dnapair.embedding.embedder import Embedder
from dnapair.embedding.scaling import fit, write_scaled
from dnapair.embedding.store import write_store
from dnapair.errors import DnapairError
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.weights import initial_weights, save_weights
from dnapair.scoring.bundle import Settings, write_bundle
from dnapair.scoring.scorer import PairScorer
from dnapair.storage.files import write_json
from dnapair.storage.matrix import MatrixFile
from dnapair.training.learner import LearnerSettings, make_learner
from dnapair.training.loop import Matrices, Pairs, predict
from tests.small_models import SEQUENCES, make_bundle, small_encoder


def test_a_served_model_gives_what_the_pipeline_gives(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ACGT"), length)) for length in rng.integers(20, 90, 30)]
    encoder = small_encoder()
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
    write_bundle(bundle, encoder, tmp_path, network, settings)
    # in the order of the rows, so that both embed the same batches
    rows1, rows2 = np.arange(30).reshape(2, 15)
    learner = make_learner("torch", spec, LearnerSettings(0.0, 0.0, 1.0, 1.0, seed=1))
    expected = expit(predict(learner, Matrices(matrix), Pairs(rows1, rows2, np.zeros(15))))
    scores = PairScorer(bundle).score(*([sequences[row] for row in rows] for rows in (rows1, rows2)))
    np.testing.assert_allclose(scores.probability, expected, atol=1e-6, rtol=0)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path)


def test_a_watch_sees_every_sequence_once_a_call_and_changes_no_score(bundle: Path) -> None:
    scorer = PairScorer(bundle)
    pairs = SEQUENCES[:50], [SEQUENCES[0].lower(), *SEQUENCES[51:100]]
    expected = scorer.score(*pairs).probability
    assert scorer.reference is not None
    scorer.watch = Watch(scorer.reference)
    assert scorer.score(*pairs).probability.tobytes() == expected.tobytes()
    report = scorer.watch.report()
    # the train sequences themselves: one of them is in two pairs
    assert (report["sequences"], report["in_range"], report["clipped_share"]) == (99, True, 0.0)
    with pytest.raises(DnapairError, match="letter 'N'"):
        scorer.score(["ACGTN"], ["ACGTA"])
    assert scorer.watch.report()["sequences"] == 99
    scorer.score(["ACGTACGT"] * 40, ["A" * size for size in range(100, 140)])
    assert not scorer.watch.report()["in_range"]


def test_what_can_be_scored_is_told_beforehand(bundle: Path) -> None:
    scorer = PairScorer(bundle)
    assert [scorer.accepts(one) for one in ("ACGT", "ACG", "", "ACGTN", "ACGTACGT")] == [
        True,
        False,
        False,
        False,
        True,
    ]


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> PairScorer:
    spec = NetworkSpec(16, (32, 8), 1, 0.0, "layer", "relu", symmetric=False)
    return PairScorer(make_bundle(tmp_path_factory.mktemp("scorer"), spec=spec))


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

from dataclasses import replace
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
from dnapair.interactions import store as interaction_store
from dnapair.interactions.layout import Layout
from dnapair.interactions.rows import describe_pairs
from dnapair.interactions.scaling import InteractionScaling
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.weights import initial_weights, save_weights
from dnapair.scoring.bundle import Settings, read_part, write_bundle
from dnapair.scoring.scorer import PairScorer
from dnapair.storage.files import write_json
from dnapair.storage.matrix import MatrixFile
from dnapair.training.frameworks import make_learner
from dnapair.training.learner import LearnerSettings
from dnapair.training.loop import Matrices, Pairs, predict
from tests.small_models import LAYOUT, SEQUENCES, SPEC, make_bundle, small_encoder


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("inputs", ["embeddings", "both", "interactions"])
def test_a_served_model_gives_what_the_pipeline_gives(tmp_path: Path, inputs: str, symmetric: bool) -> None:
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ACGT"), length)) for length in rng.integers(20, 90, 30)]
    # in the order of the rows, so that both embed the same batches
    rows1, rows2 = np.arange(30).reshape(2, 15)
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
    layout = Layout(8, 8, aligned=True, symmetric=symmetric)
    met = interaction_store.write_store(
        tmp_path / "interactions",
        layout,
        {},
        15,
        np.empty((0, 2), np.int64),
        lambda shards: ((0, describe_pairs(sequences, rows1, rows2, layout)) for _ in shards),
    )
    trained = np.arange(15) < 10
    ranges = fit(met.shards, met.dimensions, trained, "dimension")
    scaling = InteractionScaling.of(met.layout, ranges.scaler)
    assert 0 < scaling.columns.size < layout.width
    write_scaled(
        ranges._replace(scaler=scaling.scaler),
        lambda: ((first, values[:, scaling.columns]) for first, values in met.shards()),
        trained,
        tmp_path / "interactions.npy",
    )
    scaling.save(tmp_path)
    interactions = MatrixFile(tmp_path / "interactions.npy")
    spec = NetworkSpec(
        16,
        (8,),
        1,
        0.0,
        "layer",
        "relu",
        symmetric=symmetric,
        embeddings=inputs != "interactions",
        interactions=0 if inputs == "embeddings" else scaling.columns.size,
    )
    network = tmp_path / "network"
    network.mkdir()
    write_json(network / "network.json", spec.to_json())
    save_weights(network / "weights.safetensors", initial_weights(spec, 1))
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    settings = Settings("mean", "both", True, "float32", "error", 0.5)
    write_bundle(bundle, encoder, tmp_path, network, settings)
    learner = make_learner("torch", spec, LearnerSettings(0.0, 0.0, 1.0, 1.0, seed=1))
    matrices = Matrices(
        matrix if spec.embeddings else None,
        interactions if spec.interactions else None,
    )
    expected = expit(predict(learner, matrices, Pairs(rows1, rows2, np.zeros(15), np.arange(15))))
    assert np.ptp(expected) > 0.05
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


def test_a_watch_is_told_of_pairs_unlike_those_of_training(tmp_path: Path) -> None:
    scorer = PairScorer(make_bundle(tmp_path, layout=LAYOUT))
    assert scorer.reference is not None
    scorer.watch = Watch(scorer.reference)
    # those that the interactions were scaled by: none is clipped
    alike = SEQUENCES[:49], SEQUENCES[1:50]
    scorer.score(*alike)
    report = scorer.watch.report()
    assert (report["in_range"], report["clipped_interactions_share"]) == (True, 0.0)
    # the same sequences, each beside itself: nothing but how they meet is new
    same = SEQUENCES
    expected = PairScorer(scorer.folder).score(same, same).probability
    assert scorer.score(same, same).probability.tobytes() == expected.tobytes()
    report = scorer.watch.report()
    assert report["clipped_interactions_share"] > 0.1
    (fault,) = report["faults"]
    assert fault.startswith("More than 1.00% of the interactions' values lie outside the range that training")


@pytest.mark.parametrize("network", [SPEC, replace(SPEC, embeddings=False)])
def test_pairs_are_shown_to_a_watch_without_being_scored(tmp_path: Path, network: NetworkSpec) -> None:
    scorer = PairScorer(make_bundle(tmp_path, spec=network, layout=LAYOUT))
    assert scorer.reference is not None
    first, second = [*SEQUENCES[:50], "ACGTN"], [*SEQUENCES[:50], SEQUENCES[50]]
    shown = Watch(scorer.reference)
    scorer.watch = shown
    # the last pair has a sequence that can't be embedded: the other one is shown, the pair is not
    scorer.observe(first, second, dict.fromkeys(SEQUENCES[:51], "a name"))
    scored = Watch(scorer.reference)
    scorer.watch = scored
    scorer.score(SEQUENCES[:50], SEQUENCES[:50])
    scorer.observe([SEQUENCES[50]], ["ACGTN"], {SEQUENCES[50]: "a name"})
    found, expected = shown.report(), scored.report()
    assert found["sequences"] == 51
    assert found["clipped_interactions_share"] > 0.1
    assert found | {"since": None} == expected | {"since": None}


NETWORKS = {
    "embeddings": (NetworkSpec(16, (32, 8), 1, 0.0, "layer", "relu", symmetric=False), None),
    "both": (
        NetworkSpec(16, (32, 8), 1, 0.0, "layer", "relu", symmetric=False),
        Layout(16, 12, aligned=False, symmetric=False),
    ),
    "interactions": (
        NetworkSpec(16, (32, 8), 1, 0.0, "layer", "relu", symmetric=False, embeddings=False),
        Layout(16, 16, aligned=True, symmetric=False),
    ),
    "the mean of three": (
        NetworkSpec(16, (32, 8), 1, 0.0, "layer", "relu", symmetric=False, members=3),
        Layout(16, 12, aligned=False, symmetric=False),
    ),
}


@pytest.fixture(scope="module", params=NETWORKS)
def scorer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PairScorer:
    spec, layout = NETWORKS[request.param]
    return PairScorer(make_bundle(tmp_path_factory.mktemp("scorer"), spec=spec, layout=layout))


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
    # a network that takes interactions alone needs no encoder
    embedded = {*seq1, *seq2} if read_part(scorer.folder / "network.json")["embeddings"] else set()
    assert cache.computed == len(embedded)


@pytest.mark.parametrize("embeddings", [True, False])
def test_a_symmetric_model_gives_both_orders_of_a_pair_one_score(tmp_path: Path, embeddings: bool) -> None:
    rng = np.random.default_rng(1)
    made = ["".join(rng.choice(list("ACGT"), length)) for length in rng.integers(5, 90, 60)]
    seq1, seq2 = ([made[place] for place in rng.integers(0, 60, 200)] for _ in range(2))
    found = {}
    for symmetric in (True, False):
        spec = replace(SPEC, symmetric=symmetric, embeddings=embeddings)
        layout = Layout(16, 16, aligned=True, symmetric=symmetric)
        scorer = PairScorer(make_bundle(tmp_path / str(symmetric), spec=spec, layout=layout))
        one, other = scorer.score(seq1, seq2).probability, scorer.score(seq2, seq1).probability
        found[symmetric] = np.count_nonzero(one != other)
        assert np.unique(one).size > 100
    assert found[True] == 0
    assert found[False] > 100


def test_no_pairs_have_no_scores(scorer: PairScorer) -> None:
    assert scorer.score([], []).probability.shape == (0,)


def test_k_mers_that_do_not_overlap_are_named_by_their_pair(scorer: PairScorer) -> None:
    with pytest.raises(DnapairError, match=r"^seq2 of pair 8: k-mer 2 \(CTTT\) does not go on"):
        scorer.score(["ACGTA", "ACGTA"], ["ACGTA", "ACGT CTTT"], first_row=7)

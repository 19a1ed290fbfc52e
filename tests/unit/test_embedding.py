import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dnapair.embedding.batching import batches
from dnapair.embedding.embedder import Embedder, check_embeddable
from dnapair.embedding.encoder import Encoder, build_untrained
from dnapair.errors import DnapairError
from dnapair.kmers import KmerVocabulary
from dnapair.sequences import reverse_complement

TOLERANCE = 1e-5
dna = st.text("ACGT", min_size=3, max_size=40)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return build_untrained(3, 2, 16, 2, seed=1)


def embed(
    encoder: Encoder, sequences: list[str], pooling="mean", strand="forward", batch_tokens=512
) -> np.ndarray:
    return Embedder(encoder, pooling, strand, False, batch_tokens, "cpu").embed(sequences)


def hidden(encoder: Encoder, ids: list[int]) -> np.ndarray:
    """The last layer for one window by transformers alone, shape=(length, d)."""
    with torch.inference_mode():
        return encoder.model(torch.tensor([ids])).last_hidden_state[0].numpy()


def test_mean_is_over_the_kmers_and_not_the_special_tokens(encoder: Encoder):
    ids = encoder.vocabulary.encode("ACGTTGCA").tolist()
    expected = hidden(encoder, [2, *ids, 3])[1:-1].mean(0)
    np.testing.assert_allclose(embed(encoder, ["ACGTTGCA"])[0], expected, atol=TOLERANCE)


def test_unknown_kmers_are_left_out_of_the_mean(encoder: Encoder):
    ids = encoder.vocabulary.encode("ACGTNACGT").tolist()
    known = [place + 1 for place, token in enumerate(ids) if token != encoder.vocabulary.unk]
    assert len(known) == 4
    expected = hidden(encoder, [2, *ids, 3])[known].mean(0)
    np.testing.assert_allclose(embed(encoder, ["ACGTNACGT"])[0], expected, atol=TOLERANCE)


@pytest.mark.parametrize(("pooling", "reduce"), [("cls", lambda h: h[0]), ("max", lambda h: h[1:-1].max(0))])
def test_other_poolings(encoder: Encoder, pooling: str, reduce):
    ids = encoder.vocabulary.encode("ACGTTGCAT").tolist()
    expected = reduce(hidden(encoder, [2, *ids, 3]))
    np.testing.assert_allclose(embed(encoder, ["ACGTTGCAT"], pooling)[0], expected, atol=TOLERANCE)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_long_sequence_is_the_length_weighted_mean_of_its_windows(encoder: Encoder, pooling: str):
    sequence = "".join(np.random.default_rng(1).choice(list("ACGT"), 1200))
    ids = encoder.vocabulary.encode(sequence).tolist()
    windows = [hidden(encoder, [2, *ids[start : start + 510], 3]) for start in (0, 510, 1020)]
    lengths = [len(window) - 2 for window in windows]
    expected = {
        "mean": np.concatenate([window[1:-1] for window in windows]).mean(0),
        "cls": np.average([window[0] for window in windows], axis=0, weights=lengths),
        "max": np.concatenate([window[1:-1] for window in windows]).max(0),
    }[pooling]
    np.testing.assert_allclose(embed(encoder, [sequence], pooling)[0], expected, atol=TOLERANCE)


def test_sequence_of_100_000_bases_is_embedded(encoder: Encoder):
    sequence = "".join(np.random.default_rng(2).choice(list("ACGT"), 100_000))
    assert np.isfinite(embed(encoder, [sequence], batch_tokens=8192)).all()


def test_both_strands_are_one(encoder: Encoder):
    sequence = "ACGTTGCATTAC"
    both = embed(encoder, [sequence, reverse_complement(sequence)], strand="both")
    np.testing.assert_allclose(both[0], both[1], atol=TOLERANCE)
    one_way = embed(encoder, [sequence, reverse_complement(sequence)])
    np.testing.assert_allclose(both[0], one_way.mean(0), atol=TOLERANCE)


@settings(max_examples=30, deadline=None)
@given(
    sequences=st.lists(dna, min_size=1, max_size=12),
    batch_tokens=st.integers(1, 400),
    pooling=st.sampled_from(["mean", "cls", "max"]),
)
def test_embedding_does_not_depend_on_neighbours_order_or_batch_size(
    encoder, sequences, batch_tokens, pooling
):
    alone = np.concatenate([embed(encoder, [sequence], pooling) for sequence in sequences])
    together = embed(encoder, sequences, pooling, batch_tokens=batch_tokens)
    backwards = embed(encoder, sequences[::-1], pooling, batch_tokens=batch_tokens)[::-1]
    np.testing.assert_allclose(together, alone, atol=TOLERANCE)
    np.testing.assert_allclose(backwards, alone, atol=TOLERANCE)


@given(sequences=st.lists(dna, min_size=1, max_size=12), batch_tokens=st.integers(10, 400))
def test_batches_hold_every_kmer_once_within_the_budget(sequences, batch_tokens):
    vocabulary = KmerVocabulary.standard(3)
    seen = [[] for _ in sequences]
    for batch in batches(sequences, vocabulary, window=10, batch_tokens=batch_tokens):
        assert batch.ids.size <= batch_tokens or len(batch.ids) == 1
        assert batch.padded == bool((batch.ids == vocabulary.pad).any())
        for owner, ids in zip(batch.owners, batch.ids, strict=True):
            seen[owner] += ids[ids > vocabulary.sep].tolist()
    assert [sorted(ids) for ids in seen] == [sorted(vocabulary.encode(s).tolist()) for s in sequences]


def test_normalized_embeddings_keep_their_direction_at_length_1(encoder: Encoder):
    sequences = ["ACGTTGCAACGT", "TTTTTTTTTTAC"]
    plain, normal = (
        Embedder(encoder, "mean", "both", normalize, 512, "cpu").embed(sequences)
        for normalize in (False, True)
    )
    np.testing.assert_allclose(normal, plain / np.linalg.norm(plain, axis=1, keepdims=True), rtol=1e-6)


def test_no_sequences_are_no_embeddings(encoder: Encoder):
    assert embed(encoder, []).shape == (0, 16)


def test_sequence_shorter_than_k_is_named():
    with pytest.raises(DnapairError, match=r"1 sequence\(s\).*no 6-mer.*f2 \(5 letters\)"):
        check_embeddable(["ACGTAC", "ACGTA"], ["f1", "f2"], 6)


def test_sequence_with_no_clean_kmer_is_named():
    with pytest.raises(DnapairError, match=r"f1 \(11 letters\)"):
        check_embeddable(["ACGTANACGTA"], ["f1"], 6)


def test_cuda_where_there_is_none_is_said(encoder: Encoder):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(DnapairError, match="no GPU"):
        Embedder(encoder, "mean", "forward", False, 512, "cuda")
